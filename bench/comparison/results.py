"""What a contender counted, read from where it keeps it: a file, or the last record of each key of a topic."""

import asyncio
import contextlib
import struct
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import cast

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from bench.comparison.material import PARTITIONS, Cells
from streams.kafka.batches import Record
from streams.kafka.client import KafkaClient
from streams.ledger.log import Log, read_to_end

_STOP_SECONDS = 5.0
_EPOCH = date(1970, 1, 1)
_PASSING = ("up", "3", "4", "5")
_LEVELS = ("down", "up", "1", "2", "3", "4", "5")


def from_file(path: Path) -> Cells:
    """What a peer on dicts wrote at its end; nothing, if it ended before it began to count."""
    if not path.exists():
        return {}
    return _summed((group, cell) for group, cell in orjson.loads(path.read_bytes()))


async def from_tallies(bootstrap: str, topic: str) -> Cells:
    """The worker's tallies: seven rating levels by two verdicts per judge become four counts."""
    found = []
    for key, value in await _last(bootstrap, topic):
        kind, *names = orjson.loads(key)
        if kind != "cells":
            continue
        queue, criterion, metric, day, *_ = names
        cell = [0, 0, 0, 0]
        for judge in orjson.loads(value)["judges"].values():
            for index, count in enumerate(judge["current"]):
                cell[2 * (_LEVELS[index // 2] in _PASSING) + index % 2] += count
        found.append(((queue, criterion, metric, (date.fromisoformat(day) - _EPOCH).days), cell))
    return _summed(found)


async def from_faust(bootstrap: str, topic: str) -> Cells:
    """The changelog of the Faust peer's table: all counts of a queue and criterion, by metric, NUL and day."""
    found = []
    for key, value in await _last(bootstrap, topic):
        queue, criterion, _ = orjson.loads(orjson.loads(key))
        for name, cell in orjson.loads(value).items():
            metric, day = name.split("\0")
            found.append(((queue, criterion, metric, int(day)), cell))
    return _summed(found)


async def from_packed(bootstrap: str, topic: str) -> Cells:
    """What the peers in Java write: names by NUL, then perhaps the writer's number, and four counts of eight bytes."""
    found = []
    for key, value in await _last(bootstrap, topic):
        queue, criterion, metric, day, *_ = key.decode().split("\0")
        found.append(((queue, criterion, metric, int(day)), struct.unpack(">4q", value)))
    return _summed(found)


def _summed(found: Iterable[tuple[Sequence[object], Sequence[int]]]) -> Cells:
    cells: Cells = defaultdict(lambda: [0, 0, 0, 0])
    for (queue, criterion, metric, day), counts in found:
        cell = cells[cast("str", queue), cast("str", criterion), cast("str", metric), cast("int", day)]
        for which, count in enumerate(counts):
            cell[which] += count
    return {group: cell for group, cell in cells.items() if any(cell)}


async def _last(bootstrap: str, topic: str) -> Iterable[tuple[bytes, bytes]]:
    """Key and value of the last record of each key in each partition."""
    last: dict[tuple[int, bytes], bytes] = {}

    def note(log: Log, records: Sequence[Record]) -> None:
        for record in records:
            assert record.key is not None, record
            assert record.value is not None, record
            last[log.partition, record.key] = record.value

    client = KafkaClient([bootstrap])
    # Never started: these logs are only read.
    writer = AIOKafkaProducer(**client.settings)
    # What an aborted transaction wrote is no result.
    reader = AIOKafkaConsumer(**client.settings, auto_offset_reset="earliest", isolation_level="read_committed")
    await reader.start()
    try:
        await read_to_end(reader, [Log(writer, topic, number) for number in range(PARTITIONS)], note)
    finally:
        # aiokafka's fetch task can miss the cancellation that ends it: the second one, of this time-out, it takes.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                await reader.stop()
        await writer.stop()
    return [(key, value) for (_, key), value in last.items()]
