"""The window: evaluations that came last, in memory, grouped by item until they are written to a span.

A group is a row of the store: the evaluations of one item that came while a window was open.

- Key: hash of the item, epoch of the partition, offset of the group's first record. So all rows of an item are
  neighbours, and a look-up is one seek. An epoch belongs to one partition and one topic: rows of others, or of a topic
  that was created again, are never found.
- Value: a flat list as msgpack: item, then offset, broker time in ms and content of each record. The content is the
  record's value as it came; where the record has headers, the value and a flat list of their names and values. Nothing
  is decoded on the way in.
"""

import struct
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgspec
import xxhash

from streams.kafka.batches import Record
from streams.kafka.record_batches import Header, ParsedRecord
from streams.waiting.store import StoreLostError

GROUPS_OF_SLICE: Final = 500
"""Groups that are written to a span in one go: no other thread runs meanwhile."""
WINDOW_EVALUATIONS: Final = 20_000
WINDOW_SECONDS: Final = 5.0
WINDOW_BYTES: Final = 8 << 20
"""Bytes of values and headers with which a window ends: so no row of the store is much larger."""
STEP_EVALUATIONS: Final = 500
"""Evaluations that come between two slices."""
HASH_BYTES: Final = 8
"""Length of the hash of an item at the start of a key: the prefix that the filter of a span is made of."""

_KEY: Final = struct.Struct(">QIQ")
"""Hash of the item, epoch, offset of the first record."""
_HASH: Final = struct.Struct(">Q")
_EPOCH: Final = struct.Struct(">I")
_HEADER_BYTES: Final = 64
"""Bytes that a header needs in memory besides its name and its value: a record may have half a million that are empty.
"""
_FIELDS: Final = 3
"""Elements of a group for each record, after the item."""
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list).decode


class RowPlace(NamedTuple):
    """What the keys of a partition's rows are made of, besides its items and offsets."""

    partition: int
    seed: int
    """Of the hash."""
    epoch: int


Group = list[Any]
"""Item, then offset, broker time in ms and content of each record."""


@dataclass(slots=True)
class Slice:
    """Rows of a window that are written in one go."""

    partition: int
    oldest: int
    """The least broker time of the window's part that the rows are of."""
    newest: int
    """The highest one."""
    evaluations: int
    rows: list[tuple[bytes, bytes]]
    """Key and value, sorted by key."""

    @property
    def value_bytes(self) -> int:
        """Bytes of the values."""
        return sum([len(value) for _, value in self.rows])


@dataclass(slots=True)
class _WindowPart:
    """What a window has of one partition and one interval of broker time."""

    oldest: int
    """The least broker time of its records."""
    newest: int
    """The highest one."""
    groups: dict[bytes, Group] = field(default_factory=dict)
    """By item."""
    keyed: dict[bytes, Group] = field(default_factory=dict)
    """The same by the keys of their rows. No list of pairs: the garbage collector would look at each pair."""
    count: int = 0
    value_bytes: int = 0


