"""Rates of the view without a broker: facts and tallies into SQLite, and the time to build a document."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Final

import msgspec

from aggregator.days import Window
from aggregator.shard import Shard
from aggregator.snapshot.inputs import CountingRules
from aggregator.tallies import CheckpointMarker, TallyKey, parse_key
from bench.reference import Event
from sinks.documents import Documents
from sinks.store.store import Store
from sinks.store.tail import LedgerRow, StampedTally, Step
from streams.events.decoder import Decoder

_STEP: Final = 5_000
"""Records of a step: about as many as a view that catches up applies in one transaction."""
_LEDGER: Final = "bench"


@dataclass(frozen=True, slots=True)
class OwnRate:
    """Facts and tallies a second, each alone, and the store's bytes for each."""

    facts: float
    tallies: float
    fact_bytes: float
    tally_bytes: float


def own_rate(pieces: Iterator[list[Event]], directory: Path) -> OwnRate:
    """Apply a load to a store on disk: its facts in steps, then its tallies in steps; each step is on the disk."""
    decoder, shard = Decoder(), Shard(0)
    for piece in pieces:
        for kind, key, value in piece:
            shard.apply(decoder.decode(kind, value, key))  # type: ignore[arg-type]
    taken = shard.drain()
    facts = [LedgerRow(position, key, value) for position, (key, value) in enumerate(taken.rows.items())]
    # As if there were a hundred times as many queues, so that there are enough tallies.
    tallies = [
        (TallyKey((kind, f"{queue}-{number}", *names), part), StampedTally(len(facts), msgspec.json.encode(payload)))
        for number in range(100)
        for key, payload in taken.tallies.items()
        for (kind, queue, *names), part in (parse_key(key),)
    ]
    store = Store(directory / "own-rate.sqlite3")
    try:
        empty = _size(store)
        fact_seconds = sum(_timed(store, _step(facts[: start + _STEP], start)) for start in _starts(facts))
        of_facts = _size(store)
        last = _step(facts, len(facts))
        tally_seconds = sum(
            _timed(store, _with(last, dict(tallies[start : start + _STEP]))) for start in _starts(tallies)
        )
        of_tallies = _size(store)
    finally:
        store.close()
    return OwnRate(
        len(facts) / fact_seconds,
        len(tallies) / tally_seconds,
        (of_facts - empty) / len(facts),
        (of_tallies - of_facts) / len(tallies),
    )


def _starts(of: Sequence[object]) -> range:
    return range(0, len(of), _STEP)


def _step(facts: list[LedgerRow], start: int) -> Step:
    closed: CheckpointMarker = {"ledger": _LEDGER, "position": len(facts), "policy": "each", "at": 0, "sources": {}}
    return Step(0, closed, facts[start:], {}, 0, replaces_rows=False)


def _with(step: Step, tallies: dict[TallyKey, StampedTally]) -> Step:
    return Step(step.partition, step.marker, [], tallies, 0, replaces_rows=False)


def _timed(store: Store, step: Step) -> float:
    started = time.perf_counter()
    store.apply([step], 1)
    return time.perf_counter() - started


def _size(store: Store) -> int:
    """Bytes of the store's tables and indexes."""
    with store.read() as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        (page,) = connection.execute("PRAGMA page_size").fetchone()
    return int(pages) * int(page)


@dataclass(frozen=True, slots=True)
class Making:
    """A queue's document: its items and pairs, and the seconds to make it for each window."""

    items: int
    pairs: int
    seconds: dict[str, float]


def making(path: Path, queue: str, times: int = 3) -> Making:
    """Make a queue's document from nothing, some times; the median counts."""
    today = datetime.now(UTC).date()
    seconds: dict[str, float] = {}
    store = Store(path, readonly=True)
    try:
        for window in Window:
            taken = []
            for _ in range(times):
                documents = Documents(store, CountingRules(), lambda: today)
                started = time.perf_counter()
                documents.get(queue, window)
                taken.append(time.perf_counter() - started)
            seconds[window.value] = median(taken)
        whole = Documents(store, CountingRules(), lambda: today).get(queue)
    finally:
        store.close()
    assert whole is not None, "the queue was stored"
    pairs = sum(len(criterion["metrics"]) for criterion in whole["criteria"])
    return Making(whole["cards"]["items_annotated"], pairs, seconds)
