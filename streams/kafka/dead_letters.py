"""Dead letters: rejected events, byte for byte, with the reason in their headers.

They are acknowledged before the position of their batch becomes committable, so each is published at least once. The
identity of a dead letter is the topic, partition and offset of its event.
"""

import hashlib
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaProducer

from streams.events.cloudevents import is_utf8
from streams.events.decoder import Rejection
from streams.events.example import RejectedExample, example
from streams.kafka.batches import Record, UnreadableRecords
from streams.kafka.record_batches import Header

VERSION: Final = b"1"
"""Version of the headers."""
MAX_CARRIED_BYTES: Final = 700 * 1024
"""Size of key, value and headers together above which parts are replaced by their SHA-256."""

RECORDS: Final = "alignment-records"
"""Header with the number of records that a dead letter of unreadable records stands for."""
_MAX_DETAIL: Final = 2000


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


def compose(dead: RejectedRecord) -> DeadLetterRecord:
    """Compose the dead letter: the original record with `alignment-*` headers added.

    A part that is too large to carry is null, with its hash and size in headers: first the value, then the headers,
    then the key. So are the headers whose names are not UTF-8, because clients cannot write them.
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
        ("alignment-detail", _detail(dead.rejection)),
        ("alignment-version", VERSION),
    ]
    if isinstance(record, UnreadableRecords):
        added.append((RECORDS, str(record.count).encode()))
    if unnamed := [header for header in record.headers if not is_utf8(header[0])]:
        added += left_out("binary-headers", _joined(unnamed))
    if value is not None and _size(key, value, headers) > MAX_CARRIED_BYTES:
        added += left_out("value", value)
        value = None
    if headers and _size(key, value, headers) > MAX_CARRIED_BYTES:
        added += left_out("headers", _joined(headers))
        headers = []
    if key is not None and _size(key, value, headers) > MAX_CARRIED_BYTES:
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

    async def publish(self, dead_letters: Sequence[RejectedRecord]) -> None:
        """Publish dead letters; on return all are acknowledged. Raises KafkaError when one is not."""
        by_partition: dict[int, list[DeadLetterRecord]] = {}
        for dead in dead_letters:
            by_partition.setdefault(dead.partition % self.partitions, []).append(compose(dead))
        futures = []
        for partition, composed in by_partition.items():
            futures += await _send(self.producer, self.topic, partition, composed)
        for future in futures:
            await future


async def write_records(
    producer: AIOKafkaProducer, topic: str, partition: int, records: Iterable[DeadLetterRecord]
) -> None:
    """Write records; on return all are acknowledged. Raises KafkaError when one is not."""
    for future in await _send(producer, topic, partition, records):
        await future


async def _send(
    producer: AIOKafkaProducer, topic: str, partition: int, records: Iterable[DeadLetterRecord]
) -> list[Awaitable[object]]:
    return [await producer.send_batch(batch, topic, partition=partition) for batch in _batches(producer, records)]


def _batches(producer: AIOKafkaProducer, records: Iterable[DeadLetterRecord]) -> Iterable[object]:
    # In batches, because a producer refuses to send a single record that has neither key nor value.
    batch = producer.create_batch()
    for record in records:
        if not _appended(batch, record):
            yield batch
            batch = producer.create_batch()
            _appended(batch, record)
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


def _detail(rejection: Rejection) -> bytes:
    """The detail, which names a header of any length, within a bound."""
    return rejection.detail[:_MAX_DETAIL].encode(errors="replace")


def left_out(part: str, content: bytes) -> list[Header]:
    """The headers that stand for a part that is too large to carry."""
    return [
        (f"alignment-{part}-sha256", hashlib.sha256(content).hexdigest().encode()),
        (f"alignment-{part}-bytes", str(len(content)).encode()),
    ]
