"""Which judges of a cells tally stand in which record, so that no record outgrows its topic.

The parts are the leaves of a binary tree over the hashes of the judges' names. The root is part 0; part n is divided
into 2n + 1 and 2n + 2, by the next bit of the hash, when its judges may need more than the limit. So the parts follow
from the judges alone, not from the order in which they came: a recount has the same parts. A change of a judge changes
its own part only, unless that part is divided or joined.
"""

import hashlib
from collections.abc import Container, Iterable
from functools import lru_cache
from typing import Final

RECORD_BYTES: Final = 256 << 10
"""Largest record of judges by default: a quarter of what a topic takes unless it is configured."""

_VECTORS_BYTES: Final = 2 * 14 * 11 + 36
"""Most bytes of a judge besides its name: two vectors of 14 counts below 10,000,000,000, their names and braces."""
MOST_BYTES: Final = 2 * 4 * 128 + _VECTORS_BYTES
"""Most bytes of a judge: of 128 characters a quotation mark has two bytes in JSON, an emoji has four."""
DEPTH: Final = 48
"""Most bits of a hash: more judges than fit into a record never share these by chance."""


def split(judges: Iterable[str], limit: int) -> dict[int, list[str]]:
    """The judges of each part, by its number.

    The judges of a part need at most `limit` bytes as JSON, unless one alone needs more. No part is empty, except the
    only part of no judges.
    """
    parts: dict[int, list[str]] = {}
    undivided = [(0, 0, [(name, *measure(name)) for name in judges])]
    while undivided:
        part, depth, measured = undivided.pop()
        if len(measured) <= 1 or depth == DEPTH or sum(size for _, size, _ in measured) <= limit:
            if measured or part == 0:
                parts[part] = [name for name, _, _ in measured]
            continue
        for bit in (0, 1):
            half = [each for each in measured if each[2] >> depth & 1 == bit]
            undivided.append((2 * part + 1 + bit, depth + 1, half))
    return parts


def part_of(judge: str, parts: Container[int]) -> int | None:
    """The part, of these, in which a judge stands if it stands in any; None when its part is not among them."""
    _, bits = measure(judge)
    part = 0
    for depth in range(DEPTH + 1):
        if part in parts:
            return part
        part = 2 * part + 1 + (bits >> depth & 1)
    return None


@lru_cache(maxsize=1 << 15)
def measure(judge: str) -> tuple[int, int]:
    """Most bytes of a judge as JSON, and the hash of its name."""
    name = judge.encode()
    return 2 * len(name) + _VECTORS_BYTES, int.from_bytes(hashlib.blake2b(name, digest_size=8).digest())
