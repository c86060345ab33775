"""Reads the segments of a broker's data directory: every record of a partition, with any bytes.

A client of the broker would share aiokafka's parser with the product, which raises for some of these bytes.
"""

import mmap
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import cramjam
from aiokafka import TopicPartition
from aiokafka.codec import lz4_decode, snappy_decode
from aiokafka.structs import ConsumerRecord

from tests.support.wire import Stored

_FRAME: Final = struct.Struct(">qi")
_HEAD: Final = struct.Struct(">qiibIhiqqqhii")
_CODEC: Final = 0x07
_CONTROL: Final = 0x20
_UNPACK: Final[dict[int, Callable[[bytes], bytes]]] = {
    0: bytes,
    1: lambda packed: bytes(cramjam.gzip.decompress(packed)),
    2: lambda packed: bytes(snappy_decode(packed)),
    3: lambda packed: bytes(lz4_decode(packed)),
    4: lambda packed: bytes(cramjam.zstd.decompress(packed)),
}


class Frame(NamedTuple):
    """One record batch in a segment: offset of its first record, position in the file, and length in bytes."""

    offset: int
    position: int
    length: int


def frames(content: bytes | mmap.mmap) -> Iterator[Frame]:
    """Every whole batch of a segment."""
    position = 0
    while position + _FRAME.size <= len(content):
        offset, length = _FRAME.unpack_from(content, position)
        length += _FRAME.size
        if position + length > len(content):
            return
        yield Frame(offset, position, length)
        position += length


def read(data: Path, partition: TopicPartition, since: dict[TopicPartition, int] | None = None) -> list[Stored]:
    """The records of a partition, by the segments in the broker's data directory.

    `since` has the offset to begin with, and is moved to the end.
    """
    start = 0 if since is None else since.get(partition, 0)
    records: list[Stored] = []
    for segment in sorted(data.joinpath(f"{partition.topic}-{partition.partition}").glob("*.log")):
        if not segment.stat().st_size:
            continue
        with segment.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            for frame in frames(content):
                records += _batch(partition, content[frame.position : frame.position + frame.length], start)
    if since is not None and records:
        since[partition] = records[-1].offset + 1
    return records


def _batch(partition: TopicPartition, batch: bytes, start: int) -> Sequence[Stored]:
    first, _, _, magic, _, attributes, last, timestamp, *_ = _HEAD.unpack_from(batch)
    assert magic == 2, "batches of format 2"
    if first + last < start or attributes & _CONTROL:
        return ()
    parser = _Parser(_UNPACK[attributes & _CODEC](batch[_HEAD.size :]))
    return [record for record in parser.records(partition, first, timestamp) if record.offset >= start]


class _Parser:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def records(self, partition: TopicPartition, first: int, timestamp: int) -> Iterator[Stored]:
        while self._at < len(self._content):
            self._number()
            self._at += 1
            at = timestamp + self._number()
            offset = first + self._number()
            key, value = self._sized(), self._sized()
            headers: Any = [
                ((self._sized() or b"").decode(errors="surrogateescape"), self._sized()) for _ in range(self._number())
            ]
            yield ConsumerRecord(
                partition.topic, partition.partition, offset, at, 0, key, value, None, -1, -1, tuple(headers)
            )

    def _number(self) -> int:
        number = shift = 0
        while True:
            byte = self._content[self._at]
            self._at += 1
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return (number >> 1) ^ -(number & 1)
            shift += 7

    def _sized(self) -> bytes | None:
        size = self._number()
        if size < 0:
            return None
        self._at += size
        return self._content[self._at - size : self._at]
