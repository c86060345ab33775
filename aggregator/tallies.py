"""Tallies: the absolute counts of one group in one source partition, and their keys on the wire.

Readers add up tallies over partitions; nothing else adds them up. Keys are JSON arrays that start with a kind:

- `["cells", queue, criterion, metric, day]`: two cell vectors (see `ratings`) for each judge, `current` where its
  verdict is the newest on the item, `superseded` where it is not. Judges that do not fit into one record stand in
  several, whose keys have a part number, 1 or more, as one more element (see `parts`): the tally is all of them;
- `["annotations", queue, criterion, day]`: standing annotations, and those with at least one comparison;
- `["evaluations", queue, metric, day]`: the items placed in the queue by what the metric shows for them;
- `["closed"]`: the checkpoint marker, the last record of a checkpoint.
"""

import contextlib
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Annotated, Final, Literal, NamedTuple, NotRequired, TypedDict, TypeVar, cast

import msgspec
import orjson

from aggregator.days import day_name, day_number
from aggregator.facts import Time
from aggregator.ratings import COUNTS

MARKER_KEY: Final = b'["closed"]'

Coverage = Literal["pass", "fail", "error", "skipped"]
COVERAGE: Final[tuple[Coverage, ...]] = ("pass", "fail", "error", "skipped")
"""What a metric shows for an item, in the order of its index."""

Behind = Literal["catching_up", "restoring", "circuit_breaker", "open_transaction"]
"""Why events of a partition wait: they are being processed; it is restored, and nothing was fetched since; the circuit
breaker of its worker is open; a producer's transaction is open in a source.
"""
WAITING_WORDS: Final[Mapping[str, str]] = {
    "catching_up": "a worker is catching up, events wait since {since}",
    "restoring": "a worker has restored, and processed no event since {since}",
    "circuit_breaker": "the circuit breaker of its worker is open, events wait since {since}",
    "open_transaction": "a producer's transaction is open since {since}, events after its start wait",
}
"""The same in words."""

TallyGroup = tuple[str, ...]
"""What a tally counts: kind, names, day."""


class TallyKey(NamedTuple):
    """The key of a record: a group, and which part of its tally the record has."""

    group: TallyGroup
    part: int = 0
    """0 unless the tally is divided."""


_ARITY: Final[Mapping[str, int]] = {"cells": 5, "annotations": 4, "evaluations": 4}
"""Number of elements of a group, by kind."""

_T = TypeVar("_T")

# Every number of a record is below 2^53: JSON readers of all languages keep it.
Count = Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]
# Readers add up what millions of records count, and the sums must fit in 64 bits.
Tallied = Annotated[int, msgspec.Meta(ge=0, lt=1 << 40)]
CellVector = Annotated[list[Tallied], msgspec.Meta(min_length=COUNTS, max_length=COUNTS)]
NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]


class JudgeCells(TypedDict):
    """Two cell vectors of one judge version."""

    current: CellVector
    superseded: CellVector


class CellsPayload(TypedDict):
    """Comparisons of a queue, criterion, metric and day, by judge version."""

    judges: dict[str, JudgeCells]


class AnnotationsPayload(TypedDict):
    """Annotations of a queue, criterion and day."""

    annotations: Tallied
    """Standing annotations."""
    contributing: Tallied
    """Those with at least one comparison."""


EvaluationsPayload = TypedDict(
    "EvaluationsPayload", {"pass": Tallied, "fail": Tallied, "error": Tallied, "skipped": Tallied}
)
"""Items of a queue by what a metric shows for them, of one UTC day of evaluation."""

Payload = CellsPayload | AnnotationsPayload | EvaluationsPayload


class TallyStamp(msgspec.Struct, gc=False):
    """What every record of the tallies log carries."""

    ledger: NonEmpty
    """The ledger id."""
    position: Count
    """The ledger offset up to which it is the fold of the rows."""
    policy: NonEmpty


class SourcePosition(TypedDict):
    """How far a source partition is processed."""

    position: Count
    """The next offset to process."""
    end: Count
    """The end offset when it was last read."""
    topic_id: NotRequired[str]
    """The topic's id. Left out where the broker has none, and by earlier releases."""


def source_position(position: int, end: int, topic_id: str | None) -> SourcePosition:
    """A source's entry of a marker; `topic_id` is None where the broker has no ids."""
    entry = SourcePosition(position=position, end=end)
    if topic_id is not None:
        entry["topic_id"] = topic_id
    return entry


