"""What a worker of one partition does with a load, without a broker, by step; all evaluations become rows.

The steps are the worker's own code on what a broker would have sent: lz4 record batches of the sources in, and zstd
record batches of ledger and tallies out, which are not sent. As a program it measures the code of any commit since
before evaluations waited: `PYTHONPATH=TREE python -P bench/worker.py TREE LOAD`. So nothing else of `bench` is imported
here, and of the worker only what there was then. It prints the costs as JSON.
"""

import argparse
import asyncio
import gc
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import orjson
from aiokafka import AIOKafkaProducer

import streams
from aggregator.shard import Shard
from streams.engine.apply import BatchApplier
from streams.engine.circuit_breaker import CircuitBreaker, CircuitBreakerPolicy
from streams.engine.partition import OwnedPartition
from streams.events.decoder import Decoder
from streams.kafka.batches import Record
from streams.kafka.client import KAFKA, KafkaClient
from streams.kafka.record_batches import read, split
from streams.kafka.topics import Topics
from streams.ledger.log import Log, new_producer
from streams.runtime.heap import HeapFreezer, collect
from streams.runtime.metrics import WorkerMetrics

Fetch = tuple[str, bytes]
"""A topic, and record batches of it."""
CHECKPOINT: Final[Fetch] = ("", b"")
"""Stands for a checkpoint, in a load."""
TOPICS: Final = Topics()
FETCH, FOLD, LEDGER = "fetch: unpack lz4 batches", "fold", "ledger and tallies: into zstd batches"

_CHUNK: Final = 1_000
_LENGTH_BYTES: Final = 4


def write_load(path: Path, fetches: Iterable[Fetch]) -> None:
    """Write a load, for `read_load`."""
    with path.open("wb") as file:
        for fetch in fetches:
            content = msgspec.msgpack.encode(fetch)
            file.write(len(content).to_bytes(_LENGTH_BYTES))
            file.write(content)


def read_load(path: Path) -> Iterator[Fetch]:
    """The fetches and checkpoints of a load, in order."""
    decode = msgspec.msgpack.Decoder(Fetch).decode
    with path.open("rb") as file:
        while length := file.read(_LENGTH_BYTES):
            yield decode(file.read(int.from_bytes(length)))


@dataclass(slots=True)
class Costs:
    """What a load took."""

    steps: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """CPU seconds of the worker's thread by step: one number for each time that the step was done."""
    others: float = 0.0
    """CPU seconds of other threads, without sealing: they make rows durable."""
    sealing: float = 0.0
    """CPU seconds of other threads."""
    memory_mib: float = 0.0
    """Memory at the end, over that at the start."""
    ledger_bytes: int = 0
    """Keys and values, before compression."""
    rows: int = 0
    """Of the ledger."""


class Worker:
    """A worker of one partition.

    Args:
        shard: of the partition.
        decoder: decides on each event.
        metrics: of the worker.
        producer: makes the batches of ledger and tallies.
        part: what the partition has for waiting evaluations, in code that lets them wait.
        waiting: arguments of the applier, alike.
    """

    def __init__(
        self,
        shard: Shard,
        decoder: Decoder,
        metrics: WorkerMetrics,
        producer: AIOKafkaProducer,
        part: tuple[Any, ...] = (),
        **waiting: Any,
    ) -> None:
        self.costs = Costs()
        ledger, tallies = Log(producer, TOPICS.facts, 0), Log(producer, TOPICS.tallies, 0)
        self.owned = OwnedPartition(0, shard, ledger, tallies, *part)
        breaker = CircuitBreaker(CircuitBreakerPolicy())
        self.applier = BatchApplier(TOPICS, 1, decoder, breaker, metrics, **waiting)
        self.owned.begin()
        self._heap = HeapFreezer()
        self._at = self._unused = 0.0

    async def run(self, load: Iterable[Fetch]) -> None:
        """Do all of a load, and measure it."""
        collect()
        memory, began, self._at = resident_mib(), time.process_time(), time.thread_time()
        for topic, content in load:
            self.done(None)
            if topic:
                self.apply(topic, content)
            else:
                self.checkpoint()
            await self.flush(at_the_end=False)
        self.checkpoint()
        await self.flush(at_the_end=True)
        thread = sum(map(sum, self.costs.steps.values()))
        self.costs.others = max(0.0, time.process_time() - began - thread - self._unused)
        collect()
        self.costs.memory_mib = resident_mib() - memory

    def done(self, step: str | None) -> None:
        """What was done since the last call belongs to this step; None: to none of a worker."""
        now = time.thread_time()
        if step is None:
            self._unused += now - self._at
        else:
            self.costs.steps[step].append(now - self._at)
        self._at = now

    def apply(self, topic: str, content: bytes) -> None:
        """Apply what was fetched, as the engine does."""
        records = self.unpack(content)
        self.fold(topic, records)
        self.done(FOLD)

    def unpack(self, content: bytes) -> list[Record]:
        """The records of what was fetched."""
        records: list[Record] = []
        for batch, raw in split(content):
            records += read(batch, raw)[0]
        self.done(FETCH)
        return records

    def fold(self, topic: str, records: list[Record]) -> None:
        """Apply records."""
        for start in range(0, len(records), _CHUNK):
            assert not self.applier.apply(self.owned, topic, records[start : start + _CHUNK])

    def checkpoint(self) -> None:
        """Everything of a checkpoint but the sending."""
        delta = self.owned.shard.drain()
        stamp = {"ledger": "0", "position": 1, "policy": "each"}
        tallies = [(key, orjson.dumps({**payload, **stamp})) for key, payload in delta.tallies.items()]
        for log, rows in ((self.owned.ledger, delta.rows.items()), (self.owned.tallies, tallies)):
            for batch in log._batches(rows):  # noqa: SLF001 -- all but the sending
                batch._build()  # noqa: SLF001 -- what sending begins with
        self._heap.count(self.owned.shard.rows)
        self.done(LEDGER)
        self.costs.ledger_bytes += sum(map(len, delta.rows)) + sum(map(len, delta.rows.values()))
        self.costs.rows += len(delta.rows)
        self.done(None)

    async def flush(self, *, at_the_end: bool) -> None:
        """Make what waits durable, if enough does; nothing does here."""


def resident_mib() -> float:
    """Memory of this process."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def offline_producer() -> AIOKafkaProducer:
    """A producer that makes batches, and has no broker to send them to. For a running event loop, which stops it."""
    return new_producer(KafkaClient(["127.0.0.1:9"]), KAFKA)


async def become_rows(load: Path) -> Costs:
    """Apply a load, all evaluations being merged."""
    producer = offline_producer()
    worker = Worker(Shard(0), Decoder(), WorkerMetrics("0", list), producer)
    await worker.run(read_load(load))
    await producer.stop()
    return worker.costs


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tree", type=Path, help="directory of the worker's code")
    parser.add_argument("load", type=Path)
    options = parser.parse_args()
    found = Path(streams.__file__).parents[1]
    if found != options.tree.resolve():
        sys.exit(f"the code of the worker comes from {found}: put {options.tree} into PYTHONPATH")
    gc.collect()
    print(orjson.dumps(asyncio.run(become_rows(options.load))).decode())


if __name__ == "__main__":
    main()
