"""`python -m bench.profile`: where a worker's CPU time goes, in ns per event by step, in one process without a broker.

The steps are the worker's own code on what a broker would have sent: lz4 record batches of the sources in, and zstd
record batches of ledger and tallies out, with a checkpoint every 40,000 dirty rows. Faust and the sockets are not in
it. CPU time of the process, the least of several rounds batch by batch, because noise only adds.
"""

import argparse
import asyncio
import gc
import platform
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from aggregator.shard import Shard
from bench.end_to_end.memory import replayed
from bench.reference import Event, events, summeval_events
from streams.engine.apply import BatchApplier
from streams.engine.circuit_breaker import CircuitBreaker, CircuitBreakerPolicy
from streams.engine.engine import MAX_DIRTY_ROWS
from streams.engine.partition import OwnedPartition
from streams.events.decoder import Decoder
from streams.kafka.batches import Record
from streams.kafka.client import KAFKA, KafkaClient
from streams.kafka.topics import Topics
from streams.ledger.log import Log, new_producer
from streams.runtime.chunks import CHUNK_RECORDS
from streams.runtime.heap import HeapFreezer, pause_collection
from streams.runtime.metrics import WorkerMetrics

_BATCH: Final = 500
_CODECS: Final = {"lz4": 3, "zstd": 4}


@dataclass(frozen=True, slots=True)
class Fetched:
    """One record batch of one source topic, as the broker keeps it."""

    topic: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Row:
    """A record of the ledger."""

    key: bytes
    value: bytes


