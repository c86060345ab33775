"""The verdict on a whole run, by plain loops over every record of the topics that share no code with the product.

The events of the source topics without the dead letters are counted partition by partition, and compared with the
state of a reader of the tallies: at the end, and at a sample of the checkpoint markers that it accepts, where the rows
of the ledger below the position are counted.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from tests.support.counted import Event, Key, Tallies, content, count, key_of, known, merge, parse_event
from tests.support.wire import Place, Stored

_CLAIM, _CLOSED = ("claim",), ("closed",)
_STAMP = ("ledger", "position", "policy")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was compared: events, dead letters, rows with the evaluations that wait, and states of the tallies; and the
    annotations and comparisons on the cards of each queue.
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
    """Compare everything; raises AssertionError with the first difference.

    `sample` is the number of states per partition that are counted. `compacted`: the ledger lost superseded rows, so
    only its end can be counted.
    """
    return Judge(policy=policy, sample=sample, compacted=compacted).read(topics)


class Judge:
    """A verdict on a run in progress: each reading has the records since the one before.

    It keeps the state, not the records. Every event must be processed at a reading.
    """

    def __init__(self, *, policy: str = "each", sample: int = 12, compacted: bool = False) -> None:
        self._policy = policy
        self._sample = sample
        self._compacted = compacted
        self._events = 0
        self._rejected: set[tuple[str, int, int]] = set()
        self._accepted: dict[int, dict[Key, Event]] = defaultdict(dict)
        self._homes: dict[Key, int] = {}
        self._rows: dict[int, dict[Key, Event]] = defaultdict(dict)
        self._ends: dict[int, int] = {}
        self._ids: dict[int, str] = {}
        self._readers: dict[int, _Reader] = {}
        self._states = 0

    def read(self, topics: Topics) -> Verdict:
        """Compare everything up to here; raises AssertionError with the first difference."""
        self._rejected |= set(map(rejected_place, topics.dead_letters))
        for kind, record in topics.sources:
            self._events += 1
            if (record.topic, record.partition, record.offset) not in self._rejected:
                event = parse_event(record.value)
                merge(self._accepted[record.partition], key_of(kind, event), event)
        fresh = self._ledger(topics.facts)
        states: dict[int, list[tuple[int, Tallies]]] = {}
        for partition, records in _by_partition(topics.tallies).items():
            reader = self._readers.setdefault(partition, _Reader(self._ids[partition]))
            states[partition] = list(reader.moments(records, self._sample))
        cards: dict[str, Counter[str]] = {"annotations": Counter(), "cells": Counter()}
        for partition in self._accepted.keys() | self._rows.keys() | fresh.keys() | self._readers.keys():
            self._on_the_way(partition, fresh[partition], states.get(partition, []))
            for group, payload in self._at_rest(partition).items():
                if group[0] in cards:
                    cards[group[0]][group[1]] += _on_cards(group, payload)
        standing = sum(map(len, self._accepted.values()))
        counted = +cards["annotations"], +cards["cells"]
        return Verdict(self._events, len(self._rejected), standing, self._states, *counted)

    def _ledger(self, records: Iterable[Stored]) -> dict[int, list[tuple[int, Key, Event]]]:
        """New rows with their offsets, by partition. No key is in two partitions."""
        rows: dict[int, list[tuple[int, Key, Event]]] = defaultdict(list)
        for record in records:
            key, value = tuple(orjson.loads(record.key or b"")), orjson.loads(record.value or b"")
            self._ends[record.partition] = record.offset + 1
            if key == _CLAIM:
                self._ids[record.partition] = value["ledger"]
                continue
            home = self._homes.setdefault(key, record.partition)
            assert home == record.partition, f"{key} is in two partitions"
            rows[record.partition].append((record.offset, key, value))
        assert len(set(self._ids.values())) == 1, f"one ledger id for all partitions: {self._ids}"
        return rows

    def _on_the_way(
        self, partition: int, fresh: Sequence[tuple[int, Key, Event]], moments: Sequence[tuple[int, Tallies]]
    ) -> None:
        """A reader's state at a sample of its positions equals the counts of the rows below. Consumes the rows."""
        rows, taken = self._rows[partition], 0
        for position, held in [] if self._compacted else moments:
            while taken < len(fresh) and fresh[taken][0] < position:
                merge(rows, *fresh[taken][1:])
                taken += 1
            assert held == count(rows, self._policy), f"partition {partition} closed at {position}"
            self._states += 1
        for _, key, event in fresh[taken:]:
            merge(rows, key, event)

    def _at_rest(self, partition: int) -> Tallies:
        """The final state of a reader, and the rows, are those of the events."""
        wanted, rows = known(self._accepted[partition]), self._rows[partition]
        assert rows.keys() == wanted.keys(), f"rows of partition {partition}: {_odd(rows, wanted)}"
        for key, event in wanted.items():
            assert content(rows[key]) == content(event), f"{key}: the ledger has {rows[key]}, the events say {event}"
        reader = self._readers.get(partition)
        if reader is None:
            assert not wanted, f"partition {partition} has events and no tallies"
            return {}
        assert reader.taken >= 0, f"partition {partition} was never closed"
        assert reader.taken <= self._ends[partition], "no position is beyond the ledger's end"
        expected = count(wanted, self._policy)
        held = _whole(reader.closed)
        assert held == expected, f"partition {partition} at its end: {_odd(held, expected)}"
        self._states += 1
        return held


