"""Tallies: the absolute counts of one group in one source partition, and their keys on the wire.

Readers add up tallies over partitions; nothing else adds them up. Keys are JSON arrays that start with a kind:

- `["cells", queue, criterion, metric, day]`: two cell vectors (see `ratings`) for each judge, `current` where its
  verdict is the newest on the item, `superseded` where it is not;
- `["annotations", queue, criterion, day]`: standing annotations, and those with at least one comparison;
- `["evaluations", queue, metric, day]`: the items placed in the queue by what the metric shows for them;
- `["closed"]`: the checkpoint marker, the last record of a checkpoint.
"""

from typing import Final, Literal, NotRequired, TypedDict, cast

import msgspec
import orjson

MARKER_KEY: Final = b'["closed"]'

Coverage = Literal["pass", "fail", "error", "skipped"]
COVERAGE: Final[tuple[Coverage, ...]] = ("pass", "fail", "error", "skipped")
"""What a metric shows for an item, in the order of its index."""

TallyGroup = tuple[str, ...]
"""The key of a tally as a tuple: kind, names, day."""


class JudgeCells(TypedDict):
    """Two cell vectors of one judge version."""

    current: list[int]
    superseded: list[int]


class CellsPayload(TypedDict):
    """Comparisons of a queue, criterion, metric and day, by judge version."""

    judges: dict[str, JudgeCells]


class AnnotationsPayload(TypedDict):
    """Annotations of a queue, criterion and day."""

    annotations: int
    """Standing annotations."""
    contributing: int
    """Those with at least one comparison."""


EvaluationsPayload = TypedDict("EvaluationsPayload", {"pass": int, "fail": int, "error": int, "skipped": int})
"""Items of a queue by what a metric shows for them, of one UTC day of evaluation."""

Payload = CellsPayload | AnnotationsPayload | EvaluationsPayload


class TallyStamp(msgspec.Struct, gc=False):
    """What every record of the tallies log carries."""

    ledger: str
    """The ledger id."""
    position: int
    """The ledger offset up to which it is the fold of the rows."""
    policy: str


class SourcePosition(TypedDict):
    """How far a source partition is processed."""

    position: int
    """The next offset to process."""
    end: int
    """The end offset when it was last read."""


class CheckpointMarker(TypedDict):
    """The last record of a checkpoint: the tallies of this partition are complete up to a ledger offset."""

    ledger: str
    position: int
    """The ledger offset."""
    policy: str
    at: int
    """The time in milliseconds."""
    sources: dict[str, SourcePosition]
    """By source topic."""
    offset: NotRequired[int]
    """The offset of this record in the tallies log. A marker found elsewhere closes nothing (see `tallies_log`).
    Release 0.1.0 did not write it.
    """


# Results stay in memory, where a result of orjson would keep its whole buffer of about 4 KiB.
_encode = msgspec.json.Encoder().encode

parse_stamp: Final = msgspec.json.Decoder(TallyStamp).decode
"""The stamp of a tally or a marker, from the value. Raises ValueError when it is invalid. The payload is not parsed:
most records are followed by a newer one of their key before anything reads it.
"""


def parse_payload(value: bytes) -> Payload:
    """The payload of a tally, from its value. Raises ValueError when it is invalid."""
    payload = orjson.loads(value)
    for name in TallyStamp.__struct_fields__:
        del payload[name]
    return cast("Payload", payload)


def group_key(group: TallyGroup) -> bytes:
    """The key of a group's tally."""
    return _encode(group)


def parse_key(key: bytes) -> TallyGroup:
    """The group of a key. Raises ValueError when the key is not a JSON array of strings."""
    group = orjson.loads(key)
    if not isinstance(group, list) or not group or not all(isinstance(part, str) for part in group):
        raise ValueError(f"invalid key of a tally: {key[:200]!r}")
    return tuple(group)


def cells_group(queue: str, criterion: str, metric: str, day: str) -> TallyGroup:
    """The group of comparisons."""
    return ("cells", queue, criterion, metric, day)


def annotations_group(queue: str, criterion: str, day: str) -> TallyGroup:
    """The group of annotations."""
    return ("annotations", queue, criterion, day)


def evaluations_group(queue: str, metric: str, day: str) -> TallyGroup:
    """The group of a metric's coverage of a queue's items."""
    return ("evaluations", queue, metric, day)


def empty(group: TallyGroup) -> Payload:
    """The payload of a group that counts nothing any more. Raises ValueError for an unknown kind."""
    match group[0]:
        case "cells":
            return CellsPayload(judges={})
        case "annotations":
            return AnnotationsPayload(annotations=0, contributing=0)
        case "evaluations":
            return EvaluationsPayload({"pass": 0, "fail": 0, "error": 0, "skipped": 0})
    raise ValueError(f"unknown kind of tally: {group[0]!r}")
