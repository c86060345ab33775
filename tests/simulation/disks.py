"""Disks that survive processes, and a store of waiting evaluations on a disk, as `streams.waiting.rocks` is one.

A row is durable, in a memtable, or in the window. Only what is durable survives its process. Blocks can be damaged,
and a disk can be wiped, or be away for a while, under the process that uses it.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from streams.kafka.batches import Record
from streams.waiting.store import Found, Settled, StoreAwayError, StoreLostError, StorePlace
from tests.simulation.clock import monotonic
from tests.simulation.lifeline import Lifeline

_HASHES: Final = 3
"""So few that items collide."""
_WINDOW_RECORDS: Final = 4
_PART_RECORDS: Final = 3
"""Records of a part of a look-up: so few that items have several parts."""
STORE_PLACES: Final = ("window written", "between files", "rows durable", "positions renamed", "looked up")
"""Points of a store: prefixes of their names."""

_Key = tuple[int, int, int, int]
"""Partition, hash of the item, epoch, offset. The partition is a part of it because there are few hashes, so that items
of two partitions have the same one at the same offset."""


@dataclass(slots=True, eq=False)
class Disk:
    """One directory of a store."""

    name: str
    rows: dict[_Key, Record] = field(default_factory=dict)
    settled: dict[int, Settled] = field(default_factory=dict)
    """The positions file, by partition."""
    epochs: dict[int, int] = field(default_factory=dict)
    """By partition, how often its topic was created again."""
    damaged: set[_Key] = field(default_factory=set)
    """Rows that cannot be read any more."""
    away_until: float = 0.0
    """Until then, in monotonic seconds, every access fails."""
    slow_seconds: float = 0.0
    """How long each step of a flush takes, besides its latency."""
    wipes: int = 0
    """How often the directory was deleted."""
    holder: Lifeline | None = None
    """The process that has locked it."""

    def wipe(self) -> None:
        """Delete the directory, also under a process that has it open."""
        self.rows, self.settled, self.epochs, self.damaged = {}, {}, {}, set()
        self.wipes += 1

    def copy(self, name: str) -> "Disk":
        """A backup, taken in one moment."""
        return Disk(name, dict(self.rows), dict(self.settled), dict(self.epochs), set(self.damaged))

    @property
    def locked(self) -> bool:
        """Whether a living process has it open."""
        return self.holder is not None and self.holder.alive


def hash_of(item: bytes) -> int:
    """A hash that collides."""
    return sum(item) % _HASHES


class FakeStore:
    """Implements `WaitingStore` on a simulated disk."""

    def __init__(self, disk: Disk, life: Lifeline, keep_ms: int) -> None:
        self.keep_ms = keep_ms
        self._disk = disk
        self._life = life
        self._span_ms = keep_ms // 8
        self._number = 0
        self._away: str | None = "not opened"
        self._window: dict[_Key, Record] = {}
        self._memtables: dict[_Key, Record] = {}
        self._wipes = disk.wipes

    @property
    def number(self) -> int:
        """Grows whenever rows may have been lost."""
        return self._number

    @property
    def away(self) -> str | None:
        """Why the store cannot be used for now."""
        return self._away

    @property
    def records(self) -> int:
        """Number of records that it can find."""
        return len({**self._disk.rows, **self._memtables, **self._window})

    def open(self) -> None:
        """Open the directory, unless another process has it, or the disk is away."""
        disk = self._disk
        if disk.locked and disk.holder is not self._life:
            self._away = f"{disk.name} is locked by {disk.holder and disk.holder.name}"
        elif monotonic() < disk.away_until:
            self._away = f"{disk.name} is away"
        else:
            disk.holder, self._away, self._wipes = self._life, None, disk.wipes
            self._life.trace(f"opens {disk.name}: {len(disk.rows)} rows, {_positions(disk.settled)}")

    def settled(self, partition: int) -> Settled | None:
        """What the last flush kept for a partition."""
        return None if self._away is not None else self._disk.settled.get(partition)

    def forget(self, partition: int) -> None:
        """Keep nothing of a partition, and do not find its rows again."""
        disk = self._disk
        disk.settled.pop(partition, None)
        disk.epochs[partition] = self.next_epoch(disk.epochs.get(partition, 0))

    def next_epoch(self, epoch: int) -> int:
        """The epoch after this one."""
        return epoch + 1

    def put(self, partition: int, *records: Record) -> None:
        """Take records into the window, which is written when it is full: missing files are not noticed then."""
        self._find_disk()
        for record in records:
            self._window[self._key(partition, record.key or b"", record.offset)] = record
            if len(self._window) >= _WINDOW_RECORDS:
                self._write_window()

    def look_up(self, partition: int, item: bytes, after: StorePlace | None = None) -> Found:
        """The next few waiting records of an item, and of those with its hash. A place is an offset alone."""
        self._access()
        prefix = self._key(partition, item, 0)[:3]
        found: dict[_Key, Record] = {}
        for rows in self.looked_into():
            for key in sorted(key for key in rows if key[:3] == prefix):
                if rows is self._disk.rows and key in self._disk.damaged:
                    if self.asks_for_errors():
                        raise self._lost("a damaged block")
                    break
                found[key] = rows[key]
        self._life.point("looked up")
        ordered = [found[key] for key in sorted(found) if after is None or key[3] >= after[0]]
        rest = (ordered[_PART_RECORDS].offset, b"") if len(ordered) > _PART_RECORDS else None
        return Found(ordered[:_PART_RECORDS], rest)

    @property
    def unflushed_bytes(self) -> int:
        """Bytes that the next flush makes durable."""
        return sum(len(record.value or b"") for record in [*self._memtables.values(), *self._window.values()])

    @property
    def bytes_on_disk(self) -> int:
        """Bytes of all rows on the disk."""
        return sum(len(record.value or b"") for record in self._disk.rows.values())

    @property
    def oldest_ms(self) -> int | None:
        """Broker time of the oldest record on the disk."""
        return min((record.timestamp for record in self._disk.rows.values()), default=None)

    def evaluations(self, partition: int | None = None) -> int:
        """Number of records that it can find."""
        places = {**self._disk.rows, **self._memtables, **self._window}
        return sum(partition in (None, key[0]) for key in places)

    def take_given_up(self) -> Mapping[int, int]:
        """Nothing: a simulated disk is never nearly full."""
        return {}

    def adopted(self, partition: int, records: Iterable[Record]) -> None:
        """Count all the same."""

    def count_all(self, partition: int) -> None:
        """Count all as ever."""

    async def seal(self) -> None:
        """Compact nothing."""

    def write_window(self) -> None:
        """Write the window now."""
        self._find_disk()
        self._write_window()

    def looked_into(self) -> tuple[dict[_Key, Record], ...]:
        """Where a look-up finds records."""
        return self._disk.rows, self._memtables, self._window

    def asks_for_errors(self) -> bool:
        """Whether the status of an iterator is asked when it ends."""
        return True

    async def flush(self, settled: Mapping[int, Settled]) -> None:
        """Make all rows durable, half of them first, then the positions."""
        number, wipes = self._number, self._disk.wipes

        async def step(place: str) -> bool:
            # In a thread: the fold goes on meanwhile, and may lose the store.
            if self._disk.slow_seconds:
                await asyncio.sleep(self._disk.slow_seconds)
            await self._life.request(place)
            return self._number == number and self._disk.wipes == wipes and monotonic() >= self._disk.away_until

        try:
            self._access()
        except (StoreAwayError, StoreLostError):
            return
        self._write_window()
        rows = dict(self._memtables)
        if not await step("window written"):
            return
        for place, write in self.in_order(rows, settled):
            write()
            if not await step(place):
                return

    def in_order(
        self, rows: Mapping[_Key, Record], settled: Mapping[int, Settled]
    ) -> list[tuple[str, Callable[[], None]]]:
        """The steps of a flush: what each does, and the name of the point after it."""
        half = sorted(rows)[: len(rows) // 2]
        return [
            ("between files", lambda: self._make_durable({key: rows[key] for key in half})),
            ("rows durable", lambda: self._make_durable(rows)),
            ("positions renamed", lambda: self._disk.settled.update(settled)),
        ]

    def expire(self, before: int) -> None:
        """Drop the spans that end before this broker time."""
        if self._away is not None:
            return
        for rows in (self._disk.rows, self._memtables, self._window):
            for key in [key for key, record in rows.items() if self._end_of_span(record) <= before]:
                del rows[key]

    async def close(self) -> None:
        """Give the directory back."""
        self._drop_memory()
        self._away = "closed"
        if self._disk.holder is self._life:
            self._disk.holder = None

    def _key(self, partition: int, item: bytes, offset: int) -> _Key:
        return partition, hash_of(item), self._disk.epochs.get(partition, 0), offset

    def _end_of_span(self, record: Record) -> int:
        return (record.timestamp // self._span_ms + 1) * self._span_ms

    def _write_window(self) -> None:
        self._memtables.update(self._window)
        self._window = {}

    def _make_durable(self, rows: Mapping[_Key, Record]) -> None:
        # What expired meanwhile is not written.
        left = {key: rows[key] for key in rows if key in self._memtables}
        self._disk.rows.update(left)
        for key in left:
            del self._memtables[key]

    def _access(self) -> None:
        """Read the disk. Raises StoreAwayError or StoreLostError."""
        self._find_disk()
        if self._disk.wipes != self._wipes:
            raise self._lost("its files are missing")

    def _find_disk(self) -> None:
        """Raises StoreAwayError."""
        if self._away is not None:
            raise StoreAwayError(self._away)
        if monotonic() < self._disk.away_until:
            self._drop_memory()
            self._number += 1
            self._away = f"{self._disk.name} is away"
            if self._disk.holder is self._life:
                self._disk.holder = None
            self._life.trace(self._away)
            raise StoreAwayError(self._away)

    def _lost(self, why: str) -> StoreLostError:
        self._disk.wipe()
        self._wipes = self._disk.wipes
        self._drop_memory()
        self._number += 1
        self._life.trace(f"{self._disk.name} is lost: {why}")
        return StoreLostError(why)

    def _drop_memory(self) -> None:
        self._window, self._memtables = {}, {}


def _positions(settled: Mapping[int, Settled]) -> str:
    return "; ".join(
        f"partition {partition} covered {list(kept.covered)} adopted to {kept.adopted_to}"
        for partition, kept in sorted(settled.items())
    )