WaitingJudge = tuple[NonEmpty, str, Time, Time, Tallied]
"""A judge version of waiting verdicts: metric, judge, times in milliseconds of the first and of the last one, and the
number that began to wait: also those that were adopted or expired since.
"""
WAITING_SAMPLE: Final = 3
"""Most items that a marker names."""
WAITING_JUDGES: Final = 200
"""Most judge versions that a marker lists."""


QUARANTINED: Final = 10
"""Most partitions in quarantine that a marker lists."""
QUARANTINE_CHARACTERS: Final = 300
"""Most characters of the reason for each of them."""


class WaitingState(TypedDict):
    """What a partition's worker reports of evaluations whose item no annotation and no queue item names yet.

    It is no count: no tally, audit or recount has it.
    """

    rebuilding: Tallied
    """Offsets of the evaluations topic that the worker still reads again, because its store lacks them. Comparisons of
    items that became known meanwhile may be missing until then.
    """
    missing: Tallied
    """Evaluations that are missing, at most: offsets that its store lacks and that the topic no longer has, and
    evaluations that were dropped early because its disk was nearly full.
    """
    evaluations: Tallied
    """Evaluations that wait, without those that were adopted. After a crash, an estimate."""
    since: Time
    """Broker time in milliseconds from which on evaluations are kept; older ones have expired."""
    sample: list[NonEmpty]
    """Some of the items, `WAITING_SAMPLE` at most."""
    judges: list[WaitingJudge]
    """Judge versions of the verdicts, `WAITING_JUDGES` at most."""


class _CountedMarker(TypedDict):
    """The fields of a checkpoint marker that are invalid together."""

    ledger: NonEmpty
    position: Count
    """The ledger offset."""
    policy: NonEmpty
    at: Time
    """The time in milliseconds up to which the tallies are complete: the present when everything in the sources is
    processed, else a time before which every event that the broker has is processed. 0 when none is known.
    """
    sources: dict[str, SourcePosition]
    """By source topic."""
    seen_by: NotRequired[dict[str, dict[str, Count]]]
    """By worker and source topic, the offset up to which its open circuit breaker has looked at events that are not
    processed. Every owner of the partition keeps the entries of the others, until the events are processed.
    """
    foreign: NotRequired[Count]
    """Number of counted ledger rows that no worker wrote. Absent while no such row is known."""
    offset: NotRequired[Count]
    """The offset of this record in the tallies log. A marker found elsewhere closes nothing (see `tallies_log`).
    Release 0.1.0 did not write it.
    """
    behind: NotRequired[str]
    """Why events wait, a `Behind` of the writer's release; absent when none do. Release 0.1.0 did not write it."""


class CheckpointMarker(_CountedMarker):
    """The last record of a checkpoint: the tallies of this partition are complete up to a ledger offset.

    A reader gets the fields that are listed here, and ignores others.
    """

    waiting: NotRequired[WaitingState]
    """Absent while no evaluation waits and none is missing, and where it is invalid: it decides no count, so it must
    not hold a reader back.
    """
    quarantined: NotRequired[dict[str, str]]
    """By partition, why other partitions of the same worker are in quarantine: nothing is written to their own logs.
    `QUARANTINED` of them at most, each with `QUARANTINE_CHARACTERS` at most. Absent where none is, and where it is
    invalid, like `waiting`.
    """


class _WaitingPart(TypedDict):
    """A part of a checkpoint marker that decides no count."""

    waiting: NotRequired[WaitingState]


class _QuarantinePart(TypedDict):
    """Another one."""

    quarantined: NotRequired[dict[str, str]]


# Results stay in memory, where a result of orjson would keep its whole buffer of about 4 KiB.
_encode = msgspec.json.Encoder().encode

_decode_stamp: Final = msgspec.json.Decoder(TallyStamp).decode
_decode_checkpoint: Final = msgspec.json.Decoder(_CountedMarker).decode
_decode_waiting: Final = msgspec.json.Decoder(_WaitingPart).decode
_decode_quarantine: Final = msgspec.json.Decoder(_QuarantinePart).decode
_decode_payload: Final[Mapping[str, Callable[[bytes], Payload]]] = {
    "cells": msgspec.json.Decoder(CellsPayload).decode,
    "annotations": msgspec.json.Decoder(AnnotationsPayload).decode,
    "evaluations": msgspec.json.Decoder(EvaluationsPayload).decode,
}


