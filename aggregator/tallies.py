"""Tallies: the absolute counts of one group in one source partition, and their keys on the wire.

A reader sums tallies over partitions; nothing else ever adds them up. Keys are JSON arrays that start with their kind:

- `["cells", queue, criterion, metric, day]`: per judge two cell vectors (see `ratings`), `current` where this
  judge's evaluation is the item's latest, `superseded` where it is not;
- `["annotations", queue, criterion, day]`: standing annotations, and those with at least one comparison;
- `["evaluations", queue, metric, day]`: what the metric said of the items placed in the queue;
- `["closed"]`: the last record of a checkpoint.
"""

from typing import Final, Literal, NotRequired, TypedDict, cast

import msgspec
import orjson

MARKER_KEY: Final = b'["closed"]'

Coverage = Literal["pass", "fail", "error", "skipped"]
COVERAGE: Final[tuple[Coverage, ...]] = ("pass", "fail", "error", "skipped")
"""What a metric said of an item, in the order of its index."""

TallyGroup = tuple[str, ...]
"""A tally's key as a tuple: its kind, then its names and its day."""


class JudgeCells(TypedDict):
    """Counts of one judge version: two vectors of 14."""

    current: list[int]
    superseded: list[int]


class CellsPayload(TypedDict):
    """Comparisons of a (queue, criterion, metric, day), by judge version; empty when the group vanished."""

    judges: dict[str, JudgeCells]


class AnnotationsPayload(TypedDict):
    """Annotations of a (queue, criterion, day): standing ones, and those with at least one comparison."""

    annotations: int
    contributing: int


EvaluationsPayload = TypedDict("EvaluationsPayload", {"pass": int, "fail": int, "error": int, "skipped": int})
"""Items of a queue by what a metric said of them, by the UTC day of the evaluation."""

Payload = CellsPayload | AnnotationsPayload | EvaluationsPayload


class TallyStamp(msgspec.Struct, gc=False):
    """What every record of the tallies says of itself: of which ledger id it is the fold, up to which offset, and under
    which policy.
    """

    ledger: str
    position: int
    policy: str


class SourcePosition(TypedDict):
    """How far a source partition is processed: next offset, and its end offset when that was seen."""

    position: int
    end: int


class CheckpointMarker(TypedDict):
    """The end of a checkpoint: up to ledger offset `position` this partition's tallies are whole, at time `at` (ms).

    `offset` is where in the tallies log it must stand. Elsewhere somebody else wrote in between, or something before
    it is missing: then it closes nothing. Release 0.1.0 did not write it.
    """

    ledger: str
    position: int
    policy: str
    at: int
    sources: dict[str, SourcePosition]
    offset: NotRequired[int]


# Not orjson: a result of it keeps its whole buffer, some 4 KiB, for as long as it is held.
_encode = msgspec.json.Encoder().encode

parse_stamp: Final = msgspec.json.Decoder(TallyStamp).decode
"""The stamp of a tally record's value, or of a `marker`. Raises ValueError on any other. Most records are followed by a
newer one of their key before anybody asks what they say.
"""


def parse_payload(value: bytes) -> Payload:
    """The payload of a tally record's value, without the stamp. Raises ValueError on any other."""
    payload = orjson.loads(value)
    for name in TallyStamp.__struct_fields__:
        del payload[name]
    return cast("Payload", payload)


def group_key(group: TallyGroup) -> bytes:
    """A group as the key of its tally record."""
    return _encode(group)


def parse_key(key: bytes) -> TallyGroup:
    """The group of a tally record's key. Raises ValueError when it is not a JSON array of strings."""
    group = orjson.loads(key)
    if not isinstance(group, list) or not group or not all(isinstance(part, str) for part in group):
        raise ValueError(f"not the key of a tally: {key[:200]!r}")
    return tuple(group)


def cells_group(queue: str, criterion: str, metric: str, day: str) -> TallyGroup:
    """The group of comparisons."""
    return ("cells", queue, criterion, metric, day)


def annotations_group(queue: str, criterion: str, day: str) -> TallyGroup:
    """The group of annotations."""
    return ("annotations", queue, criterion, day)


def evaluations_group(queue: str, metric: str, day: str) -> TallyGroup:
    """The group of what a metric said of a queue's items."""
    return ("evaluations", queue, metric, day)


def empty(group: TallyGroup) -> Payload:
    """The payload that tells that a group vanished. Raises ValueError for a kind that does not exist."""
    match group[0]:
        case "cells":
            return CellsPayload(judges={})
        case "annotations":
            return AnnotationsPayload(annotations=0, contributing=0)
        case "evaluations":
            return EvaluationsPayload({"pass": 0, "fail": 0, "error": 0, "skipped": 0})
    raise ValueError(f"not a kind of tally: {group[0]!r}")
