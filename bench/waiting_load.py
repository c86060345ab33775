"""Loads for `bench.worker`: what a broker would have sent, with checkpoints after each 10,000 events or so.

The production load is three evaluations an item with reasons of 100 bytes; one of 50 items is annotated, some time
after its evaluations. The reference load is of SummEval's shape (`bench.reference`).
"""

import itertools
import struct
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator
from typing import Any, Final

from aiokafka.record.default_records import DefaultRecordBatchBuilder

from aggregator.facts import Annotation, encode
from bench import reference
from bench.production import OF_ITEM
from bench.waiting import BROKER_MS, SPANS, evaluations
from bench.worker import CHECKPOINT, TOPICS, Fetch
from streams.events.decoder import Kind
from streams.kafka.record_batches import ParsedRecord

ANNOTATED: Final = 50
"""One item of so many."""
FETCH_EVALUATIONS: Final = 2_001
"""Evaluations of a fetch of the production load: of whole items."""
LATER: Final = 12
"""Fetches between the evaluations of an item and its annotation."""

_CHECKPOINT_EVENTS: Final = 5 * FETCH_EVALUATIONS
_OPENED: Final = 2
"""Spans of the production load, and a hundredth of another, so that these are sealed: opening one has a cost that only
few evaluations see."""
_FETCH_EVENTS: Final = 500
_LZ4: Final = 3
_BASE_OFFSET: Final = struct.Struct(">q")

_Records = list[tuple[bytes, bytes, int]]
"""Key, value and broker time in ms of each."""


class _Broker:
    """Keeps records as a broker does: in batches with consecutive offsets of their topic."""

    def __init__(self) -> None:
        self._next: Counter[str] = Counter()
        self._events = 0

    def fetches(self, topic: str, records: _Records) -> Iterator[Fetch]:
        """One fetch, and a checkpoint if it is time for one."""
        builder: Any = DefaultRecordBatchBuilder(2, _LZ4, False, -1, -1, -1, 16 << 20)
        for offset, (key, value, time_ms) in enumerate(records):
            builder.append(offset, time_ms, key, value, [])
        # The checksum is without the base offset.
        content = _BASE_OFFSET.pack(self._next[topic]) + bytes(builder.build())[_BASE_OFFSET.size :]
        self._next[topic] += len(records)
        yield topic, content
        self._events += len(records)
        if self._events >= _CHECKPOINT_EVENTS:
            self._events = 0
            yield CHECKPOINT


def production(count: int) -> Iterator[Fetch]:
    """The production load, with so many evaluations. The items of the last fetches are not annotated."""
    broker, people, load = _Broker(), deque[_Records](), evaluations(count)
    while piece := list(itertools.islice(load, FETCH_EVALUATIONS)):
        yield from broker.fetches(TOPICS.evaluations, [_in_few_spans(record) for record in piece])
        people.append([_annotation(record) for record in piece[:: ANNOTATED * OF_ITEM]])
        if len(people) > LATER:
            yield from broker.fetches(TOPICS.annotations, people.popleft())


def annotated_items(count: int) -> int:
    """Number of items that the production load annotates."""
    fetches = [min(FETCH_EVALUATIONS, count - start) for start in range(0, count, FETCH_EVALUATIONS)]
    return sum(-(-size // (ANNOTATED * OF_ITEM)) for size in fetches[: max(0, len(fetches) - LATER)])


def _in_few_spans(record: ParsedRecord) -> tuple[bytes, bytes, int]:
    time_ms = BROKER_MS + (record.timestamp - BROKER_MS) * (100 * _OPENED + 1) // (100 * SPANS)
    return record.key or b"", record.value or b"", time_ms


def _annotation(record: ParsedRecord) -> tuple[bytes, bytes, int]:
    key = record.key or b""
    fact = Annotation(1_683_000_000_000 + record.offset, f"a{record.offset}", "support", key.decode(), thumbs="up")
    return key, encode(fact), BROKER_MS


def summeval(items: int, *, evaluations_first: bool = False) -> Iterator[Fetch]:
    """The reference load, in random order, or with all evaluations before all annotations."""
    events, broker = reference.events(items), _Broker()
    if evaluations_first:
        judged = [event for event in events if event[0] is Kind.EVALUATION]
        yield from _in_fetches(broker, judged)
        events = [event for event in events if event[0] is not Kind.EVALUATION]
    yield from _in_fetches(broker, events)


def _in_fetches(broker: _Broker, events: Iterable[reference.Event]) -> Iterator[Fetch]:
    rows = defaultdict[str, _Records](list)
    by_kind = {kind: topic for topic, kind in TOPICS.sources.items()}
    for kind, key, value in events:
        topic = by_kind[kind]
        rows[topic].append((key, value, BROKER_MS))
        if len(rows[topic]) == _FETCH_EVENTS:
            yield from broker.fetches(topic, rows.pop(topic))
    for topic in sorted(rows):
        yield from broker.fetches(topic, rows[topic])
