"""The verdict on a whole run, by plain loops over every record of the topics and by no code of the product.

The events of the source topics without the dead letters are counted anew, partition by partition, and compared with
what a reader of the tallies holds: at the end, and at a sample of all moments at which it may look (every `closed`
that it takes), where the rows of the ledger below the position are counted.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from tests.support.wire import Stored

Event = Mapping[str, Any]
Key = tuple[str, ...]
Version = tuple[int, str]
Tallies = dict[Key, Any]
_Verdicts = dict[str, dict[str, list[Event]]]

_RATINGS = ("down", "up", "1", "2", "3", "4", "5")
_CLAIM, _CLOSED = ("claim",), ("closed",)
_STAMP = ("ledger", "position", "policy")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was compared: events and how many of them are dead letters, rows, and states of the tallies; and what is
    on the cards of each queue, annotations and comparisons.
    """

    events: int
    rejected: int
    rows: int
    states: int
    annotations: Mapping[str, int]
    comparisons: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Topics:
    """Every record of the topics of one installation, in offset order per partition."""

    annotations: Sequence[Stored]
    evaluations: Sequence[Stored]
    queue_items: Sequence[Stored]
    dead_letters: Sequence[Stored]
    facts: Sequence[Stored]
    tallies: Sequence[Stored]

    @property
    def sources(self) -> Iterator[tuple[str, Stored]]:
        """All events, with the kind of their rows."""
        for kind, records in (("a", self.annotations), ("e", self.evaluations), ("q", self.queue_items)):
            yield from ((kind, record) for record in records)


def judge(topics: Topics, *, policy: str = "each", sample: int = 12, compacted: bool = False) -> Verdict:
    """Compare everything; an AssertionError tells the first difference.

    `sample` is the number of states per partition that are counted. `compacted`: the ledger lost superseded rows, so
    only its end can be counted.
    """
    rejected = {_place(letter) for letter in topics.dead_letters}
    accepted: dict[int, dict[Key, Event]] = defaultdict(dict)
    events = 0
    for kind, record in topics.sources:
        events += 1
        if (record.topic, record.partition, record.offset) not in rejected:
            event = _event(record.value)
            _merge(accepted[record.partition], _key(kind, event), event)
    homes: dict[Key, int] = {}
    ledger, positions, ids = _ledger(topics.facts, homes)
    rows = {partition: _standing(records) for partition, records in ledger.items()}
    for partition in accepted.keys() | rows.keys():
        wanted, found = accepted.get(partition, {}), rows.get(partition, {})
        assert found.keys() == wanted.keys(), f"rows of partition {partition}: {_odd(found, wanted)}"
        for key, event in wanted.items():
            assert _said(found[key]) == _said(event), f"{key}: the ledger has {found[key]}, the events say {event}"
    states = 0
    cards: dict[str, Counter[str]] = {"annotations": Counter(), "cells": Counter()}
    by_partition: dict[int, list[Stored]] = defaultdict(list)
    for record in topics.tallies:
        by_partition[record.partition].append(record)
    for partition, records in by_partition.items():
        moments = list(_moments(records, ids[partition]))
        assert moments, f"partition {partition} was never closed"
        step = max(1, (len(moments) - 1) // sample)
        for position, held in [] if compacted else moments[:-1:step]:
            below = [row for row in ledger[partition] if row[0] < position]
            assert held == count(_standing(below), policy), f"partition {partition} closed at {position}"
            states += 1
        position, held = moments[-1]
        assert position <= positions[partition], "no position is beyond the ledger's end"
        expected = count(accepted.get(partition, {}), policy)
        assert held == expected, f"partition {partition} at its end: {_odd(held, expected)}"
        states += 1
        for group, payload in held.items():
            if group[0] in cards:
                cards[group[0]][group[1]] += _on_cards(group, payload)
    assert accepted.keys() <= by_partition.keys(), "every partition with events has tallies"
    standing = sum(map(len, rows.values()))
    return Verdict(events, len(rejected), standing, states, +cards["annotations"], +cards["cells"])


def _on_cards(group: Key, payload: Any) -> int:
    if group[0] == "annotations":
        return int(payload["annotations"])
    return sum(sum(cells["current"]) for cells in payload.values())


def _odd(found: Mapping[Key, Any], wanted: Mapping[Key, Any]) -> list[Any]:
    """The first differences, for a message."""
    keys = sorted(key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key))
    return [(key, found.get(key), "instead of", wanted.get(key)) for key in keys[:3]]


