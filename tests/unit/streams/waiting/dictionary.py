"""A store of waiting evaluations in a dictionary, which can be lost, be away and come back."""

from collections.abc import Iterable, Mapping

from streams.kafka.batches import Record
from streams.waiting.store import Found, Settled, StoreAwayError, StoreLostError, StorePlace


class DictionaryStore:
    """Rows are durable once they are flushed; `fails` is raised by the next access."""

    def __init__(self) -> None:
        self.number = 0
        self.away: str | None = None
        self.fails: type[Exception] | None = None
        self.rows: dict[tuple[int, bytes, int], Record] = {}
        self.durable: dict[tuple[int, bytes, int], Record] = {}
        self.known: set[tuple[int, bytes, int]] = set()
        self.given_up: dict[int, int] = {}
        self.kept: dict[int, Settled] = {}
        self.forgotten: list[int] = []
        self.expired: list[int] = []
        self.unflushed_bytes = 0
        self.bytes_on_disk = 0
        self.oldest_ms: int | None = None
        self.part = 1_000
        """Records of a part of a look-up."""

    def evaluations(self, partition: int | None = None) -> int:
        return sum(partition in (None, key[0]) for key in self.rows.keys() - self.known)

    def take_given_up(self) -> Mapping[int, int]:
        given_up, self.given_up = self.given_up, {}
        return given_up

    def adopted(self, partition: int, records: Iterable[Record]) -> None:
        self.known |= {(partition, record.key or b"", record.offset) for record in records}

    def count_all(self, partition: int) -> None:
        self.known = {key for key in self.known if key[0] != partition}

    def open(self) -> None:
        self.away = None

    def settled(self, partition: int) -> Settled | None:
        return None if self.away else self.kept.get(partition)

    def forget(self, partition: int) -> None:
        self.forgotten.append(partition)
        self.kept.pop(partition, None)
        self.rows = {key: row for key, row in self.rows.items() if key[0] != partition}

    def put(self, partition: int, *records: Record) -> None:
        self._access()
        for record in records:
            self.rows[partition, record.key or b"", record.offset] = record

    def look_up(self, partition: int, item: bytes, after: StorePlace | None = None) -> Found:  # noqa: ARG002
        """Items collide: all of a partition are found, `part` at a time."""
        self._access()
        rows = [row for key, row in sorted(self.rows.items(), key=lambda row: row[0][2]) if key[0] == partition]
        left = [row for row in rows if after is None or row.offset >= after[0]]
        return Found(left[: self.part], (left[self.part].offset, b"") if len(left) > self.part else None)

    def write_window(self) -> None:
        self._access()

    async def flush(self, settled: Mapping[int, Settled]) -> None:
        self.durable = dict(self.rows)
        self.kept.update(settled)

    def expire(self, before: int) -> None:
        self.expired.append(before)

    async def seal(self) -> None:
        pass

    async def close(self) -> None:
        self.away = "closed"

    def lose(self) -> None:
        """Every row is lost."""
        self.number += 1
        self.rows, self.durable, self.kept = {}, {}, {}

    def go_away(self) -> None:
        """What is not durable is lost."""
        self.number += 1
        self.away, self.rows = "the disk is full", dict(self.durable)

    def _access(self) -> None:
        if self.fails is StoreLostError:
            self.fails = None
            self.lose()
            raise StoreLostError("a damaged block")
        if self.fails is StoreAwayError:
            self.fails = None
            self.go_away()
        if self.away is not None:
            raise StoreAwayError(self.away)