def _on_cards(group: Key, payload: Any) -> int:
    if group[0] == "annotations":
        return int(payload["annotations"])
    return sum(sum(cells["current"]) for cells in payload.values())


def _odd(rows: Mapping[Key, Any], wanted: Mapping[Key, Any]) -> list[Any]:
    """The first differences, for a message."""
    keys = sorted(key for key in rows.keys() | wanted.keys() if rows.get(key) != wanted.get(key))
    return [(key, rows.get(key), "instead of", wanted.get(key)) for key in keys[:3]]


def rejected_place(dead_letter: Stored) -> Place:
    """Where the record is that a dead letter is about."""
    headers = {name: text or b"" for name, text in dead_letter.headers}
    partition, offset = (int(headers[f"alignment-{name}"]) for name in ("partition", "offset"))
    return Place(headers["alignment-topic"].decode(), partition, offset)


# ---- published tallies


class _Reader:
    """A reader's state of one partition: per key the later record of the higher position of the ledger id, taken over
    at every checkpoint marker that is in place. `taken` is the marker's position, -1 before the first.
    """

    def __init__(self, ledger: str) -> None:
        self.taken = -1
        self.closed: Tallies = {}
        self._ledger = ledger
        self._positions: dict[Key, int] = {}
        self._open: Tallies = {}

    def moments(self, records: Sequence[Stored], sample: int) -> Iterator[tuple[int, Tallies]]:
        """Position and tallies at about `sample` of the markers that it accepts."""
        step = max(1, sum(record.key == b'["closed"]' for record in records) // sample)
        seen = 0
        for record in records:
            key, value = tuple(orjson.loads(record.key or b"")), orjson.loads(record.value or b"")
            if value["ledger"] != self._ledger:
                continue
            position = value["position"]
            if key != _CLOSED:
                if position >= self._positions.get(key, 0):
                    self._positions[key] = position
                    self._open[key] = _payload(key, value)
            elif position >= self.taken and value.get("offset", record.offset) == record.offset:
                self.taken = position
                self.closed |= self._open
                self._open = {}
                if seen % step == 0:
                    yield position, _whole(self.closed)
                seen += 1


def _by_partition(records: Iterable[Stored]) -> dict[int, list[Stored]]:
    partitions: dict[int, list[Stored]] = defaultdict(list)
    for record in records:
        partitions[record.partition].append(record)
    return partitions


def _whole(parts: Tallies) -> Tallies:
    """Tallies that count anything. Cells have five names; a sixth is the number of a part, with other judges."""
    whole: Tallies = {}
    for key, payload in parts.items():
        if key[0] == "cells":
            judges = whole.setdefault(key[:5], {})
            assert not judges.keys() & payload.keys(), f"a judge stands in two parts of {key[:5]}"
            judges |= payload
        else:
            whole[key] = dict(payload)
    return {key: payload for key, payload in whole.items() if payload}


def _payload(key: Key, value: Event) -> Any:
    counts = {name: number for name, number in value.items() if name not in _STAMP}
    if key[0] == "cells":
        judges = counts["judges"]
        assert all(number >= 0 for cells in judges.values() for vector in cells.values() for number in vector), value
        return {judge: cells for judge, cells in judges.items() if any(map(any, cells.values()))}
    assert all(number >= 0 for number in counts.values()), value
    return {name: number for name, number in counts.items() if number}