class _Buffer:
    """Evaluations by partition, interval of broker time, and item."""

    def __init__(self, span_ms: int) -> None:
        self.count = 0
        self.bytes = 0
        """Bytes of everything that was added."""
        self._span_ms = span_ms
        self._parts: dict[tuple[int, int], _WindowPart] = {}

    @property
    def value_bytes(self) -> int:
        return sum(part.value_bytes for part in self._parts.values())

    def add(self, place: RowPlace, records: Iterator[Record], count: int, size: int) -> None:
        """Take records, which have keys, until there are so many in all, or so many bytes of them.

        Every waiting evaluation passes, so it does for a run of records of one interval what would else be done for
        each. What can be done here is not done later, when they have left the processor's cache.
        """
        partition, seed, epoch = place
        key_of, digest_of = _KEY.pack, xxhash.xxh3_64_intdigest
        # Of none yet.
        part, start, end = _WindowPart(0, 0), 0, 0
        groups, added, added_bytes = part.groups, 0, 0
        oldest, newest = part.oldest, part.newest
        count -= self.count
        size -= self.bytes
        for record in records:
            timestamp = record.timestamp
            if not start <= timestamp < end:
                part.oldest, part.newest = oldest, newest
                self._added(part, added, added_bytes)
                count -= added
                size -= added_bytes
                added = added_bytes = 0
                number = timestamp // self._span_ms
                start, end = number * self._span_ms, (number + 1) * self._span_ms
                part = self._parts.setdefault((partition, number), _WindowPart(timestamp, timestamp))
                groups, oldest, newest = part.groups, part.oldest, part.newest
            if timestamp > newest:
                newest = timestamp
            elif timestamp < oldest:
                oldest = timestamp
            item, headers = record.key, record.headers
            value = content = record.value
            if value is not None:
                added_bytes += len(value)
            if headers:
                content = [value, _names_as_bytes(headers)]  # type: ignore[assignment]
                added_bytes += sum([_HEADER_BYTES + len(name) + len(each or b"") for name, each in headers])
            group = groups.get(item)  # type: ignore[arg-type]  # not None: see above
            if group is None:
                offset = record.offset
                group = groups[item] = [item, offset, timestamp, content]  # type: ignore[index]
                part.keyed[key_of(digest_of(item, seed), epoch, offset)] = group  # type: ignore[arg-type]
            else:
                group += record.offset, timestamp, content
            added += 1
            if added >= count or added_bytes >= size:
                break
        part.oldest, part.newest = oldest, newest
        self._added(part, added, added_bytes)

    def _added(self, part: _WindowPart, count: int, size: int) -> None:
        part.count += count
        part.value_bytes += size
        self.count += count
        self.bytes += size

    def find(self, partition: int, item: bytes) -> Iterator[Group]:
        for (of_partition, _), part in self._parts.items():
            if of_partition == partition and (group := part.groups.get(item)) is not None:
                yield group

    def evaluations(self, partition: int) -> int:
        return sum(part.count for (of_partition, _), part in self._parts.items() if of_partition == partition)

    def slices(self) -> Iterator[Slice]:
        """Everything in the form in which it is written. Nothing may be added meanwhile."""
        for (partition, _), part in self._parts.items():
            keyed = part.keyed
            # Sorted, so that RocksDB inserts neighbours one after the other.
            keys = sorted(keyed)
            for start in range(0, len(keys), GROUPS_OF_SLICE):
                piece = keys[start : start + GROUPS_OF_SLICE]
                rows = [(key, _encode(keyed[key])) for key in piece]
                evaluations = sum([len(keyed[key]) // _FIELDS for key in piece])
                part.count -= evaluations
                self.count -= evaluations
                part.value_bytes = 0
                yield Slice(partition, part.oldest, part.newest, evaluations, rows)


class EvaluationWindow:
    """Evaluations that are not written yet, or not all: those that come, and those of the last full window.

    A full window is written in slices while the next one fills, so that the event loop never waits for all of it.
    """

    def __init__(self, span_ms: int) -> None:
        self._span_ms = span_ms
        self._coming = _Buffer(span_ms)
        self._began = time.monotonic()
        self._due = STEP_EVALUATIONS
        self._leaving: _Buffer | None = None
        self._slices: Iterator[Slice] = iter(())

    @property
    def value_bytes(self) -> int:
        """About the bytes of their values and headers."""
        return sum(buffer.value_bytes for buffer in self._buffers())

    @property
    def written(self) -> object:
        """What `next_slice` is of: another object for each window, None if nothing is left."""
        return self._leaving

    def evaluations(self, partition: int | None) -> int:
        """Number of records that are in no slice yet, of one partition or of all."""
        if partition is None:
            return sum(buffer.count for buffer in self._buffers())
        return sum(buffer.evaluations(partition) for buffer in self._buffers())

    def find(self, partition: int, item: bytes) -> list[Group]:
        """The groups of an item."""
        return [group for buffer in self._buffers() for group in buffer.find(partition, item)]

    def add(self, place: RowPlace, records: Iterator[Record]) -> bool:
        """Take records, which have keys, until a slice is to be written, or a window to be ended; returns whether so.

        What is left of the records is to be added afterwards.
        """
        coming = self._coming
        coming.add(place, records, self._due, WINDOW_BYTES)
        return coming.count >= self._due or coming.bytes >= WINDOW_BYTES

    def is_full(self) -> bool:
        """Whether the window is to be ended, because of its size or its age; asked when `add` returned true."""
        coming = self._coming
        self._due = coming.count + STEP_EVALUATIONS
        is_large = coming.count >= WINDOW_EVALUATIONS or coming.bytes >= WINDOW_BYTES
        return is_large or time.monotonic() - self._began >= WINDOW_SECONDS

    def end(self) -> None:
        """Begin a new window; the old one, after all slices of the one before it, is what is written from now on."""
        assert self._leaving is None
        self._leaving, self._slices = self._coming, self._coming.slices()
        self._coming = _Buffer(self._span_ms)
        self._began, self._due = time.monotonic(), STEP_EVALUATIONS

    def next_slice(self) -> Slice | None:
        """The next slice of the window that was ended. None: all were taken, and are written, so it is gone."""
        piece = next(self._slices, None)
        if piece is None:
            self._leaving, self._slices = None, iter(())
        return piece

    def _buffers(self) -> tuple[_Buffer, ...]:
        return (self._coming,) if self._leaving is None else (self._coming, self._leaving)


def hash_of(item: bytes, seed: int) -> bytes:
    """What the keys of all rows of an item start with, and of items whose hash is the same."""
    return _HASH.pack(xxhash.xxh3_64_intdigest(item, seed))


def epoch_of(key: bytes) -> int:
    """The epoch of a row."""
    (epoch,) = _EPOCH.unpack_from(key, HASH_BYTES)
    return int(epoch)


def group_of(value: bytes) -> Group:
    """The group that a row has. Raises StoreLostError."""
    try:
        return _decode(value)
    except msgspec.DecodeError as error:
        raise StoreLostError(f"a row is damaged: {error}") from None


def records_of(group: Group) -> Iterator[ParsedRecord]:
    """The records of a group as they came."""
    item = group[0]
    for start in range(1, len(group), _FIELDS):
        offset, timestamp, content = group[start : start + _FIELDS]
        if isinstance(content, list):
            value, headers = content
            yield ParsedRecord(offset, timestamp, item, value, list(_headers(headers)))
        else:
            yield ParsedRecord(offset, timestamp, item, content, [])


def in_order(groups: Iterable[tuple[int, Group]]) -> list[Record]:
    """The records of groups, each with the age of its offsets, by age and offset.

    A record that was read again after a crash is in two groups, and is returned once.
    """
    found: dict[tuple[int, int], Record] = {
        (age, record.offset): record for age, group in groups for record in records_of(group)
    }
    return [found[place] for place in sorted(found)]


def _names_as_bytes(headers: list[Header]) -> list[bytes | None]:
    """Headers as a flat list. Their names may have lone surrogates, which msgpack cannot have in text."""
    flat: list[bytes | None] = []
    for name, value in headers:
        flat += name.encode("utf-8", "surrogateescape"), value
    return flat


def _headers(flat: list[Any]) -> Iterator[Header]:
    for start in range(0, len(flat), 2):
        yield flat[start].decode("utf-8", "surrogateescape"), flat[start + 1]
