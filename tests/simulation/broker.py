"""A Kafka broker in memory: partitions, offsets, gaps, aborted records, compaction with its lag, retention, commits.

It does what a real broker promises and no more. A partition also keeps every record ever written (`history`) for the
verdict; the system under test cannot see it.
"""

from collections import defaultdict
from dataclasses import dataclass, field

from streams.kafka.batches import Batch
from tests.simulation.clock import monotonic

TP = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Stored:
    """A record, and the process that wrote it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    writer: str
    aborted: bool = False
    """Whether its transaction was aborted: a reader of committed records does not get it."""


@dataclass(slots=True)
class Partition:
    """One partition of a topic. `end` is the offset that the next record gets, `start` the oldest that is left."""

    records: list[Stored] = field(default_factory=list)
    history: list[Stored] = field(default_factory=list)
    end: int = 0
    start: int = 0

    def append(self, timestamp: int, rows: list["Row"], writer: str, *, aborted: bool = False) -> int:
        """Write a batch as a whole; returns the offset of its first record."""
        base = self.end
        for key, value, headers in rows:
            record = Stored(self.end, timestamp, key, value, headers, writer, aborted)
            self.records.append(record)
            self.history.append(record)
            self.end += 1
        return base

    def compact(self, older_than: int) -> None:
        """Compact as min.compaction.lag.ms allows: of the records older than this, the last of each key stays.

        A younger record supersedes no other yet.
        """
        old = [record for record in self.records if record.timestamp < older_than]
        last = {record.key: record.offset for record in old}
        self.records = [r for r in old if last[r.key] == r.offset] + self.records[len(old) :]

    def retain(self, from_time: int) -> None:
        """Delete what retention.ms allows: the oldest records, up to the first one that is from this time or later."""
        kept = [record for record in self.records if record.timestamp >= from_time]
        if len(kept) < len(self.records):
            self.start = kept[0].offset if kept else self.end
            self.records = kept

    def read(self, start: int, limit: int, *, committed: bool = True) -> tuple[int, list[Stored]]:
        """Up to `limit` records from an offset on, and the offset to ask for next."""
        records: list[Stored] = []
        for record in self.records:
            if record.offset >= start and not (committed and record.aborted):
                if len(records) == limit:
                    return record.offset, records
                records.append(record)
        return self.end, records


Row = tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]


class Broker:
    """Topics and committed offsets."""

    def __init__(self) -> None:
        self.partitions: dict[TP, Partition] = defaultdict(Partition)
        self.committed: dict[TP, int] = {}
        self.silent: dict[TP, float] = {}
        """Until when, in virtual seconds, a partition has no leader for consumers."""
        self.unwritable: dict[TP, float] = {}
        """Until when a partition takes no record."""

    def batch(self, tp: TP, start: int, limit: int, generation: int = -1, *, committed: bool = True) -> Batch | None:
        """The batch that a fetch from this offset returns; None when it returns nothing.

        A consumer whose offset is not left continues at the oldest record, as auto.offset.reset=earliest does.
        """
        partition = self.partitions[tp]
        start = max(start, partition.start)
        if start >= partition.end or monotonic() < self.silent.get(tp, 0.0):
            return None
        following, records = partition.read(start, limit, committed=committed)
        # A consumer's record is what the fetch needs of it; the record's class does not matter to it.
        return Batch(*tp, start, following, records, generation)  # type: ignore[arg-type]

    def reset_group(self, tp: TP, how: str, by: int) -> None:
        """What an operator does to the committed offset of a partition of an empty group."""
        start, end = self.partitions[tp].start, self.partitions[tp].end
        match how:
            case "to earliest":
                self.committed[tp] = start
            case "to latest":
                self.committed[tp] = end
            case "shift by":
                self.committed[tp] = min(end, max(start, self.committed.get(tp, 0) + by))
            case "delete":
                self.committed.pop(tp, None)
