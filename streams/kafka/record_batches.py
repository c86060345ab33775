"""Record batches: the bytes of one fetch response as records. With any bytes, reading goes on after them.

aiokafka's parser, in C, reads nearly every batch. It raises for a header whose name is not UTF-8, which Kafka allows,
and for bytes that no client should send. Such a batch is parsed again, record by record, and what cannot be read
becomes an `UnreadableRecords` in the place of its records. So does a record whose offset is not after the one before it
or outside of its batch: consumers pass over it, as if it had been read already. This module is pure.

The format: https://kafka.apache.org/documentation/#recordbatch
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Final, Protocol

from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.legacy_records import LegacyRecordBatch

from streams.events.reasons import Reason
from streams.kafka.codecs import MAX_UNPACKED_BYTES, TooLargeError, Unpacked, UnpackError, unpack
from streams.runtime.errors import EvalAlignmentError

MAX_BATCH_RECORDS: Final = 500_000
"""Most records of one batch, and most headers of a batch that is parsed record by record: a record needs about 200
bytes more in memory than in its batch."""
_ALWAYS_OWN_PARSER: Final = 2 << 20
"""Bytes after decompression above which the own parser reads a batch: aiokafka's has no limit of headers."""
_HEADER_BYTES: Final = 128
"""Bytes that a header needs in memory, besides its name and its value; in its batch it may have two."""

_FRAME: Final = struct.Struct(">qiib")
_FRAMED: Final = 12
"""Bytes of offset and length, which the length does not count."""
_HEAD_BYTES: Final = 61
_ATTRIBUTES: Final = slice(21, 23)
_CODEC_MASK: Final = 0x07
_COUNT: Final = struct.Struct(">i")
_COUNT_AT: Final = 57
_CONTROL_KEY: Final = struct.Struct(">hh")
_ABORT: Final = 0
_HALF: Final = 1 << 63
_LEAST_BYTES: Final = (14, 22, _HEAD_BYTES - _FRAMED)
"""By format, the least bytes after the length."""
_LIMIT: Final = f"{MAX_UNPACKED_BYTES >> 20} MiB"

Header = tuple[str, bytes | None]


class Record(Protocol):
    """One record. The bytes of a header's name that are not UTF-8 are lone surrogates (`surrogateescape`)."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list[Header]


@dataclass(slots=True)
class ParsedRecord:
    """A record read by the own parser."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list[Header]
    timestamp_type: int = 0


@dataclass(slots=True)
class UnreadableRecords:
    """Stands for records that cannot be read: one record without key and value, at the offset of the first of them."""

    offset: int
    timestamp: int
    count: int
    """Number of records, as their batch reports it."""
    reason: Reason
    detail: str
    key: bytes | None = None
    value: bytes | None = None
    headers: list[Header] = field(default_factory=list)
    timestamp_type: int = 0


class CorruptBatchError(EvalAlignmentError):
    """The bytes are not what a producer sent: the checksum or the frame is wrong. The message is where and why."""


_HEADERS: Final[Callable[["Record"], list[Header]]] = attrgetter("headers")


def split(data: bytes) -> Iterator[tuple[Any, memoryview]]:
    """Split a response into aiokafka's batches, unread, each with its bytes. Raises CorruptBatchError.

    An incomplete batch at the end is left out: the next fetch returns it.
    """
    view, start, size, unpack_frame = memoryview(data), 0, len(data), _FRAME.unpack_from
    while start + _FRAME.size <= size:
        offset, length, _, magic = unpack_frame(data, start)
        end = start + _FRAMED + length
        if not 0 <= magic <= 2 or length < _LEAST_BYTES[magic]:
            raise CorruptBatchError(f"invalid frame of a record batch at offset {offset}")
        if end > size:
            break
        raw = view[start:end]
        batch: Any = DefaultRecordBatch(raw) if magic == 2 else LegacyRecordBatch(raw, magic)
        if batch.next_offset <= offset:
            raise CorruptBatchError(f"the record batch at offset {offset} has no last offset")
        if not batch.validate_crc():
            raise CorruptBatchError(f"wrong checksum of the record batch at offset {offset}")
        yield batch, raw
        start = end
    if not start and size:
        raise CorruptBatchError("an incomplete record batch")


