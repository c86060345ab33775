"""`python -m bench.waiting_fold`: what a worker pays for evaluations that wait, compared with those that are rows.

No broker: records are applied as they come from a fetch, and a checkpoint takes the rows of the ledger, which are not
written, so that CPU is without that of the producer. Of each 50 items, one is annotated, some time after its
evaluations. Both folds run in one process each, so that their memory can be compared; the ratios of one run count.
"""

import argparse
import asyncio
import itertools
import multiprocessing
import platform
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aggregator.facts import Annotation, encode
from aggregator.shard import Shard
from bench.end_to_end.report import table
from bench.end_to_end.site import Row
from bench.production import OF_ITEM
from bench.waiting import FLUSH_BYTES, SPANS, evaluations, new_store, resident_mib
from streams.engine.apply import BatchApplier
from streams.engine.partition import OwnedPartition
from streams.events.decoder import Decoder
from streams.kafka.batches import Batch
from streams.kafka.record_batches import ParsedRecord
from streams.kafka.topics import Topics
from streams.runtime.heap import HeapFreezer, collect
from streams.runtime.metrics import WorkerMetrics
from streams.waiting.partition import Continuation
from streams.waiting.waiting import WaitingEvaluations

_FETCH: Final = 2_001
"""Evaluations of a fetch: of whole items."""
_CHECKPOINT: Final = 5
"""Fetches between two checkpoints."""
_ANNOTATED: Final = 50
"""One item of so many."""
_LATER: Final = 30
"""Fetches between the evaluations of an item and its annotation."""
_TOPICS: Final = Topics()
_NEVER_MS: Final = 1 << 50
_BROKER_MS: Final = 1_700_000_000_000


@dataclass(frozen=True, slots=True)
class FoldCosts:
    """What a fold took."""

    thread: float
    """CPU seconds of the worker's thread, without making the load."""
    everything: float
    """CPU seconds of all threads."""
    memory_mib: float
    ledger_bytes: int
    """Keys and values, before compression."""
    rows: int


async def fold(directory: Path, count: int, *, wait: bool) -> FoldCosts:
    """Apply the load."""
    shard, metrics, decoder = Shard(0), WorkerMetrics("0", list), Decoder()
    store = new_store(directory) if wait else None
    waiting = None if store is None else _waiting(store, decoder, metrics)
    part = None if waiting is None else waiting.assigned(0, shard)
    if waiting is not None and part is not None:
        waiting.restored(part, Continuation("ledger", 0, 0, None, None, old=True, anew=False))
    log: Any = None
    owned = OwnedPartition(0, shard, log, log, part)
    applier = BatchApplier(_TOPICS, 1, decoder, None, metrics, waiting=waiting)
    load, heap, people = evaluations(count), HeapFreezer(), deque[list[ParsedRecord]]()
    thread = making = 0.0
    ledger_bytes = rows = 0
    collect()
    memory, began_all = resident_mib(), time.process_time()
    for fetch in itertools.count():
        began = time.thread_time()
        piece = [_today(record) for record in itertools.islice(load, _FETCH)]
        people.append(list(_annotations(piece)))
        annotations = people.popleft() if fetch >= _LATER else []
        making += time.thread_time() - began
        if not piece:
            break
        began = time.thread_time()
        mark = 0 if waiting is None else waiting.mark
        applier.apply(owned, _TOPICS.evaluations, piece)
        applier.apply(owned, _TOPICS.annotations, annotations)
        if waiting is not None and part is not None:
            start, end = piece[0].offset, piece[-1].offset + 1
            waiting.processed(part, Batch(_TOPICS.evaluations, 0, start, end, list(piece)), mark)
        if fetch % _CHECKPOINT == 0:
            delta = shard.drain()
            ledger_bytes += sum(len(key) + len(value or b"") for key, value in delta.rows.items())
            rows += len(delta.rows)
            heap.count(shard.rows)
        if store is not None and store.unflushed_bytes >= FLUSH_BYTES and waiting is not None:
            await waiting.flush()
        thread += time.thread_time() - began
    if store is not None and waiting is not None:
        began = time.thread_time()
        await waiting.flush()
        thread += time.thread_time() - began
    everything = time.process_time() - began_all - making
    collect()
    memory = resident_mib() - memory
    if waiting is not None:
        await waiting.close()
    return FoldCosts(thread, everything, memory, ledger_bytes, rows)


def _waiting(store: Any, decoder: Decoder, metrics: WorkerMetrics) -> WaitingEvaluations:
    return WaitingEvaluations(store, _TOPICS.evaluations, decoder, 1, _NEVER_MS, metrics, 40_000)


def _today(record: ParsedRecord) -> ParsedRecord:
    """With a broker time after the event's own, in two spans: opening one has a cost that only few evaluations see."""
    return ParsedRecord(record.offset, _BROKER_MS + record.timestamp * 2 // SPANS, record.key, record.value, [])


def _annotations(piece: list[ParsedRecord]) -> Iterator[ParsedRecord]:
    for record in piece[:: _ANNOTATED * OF_ITEM]:
        item = (record.key or b"").decode()
        fact = Annotation(1_683_000_000_000 + record.offset, f"a{record.offset}", "support", item, thumbs="up")
        yield ParsedRecord(record.offset, record.timestamp, record.key, encode(fact), [])


def _run(count: int, wait: bool) -> FoldCosts:
    with tempfile.TemporaryDirectory() as directory:
        return asyncio.run(fold(Path(directory) / "store", count, wait=wait))


def rows(count: int, before: FoldCosts, now: FoldCosts) -> Iterator[Row]:
    """The table."""

    def compared(name: str, value: float, of: float, unit: str, most: float | None = None) -> Row:
        measured = f"{value / of:.2f} ({value:.3g} / {of:.3g} {unit})"
        return Row(name, measured, "") if most is None else Row(name, measured, f"<= {most:g}", value / of <= most)

    each, mib = 1e6 / count, (1 << 20) / count
    yield compared("CPU of the worker's thread per evaluation", now.thread * each, before.thread * each, "us")
    yield compared("CPU of all threads", now.everything * each, before.everything * each, "us")
    yield compared("memory per evaluation", now.memory_mib * mib, before.memory_mib * mib, "bytes", 0.5)
    yield compared("ledger bytes per evaluation", now.ledger_bytes / count, before.ledger_bytes / count, "bytes", 0.1)
    yield compared("ledger rows per evaluation", now.rows / count, before.rows / count, "rows", 0.1)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.waiting_fold", description=__doc__)
    parser.add_argument("--evaluations", type=int, default=600_000)
    count = parser.parse_args().evaluations
    context = multiprocessing.get_context("spawn")
    with context.Pool(1, maxtasksperchild=1) as pool:
        before, now = (pool.apply(_run, (count, wait)) for wait in (False, True))
    print(f"Python {platform.python_version()}, {count:,} evaluations; waiting / rows\n")
    print(table(rows(count, before, now)))


if __name__ == "__main__":
    main()
