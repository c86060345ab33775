"""`python -m bench.waiting_fold`: what a worker pays for evaluations that wait, compared with those that are rows.

The steps are the worker's own code on what a broker would have sent: lz4 record batches of the sources in, and zstd
record batches of ledger and tallies out, which are not sent. Of each 50 items, one is annotated, some time after its
evaluations. A third fold reads the evaluations again, as after the loss of a disk. Each runs in a process of its own,
so that their memory can be compared. They are done in turn, three times, and of each step the least counts, because
noise only adds. The ratios of one run compare.
"""

import argparse
import asyncio
import itertools
import multiprocessing
import platform
import struct
import tempfile
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from aggregator.facts import Annotation, encode
from aggregator.shard import Shard
from bench.end_to_end.report import table
from bench.end_to_end.site import Row
from bench.production import OF_ITEM
from bench.waiting import BROKER_MS, FLUSH_BYTES, SPANS, evaluations, new_store, resident_mib
from streams.engine.apply import BatchApplier
from streams.engine.circuit_breaker import CircuitBreaker, CircuitBreakerPolicy
from streams.engine.partition import OwnedPartition
from streams.events.decoder import Decoder
from streams.kafka.batches import Batch, Record
from streams.kafka.client import KAFKA, KafkaClient
from streams.kafka.record_batches import ParsedRecord, read, split
from streams.kafka.topics import Topics
from streams.ledger.log import Log, new_producer
from streams.runtime.chunks import CHUNK_RECORDS
from streams.runtime.heap import HeapFreezer, collect
from streams.runtime.metrics import WorkerMetrics
from streams.waiting.partition import Continuation
from streams.waiting.rebuild import FOLD_RECORDS, Rebuild, _Gap
from streams.waiting.waiting import WaitingEvaluations

_FETCH: Final = 2_001
"""Evaluations of a fetch: of whole items."""
_CHECKPOINT: Final = 5
"""Fetches between two checkpoints."""
_ANNOTATED: Final = 50
"""One item of so many."""
_LATER: Final = 30
"""Fetches between the evaluations of an item and its annotation."""
_OPENED: Final = 2
"""Spans of the load, and a hundredth of another, so that these are sealed: opening one has a cost that only few
evaluations see."""
_TOPICS: Final = Topics()
_NEVER_MS: Final = 1 << 50
_LZ4: Final = 3
_BASE_OFFSET: Final = struct.Struct(">q")
ROWS, WAIT, AGAIN = "rows", "wait", "read again"
FETCH, FOLD, FLUSH, LEDGER = "fetch: unpack lz4 batches", "fold", "flush", "ledger and tallies: into zstd batches"


@dataclass(slots=True)
class FoldCosts:
    """What a fold took. CPU in seconds."""

    steps: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    """Of the worker's thread, by step."""
    others: float = 0.0
    """Of other threads, without sealing: they make rows durable."""
    sealing: float = 0.0
    """Of other threads."""
    memory_mib: float = 0.0
    """After a flush, before spans are sealed."""
    ledger_bytes: int = 0
    """Keys and values, before compression."""
    rows: int = 0

    @property
    def thread(self) -> float:
        """Of the worker's thread."""
        return sum(self.steps.values())

    @property
    def everything(self) -> float:
        """Of all threads."""
        return self.thread + self.others + self.sealing


@dataclass(slots=True)
class _Stopwatch:
    """CPU time of this thread, by step."""

    costs: FoldCosts
    at: float = field(default_factory=time.thread_time)
    unused: float = 0.0
    """Of everything that is no step of a worker."""

    def done(self, step: str | None) -> None:
        """What was done since the last call belongs to this step; None: to none."""
        now = time.thread_time()
        if step is None:
            self.unused += now - self.at
        else:
            self.costs.steps[step] += now - self.at
        self.at = now


