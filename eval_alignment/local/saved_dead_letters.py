"""Preserves the dead letters of the embedded broker over a stop and a start, with how many of them are acknowledged.

A file in the data directory has the records of their topic byte for byte: key, value, headers and timestamp. It is
replaced as a whole, so an interrupted stop leaves that of an earlier stop.
"""

import asyncio
import os
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from streams.events.cloudevents import is_utf8
from streams.kafka.acknowledgements import (
    Acknowledgement,
    read_acknowledgements,
    unacknowledged,
    write_acknowledgements,
)
from streams.kafka.client import EMBEDDED, KafkaClient
from streams.kafka.dead_letters import DeadLetterRecord, write_records
from streams.kafka.record_batches import Header
from streams.kafka.scan import scan
from streams.kafka.topics import DEAD_LETTER_RETENTION_MS
from streams.ledger.log import new_producer
from streams.runtime.errors import EvalAlignmentError
from streams.runtime.exit_codes import ExitCode

if TYPE_CHECKING:
    from streams.requeue import DeadRecord

MAX_BYTES: Final = 64 << 20
"""Most bytes of keys, values and headers that are saved; the newest records are kept."""
_HEADER_BYTES: Final = 64
"""Bytes that a header counts in addition: it needs that much memory, also without a name and a value."""


class SavedDeadLettersError(EvalAlignmentError):
    """The file of dead letters is invalid."""

    exit_code = ExitCode.FAILED


class _Saved(msgspec.Struct, frozen=True, array_like=True):
    """One record; `acknowledged` is whether a person has acknowledged it."""

    timestamp: int
    acknowledged: bool
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


@dataclass(slots=True)
class _NewestDeadLetters:
    """The newest records, up to MAX_BYTES: those of a whole topic may be gigabytes that pack to little."""

    after: int
    """Only records after this time in milliseconds."""
    records: "deque[DeadRecord]" = field(default_factory=deque)
    left_out: int = 0
    """Number of records that are not kept for their size."""
    _bytes: int = 0

    def take(self, _partition: int, batch: "Iterable[DeadRecord]") -> None:
        """Take the next records of the topic."""
        for record in batch:
            if record.timestamp <= self.after:
                continue
            self.records.append(record)
            self._bytes += _size(record)
            while self._bytes > MAX_BYTES:
                self._bytes -= _size(self.records.popleft())
                self.left_out += 1


class SavedDeadLetters:
    """The dead letters of an installation with the embedded broker.

    Args:
        path: the file.
        client: connects to the broker.
        topic: the topic of dead letters; it has one partition.
        group: consumer group of acknowledged dead letters.
    """

    def __init__(self, path: Path, client: KafkaClient, topic: str, group: str) -> None:
        self._path = path
        self._client = client
        self._topic = topic
        self._group = group

    async def save(self, now_ms: int) -> int:
        """Save the records of the topic that are within its retention; returns how many are left out for their size.

        Raises KafkaError, TimeoutError or OSError; the file is then unchanged.
        """
        newest = _NewestDeadLetters(now_ms - DEAD_LETTER_RETENTION_MS)
        ends = await scan(self._client, self._topic, newest.take)
        known = await read_acknowledgements(self._client, self._group, self._topic, len(ends))
        waiting = {record.offset for record in unacknowledged(newest.records, ends, known)[0]}
        saved = (
            _Saved(record.timestamp, record.offset not in waiting, record.key, record.value, _text_headers(record))
            for record in newest.records
        )
        await asyncio.to_thread(self._replace, (msgspec.json.encode(one) + b"\n" for one in saved))
        return newest.left_out

    async def put_back(self) -> int:
        """Write the saved records to the topic, which must be empty; returns their number.

        Raises KafkaError, and SavedDeadLettersError when the file is invalid.
        """
        try:
            lines = (await asyncio.to_thread(self._path.read_bytes)).splitlines()
        except FileNotFoundError:
            return 0
        try:
            saved = [msgspec.json.decode(line, type=_Saved) for line in lines]
        except msgspec.MsgspecError as error:
            raise SavedDeadLettersError(f"{self._path} is invalid: {error}; move it away to start without") from error
        if not saved:
            return 0
        records = [DeadLetterRecord(one.key, one.value, one.headers, one.timestamp) for one in saved]
        async with new_producer(self._client, EMBEDDED) as producer:
            await write_records(producer, self._topic, 0, records)
        acknowledged = sum(one.acknowledged for one in saved)
        await write_acknowledgements(
            self._client, self._group, self._topic, {0: Acknowledgement(acknowledged, newest_ms=None)}
        )
        return len(saved)

    def _replace(self, lines: Iterable[bytes]) -> None:
        new = self._path.with_suffix(".new")
        with new.open("wb") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._path)


def _text_headers(record: "DeadRecord") -> list[Header]:
    """The headers, without those that no worker wrote: their names are not text."""
    return [header for header in record.headers if is_utf8(header[0])]


def _size(record: "DeadRecord") -> int:
    headers = sum(_HEADER_BYTES + len(name) + len(text or b"") for name, text in record.headers)
    return len(record.key or b"") + len(record.value or b"") + headers
