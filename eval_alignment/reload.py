"""The embedded broker over stops and starts: rows go back to its topics, and a stop proves that none is missing."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import orjson

from aggregator.facts import encode
from aggregator.tallies import SourcePosition
from sinks.documents import read_state
from sinks.store import Store
from streams.client import Client
from streams.events import KIND_OF
from streams.producing import producer
from streams.topics import Topics, partition_counts

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


async def reload(client: Client, topics: Topics, stores: Iterable[Path]) -> tuple[int, Positions]:
    """Send the rows of these stores to the source topics; gives their number and the positions behind them."""
    by_kind = {kind: topic for topic, kind in topics.sources.items()}
    ends: dict[tuple[str, int], int] = {}
    count = 0
    async with producer(client) as out:
        for path in stores:
            store = Store(path)
            try:
                flying = []
                for fact in store.facts():
                    flying.append(await out.send(by_kind[KIND_OF[type(fact)]], encode(fact), key=fact.item.encode()))
                    count += 1
                for sent in flying:
                    metadata = await sent
                    place = (metadata.topic, metadata.partition)
                    ends[place] = max(ends.get(place, 0), metadata.offset + 1)
            finally:
                store.close()
    return count, ends


async def source_ends(client: Client, topics: Topics) -> Positions:
    """True end offsets of all source partitions: a record is written to each, and its own offset is the answer.

    The end offsets that the embedded broker tells are too low. Only for topics that nobody will read any more.
    """
    counts = await partition_counts(client.settings)
    async with producer(client) as out:
        sent = [
            await out.send(topic, None, key=b"end", partition=partition)
            for topic in topics.sources
            for partition in range(counts[topic])
        ]
        return {(metadata.topic, metadata.partition): metadata.offset for metadata in [await one for one in sent]}


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
    """Source positions and ends of what the store holds."""
    with store.read() as connection:
        rows = connection.execute("SELECT partition, sources FROM partitions WHERE sources IS NOT NULL").fetchall()
    return {
        (topic, partition): source for partition, sources in rows for topic, source in orjson.loads(sources).items()
    }


def _holds(store: Store, ends: Positions) -> bool:
    sources = _sources(store)
    return all(place in sources and sources[place]["position"] >= end for place, end in ends.items() if end)
