"""`python -m bench.hot_path`: the steps of a worker's hot path, each time in a fork of its own.

`bench.instructions` runs this under valgrind. It prints a line for each step: process, events, name. There is no
broker, and the loads are from a seed.
"""

import gc
import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from aggregator.shard import Shard
from bench import reference
from bench.production import OF_ITEM
from bench.waiting import BROKER_MS, evaluations, new_store, start_waiting
from bench.worker import TOPICS
from streams.engine.apply import BatchApplier
from streams.engine.partition import OwnedPartition
from streams.events.decoder import Decoder, Kind
from streams.kafka.record_batches import ParsedRecord
from streams.runtime.metrics import WorkerMetrics
from streams.waiting.store import WaitingStore

NOTHING: Final = "nothing"
LOOP: Final = "fixed loop"

_CHUNK: Final = 500
_ITEMS: Final = 300
_WAITING_ITEMS: Final = 3_000
_LOOPS: Final = 4_000
_TIMES: Final = 3
"""Forks of each step: threads of the store do not always do the same."""

Chunks = list[tuple[str, list[ParsedRecord]]]
"""Records with their topic, as they are applied together."""


@dataclass(frozen=True, slots=True)
class Step:
    """Something that a worker does."""

    events: int
    run: Callable[[], object]


def steps(scratch: Path) -> dict[str, Step]:
    """All steps with their input. `scratch` is an empty directory for the stores of waiting evaluations."""
    load = reference.events(_ITEMS)
    mixed = _chunks(load)
    late = _chunks(sorted(load, key=lambda event: event[0] is Kind.ANNOTATION))
    ledger = _fold(mixed, None)
    alone = list(evaluations(_WAITING_ITEMS * OF_ITEM))
    for record in alone:
        record.timestamp = BROKER_MS
    wait = [(TOPICS.evaluations, alone[start : start + _CHUNK]) for start in range(0, len(alone), _CHUNK)]
    return {
        NOTHING: Step(1, lambda: None),
        LOOP: Step(_LOOPS, _loop),
        "decode events": Step(len(load), lambda: _decode(mixed)),
        "apply events of annotated items, take rows and tallies": Step(len(load), lambda: _fold(mixed, None)),
        "let evaluations wait": Step(len(alone), lambda: _fold(wait, _store(scratch))),
        "let evaluations wait, adopt all of them": Step(len(load), lambda: _fold(late, _store(scratch))),
        "replay rows of the ledger": Step(len(ledger), lambda: _replay(ledger)),
    }


def _store(scratch: Path) -> WaitingStore:
    return new_store(scratch / str(os.getpid()))


def _chunks(load: list[reference.Event]) -> Chunks:
    by_kind = {kind: topic for topic, kind in TOPICS.sources.items()}
    chunks: Chunks = []
    for start in range(0, len(load), _CHUNK):
        by_topic: dict[str, list[ParsedRecord]] = {}
        for offset, (kind, key, value) in enumerate(load[start : start + _CHUNK], start):
            by_topic.setdefault(by_kind[kind], []).append(ParsedRecord(offset, BROKER_MS, key, value, []))
        chunks += by_topic.items()
    return chunks


def _loop() -> None:
    """What the steps are compared with: the same kinds of work. Never change it."""
    counts: dict[tuple[str, int], int] = {}
    value = orjson.dumps({"id": "a" * 18, "at": 1_683_000_000_000, "item": "b" * 16, "metric": "c" * 12, "score": 0.5})
    for number in range(_LOOPS):
        event = orjson.loads(value)
        key = event["metric"], number % 100
        counts[key] = counts.get(key, 0) + 1
        event["id"] = f"{number}:{event['item'][2:5]}"
        orjson.dumps(event)


def _decode(chunks: Chunks) -> None:
    decode = Decoder().decode
    for topic, records in chunks:
        kind = TOPICS.sources[topic]
        for record in records:
            decode(kind, record.value, record.key, record.headers, record.timestamp)


def _fold(chunks: Chunks, store: WaitingStore | None) -> list[tuple[bytes, bytes]]:
    """What a worker of one partition does with these, until its first checkpoint; returns the rows of the ledger."""
    shard, decoder, metrics = Shard(0), Decoder(), WorkerMetrics("0", list)
    waiting = part = None
    if store is not None:
        waiting, part = start_waiting(store, shard, decoder, metrics)
    log: Any = None
    owned = OwnedPartition(0, shard, log, log, part)
    applier = BatchApplier(TOPICS, 1, decoder, None, metrics, waiting=waiting)
    for topic, records in chunks:
        rejected = applier.apply(owned, topic, records)
        assert not rejected, rejected[0]
    taken = shard.drain()
    for payload in taken.tallies.values():
        orjson.dumps(payload)
    return list(taken.rows.items())


def _replay(rows: list[tuple[bytes, bytes]]) -> None:
    replay = Shard(0).replay
    for key, value in rows:
        replay(key, value)


def main() -> None:
    """Run all steps. Exits when one fails."""
    gc.disable()
    with tempfile.TemporaryDirectory() as scratch:
        for name, step in steps(Path(scratch)).items():
            for _ in range(_TIMES):
                print(f"{_forked(name, step)} {step.events} {name}", flush=True)


def _forked(name: str, step: Step) -> int:
    """Run a step in a fork; returns its process."""
    process = os.fork()
    if process == 0:
        # Nothing of the parent may run in the fork: no cleaning up, no other step.
        code = 1
        try:
            step.run()
            code = 0
        finally:
            if code:
                traceback.print_exc()
            os._exit(code)
    _, status = os.waitpid(process, 0)
    if status:
        sys.exit(f"the step failed: {name}")
    return process


if __name__ == "__main__":
    main()
