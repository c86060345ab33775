"""`python -m bench.waiting`: what the store of waiting evaluations costs, in one process without a broker.

Evaluations by three metrics of each item, with a reason of 100 bytes, come in the order of their broker times, and the
store is flushed and sealed as a worker does it. Then the process is killed with -9, and another one opens the store.
CPU time, because a shared machine makes the time on the clock useless.
"""

import argparse
import asyncio
import itertools
import multiprocessing
import os
import platform
import random
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from aggregator.shard import Shard
from bench.end_to_end.report import table
from bench.end_to_end.site import Row
from bench.production import JUDGES, OF_ITEM, evaluation, new_item
from bench.worker import TOPICS, resident_mib
from streams.engine.engine import MAX_DIRTY_ROWS
from streams.events.decoder import Decoder
from streams.kafka.record_batches import ParsedRecord
from streams.runtime.metrics import WorkerMetrics
from streams.waiting.coverage import OffsetRanges
from streams.waiting.partition import Continuation, WaitingPartition
from streams.waiting.rocks import SPANS_OF_KEEP, RocksStore
from streams.waiting.store import Settled, WaitingStore
from streams.waiting.waiting import WaitingEvaluations

SPANS: Final = 10
"""All are sealed but the newest."""
FLUSH_BYTES: Final = 24 << 20
BROKER_MS: Final = 1_700_000_000_000
"""Start of a span."""
_PIECE: Final = 500
_SPAN_MS: Final = 1_000_000
_LOOK_UPS: Final = 2_000
_REASON_BYTES: Final = 100
_NEVER_MS: Final = 1 << 50


@dataclass
class Measured:
    """CPU seconds, and bytes."""

    evaluations: int = 0
    json_bytes: int = 0
    thread: float = 0.0
    """Of the thread that puts and flushes."""
    everything: float = 0.0
    """Of all threads until the last flush, without making the load."""
    sealing: float = 0.0
    disk_bytes: int = 0
    hit: float = 0.0
    miss: float = 0.0
    adopt: float = 0.0
    """Of an item: looked up, decoded and merged."""
    ready: float = 0.0
    """On the clock, until the store of the killed process is open and its partition restored."""
    ready_without: float = 0.0
    """The same in a new directory."""
    memory_start: float = 0.0
    memory_third: float = 0.0
    memory_end: float = 0.0
    items: list[bytes] = field(default_factory=list)


