"""Preserves the events of the embedded broker, which keeps its topics in memory, over a stop and a start.

A stop checks that the view's store has every event; the next start sends the rows of the store to the topics again.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from aggregator.facts import Fact, encode
from aggregator.tallies import SourcePosition
from eval_alignment.settings import Settings
from sinks.queries.queues import read_state, source_positions
from sinks.snapshots import PASS_SECONDS, SnapshotHistory
from sinks.store.damage import StoreDamagedError, copy_history
from sinks.store.store import Store
from streams.events.decoder import KIND_OF
from streams.events.encoder import encode_event
from streams.events.values import EARLIEST_INTEGER_AT
from streams.kafka.client import KafkaClient
from streams.kafka.producer import Outgoing, require_sources, send_all
from streams.kafka.topics import Topics

POLL_SECONDS: Final = 0.05
_UNSEEN_MS: Final = 5_000
"""An event that was accepted this long before a checkpoint was fetched by then, or is part of the lag."""
Positions = Mapping[tuple[str, int], int]
"""Offsets by topic and partition."""


class StoreCoverage(NamedTuple):
    """Which events a store has with certainty."""

    until: int | None
    """The store has the events that were accepted before this time in milliseconds; None when it is empty."""
    missing: int
    """Number of events before that time that were not processed yet."""


def coverage(store: Path) -> StoreCoverage:
    """Which events the store of a run without a clean stop has with certainty. Raises StoreDamagedError."""
    opened = Store(store)
    try:
        with opened.read() as connection:
            as_of = read_state(connection).as_of
        missing = sum(max(0, source["end"] - source["position"]) for source in _sources(opened).values())
    finally:
        opened.close()
    return StoreCoverage(None if as_of is None else as_of - _UNSEEN_MS, missing)


class Reloaded(NamedTuple):
    """What `reload` has sent."""

    rows: int
    ends: Positions
    """Positions after them."""
    damaged: list[Path]
    """Stores of which some rows, or all, cannot be read."""


async def reload(client: KafkaClient, topics: Topics, stores: Iterable[Path]) -> Reloaded:
    """Send the rows of these stores to the source topics; those of a damaged store as far as it can be read."""
    ends: Counter[tuple[str, int]] = Counter()
    rows = 0
    damaged = []
    for path in stores:
        gaps: list[str] = []
        try:
            with contextlib.closing(_opened(path)) as store:
                async for acknowledged in send_all(client, _events(store.readable_facts(gaps.append), topics)):
                    place = (acknowledged.topic, acknowledged.partition)
                    ends[place] = max(ends[place], acknowledged.offset + 1)
                    rows += 1
        except StoreDamagedError as error:
            gaps.append(str(error))
        if gaps:
            damaged.append(path)
    return Reloaded(rows, ends, damaged)


def _opened(path: Path) -> Store:
    """A store of an earlier run, which may be of an earlier release or damaged. Raises StoreDamagedError."""
    try:
        return Store(path)
    except StoreDamagedError:
        return Store(path, readonly=True)


async def _events(facts: Iterable[Fact], topics: Topics) -> AsyncIterator[Outgoing]:
    by_kind = {kind: topic for topic, kind in topics.sources.items()}
    for fact in facts:
        # Older releases accepted integers of seconds, which are rejected now.
        value = encode(fact) if fact.at >= EARLIEST_INTEGER_AT else encode_event(fact)
        yield Outgoing(by_kind[KIND_OF[type(fact)]], value, fact.item.encode())


async def take_over_history(store: Path, earlier: Path, settings: Settings) -> None:
    """Move the snapshot documents of an earlier store, whose rows are loaded, into the store of the running view."""
    # The view may still write documents of the rows that it has just read.
    await asyncio.sleep(2 * PASS_SECONDS)
    with contextlib.closing(Store(store)) as opened:
        history = SnapshotHistory(opened, settings.snapshot_history_count, settings.snapshot_history_days)
        try:
            await asyncio.to_thread(history.take_over, earlier)
        except StoreDamagedError:
            with opened.write() as connection:
                copy_history(earlier, connection)


async def source_ends(client: KafkaClient, topics: Topics) -> Positions:
    """The end offsets of all source partitions, found by writing a record to each.

    The embedded broker reports end offsets that are too low. Call it only when no worker reads the topics any more.
    """
    counts = await require_sources(client, topics)

    async def records() -> AsyncIterator[Outgoing]:
        for topic, partitions in counts.items():
            for partition in range(partitions):
                yield Outgoing(topic, None, b"end", (), partition)

    return {(sent.topic, sent.partition): sent.offset async for sent in send_all(client, records())}


async def reached(store: Path, ends: Positions, seconds: float) -> bool:
    """Wait until a store has everything before these source positions; False when it does not in time."""
    opened = Store(store, readonly=True)
    deadline = time.monotonic() + seconds
    try:
        while not _holds(opened, ends):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(POLL_SECONDS)
    finally:
        opened.close()
    return True


async def quiet(store: Path, still_seconds: float, seconds: float) -> None:
    """Wait until a store has not advanced for `still_seconds`, at most for `seconds`."""
    opened = Store(store, readonly=True)
    started = moved = time.monotonic()
    last = _sources(opened)
    try:
        while (now := time.monotonic()) - moved < still_seconds and now - started < seconds:
            await asyncio.sleep(POLL_SECONDS)
            if (position := _sources(opened)) != last:
                last, moved = position, now
    finally:
        opened.close()


def _sources(store: Store) -> dict[tuple[str, int], SourcePosition]:
    with store.read() as connection:
        return source_positions(connection)


def _holds(store: Store, ends: Positions) -> bool:
    sources = _sources(store)
    return all(place in sources and sources[place]["position"] >= end for place, end in ends.items() if end)
