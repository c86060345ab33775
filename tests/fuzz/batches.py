"""Record batches as bytes, with any content: what producers may send, and what they must not.

The encoder is written after the format's specification and shares no code with the product's parser.
"""

import gzip
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import cramjam
from aiokafka.codec import lz4_encode, snappy_encode, zstd_encode
from aiokafka.record.util import calc_crc32c

Header = tuple[bytes, bytes | None]

COMPRESS: Final[dict[int, Callable[[bytes], bytes]]] = {
    0: bytes,
    1: gzip.compress,
    2: lambda data: bytes(snappy_encode(data)),
    3: lambda data: bytes(lz4_encode(data)),
    4: lambda data: bytes(zstd_encode(data)),
}
"""Codecs by their number in the attributes."""
TRANSACTIONAL: Final = 0x10
CONTROL: Final = 0x20
LOG_APPEND_TIME: Final = 0x08


@dataclass(slots=True)
class RawRecord:
    """One record before it is encoded."""

    key: bytes | None = b"k"
    value: bytes | None = b"v"
    headers: Sequence[Header] = ()
    offset_delta: int = 0
    timestamp_delta: int = 0
    attributes: int = 0

    def encode(self) -> bytes:
        """The record with its length."""
        body = bytes([self.attributes]) + varint(self.timestamp_delta) + varint(self.offset_delta)
        body += sized(self.key) + sized(self.value) + varint(len(self.headers))
        for name, value in self.headers:
            body += sized(name) + sized(value)
        return varint(len(body)) + body


@dataclass(slots=True)
class RawBatch:
    """A record batch of format 2 before it is encoded; each part may be replaced by another."""

    records: Sequence[RawRecord] = ()
    base_offset: int = 0
    codec: int = 0
    attributes: int = 0
    """In addition to the codec."""
    first_timestamp: int = 1_700_000_000_000
    max_timestamp: int = 1_700_000_000_000
    producer_id: int = -1
    producer_epoch: int = -1
    base_sequence: int = -1
    count: int | None = None
    """Number of records that the head reports."""
    last_offset_delta: int | None = None
    payload: bytes | None = None
    """The records, encoded and not compressed."""
    packed: bytes | None = None
    """The records, encoded and compressed."""
    broken_checksum: bool = False

    def plain(self) -> bytes:
        """The payload before compression."""
        return b"".join(record.encode() for record in self.records) if self.payload is None else self.payload

    def encode(self) -> bytes:
        """The batch as it is on the wire."""
        packed = COMPRESS[self.codec](self.plain()) if self.packed is None else self.packed
        count = len(self.records) if self.count is None else self.count
        last = max(0, len(self.records) - 1) if self.last_offset_delta is None else self.last_offset_delta
        checked = (
            struct.pack(
                ">hiqqqhii",
                self.attributes | self.codec,
                last,
                self.first_timestamp,
                self.max_timestamp,
                self.producer_id,
                self.producer_epoch,
                self.base_sequence,
                count,
            )
            + packed
        )
        checksum = calc_crc32c(checked) ^ self.broken_checksum
        return struct.pack(">qiibI", self.base_offset, len(checked) + 9, -1, 2, checksum) + checked


@dataclass(slots=True)
class RawMessage:
    """A message of format 0 or 1."""

    key: bytes | None = b"k"
    value: bytes | None = b"v"
    offset: int = 0
    magic: int = 1
    timestamp: int = 1_700_000_000_000
    attributes: int = 0
    inner: "Sequence[RawMessage]" = field(default_factory=list)
    """Messages that are compressed in the value."""
    codec: int = 0

    def encode(self) -> bytes:
        """The message as it is on the wire."""
        value = self.value
        if self.inner:
            value = COMPRESS[self.codec](b"".join(message.encode() for message in self.inner))
        checked = struct.pack(">bb", self.magic, self.attributes | self.codec)
        if self.magic:
            checked += struct.pack(">q", self.timestamp)
        for part in (self.key, value):
            checked += struct.pack(">i", -1) if part is None else struct.pack(">i", len(part)) + part
        body = struct.pack(">I", zlib.crc32(checked)) + checked
        return struct.pack(">qi", self.offset, len(body)) + body


def varint(number: int) -> bytes:
    """A number in zigzag encoding."""
    rest = ((number << 1) ^ (number >> 63)) & (1 << 64) - 1
    encoded = bytearray()
    while rest > 0x7F:
        encoded.append(rest & 0x7F | 0x80)
        rest >>= 7
    encoded.append(rest)
    return bytes(encoded)


def sized(content: bytes | None) -> bytes:
    """Bytes after their number; -1 for null."""
    return varint(-1) if content is None else varint(len(content)) + content


def bomb(codec: int, size: int) -> RawBatch:
    """A batch of one record whose value has `size` zeros; it is made without as much memory, for gzip, lz4 and zstd."""
    value = varint(size)
    around = b"\0\0\0" + sized(b"k") + value, varint(0)
    length = sum(map(len, around)) + size
    parts = [varint(length) + around[0], *_zeros(size), around[1]]
    if codec == 1:
        packer = zlib.compressobj(9, wbits=31)
        packed = b"".join(map(packer.compress, parts)) + packer.flush()
    else:
        # Kafka takes independent blocks only.
        lz4 = cramjam.lz4.Compressor(level=9, content_checksum=False, block_linked=False)
        compressor = lz4 if codec == 3 else cramjam.zstd.Compressor()
        for part in parts:
            compressor.compress(part)
        packed = bytes(compressor.finish())
    return RawBatch([RawRecord()], codec=codec, packed=packed)


def _zeros(size: int) -> Iterator[bytes]:
    chunk = bytes(1 << 20)
    while size:
        part = min(size, len(chunk))
        yield chunk[:part]
        size -= part