class Steps:
    """CPU seconds of one round, by step: one number for each time that the step is done."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self._at = time.process_time()

    def done(self, step: str) -> None:
        """What was done since the last call belongs to this step."""
        now = time.process_time()
        self.seconds[step].append(now - self._at)
        self._at = time.process_time()


def least(rounds: Sequence[Steps]) -> dict[str, float]:
    """CPU seconds by step: the sum of the least that each doing of it took in any round.

    All rounds do the same work in the same pieces, and what disturbs a piece in one round does not in all.
    """
    return {
        step: sum(min(taken) for taken in zip(*(one.seconds[step] for one in rounds), strict=True))
        for step in rounds[0].seconds
    }


def fetched(load: Sequence[Event], topics: Topics) -> list[Fetched]:
    """The load as record batches, in its order."""
    by_kind = {kind: topic for topic, kind in topics.sources.items()}
    batches: list[Fetched] = []
    rows: dict[str, list[tuple[bytes, bytes]]] = defaultdict(list)

    def close(topic: str) -> None:
        builder = DefaultRecordBatchBuilder(2, _CODECS["lz4"], False, -1, -1, -1, 16 << 20)
        for offset, (key, value) in enumerate(rows.pop(topic)):
            builder.append(offset, None, key, value, [])
        batches.append(Fetched(topic, bytes(builder.build())))

    for kind, key, value in load:
        topic = by_kind[kind]
        rows[topic].append((key, value))
        if len(rows[topic]) == _BATCH:
            close(topic)
    for topic in list(rows):
        close(topic)
    return batches


def unpack(content: bytes) -> list[Record]:
    """The records of what was fetched, as `streams.kafka.batches` takes them."""
    records: list[Record] = []
    memory = MemoryRecords(content)
    while memory.has_next():
        batch: Any = memory.next_batch()
        assert batch.validate_crc()
        records.extend(batch)
    return records


@dataclass(slots=True)
class Round:
    """One worker of one partition, from nothing."""

    topics: Topics
    producer: AIOKafkaProducer
    log: Log
    owned: OwnedPartition
    applier: BatchApplier
    decoder: Decoder

    def run(self, batches: Iterable[Fetched]) -> Steps:
        """Everything that a worker does with these batches, by step."""
        steps = Steps()
        collected = HeapFreezer()
        shard = self.owned.shard
        for batch in batches:
            records = unpack(batch.content)
            steps.done("fetch: unpack lz4 batches into records")
            iterator = iter(records)
            while chunk := list(islice(iterator, CHUNK_RECORDS)):
                assert not self.applier.apply(self.owned, batch.topic, chunk)
            steps.done("fold")
            if len(shard.dirty) >= MAX_DIRTY_ROWS:
                self._checkpoint(steps)
                collected.count(shard.rows)
                steps.done("garbage: collect and freeze")
        self._checkpoint(steps)
        return steps

    def _checkpoint(self, steps: Steps) -> None:
        taken = self.owned.shard.drain()
        steps.done("take")
        ledger = list(self.log._batches(taken.rows.items()))  # noqa: SLF001 all but the sending
        steps.done("append: rows into batches")
        for batch in ledger:
            batch._build()  # noqa: SLF001 what sending begins with
        steps.done("compress: zstd of the ledger")
        stamp = {"ledger": "0", "position": 1, "policy": "each"}
        rows = ((key, orjson.dumps({**payload, **stamp})) for key, payload in taken.tallies.items())
        for batch in self.log._batches(rows):  # noqa: SLF001
            batch._build()  # noqa: SLF001 what sending begins with
        steps.done("tallies: encode, append, compress")


def new_round(producer: AIOKafkaProducer) -> Round:
    """A worker without a broker."""
    topics, decoder = Topics(), Decoder()
    log = Log(producer, topics.facts, 0)
    owned = OwnedPartition(0, Shard(0), log, Log(producer, topics.tallies, 0))
    metrics = WorkerMetrics("bench", lambda: ())
    applier = BatchApplier(topics, 1, decoder, CircuitBreaker(CircuitBreakerPolicy()), metrics)
    return Round(topics, producer, log, owned, applier, decoder)


def decode_alone(steps: Steps, batches: Iterable[Fetched], topics: Topics) -> None:
    """Decoding, and nothing else."""
    decode = Decoder().decode
    for batch in batches:
        records = unpack(batch.content)
        kind = topics.sources[batch.topic]
        steps.done("")
        for record in records:
            decode(kind, record.value, record.key, record.headers, record.timestamp)
        steps.done("of the fold: decode")


def replay(steps: Steps, rows: Sequence[Row]) -> None:
    """Replaying a ledger into an empty shard."""
    fold = Shard(0).replay
    for start in range(0, len(rows), _BATCH):
        steps.done("")
        for row in rows[start : start + _BATCH]:
            fold(row.key, row.value)
        steps.done("restore: replay of a row")


def ledger_of(load: Sequence[Event]) -> list[tuple[bytes, bytes]]:
    """The rows of the load."""
    decoder, shard = Decoder(), Shard(0)
    for kind, key, value in load:
        shard.apply(decoder.decode(kind, value, key))  # type: ignore[arg-type]
    return list(shard.drain().rows.items())


def memory_per_row(load: Sequence[Event]) -> float:
    """Bytes that a shard holds per row once everything is written."""
    shard, held = replayed(ledger_of(load))
    return held / shard.rows if shard.rows else 0.0


async def profile(load: Sequence[Event], rounds: int) -> dict[str, float]:
    """CPU seconds by step."""
    producer = new_producer(KafkaClient(["127.0.0.1:9"]), KAFKA)
    topics = Topics()
    batches = fetched(load, topics)
    ledger = [Row(key, value) for key, value in ledger_of(load)]
    working: list[Steps] = []
    apart: list[Steps] = []
    for _ in range(rounds):
        gc.collect()
        gc.freeze()
        working.append(new_round(producer).run(batches))
        gc.unfreeze()
        with pause_collection():
            apart.append(Steps())
            decode_alone(apart[-1], batches, topics)
            replay(apart[-1], ledger)
        gc.unfreeze()
    await producer.stop()
    taken = least(working)
    taken["all of these"] = sum(taken.values())
    taken.update(least(apart))
    del taken[""]
    return taken


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=4000, help="items of the reference load, 33 events each")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--summeval", type=Path, help="directory of SummEval's events, instead of the reference load")
    told = parser.parse_args()
    load = summeval_events(told.summeval) if told.summeval else events(told.items)
    print(
        f"Python {platform.python_version()}, {len(load):,} events, the least of {told.rounds} rounds batch by batch\n"
    )
    print("| step | ns per event |\n| --- | --- |")
    for step, seconds in asyncio.run(profile(load, told.rounds)).items():
        print(f"| {step} | {seconds / len(load) * 1e9:,.0f} |")
    print(f"| memory per row | {memory_per_row(load):,.0f} bytes |")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
