"""The embedded broker over stops and starts: rows go back to its topics, and a stop proves that none is missing."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from aggregator.facts import encode
from aggregator.tallies import SourcePosition
from sinks.queries.queues import read_state, source_positions
from sinks.store.store import Store
from streams.events.decoder import KIND_OF
from streams.kafka.client import KafkaClient
from streams.kafka.producer import Outgoing, require_sources, send_all
from streams.kafka.topics import Topics

POLL_SECONDS: Final = 0.05
_UNSEEN_MS: Final = 5_000
"""An event accepted this long before a checkpoint has surely been fetched by then, or is known as lag."""
Positions = Mapping[tuple[str, int], int]
"""Offsets by topic and partition."""


class Held(NamedTuple):
    """What a store surely has: everything accepted before `time` (ms; None when it never held anything), but for
    `behind` source events that were known and not processed yet.
    """

    time: int | None
    behind: int


def held(store: Path) -> Held:
    """What the store of a run that was not stopped cleanly surely has."""
    opened = Store(store)
    try:
        with opened.read() as connection:
            time = read_state(connection).as_of
        behind = sum(max(0, source["end"] - source["position"]) for source in _sources(opened).values())
    finally:
        opened.close()
    return Held(None if time is None else time - _UNSEEN_MS, behind)


async def reload(client: KafkaClient, topics: Topics, stores: Iterable[Path]) -> tuple[int, Positions]:
    """Send the rows of these stores to the source topics; gives their number and the positions behind them."""
    ends: Counter[tuple[str, int]] = Counter()
    count = 0
    for path in stores:
        with contextlib.closing(Store(path)) as store:
            async for acknowledged in send_all(client, _events(store, topics)):
                place = (acknowledged.topic, acknowledged.partition)
                ends[place] = max(ends[place], acknowledged.offset + 1)
                count += 1
    return count, ends


async def _events(store: Store, topics: Topics) -> AsyncIterator[Outgoing]:
    by_kind = {kind: topic for topic, kind in topics.sources.items()}
    for fact in store.facts():
        yield Outgoing(by_kind[KIND_OF[type(fact)]], encode(fact), fact.item.encode())


async def source_ends(client: KafkaClient, topics: Topics) -> Positions:
    """True end offsets of all source partitions: a record is written to each, and its own offset is the answer.

    The end offsets that the embedded broker tells are too low. Only for topics that nobody will read any more.
    """
    counts = await require_sources(client, topics)

    async def records() -> AsyncIterator[Outgoing]:
        for topic, partitions in counts.items():
            for partition in range(partitions):
                yield Outgoing(topic, None, b"end", (), partition)

    return {(sent.topic, sent.partition): sent.offset async for sent in send_all(client, records())}


async def reached(store: Path, ends: Positions, seconds: float) -> bool:
    """Wait until a store holds everything before these source positions; False when it does not in time."""
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
    """Wait until a store stopped moving forward for a while, but not longer than `seconds`."""
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
