"""What a worker holds of the partitions it owns, and how far it got."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from faust.types import TP

from aggregator.shard import Shard
from streams.kafka.group import ConsumerGroup
from streams.ledger.claim import Claim
from streams.ledger.log import Log


@dataclass(slots=True)
class OwnedPartition:
    """One owned partition: its shard, its two logs, and how far its sources are processed.

    `positions`: by source topic, the next offset to process. `ready`: restored in the current generation. `unchanged_elsewhere`:
    nobody else wrote to the logs since this worker's last checkpoint. `changed`: the next checkpoint has something to
    write or to release. `marked_at`: monotonic seconds. `waiting`: since the last checkpoint, the broker's timestamp
    (ms) of the oldest event of each batch. `counted`: comparisons added and retracted, as far as metrics know.
    """

    partition: int
    shard: Shard
    ledger: Log
    tallies: Log
    claim: Claim | None = None
    positions: dict[str, int] = field(default_factory=dict)
    ready: bool = False
    unchanged_elsewhere: bool = False
    changed: bool = False
    marked_at: float = 0.0
    waiting: list[int] = field(default_factory=list)
    counted: tuple[int, int] = (0, 0)

    @property
    def fully_published(self) -> bool:
        """Whether there is nothing of the shard that the logs do not have, and nobody else wrote to them."""
        return self.unchanged_elsewhere and not self.shard.dirty and not self.shard.touched

    def sources(self) -> dict[TP, int]:
        """Positions by source partition."""
        return {TP(topic, self.partition): offset for topic, offset in self.positions.items()}


@dataclass(slots=True)
class Progress:
    """How far a worker got with the partitions it owns; may be asked from any thread."""

    owned: Mapping[int, OwnedPartition]
    group: ConsumerGroup

    def lag(self) -> Iterator[tuple[str, int, int]]:
        """(topic, partition, events not processed) of every owned source partition."""
        for tp, position in self._positions():
            yield tp.topic, tp.partition, max(0, self._end(tp, position) - position)

    def processed_uncommitted(self) -> int:
        """Source offsets that are processed and not committed yet."""
        return sum(max(0, position - self._committed(tp, position)) for tp, position in self._positions())

    def uncommitted(self) -> int:
        """Source offsets that are not committed, processed or not."""
        return sum(self._end(tp, position) - self._committed(tp, position) for tp, position in self._positions())

    def _positions(self) -> Iterator[tuple[TP, int]]:
        for owned in list(self.owned.values()):
            yield from owned.sources().items()

    def _end(self, tp: TP, position: int) -> int:
        return max(position, self.group.end(tp) or 0)

    def _committed(self, tp: TP, position: int) -> int:
        """Where nothing is known to be committed, what was there at the start counts as if it were."""
        committed = self.group.committed_offset(tp)
        return min(position, position if committed is None else committed)
