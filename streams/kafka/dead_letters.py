"""Dead letters: rejected events, byte for byte, with the reason in their headers.

They are acknowledged before the position of their batch becomes committable, so each is published at least once. The
identity of a dead letter is the topic, partition and offset of its event.
"""

import asyncio
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka import AIOKafkaProducer

from streams.events.cloudevents import is_utf8
from streams.events.decoder import Rejection
from streams.events.example import RejectedExample, example
from streams.kafka.batches import Record, UnreadableRecords
from streams.kafka.record_batches import Header
from streams.kafka.record_limits import BATCH_BYTES, MAX_CARRIED_BYTES, TOO_LARGE, RecordLimits, too_large

VERSION: Final = b"1"
"""Version of the headers."""
RECORDS: Final = "alignment-records"
"""Header with the number of records that a dead letter of unreadable records stands for."""
_MAX_DETAIL: Final = 2000
_OVERHEAD: Final = 32
"""Most bytes of a record besides key, value and headers."""
_LEFT_OUT_BYTES: Final = 512
"""Bytes for what stands in place of the parts that are left out, and for the overhead of a batch."""


@dataclass(frozen=True, slots=True)
class RejectedRecord:
    """A rejected record of a source topic."""

    topic: str
    partition: int
    record: Record
    rejection: Rejection
    stage: str = "decode"
    """The processing step that rejected it."""

    @property
    def example(self) -> RejectedExample:
        """It in short, for the log."""
        return example(f"{self.topic}:{self.partition}:{self.record.offset}", self.rejection, self.record.value)


@dataclass(frozen=True, slots=True)
class RejectedBody:
    """What ingest received for a source, and cannot send as an event. It was never in a source topic."""

    source: str
    """Name of the source."""
    received: int
    """When it came, in milliseconds."""
    value: bytes
    rejection: Rejection


@dataclass(frozen=True, slots=True)
class DeadLetterRecord:
    """A record of the dead-letter topic."""

    key: bytes | None
    value: bytes | None
    headers: list[Header]
    timestamp: int | None = None
    """In milliseconds; None is the time when it is sent."""


def compose(dead: RejectedRecord, limit: int = BATCH_BYTES) -> DeadLetterRecord:
    """Compose the dead letter: the original record with `alignment-*` headers added.

    A part with which it would have more than `limit` bytes is null, with its hash and size in headers: first the value,
    then the headers, then the key. So are the headers whose names are not UTF-8, because clients cannot write them.
    """
    record = dead.record
    key, value = record.key, record.value
    headers = [header for header in record.headers if is_utf8(header[0])]
    added: list[Header] = [
        ("alignment-topic", dead.topic.encode()),
        ("alignment-partition", str(dead.partition).encode()),
        ("alignment-offset", str(record.offset).encode()),
        ("alignment-timestamp", str(record.timestamp).encode()),
        ("alignment-stage", dead.stage.encode()),
        ("alignment-reason", dead.rejection.reason.value.encode()),
        ("alignment-detail", _detail(dead.rejection, limit)),
        ("alignment-version", VERSION),
    ]
    if isinstance(record, UnreadableRecords):
        added.append((RECORDS, str(record.count).encode()))
    if len(headers) < len(record.headers):
        unnamed = [header for header in record.headers if not is_utf8(header[0])]
        added += left_out("binary-headers", _joined(unnamed))
    carried = min(MAX_CARRIED_BYTES, limit - _size(None, None, added) - _LEFT_OUT_BYTES)
    if value is not None and _size(key, value, headers) > carried:
        added += left_out("value", value)
        value = None
    if headers and _size(key, value, headers) > carried:
        added += left_out("headers", _joined(headers))
        headers = []
    if key is not None and _size(key, value, headers) > carried:
        added += left_out("key", key)
        key = None
    return DeadLetterRecord(key, value, headers + added)