@dataclass(slots=True)
class _Worker:
    """A worker of one partition, without a broker."""

    directory: Path
    how: str
    producer: AIOKafkaProducer
    owned: OwnedPartition = field(init=False)
    applier: BatchApplier = field(init=False)
    waiting: WaitingEvaluations | None = None
    costs: FoldCosts = field(default_factory=FoldCosts)

    def __post_init__(self) -> None:
        shard, metrics, decoder, part = Shard(0), WorkerMetrics("0", list), Decoder(), None
        if self.how != ROWS:
            store = new_store(self.directory)
            self.waiting = WaitingEvaluations(store, _TOPICS.evaluations, decoder, _NEVER_MS, metrics, 40_000)
            part = self.waiting.assigned(0, shard)
            self.waiting.restored(part, Continuation("ledger", 0, 0, None, None, old=True, anew=False))
        ledger, tallies = Log(self.producer, _TOPICS.facts, 0), Log(self.producer, _TOPICS.tallies, 0)
        self.owned = OwnedPartition(0, shard, ledger, tallies, part)
        breaker = CircuitBreaker(CircuitBreakerPolicy())
        self.applier = BatchApplier(_TOPICS, 1, decoder, breaker, metrics, waiting=self.waiting)
        self.owned.begin()

    def apply(self, topic: str, content: bytes, watch: _Stopwatch) -> None:
        """Apply what was fetched, as the engine does."""
        records: list[Record] = []
        for batch, raw in split(content):
            records += read(batch, raw)[0]
        watch.done(FETCH)
        if self.how == AGAIN:
            self._read_again(records)
            watch.done(FOLD)
            return
        mark = 0 if self.waiting is None else self.waiting.mark
        for start in range(0, len(records), CHUNK_RECORDS):
            assert not self.applier.apply(self.owned, topic, records[start : start + CHUNK_RECORDS])
        if self.waiting is not None and self.owned.waiting is not None:
            start, end = records[0].offset, records[-1].offset + 1
            self.waiting.processed(self.owned.waiting, Batch(topic, 0, start, end, records), mark)
        watch.done(FOLD)

    def _read_again(self, records: Sequence[Record]) -> None:
        """Let a rebuild have what it fetched."""
        part, waiting = self.owned.waiting, self.waiting
        assert part is not None
        assert waiting is not None
        rebuild = Rebuild(waiting, cast("Any", None), lambda: [self.owned])
        gap = _Gap(self.owned, part, waiting.mark, records[0].offset, records[-1].offset + 1)
        for start in range(0, len(records), FOLD_RECORDS):
            assert rebuild._fold_piece(gap, records[start : start + FOLD_RECORDS])  # noqa: SLF001 -- without a broker

    def checkpoint(self, watch: _Stopwatch) -> None:
        """Everything of a checkpoint but the sending."""
        delta = self.owned.shard.drain()
        stamp = {"ledger": "0", "position": 1, "policy": "each"}
        tallies = [(key, orjson.dumps({**payload, **stamp})) for key, payload in delta.tallies.items()]
        for log, rows in ((self.owned.ledger, delta.rows.items()), (self.owned.tallies, tallies)):
            for batch in log._batches(rows):  # noqa: SLF001 -- all but the sending
                batch._build()  # noqa: SLF001 -- what sending begins with
        watch.done(LEDGER)
        self.costs.ledger_bytes += sum(len(key) + len(value or b"") for key, value in delta.rows.items())
        self.costs.rows += len(delta.rows)
        watch.done(None)


async def fold(directory: Path, count: int, how: str) -> FoldCosts:
    """Apply the load, so that evaluations are rows or wait, or let a rebuild read the evaluations of it."""
    producer = new_producer(KafkaClient(["127.0.0.1:9"]), KAFKA)
    worker = _Worker(directory, how, producer)
    waiting, costs = worker.waiting, worker.costs
    load, heap, people = evaluations(count), HeapFreezer(), deque[list[ParsedRecord]]()
    collect()
    memory, began_all = resident_mib(), time.process_time()
    watch = _Stopwatch(costs)
    for fetch in itertools.count():
        piece = [_in_few_spans(record) for record in itertools.islice(load, _FETCH)]
        people.append(list(_annotations(piece)))
        annotations = people.popleft() if fetch >= _LATER else []
        fetched = [(_TOPICS.evaluations, _batch(piece))] if piece else []
        if annotations and how != AGAIN:
            fetched.append((_TOPICS.annotations, _batch(annotations)))
        watch.done(None)
        if not piece:
            break
        for topic, content in fetched:
            worker.apply(topic, content, watch)
        if fetch % _CHECKPOINT == 0:
            worker.checkpoint(watch)
            heap.count(worker.owned.shard.rows)
            watch.done(LEDGER)
        if waiting is not None and waiting.store.unflushed_bytes >= FLUSH_BYTES:
            await waiting.flush()
            watch.done(FLUSH)
    worker.checkpoint(watch)
    if waiting is not None:
        await waiting.flush()
        watch.done(FLUSH)
    costs.others = max(0.0, time.process_time() - began_all - costs.thread - watch.unused)
    collect()
    costs.memory_mib = resident_mib() - memory
    if waiting is not None:
        began = time.process_time()
        await waiting.store.seal()
        costs.sealing = time.process_time() - began
        await waiting.close()
    await producer.stop()
    return costs