def evaluations(count: int, seed: int = 1) -> Iterator[ParsedRecord]:
    """The load: consecutive offsets, and broker times from `BROKER_MS` on over all spans, after those of events."""
    rng = random.Random(seed)
    item = ""
    for offset in range(count):
        if offset % OF_ITEM == 0:
            item = new_item(rng, offset // OF_ITEM)
        at = 1_683_000_000_000 + offset
        value = evaluation(rng, item, offset % OF_ITEM, at=at, judge=JUDGES[0], reason_bytes=_REASON_BYTES)
        time_ms = BROKER_MS + offset * SPANS * _SPAN_MS // count
        yield ParsedRecord(offset, time_ms, item.encode(), value, [])


def new_store(directory: Path) -> RocksStore:
    """A store whose spans are sealed as soon as the next one has begun."""
    store = RocksStore(
        directory, "evaluations", 1, keep_ms=SPANS_OF_KEEP * _SPAN_MS, min_free_bytes=0, seal_after_seconds=0.0
    )
    store.open()
    assert store.away is None
    return store


def start_waiting(
    store: WaitingStore, shard: Shard, decoder: Decoder, metrics: WorkerMetrics
) -> tuple[WaitingEvaluations, WaitingPartition]:
    """What waits of a worker with this partition alone, whose ledger has everything."""
    waiting = WaitingEvaluations(store, TOPICS.evaluations, decoder, _NEVER_MS, metrics, MAX_DIRTY_ROWS)
    part = waiting.assigned(0, shard)
    waiting.restored(part, Continuation("ledger", 0, 0, None, None, old=True, anew=False))
    return waiting, part


async def write(store: RocksStore, count: int, measured: Measured) -> None:
    """Put the load, flush as a worker does, and seal the spans that ended."""
    load = evaluations(count)
    making = 0.0
    started = time.process_time()
    measured.memory_start = resident_mib()
    while True:
        began = time.thread_time()
        piece = list(itertools.islice(load, _PIECE))
        making += time.thread_time() - began
        if not piece:
            break
        measured.json_bytes += sum(len(record.value or b"") for record in piece)
        measured.items.append(piece[0].key or b"")
        began = time.thread_time()
        store.put(0, *piece)
        measured.thread += time.thread_time() - began
        if store.unflushed_bytes >= FLUSH_BYTES:
            await _flush(store, piece[-1].offset + 1, measured)
        if piece[0].offset <= count // 3 <= piece[-1].offset:
            measured.memory_third = resident_mib()
    await _flush(store, count, measured)
    measured.everything = time.process_time() - started - making - measured.sealing
    measured.memory_end = resident_mib()
    measured.evaluations = count


async def _flush(store: RocksStore, end: int, measured: Measured) -> None:
    began = time.thread_time()
    await store.flush({0: Settled("ledger", None, OffsetRanges.of([(0, end)]))})
    measured.thread += time.thread_time() - began
    began = time.process_time()
    await store.seal()
    measured.sealing += time.process_time() - began


def read(store: RocksStore, measured: Measured) -> None:
    """Look up items that wait and items that do not, all spans but the newest being sealed."""
    rng = random.Random(2)
    began = time.process_time()
    for _ in range(_LOOK_UPS):
        assert len(store.look_up(0, rng.choice(measured.items)).records) == OF_ITEM
    measured.hit = (time.process_time() - began) / _LOOK_UPS
    began = time.process_time()
    for _ in range(_LOOK_UPS):
        assert store.look_up(0, rng.randbytes(12)).records == []
    measured.miss = (time.process_time() - began) / _LOOK_UPS


def adopt(store: RocksStore, measured: Measured) -> None:
    """Let items become known, as their first annotation does."""
    shard = Shard(0)
    waiting, part = start_waiting(store, shard, Decoder(), WorkerMetrics("0", list))
    items = random.Random(3).sample(measured.items, min(_LOOK_UPS, len(measured.items)))
    began = time.process_time()
    for item in items:
        waiting.adopt(part, item)
    measured.adopt = (time.process_time() - began) / len(items)
    assert shard.rows == OF_ITEM * len(items)


async def measure(directory: Path, count: int) -> Measured:
    """Let a process write until it is killed, then open its store, and read."""
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    writing = context.Process(target=_write_until_killed, args=(sending, directory, count))
    writing.start()
    sending.close()
    measured: Measured = receiving.recv()
    writing.join()
    assert writing.exitcode == -signal.SIGKILL
    measured.ready_without = await _ready(directory.with_name("new"))
    measured.ready = await _ready(directory)
    store = new_store(directory)
    assert store.evaluations() == count
    read(store, measured)
    adopt(store, measured)
    await store.close()
    return measured


def _write_until_killed(sending: Connection, directory: Path, count: int) -> None:
    measured, store = Measured(), new_store(directory)
    asyncio.run(write(store, count, measured))
    measured.disk_bytes = store.bytes_on_disk
    sending.send(measured)
    os.kill(os.getpid(), signal.SIGKILL)


async def _ready(directory: Path) -> float:
    began = time.perf_counter()
    store = new_store(directory)
    start_waiting(store, Shard(0), Decoder(), WorkerMetrics("0", list))
    seconds = time.perf_counter() - began
    await store.close()
    return seconds


def rows(measured: Measured) -> Iterator[Row]:
    """The table."""
    count = measured.evaluations
    yield Row("CPU of the worker's thread per evaluation", f"{measured.thread / count * 1e6:.2f} us", "")
    yield Row("CPU of all threads, without sealing", f"{measured.everything / count * 1e6:.2f} us", "")
    yield Row("CPU of sealing", f"{measured.sealing / count * 1e6:.2f} us", "")
    ratio = measured.disk_bytes / measured.json_bytes
    sizes = f"{measured.disk_bytes / count:.0f} of {measured.json_bytes / count:.0f} bytes"
    yield Row("disk / JSON of an evaluation", f"{ratio:.2f} ({sizes})", "<= 0.45", ratio <= 0.45)
    hit, miss = measured.hit * 1e6, measured.miss * 1e6
    yield Row(f"look-up of {OF_ITEM} evaluations in {SPANS} spans, opened again, CPU", f"{hit:.0f} us")
    whole = measured.adopt * 1e6
    yield Row(f"adoption of {OF_ITEM}: look-up, decoding, merging, CPU", f"{whole:.0f} us", "<= 150 us", whole <= 150)
    yield Row("look-up of an unknown item, CPU", f"{miss:.0f} us", "<= 60 us", miss <= 60)
    longer = measured.ready - measured.ready_without
    times = f"{longer:.2f} s ({measured.ready:.2f} and {measured.ready_without:.2f} s)"
    yield Row("ready after `kill -9` - with none", times, "<= 0.5 s", longer <= 0.5)
    third, end = measured.memory_third - measured.memory_start, measured.memory_end - measured.memory_start
    yield Row(f"memory over the start, {count:,} evaluations", f"{end:.0f} MiB", "<= 160 MiB", end <= 160)
    ratio = measured.memory_end / measured.memory_third
    yield Row(
        "memory of the process then / at a third of them",
        f"{ratio:.2f} ({end:.0f}, {third:.0f} MiB over the start)",
        "<= 1.2",
        ratio <= 1.2,
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.waiting", description=__doc__)
    parser.add_argument("--evaluations", type=int, default=300_000, help="30,000,000 for the targets of memory")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        measured = asyncio.run(measure(Path(directory) / "store", options.evaluations))
    print(f"Python {platform.python_version()}, {options.evaluations:,} evaluations in {SPANS} spans\n")
    print(table(rows(measured)))


if __name__ == "__main__":
    main()
