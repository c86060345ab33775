"""How far a worker has processed and committed its source partitions."""

from collections.abc import Iterable, Iterator

from faust.types import TP

from streams.engine.partition import OwnedPartitions
from streams.kafka.group import ConsumerGroup


class Progress:
    """How far a worker has processed and committed its source partitions; may be asked from any thread."""

    def __init__(self, owned: OwnedPartitions, group: ConsumerGroup) -> None:
        self._owned = owned
        self._group = group

    def lag(self) -> Iterator[tuple[str, int, int]]:
        """(topic, partition, unprocessed events) of owned source partitions, events of open transactions included."""
        for tp, position in self._positions():
            marks = self._group.watermarks(tp)
            yield tp.topic, tp.partition, 0 if marks is None else max(0, marks.high - position)

    def processed_uncommitted(self) -> int:
        """Source offsets that are processed and not committed yet."""
        return sum(max(0, position - self._committed(tp, position)) for tp, position in self._processing())

    def uncommitted(self) -> int:
        """Source offsets that can be processed, or are, and are not committed.

        Those of partitions in quarantine do not count, nor those that wait for the end of an open transaction.
        """
        return sum(self._stable(tp, position) - self._committed(tp, position) for tp, position in self._processing())

    def _positions(self) -> Iterator[tuple[TP, int]]:
        for owned in self._owned:
            yield from owned.sources().items()

    def _processing(self) -> Iterator[tuple[TP, int]]:
        for owned in self._owned:
            if owned.quarantined is None:
                yield from owned.sources().items()

    def _stable(self, tp: TP, position: int) -> int:
        marks = self._group.watermarks(tp)
        return position if marks is None else max(position, marks.stable)

    def _committed(self, tp: TP, position: int) -> int:
        """The committed offset; the position itself while no commit is known, because then nothing is uncommitted."""
        committed = self._group.committed_offset(tp)
        return min(position, position if committed is None else committed)


def ranges(numbers: Iterable[int]) -> str:
    """Numbers as text, for the log.

    >>> ranges([7, 0, 1, 2, 9, 10])
    '0-2, 7, 9-10'
    """
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1] = [runs[-1][0], number]
        else:
            runs.append([number])
    return ", ".join("-".join(map(str, run)) for run in runs)