def parse_stamp(value: bytes) -> TallyStamp:
    """The stamp of a tally or a marker, from the value. Raises ValueError when it is invalid.

    The payload is not parsed: most records are followed by a newer one of their key before anything reads it.
    """
    return _decoded(_decode_stamp, value)


def parse_payload(group: TallyGroup, value: bytes) -> Payload:
    """The payload of the tally of a group, from the value. Raises ValueError when it is invalid.

    Its fields are those of the group's kind; each number is an integer from 0 to 2^40 - 1, each vector has 14.
    """
    return _decoded(_decode_payload[group[0]], value)


def parse_marker(value: bytes) -> CheckpointMarker:
    """A checkpoint marker, from the value. Raises ValueError when it is invalid."""
    marker = cast("CheckpointMarker", _decoded(_decode_checkpoint, value))
    if b"waiting" in value:
        with contextlib.suppress(ValueError):
            if (waiting := _decoded(_decode_waiting, value).get("waiting")) is not None:
                waiting["sample"] = waiting["sample"][:WAITING_SAMPLE]
                waiting["judges"] = waiting["judges"][:WAITING_JUDGES]
                marker["waiting"] = waiting
    if b"quarantined" in value:
        with contextlib.suppress(ValueError):
            if quarantined := shorten_quarantined(_decoded(_decode_quarantine, value).get("quarantined", {})):
                marker["quarantined"] = quarantined
    return marker


def shorten_quarantined(reasons: Mapping[str, str]) -> dict[str, str]:
    """The first `QUARANTINED` reasons by partition, each cut to `QUARANTINE_CHARACTERS`.

    >>> len(shorten_quarantined({"3": "x" * 1000})["3"])
    300
    """
    return {
        partition: reason if len(reason) <= QUARANTINE_CHARACTERS else f"{reason[: QUARANTINE_CHARACTERS - 1]}…"
        for partition, reason in islice(reasons.items(), QUARANTINED)
    }


def _decoded(decode: Callable[[bytes], _T], value: bytes) -> _T:
    try:
        return decode(value)
    except RecursionError:
        raise ValueError("the value is nested too deeply") from None


def group_key(group: TallyGroup, part: int = 0) -> bytes:
    """The key of a group's tally, or of a part of it."""
    return _encode((*group, part) if part else group)


def parse_key(key: bytes) -> TallyKey:
    """The group and the part of a key. Raises ValueError when no worker writes a tally of such a key.

    >>> parse_key(b'["cells","support","overall","toxicity","2026-05-28",2]')
    TallyKey(group=('cells', 'support', 'overall', 'toxicity', '2026-05-28'), part=2)
    """
    group = orjson.loads(key)
    part = 0
    if isinstance(group, list) and group[:1] == ["cells"] and type(group[-1]) is int and 0 < group[-1] < 1 << 53:
        part = group.pop()
    if not isinstance(group, list) or not all(isinstance(name, str) for name in group):
        raise ValueError(f"invalid key of a tally, it is not a JSON array of strings: {key[:200]!r}")
    if not group or len(group) != _ARITY.get(group[0]):
        raise ValueError(f"invalid key of a tally, no kind has such parts: {key[:200]!r}")
    if not _is_day(group[-1]):
        raise ValueError(f"invalid key of a tally, it does not end with a UTC day: {key[:200]!r}")
    # Compaction and workers compare bytes: the same group in other bytes would replace its tally in a view.
    if group_key(tuple(group), part) != key:
        raise ValueError(f"invalid key of a tally, workers write the same array in other bytes: {key[:200]!r}")
    return TallyKey(tuple(group), part)


def is_key(key: bytes) -> bool:
    """Whether a worker can have written a tally of this key."""
    try:
        parse_key(key)
    except ValueError:
        return False
    return True


def join(parts: Iterable[tuple[TallyKey, Payload]]) -> dict[TallyGroup, Payload]:
    """Whole tallies from their parts, in any order."""
    whole: dict[TallyGroup, Payload] = {}
    for (group, _), payload in parts:
        if group[0] == "cells" and group in whole:
            judges = cast("CellsPayload", whole[group])["judges"] | cast("CellsPayload", payload)["judges"]
            whole[group] = CellsPayload(judges=judges)
        else:
            whole[group] = payload
    return whole


def _is_day(text: str) -> bool:
    # `fromisoformat` also takes other forms of ISO 8601, which do not compare as text.
    try:
        number = day_number(text)
    except ValueError:
        return False
    return number >= 0 and day_name(number) == text


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
