"""Counts the records that a reader passed over, and describes the first of them."""

from typing import Final

NAMED: Final = 5
"""Records that a description names."""


class PassedOver:
    """Records of one log that are passed over."""

    def __init__(self) -> None:
        self.count = 0
        """Number of records since the last `take`."""
        self.named: list[str] = []
        """Descriptions of the first of them."""

    def add(self, offset: int, key: bytes | None, why: object, count: int = 1) -> str:
        """Count a record, or several from an offset on; returns its description."""
        described = f"offset {offset}: {why}" if key is None else f"offset {offset} with key {key[:200]!r}: {why}"
        self.count += count
        if len(self.named) < NAMED:
            self.named.append(described)
        return described

    def take(self) -> str:
        """Describe the records, and forget them; empty without records."""
        described = listed(self.named, self.count) if self.count else ""
        self.count, self.named = 0, []
        return described


def listed(named: list[str], count: int) -> str:
    """Describe `count` records, the first of them by name.

    >>> listed(["offset 3: no key", "offset 4: no key"], 12)
    '12 records (offset 3: no key; offset 4: no key; 10 more)'
    """
    more = [f"{count - len(named)} more"] if count > len(named) else []
    return f"{count} record{'' if count == 1 else 's'} ({'; '.join([*named, *more])})"