# ---- rows


def _event(value: bytes | None) -> Event:
    event: dict[str, Any] = orjson.loads(value or b"")
    if isinstance(event["at"], str):
        event["at"] = round(datetime.fromisoformat(event["at"]).timestamp() * 1000)
    return event


def _key(kind: str, event: Event) -> Key:
    if kind == "e":
        failed = event.get("status", "ok") != "ok" and not event.get("deleted")
        return "x" if failed else "e", event["item"], event["metric"], event.get("judge", "")
    if kind == "q":
        return "q", event["queue"], event["item"]
    return "a", event["queue"], event["item"], event.get("criterion", "overall"), event.get("annotator", "")


def _version(event: Event) -> Version:
    return event["at"], event["id"]


def _said(event: Event) -> tuple[Any, ...]:
    """What a row says, as far as anything counts it."""
    if event.get("deleted"):
        return *_version(event), "deleted"
    return *_version(event), event.get("thumbs"), event.get("stars"), event.get("status", "ok"), _passed(event)


def _passed(event: Event) -> bool | None:
    if event.get("passed") is not None or "metric" not in event or event.get("status", "ok") != "ok":
        passed: bool | None = event.get("passed")
        return passed
    score, threshold = float(event["score"]), float(event["threshold"])
    return score == threshold or (score < threshold) == (event.get("direction") == "lower")


def _merge(rows: dict[Key, Event], key: Key, event: Event) -> None:
    rival = rows.get(key)
    if rival is None or _version(event) > _version(rival):
        rows[key] = event
    elif _version(event) == _version(rival):
        assert _said(event) == _said(rival), f"the history is ambiguous: {event} and {rival}"


def _ledger(
    records: Iterable[Stored], homes: dict[Key, int]
) -> tuple[dict[int, list[tuple[int, Key, Event]]], dict[int, int], dict[int, str]]:
    """By partition: rows with their offsets, the end, and the current ledger id. No key is in two partitions."""
    rows: dict[int, list[tuple[int, Key, Event]]] = defaultdict(list)
    ends: dict[int, int] = {}
    ids: dict[int, str] = {}
    for record in records:
        key, value = tuple(orjson.loads(record.key or b"")), orjson.loads(record.value or b"")
        ends[record.partition] = record.offset + 1
        if key == _CLAIM:
            ids[record.partition] = value["ledger"]
            continue
        assert homes.setdefault(key, record.partition) == record.partition, f"{key} is in two partitions"
        rows[record.partition].append((record.offset, key, value))
    assert len(set(ids.values())) == 1, f"one ledger id for all partitions: {ids}"
    return rows, ends, ids


def _standing(rows: Iterable[tuple[int, Key, Event]]) -> dict[Key, Event]:
    standing: dict[Key, Event] = {}
    for _, key, event in rows:
        _merge(standing, key, event)
    return standing


def _place(letter: Stored) -> tuple[str, int, int]:
    headers = {name: text or b"" for name, text in letter.headers}
    partition, offset = (int(headers[f"alignment-{name}"]) for name in ("partition", "offset"))
    return headers["alignment-topic"].decode(), partition, offset


# ---- counts