def _in_few_spans(record: ParsedRecord) -> ParsedRecord:
    """In few spans."""
    time_ms = BROKER_MS + (record.timestamp - BROKER_MS) * (100 * _OPENED + 1) // (100 * SPANS)
    return ParsedRecord(record.offset, time_ms, record.key, record.value, [])


def _annotations(piece: Sequence[ParsedRecord]) -> Iterator[ParsedRecord]:
    for record in piece[:: _ANNOTATED * OF_ITEM]:
        item = (record.key or b"").decode()
        fact = Annotation(1_683_000_000_000 + record.offset, f"a{record.offset}", "support", item, thumbs="up")
        yield ParsedRecord(record.offset, record.timestamp, record.key, encode(fact), [])


def _batch(records: Sequence[ParsedRecord]) -> bytes:
    """The records as the broker keeps them. Only those of evaluations have consecutive offsets, which count here."""
    builder: Any = DefaultRecordBatchBuilder(2, _LZ4, False, -1, -1, -1, 16 << 20)
    for offset, record in enumerate(records):
        builder.append(offset, record.timestamp, record.key, record.value, [])
    # The checksum is without it.
    return _BASE_OFFSET.pack(records[0].offset) + bytes(builder.build())[_BASE_OFFSET.size :]


def _run(count: int, how: str) -> FoldCosts:
    with tempfile.TemporaryDirectory() as directory:
        return asyncio.run(fold(Path(directory) / "store", count, how))


def least(rounds: Sequence[FoldCosts]) -> FoldCosts:
    """Of each cost the least."""
    return FoldCosts(
        {step: min(each.steps[step] for each in rounds) for step in rounds[0].steps},
        min(each.others for each in rounds),
        min(each.sealing for each in rounds),
        min(each.memory_mib for each in rounds),
        rounds[0].ledger_bytes,
        rounds[0].rows,
    )


def rows(count: int, before: FoldCosts, now: FoldCosts, again: FoldCosts) -> Iterator[Row]:
    """The table."""

    def compared(name: str, value: float, of: float, unit: str, most: float | None = None) -> Row:
        measured = f"{value / of:.2f} ({value:.3g} / {of:.3g} {unit})"
        return Row(name, measured, "") if most is None else Row(name, measured, f"<= {most:g}", value / of <= most)

    each, mib = 1e6 / count, (1 << 20) / count
    yield compared("CPU of the worker's thread per evaluation", now.thread * each, before.thread * each, "us", 0.55)
    for step in now.steps:
        yield Row(f"- {step}", f"{now.steps[step] * each:.2f} / {before.steps.get(step, 0.0) * each:.2f} us")
    yield Row("other threads: flush", f"{now.others * each:.2f} / {before.others * each:.2f} us")
    yield Row("other threads: sealing", f"{now.sealing * each:.2f} us")
    yield compared("CPU of all threads", now.everything * each, before.everything * each, "us", 0.75)
    yield compared("memory per evaluation", now.memory_mib * mib, before.memory_mib * mib, "bytes", 0.5)
    yield compared("ledger bytes per evaluation", now.ledger_bytes / count, before.ledger_bytes / count, "bytes", 0.1)
    yield compared("ledger rows per evaluation", now.rows / count, before.rows / count, "rows", 0.1)
    rate, live = count / (again.thread + again.others) / 1000, count / now.thread / 1000
    measured = f"{rate / live:.2f} ({rate:,.0f} / {live:,.0f} thousand/s)"
    yield Row("reading again, of a core / live rate of a worker", measured, ">= 1.5", rate >= 1.5 * live)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.waiting_fold", description=__doc__)
    parser.add_argument("--evaluations", type=int, default=600_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    count: int = options.evaluations
    context = multiprocessing.get_context("spawn")
    costs: dict[str, list[FoldCosts]] = {ROWS: [], WAIT: [], AGAIN: []}
    with context.Pool(1, maxtasksperchild=1) as pool:
        for _ in range(options.rounds):
            for how, measured in costs.items():
                measured.append(pool.apply(_run, (count, how)))
    print(f"Python {platform.python_version()}, {count:,} evaluations; waiting / rows, least of {options.rounds}\n")
    print(table(rows(count, *map(least, costs.values()))))


if __name__ == "__main__":
    main()