def is_abort_marker(batch: Any, raw: memoryview) -> bool:
    """Whether a control batch marks the abort of a transaction."""
    try:
        payload = unpack(batch.attributes & _CODEC_MASK, raw[_HEAD_BYTES:].tobytes())
        marker = next(_parse(batch, bytes(payload), 1))
        return marker.key is not None and _CONTROL_KEY.unpack_from(marker.key)[1] == _ABORT
    except (UnpackError, ValueError, struct.error):
        return False


def read(batch: Any, raw: memoryview) -> tuple[list[Record], int]:
    """The records of a batch, and the number of bytes that they were unpacked to, with the memory that their headers
    need. Never raises for what they are.

    For a batch that cannot be unpacked, that is the limit: as much may have been unpacked until it was known.
    """
    if not isinstance(batch, DefaultRecordBatch):
        return _read_legacy(batch, raw)
    records, size = _read_default(batch, raw)
    return records, size + _HEADER_BYTES * sum(map(len, map(_HEADERS, records)))


def _read_default(batch: Any, raw: memoryview) -> tuple[list[Record], int]:
    if not batch.attributes & _CODEC_MASK and len(raw) <= _ALWAYS_OWN_PARSER:
        try:
            plain: list[Record] = list(batch)
            return _in_place(plain, batch.base_offset, batch.next_offset), len(raw)
        except Exception:  # noqa: BLE001, S110 -- with any failure, the own parser finds the records that can be read
            pass
    count: int = _COUNT.unpack_from(raw, _COUNT_AT)[0]
    try:
        if count > MAX_BATCH_RECORDS:
            raise TooLargeError
        return _read(batch, raw, count)
    except TooLargeError:
        limits = f"{_LIMIT} or {MAX_BATCH_RECORDS:,} records"
        return [_unreadable(batch, count, Reason.OVERSIZED, f"unpacks to more than {limits}")], MAX_UNPACKED_BYTES
    except UnpackError as error:
        return [_unreadable(batch, count, Reason.MALFORMED, f"cannot be unpacked: {error}")], MAX_UNPACKED_BYTES


def _read(batch: Any, raw: memoryview, count: int) -> tuple[list[Record], int]:
    """Raises UnpackError."""
    codec = batch.attributes & _CODEC_MASK
    payload = unpack(codec, raw[_HEAD_BYTES:].tobytes())
    if codec and len(payload) <= _ALWAYS_OWN_PARSER:
        try:
            plain = list(_without_codec(raw, batch.attributes ^ codec, payload))
            return _in_place(plain, batch.base_offset, batch.next_offset), len(payload)
        except Exception:  # noqa: BLE001, S110 -- as above
            pass
    return list(_parse(batch, bytes(payload), count)), len(payload)


def _in_place(records: list[Record], first: int, following: int) -> list[Record]:
    """The records, if their offsets ascend from `first` on and are below `following`. Raises ValueError otherwise."""
    before = first - 1
    for record in records:
        offset = record.offset
        if offset <= before:
            raise ValueError(f"offset {offset} follows {before}")
        before = offset
    if before >= following:
        raise ValueError(f"offset {before} is after its batch")
    return records


def _without_codec(raw: memoryview, attributes: int, payload: Unpacked) -> Any:
    """A batch that aiokafka does not unpack: it has no limit."""
    head = raw[: _ATTRIBUTES.start], attributes.to_bytes(2, signed=True), raw[_ATTRIBUTES.stop : _HEAD_BYTES]
    return DefaultRecordBatch(b"".join((*head, payload)))


def _read_legacy(batch: Any, raw: memoryview) -> tuple[list[Record], int]:
    """`read` of a message set of format 0 or 1, which has neither headers nor transactions."""
    offset, _, _, magic = _FRAME.unpack_from(raw)
    size = len(raw)
    try:
        if codec := raw[17] & _CODEC_MASK:
            start = 18 + 8 * magic
            key_size = max(0, _COUNT.unpack_from(raw, start)[0])
            size = MAX_UNPACKED_BYTES
            size = len(unpack(codec, raw[start + 8 + key_size :].tobytes()))
        records: list[Record] = [
            ParsedRecord(each.offset, -1 if each.timestamp is None else each.timestamp, each.key, each.value, [])
            for each in batch
        ]
        _in_place(records, 0, batch.next_offset)
    except TooLargeError:
        reason, why = Reason.OVERSIZED, f"unpacks to more than {_LIMIT}"
    except Exception as error:  # noqa: BLE001 -- aiokafka's parser raises errors of many types
        reason, why = Reason.MALFORMED, f"cannot be read: {error!r}"
    else:
        return records, size
    return [UnreadableRecords(offset, -1, 1, reason, f"a message set of format {magic} {why}")], size