def count(rows: Mapping[Key, Event], policy: str = "each") -> Tallies:
    """Tallies of these rows by group, without those that count nothing."""
    queues: dict[Key, bool] = {key[1:]: not row.get("deleted") for key, row in rows.items() if key[0] == "q"}
    verdicts: _Verdicts = defaultdict(lambda: defaultdict(list))
    ratings: dict[Key, list[Event]] = defaultdict(list)
    for key, row in rows.items():
        if key[0] in "ex":
            verdicts[key[1]][key[2]].append(row)
        elif key[0] == "a" and not row.get("deleted") and queues.get((key[1], key[2]), True):
            ratings[key[1:4]].append(row)
    found: Counter[tuple[Any, ...]] = Counter()
    for (queue, item, criterion), given in ratings.items():
        standing = {metric: _latest_first(rows) for metric, rows in verdicts[item].items()}
        newest = max(map(_version, given))
        for rating in given:
            day = _day(rating)
            found[("annotations", queue, criterion, day), "annotations"] += 1
            if policy == "each" or _version(rating) == newest:
                found[("annotations", queue, criterion, day), "contributing"] += any(standing.values())
                found.update(_compared(rating, standing, (queue, criterion, day)))
    for (queue, item), placed in queues.items():
        for metric, of_metric in verdicts[item].items() if placed else ():
            if shows := _shows(of_metric):
                found[("evaluations", queue, metric, _day(shows[0])), shows[1]] += 1
    return _payloads(+found)


def _compared(rating: Event, standing: Mapping[str, Sequence[Event]], names: Key) -> Iterator[tuple[Any, ...]]:
    """The cells that one rating is counted in: of every metric, and of every judge."""
    queue, criterion, day = names
    level = _RATINGS.index(rating.get("thumbs") or str(rating["stars"]))
    for metric, latest_first in standing.items():
        for place, verdict in enumerate(latest_first):
            cell = "superseded" if place else "current", 2 * level + bool(_passed(verdict))
            yield ("cells", queue, criterion, metric, day), verdict.get("judge", ""), *cell


def _latest_first(evaluations: Iterable[Event]) -> list[Event]:
    standing = [row for row in evaluations if row.get("status", "ok") == "ok" and not row.get("deleted")]
    return sorted(standing, key=_version, reverse=True)


def _shows(evaluations: Sequence[Event]) -> tuple[Event, str] | None:
    """What a metric says of an item: its verdict, or the newest failure that its judge did not delete later."""
    if standing := _latest_first(evaluations):
        return standing[0], "pass" if _passed(standing[0]) else "fail"
    deleted = {row.get("judge", ""): _version(row) for row in evaluations if row.get("deleted")}
    failures = [
        row
        for row in evaluations
        if not row.get("deleted") and _version(row) > deleted.get(row.get("judge", ""), (-1, ""))
    ]
    newest = max(failures, key=_version, default=None)
    return None if newest is None else (newest, str(newest["status"]))


def _day(event: Event) -> str:
    return datetime.fromtimestamp(event["at"] // 1000, UTC).date().isoformat()


def _payloads(found: Mapping[tuple[Any, ...], int]) -> Tallies:
    tallies: Tallies = {}
    for (group, name, *cell), number in found.items():
        if group[0] == "cells":
            judges = tallies.setdefault(group, {})
            vectors = judges.setdefault(name, {"current": [0] * 14, "superseded": [0] * 14})
            vectors[cell[0]][cell[1]] = number
        else:
            tallies.setdefault(group, {})[name] = number
    return tallies


# ---- what is published


def _moments(records: Iterable[Stored], ledger: str) -> Iterator[tuple[int, Tallies]]:
    """What a reader holds of one partition at every `closed` that it takes: per key the later record of the higher
    position of the ledger id.
    """
    held: dict[Key, tuple[int, Any]] = {}
    taken = -1
    for record in records:
        key, value = tuple(orjson.loads(record.key or b"")), orjson.loads(record.value or b"")
        if value["ledger"] != ledger:
            continue
        position = value["position"]
        if key == _CLOSED:
            if position >= taken:
                taken = position
                yield position, {k: payload for k, (_, payload) in held.items() if payload}
        elif position >= held.get(key, (0, None))[0]:
            held[key] = position, _payload(key, value)


def _payload(key: Key, value: Event) -> Any:
    counts = {name: number for name, number in value.items() if name not in _STAMP}
    if key[0] == "cells":
        judges = counts["judges"]
        assert all(number >= 0 for cells in judges.values() for vector in cells.values() for number in vector), value
        return {judge: cells for judge, cells in judges.items() if any(map(any, cells.values()))}
    assert all(number >= 0 for number in counts.values()), value
    return {name: number for name, number in counts.items() if number}
