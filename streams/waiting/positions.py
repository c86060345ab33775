"""`positions.json`: what the store on disk belongs to, which spans it has, and what it covers.

The file is replaced as a whole: written under another name, synced, renamed, and the directory synced. So a reader
finds the file before or after a write, and never half of it. A second line has the checksum of the first: a wrong digit
would cover offsets whose rows do not exist.
"""

import os
import secrets
from pathlib import Path
from threading import Lock
from typing import Final

import msgspec
import xxhash

from streams.waiting.coverage import OffsetRanges
from streams.waiting.store import Settled, StoreLostError

FORMAT: Final = 1
"""Version of the file and of the rows. Another one is not read: the store begins empty."""
NAME: Final = "positions.json"
_NEXT: Final = "positions.json.next"


class SpanContent(msgspec.Struct):
    """What a span has. The numbers are estimates after a crash: rows may be durable whose count is not."""

    start: int
    """Broker time in ms."""
    end: int
    """Broker time in ms; not included."""
    oldest: int | None = None
    """The least broker time of an evaluation."""
    newest: int | None = None
    """The highest one, which may be after `end`."""
    sequence: int = 0
    """How many writes its database must have: a database takes a torn end of its own file for a crash."""
    evaluations: dict[int, int] = {}
    """Number by partition. An evaluation that was read again counts twice."""


class SettledPositions(msgspec.Struct):
    """`Settled` as it is written."""

    ledger: str
    topic_id: str | None
    covered: list[tuple[int, int]]
    adopted_to: int

    @classmethod
    def of(cls, settled: Settled) -> "SettledPositions":
        """In the form of the file."""
        return cls(settled.ledger, settled.topic_id, list(settled.covered), settled.adopted_to)

    def settled(self) -> Settled:
        """In the form of the engine."""
        return Settled(self.ledger, self.topic_id, OffsetRanges.of(self.covered), self.adopted_to)


class PartitionPositions(msgspec.Struct):
    """What the store has of a partition of the evaluations topic."""

    epoch: int
    """Part of every key: random, and a new one whenever the offsets of the topic start again."""
    settled: SettledPositions | None = None
    """None until a flush."""
    older: list[int] = []
    """Epochs whose rows are still found, from the oldest on: those before restarts of the embedded broker."""
    adopted: dict[int, int] = {}
    """Number of evaluations of items that are known by now, by the start of their interval of broker time in ms."""


class StorePositions(msgspec.Struct):
    """The content of the file."""

    format: int
    topic: str
    partition_count: int
    """Number of partitions of the topic."""
    seed: int
    """Of the hash of items: nobody can choose items of one hash."""
    spans: list[SpanContent] = []
    partitions: dict[int, PartitionPositions] = {}

    @classmethod
    def new(cls, topic: str, partition_count: int) -> "StorePositions":
        """Of an empty store."""
        return cls(FORMAT, topic, partition_count, secrets.randbits(64))

    def of(self, partition: int) -> PartitionPositions:
        """What the store has of a partition, with an epoch from the first time on."""
        return self.partitions.get(partition) or self.renew(partition)

    def renew(self, partition: int, *, keep_rows: bool = False) -> PartitionPositions:
        """Nothing of a partition, with a new epoch, which no other has: partitions may have the same offsets.

        With `keep_rows`, rows of its older epochs are still found.
        """
        used = {epoch for positions in self.partitions.values() for epoch in (positions.epoch, *positions.older)}
        epoch = next(epoch for epoch in iter(lambda: secrets.randbits(32), None) if epoch not in used)
        before = self.partitions.get(partition)
        kept = before if keep_rows else None
        older, adopted = ([*kept.older, kept.epoch], kept.adopted) if kept else ([], {})
        self.partitions[partition] = PartitionPositions(epoch, older=older, adopted=adopted)
        return self.partitions[partition]

    def count_adopted(self, partition: int, interval: int, count: int) -> None:
        """Count evaluations of an item that is known by now."""
        adopted = self.of(partition).adopted
        adopted[interval] = adopted.get(interval, 0) + count

    def adopted(self, partition: int | None) -> int:
        """Number of evaluations of items that are known by now, of one partition or of all."""
        counted = (self.partitions[each] for each in self.partitions if partition in (None, each))
        return sum(sum(positions.adopted.values()) for positions in counted)

    def take_spans(self, spans: list[SpanContent]) -> None:
        """Replace the spans. The rows of older intervals are gone, those that were adopted too."""
        self.spans = spans
        if not spans:
            return
        first = min(span.start for span in spans)
        for positions in self.partitions.values():
            positions.adopted = {start: count for start, count in positions.adopted.items() if start >= first}

    def epochs_of(self, partition: int) -> list[int]:
        """Those of a partition whose rows are found, from the oldest on."""
        positions = self.partitions.get(partition)
        return [] if positions is None else [*positions.older, positions.epoch]


class _FormatVersion(msgspec.Struct):
    """What the files of all formats have."""

    format: int


class PositionsFile:
    """The file in the directory of a store. Safe to use from several threads."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = Lock()
        self._version = 0
        """Of the positions that were encoded last."""
        self._written = 0
        """The latest version in the file."""

    def read(self, topic: str, partition_count: int) -> StorePositions:
        """The content. Raises StoreLostError when it is missing, damaged, of another format or of another topic."""
        positions = self._read()
        if (positions.topic, positions.partition_count) != (topic, partition_count):
            raise StoreLostError(f"{self._directory} is of {positions.partition_count} partitions of {positions.topic}")
        return positions

    def _read(self) -> StorePositions:
        path = self._directory / NAME
        try:
            content, _, checksum = path.read_bytes().partition(b"\n")
        except FileNotFoundError:
            raise StoreLostError(f"{self._directory} has no positions") from None
        if checksum != _checksum(content):
            raise StoreLostError(f"{path} is damaged: its checksum is wrong")
        try:
            version = msgspec.json.decode(content, type=_FormatVersion).format
            if version != FORMAT:
                raise StoreLostError(f"{path} has format {version}, this release reads format {FORMAT}")
            return msgspec.json.decode(content, type=StorePositions)
        except msgspec.DecodeError as error:
            raise StoreLostError(f"{path} is damaged: {error}") from None

    def encode(self, positions: StorePositions, spans: list[SpanContent]) -> tuple[bytes, int]:
        """Positions as of now, with the spans that there are, and their version."""
        positions.take_spans(spans)
        self._version += 1
        return msgspec.json.encode(positions), self._version

    def write(self, positions: bytes, version: int) -> None:
        """Replace the file by encoded positions, unless a later version was written already. Raises OSError."""
        with self._lock:
            if version <= self._written:
                return
            following = self._directory / _NEXT
            descriptor = os.open(following, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(positions + b"\n" + _checksum(positions))
                file.flush()
                os.fsync(file.fileno())
            following.rename(self._directory / NAME)
            sync_directory(self._directory)
            self._written = version


def _checksum(content: bytes) -> bytes:
    return msgspec.json.encode(xxhash.xxh3_64_hexdigest(content)) + b"\n"


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