def compose_body(dead: RejectedBody) -> DeadLetterRecord:
    """Compose the dead letter of a body. Its key, the SHA-256 of the value, is its identity.

    Headers of the request are not carried, since they have secrets. A value that is too large is null.
    """
    digest = hashlib.sha256(dead.value).hexdigest().encode()
    headers: list[Header] = [
        ("alignment-source", dead.source.encode()),
        ("alignment-received", str(dead.received).encode()),
        ("alignment-stage", b"source"),
        ("alignment-reason", dead.rejection.reason.value.encode()),
        ("alignment-detail", _detail(dead.rejection)),
        ("alignment-version", VERSION),
    ]
    if len(dead.value) > MAX_CARRIED_BYTES:
        return DeadLetterRecord(digest, None, [*headers, *left_out("value", dead.value)])
    return DeadLetterRecord(digest, dead.value, headers)


@dataclass(frozen=True, slots=True)
class DeadLetterPublisher:
    """Publishes dead letters."""

    producer: AIOKafkaProducer
    topic: str
    partitions: int
    limits: RecordLimits = field(default_factory=RecordLimits)

    async def publish(self, dead_letters: Sequence[RejectedRecord]) -> None:
        """Publish dead letters; on return all are acknowledged.

        Raises FatalError when one does not fit without its value, headers and key, and KafkaError when one is refused
        for another reason.
        """
        limit = self.limits.dead_letter_bytes
        by_partition: dict[int, list[RejectedRecord]] = {}
        for dead in dead_letters:
            by_partition.setdefault(dead.partition % self.partitions, []).append(dead)
        sent = []
        for partition, rejected in by_partition.items():
            for batch in _batches(self.producer, (compose(dead, limit) for dead in rejected), limit):
                future = await self.producer.send_batch(batch, self.topic, partition=partition)
                sent.append((partition, batch, future))
                # A flood of large ones takes a while: let other tasks run.
                await asyncio.sleep(0)
        for partition, batch, future in sent:
            try:
                await future
            except TOO_LARGE as error:
                raise too_large(f"{self.topic}[{partition}]", batch, self.limits.dead_letters) from error


async def write_records(
    producer: AIOKafkaProducer, topic: str, partition: int, records: Iterable[DeadLetterRecord]
) -> None:
    """Write records; on return all are acknowledged. Raises KafkaError when one is not."""
    for batch in _batches(producer, records, BATCH_BYTES):
        await (await producer.send_batch(batch, topic, partition=partition))


def _batches(producer: AIOKafkaProducer, records: Iterable[DeadLetterRecord], limit: int) -> Iterator[Any]:
    """The records in batches of at most `limit` bytes; one that is larger stands alone."""
    # In batches, because a producer refuses to send a single record that has neither key nor value.
    batch, size = producer.create_batch(), 0
    for record in records:
        needs = _OVERHEAD + _size(record.key, record.value, record.headers)
        if size and (size + needs > limit or not _appended(batch, record)):
            yield batch
            batch, size = producer.create_batch(), 0
        if not size:
            _appended(batch, record)
        size += needs
    if size:
        yield batch


def _appended(batch: Any, record: DeadLetterRecord) -> bool:
    appended = batch.append(timestamp=record.timestamp, key=record.key, value=record.value, headers=record.headers)
    return appended is not None


def _size(key: bytes | None, value: bytes | None, headers: Sequence[Header]) -> int:
    # Two sizes stand before each header.
    carried = sum(4 + len(name) * 4 + len(text or b"") for name, text in headers)
    return len(key or b"") + len(value or b"") + carried


def _joined(headers: Iterable[Header]) -> bytes:
    return b"".join(name.encode(errors="surrogateescape") + b"\0" + (text or b"") for name, text in headers)


def _detail(rejection: Rejection, limit: int = BATCH_BYTES) -> bytes:
    """The detail, which names a header of any length, within a bound."""
    return rejection.detail[: min(_MAX_DETAIL, limit // 16)].encode(errors="replace")


def left_out(part: str, content: bytes) -> list[Header]:
    """The headers that stand for a part that is too large to carry."""
    return [
        (f"alignment-{part}-sha256", hashlib.sha256(content).hexdigest().encode()),
        (f"alignment-{part}-bytes", str(len(content)).encode()),
    ]