# ---- the own parser


def _parse(batch: Any, payload: bytes, count: int) -> Iterator[Record]:
    """Parse records one by one. Raises TooLargeError if they have too many headers."""
    base, first, last = batch.base_offset, batch.first_timestamp, batch.next_offset - 1
    appended = batch.max_timestamp if batch.timestamp_type else None
    position, headers = 0, 0
    # The least offset that the next record may have, and the records since that have none.
    least, unread = base, 0
    for index in range(max(0, count)):
        place = min(least + unread, last)
        try:
            length, position = _varint(payload, position)
            end = position + length
            if length < 0 or end > len(payload):
                raise ValueError("its length is wrong")
        except ValueError as error:
            yield _rest(batch, place, count - index, str(error))
            return
        try:
            record = _parse_record(payload, position, end, MAX_BATCH_RECORDS - headers)
            offset = base + record.offset
            if not least <= offset <= last:
                raise ValueError(f"its offset {offset} is out of place: offsets ascend from {base} to {last}")
        except ValueError as error:
            unread += 1
            detail = f"the record cannot be read: {error}"
            yield UnreadableRecords(place, appended or first, 1, Reason.MALFORMED, detail)
        else:
            least, unread = offset + 1, 0
            headers += len(record.headers)
            record.offset = offset
            record.timestamp = _int64(first + record.timestamp) if appended is None else appended
            record.timestamp_type = batch.timestamp_type
            yield record
        position = end
    if position != len(payload):
        yield _rest(batch, min(least + unread, last), 0, f"{len(payload) - position:,} bytes follow the last record")


def _parse_record(payload: bytes, position: int, end: int, headers_left: int) -> ParsedRecord:
    """Parse the record in these bytes; its offset and its timestamp are those after its batch's. Raises ValueError."""
    # One byte of attributes, which have no meaning.
    delta, position = _varint(payload, position + 1)
    offset_delta, position = _varint(payload, position)
    key, position = _bytes(payload, position, end)
    value, position = _bytes(payload, position, end)
    count, position = _varint(payload, position)
    if count < 0:
        raise ValueError("its number of headers is negative")
    if count > headers_left:
        # Each has at least two bytes.
        if count * 2 > end - position:
            raise ValueError("its number of headers is wrong")
        raise TooLargeError
    headers: list[Header] = []
    for _ in range(count):
        name, position = _bytes(payload, position, end)
        if name is None:
            raise ValueError("a header has no name")
        content, position = _bytes(payload, position, end)
        headers.append((name.decode(errors="surrogateescape"), content))
    if position != end:
        raise ValueError("its length is wrong")
    return ParsedRecord(offset_delta, delta, key, value, headers)


def _int64(number: int) -> int:
    """The number as 64 bits have it: sums of hostile numbers wrap around."""
    return (number + _HALF) % (2 * _HALF) - _HALF


def _bytes(payload: bytes, position: int, end: int) -> tuple[bytes | None, int]:
    size, position = _varint(payload, position)
    if size < 0:
        return None, position
    following = position + size
    if following > end:
        raise ValueError("a part is longer than the record")
    return payload[position:following], following


def _varint(payload: bytes, position: int) -> tuple[int, int]:
    """A zigzag number and the position after it. Raises ValueError."""
    number, shift = 0, 0
    while True:
        if position >= len(payload):
            raise ValueError("it is cut off")
        byte = payload[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), position
        shift += 7
        if shift > 63:
            raise ValueError("a number has more than 64 bits")


def _unreadable(batch: Any, count: int, reason: Reason, why: str) -> UnreadableRecords:
    detail = f"a record batch of {count:,} record{'' if count == 1 else 's'} {why}"
    return UnreadableRecords(batch.base_offset, batch.max_timestamp, count, reason, detail)


def _rest(batch: Any, offset: int, count: int, why: str) -> UnreadableRecords:
    detail = f"the rest of the record batch at {batch.base_offset} cannot be read: {why}"
    return UnreadableRecords(offset, batch.max_timestamp, count, Reason.MALFORMED, detail)
