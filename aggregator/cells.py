"""The counts of a shard, and which of them changed since they were published.

A comparison has two sides: a bucket, for an annotation, and a verdict, for an evaluation. A changed row moves one side
against all others together, several times per event. A move is therefore only noted, by one C function that counts
elements; equal moves are added to the cells together before anything reads the counts (`_settle`).

What takes as long as there are tallies can be done in steps, between which other work of the process goes on; nothing
may be counted between them.
"""

from collections import _count_elements  # type: ignore[attr-defined]
from collections.abc import Collection, Iterable, Iterator, Mapping, Sized
from itertools import islice
from math import inf
from typing import Any, Final, TypeVar

from aggregator import parts, tallies
from aggregator.day_tallies import CoverageTally, DayTally, cells_payload
from aggregator.days import day_number
from aggregator.many_cells import MANY, DividedCells, ManyCells
from aggregator.ratings import LEVELS
from aggregator.sides import Bucket, CriterionCounts, Sides, numbers
from aggregator.verdicts import Cells, Verdict

_Value = TypeVar("_Value")
Steps = Iterator[tuple[bytes, tallies.Payload] | None]
"""Tallies as (key, payload), and None for a step without one."""

_UNDIVIDED: Final = frozenset({0})
_NO_COUNTS: Final = [0] * len(LEVELS)

MAX_NOTED: Final = 500_000
"""Most noted moves, equal ones once, before they are added to the cells."""
STEP: Final = 2_000
"""Moves or cells of one step."""
VERDICTS: Final = 4
"""Verdicts that a cells tally may have, on average, in a partition with `max_tallies`: a hundred bytes each."""


class ShardCounts:
    """All counts of a shard.

    Args:
        record_bytes: most bytes of the judges in one record; see `parts`.
        max_tallies: most tallies, and a `VERDICTS`th of the cells; see `full`.
    """

    def __init__(self, record_bytes: int = parts.RECORD_BYTES, max_tallies: float = inf) -> None:
        self._record_bytes = record_bytes
        self.max_tallies: Final = max_tallies
        self._full = False
        self._room = MAX_NOTED
        """Moves that may be noted before their number is looked at."""
        self._days = 0
        """Tallies of annotations that count anything."""
        self._cells_tallies = 0
        self._cells = 0
        self._criteria: dict[tuple[str, str], CriterionCounts] = {}
        self._coverage: dict[tuple[str, str, int], CoverageTally] = {}
        self._added: dict[Bucket | Verdict, dict[Any, int]] = {}
        self._removed: dict[Bucket | Verdict, dict[Any, int]] = {}
        self._touched: list[DayTally | CoverageTally] = []
        self._touched_cells: dict[DayTally, dict[Verdict, None]] = {}
        self._requested: dict[DayTally, dict[str, set[int]]] = {}
        """Parts by metric of cells that the next `drain` publishes, whether or not they exist then."""
        self._divided: dict[tuple[DayTally, str], frozenset[int]] = {}
        """Parts of cells as the last `drain` left them, where they are not one record."""
        self._vanished: dict[tallies.TallyKey, None] = {}

    # ---- counting

    def criterion(self, queue: str, criterion: str) -> CriterionCounts:
        """The counts of this queue and criterion."""
        counts = self._criteria.get((queue, criterion))
        if counts is None:
            counts = self._criteria[queue, criterion] = CriterionCounts(queue, criterion, {}, {})
        return counts

    def count_comparisons(self, one: Bucket | Verdict, others: Sides[Any], number: int) -> None:
        """Add `number` for the comparison of one side with each of the others; equal others count each."""
        if self._full:
            return
        self._room -= len(others if type(others) is list else others.numbers)  # type: ignore[union-attr]
        if self._room < 0:
            self._make_room()
        moves = self._added if number > 0 else self._removed
        times = moves.get(one)
        if times is None:
            times = moves[one] = {}
        if type(others) is list and -1 <= number <= 1:
            _count_elements(times, others)
        elif type(one) is Bucket and -1 <= number <= 1:
            # No two evaluations of an item are the same verdict.
            _count_elements(times, others.numbers)  # type: ignore[union-attr]
        else:
            for other, equal in numbers(others):
                times[other] = times.get(other, 0) + abs(number) * equal

    def count_annotations(self, tally: DayTally, annotations: int, contributing: int) -> None:
        """Add to the annotations of a day, and to those of them that contribute."""
        if not tally.annotations:
            self._days += 1
        tally.annotations += annotations
        if not tally.annotations:
            self._days -= 1
        tally.contributing += contributing
        if not tally.touched:
            self._touch(tally)

    def count_coverage(self, queue: str, metric: str, day: int, coverage: int, sign: int) -> None:
        """Add `sign` to the coverage of a metric; `coverage` is an index in `tallies.COVERAGE`."""
        tally = self._coverage.get((queue, metric, day))
        if tally is None:
            if self.size() >= self.max_tallies and self.full():
                return
            tally = self._coverage[queue, metric, day] = CoverageTally(queue, metric, day)
        tally.counts[coverage] += sign
        self._touch(tally)

    def _settle(self) -> None:
        for _ in self.settling():
            pass

    def settling(self) -> Iterator[None]:
        """Add the noted moves to the cells, in steps; all of them must be done."""
        for moves, sign in ((self._added, +1), (self._removed, -1)):
            work = 0
            for one, others in moves.items():
                for part in _batches(others.items()):
                    self._add(one, part, sign)
                    work += len(part)
                    if work >= STEP:
                        work = 0
                        yield
            moves.clear()
        self._room = MAX_NOTED

    def _add(self, one: Bucket | Verdict, others: Iterable[tuple[Any, int]], sign: int) -> None:
        for other, times in others:
            sides: tuple[Any, Any] = (one, other) if type(one) is Bucket else (other, one)
            bucket, verdict = sides
            tally: DayTally = bucket.tally
            counts = tally.cells.get(verdict)
            if counts is None:
                counts = tally.cells[verdict] = [0] * len(LEVELS)
                self._cells += 1
                of_metric = tally.metrics.get(verdict.metric, 0)
                tally.metrics[verdict.metric] = of_metric + 1
                self._cells_tallies += of_metric == 0
            counts[bucket.rating] += sign * times
            self._touched_cells.setdefault(tally, {})[verdict] = None

    # ---- the limit

    def full(self) -> bool:
        """Whether there are more tallies than `max_tallies`.

        From then on nothing that could add one is counted, so that memory is bounded: the counts are of no more use.
        """
        if not self._full and self.size() + self._noted() > self.max_tallies:
            # Afterwards none is noted, so what this costs is what was noted.
            self._settle()
            if self.size() > self.max_tallies:
                for day in self._touched_cells:
                    for _ in self._dropping_cells(day):
                        pass
                    day.many = None
                self._full = self.size() > self.max_tallies
        return self._full

    def size(self) -> float:
        """What `max_tallies` limits: tallies, or a `VERDICTS`th of the cells if that is more; without noted moves."""
        return max(self._days + self._cells_tallies + len(self._coverage), self._cells / VERDICTS)

    def _noted(self) -> int:
        """How many moves are noted at most. To count equal ones once would take as long as there are moves."""
        return MAX_NOTED - self._room

    def _make_room(self) -> None:
        noted = _length(self._added) + _length(self._removed)
        self._room = MAX_NOTED - noted
        if self._room < MAX_NOTED // 2:
            self._settle()
            self.full()

    def _dropping_cells(self, day: DayTally) -> Iterator[None]:
        """Drop the changed cells of a day that count nothing, in steps."""
        for verdicts in _batches(self._touched_cells.get(day, {})):
            for verdict in verdicts:
                if not any(day.cells.get(verdict, (True,))):
                    del day.cells[verdict]
                    self._cells -= 1
                    day.metrics[verdict.metric] -= 1
                    if not day.metrics[verdict.metric]:
                        del day.metrics[verdict.metric]
                        self._cells_tallies -= 1
            yield

    # ---- publishing

    def _touch(self, tally: DayTally | CoverageTally) -> None:
        if not tally.touched:
            tally.touched = True
            self._touched.append(tally)

    def touch(self, key: bytes) -> None:
        """Include this tally in the next `drain`; it is empty when its group counts nothing. Raises ValueError for an
        invalid key.
        """
        self._settle()
        match tally_key := tallies.parse_key(key):
            case ("cells", queue, criterion, metric, name), part:
                day = self._day(queue, criterion, name)
                if day is not None:
                    self._requested.setdefault(day, {}).setdefault(metric, set()).add(part)
                else:
                    self._vanished[tally_key] = None
                return
            case ("annotations", queue, criterion, name), _:
                tally: DayTally | CoverageTally | None = self._day(queue, criterion, name)
            case ("evaluations", queue, metric, name), _:
                tally = self._coverage.get((queue, metric, _number(name)))
            case _:
                raise ValueError(f"invalid key of a tally: {key[:200]!r}")
        if tally is None:
            self._vanished[tally_key] = None
        else:
            self._touch(tally)

    def _day(self, queue: str, criterion: str, name: str) -> DayTally | None:
        counts = self._criteria.get((queue, criterion))
        return None if counts is None else counts.days.get(_number(name))

    @property
    def touched_tallies(self) -> int:
        """Number of tallies in the next `drain`; all parts of one count once."""
        self._settle()
        cells = {(day, verdict.metric) for day, verdicts in self._touched_cells.items() for verdict in verdicts}
        cells.update((day, metric) for day, metrics in self._requested.items() for metric in metrics)
        return len(self._touched) + len(cells) + len(self._vanished)

    def all_tallies(self) -> Iterator[tuple[bytes, tallies.Payload]]:
        """All tallies that count anything, as (key, payload)."""
        return filter(None, self.tallying())

    def tallying(self) -> Steps:
        """As `all_tallies`, in steps."""
        yield from self.settling()
        for criterion in self._criteria.values():
            for day in criterion.days.values():
                if not day.empty:
                    yield tallies.group_key(day.group), day.payload()
                metrics: dict[str, Cells] = {}
                for cells in _batches(day.cells.items()):
                    for verdict, counts in cells:
                        metrics.setdefault(verdict.metric, {})[verdict] = counts
                    yield None
                for metric, of_metric in metrics.items():
                    yield from self._tallying_cells(day, metric, of_metric)
        for coverage in self._coverage.values():
            if not coverage.empty:
                yield tallies.group_key(coverage.group), coverage.payload()

    def _tallying_cells(self, day: DayTally, metric: str, cells: Cells) -> Steps:
        """All parts of a metric that count anything."""
        if len(cells) * parts.MOST_BYTES <= self._record_bytes:
            if (payload := cells_payload(cells))["judges"]:
                yield tallies.group_key(day.cells_group(metric)), payload
            return
        divided = DividedCells(self._record_bytes)
        for some in _batches(cells.items()):
            for verdict, counts in some:
                divided.update(verdict, counts)
            yield None
        for part, of_part in divided.parts.items():
            yield tallies.group_key(day.cells_group(metric), part), cells_payload(of_part)

    def drain(self) -> dict[bytes, tallies.Payload]:
        """Take the touched tallies, as copies, by key; nothing is touched afterwards."""
        return dict(filter(None, self.draining()))

    def draining(self) -> Steps:
        """As `drain`, in steps; all of them must be done."""
        yield from self.settling()
        for key in self._vanished:
            yield tallies.group_key(*key), tallies.empty(key.group)
        for day in dict.fromkeys((*self._touched_cells, *self._requested)):
            yield from self._draining_cells(day)
        for tally in self._touched:
            tally.touched = False
            yield tallies.group_key(tally.group), tally.payload()
            if tally.empty:
                self._forget(tally)
        self._touched.clear()
        self._touched_cells.clear()
        self._requested.clear()
        self._vanished.clear()

    def _draining_cells(self, day: DayTally) -> Steps:
        """Changed and requested cells of a day."""
        touched, requested = self._touched_cells.get(day, {}), self._requested.get(day, {})
        # No judge of a metric whose parts are only requested.
        metrics: dict[str, set[str]] = {}
        for verdicts in _batches(touched):
            for verdict in verdicts:
                metrics.setdefault(verdict.metric, set()).add(verdict.judge)
            yield None
        for metric in requested:
            metrics.setdefault(metric, set())
        if len(day.cells) <= MANY:
            day.many = None
            by_metric = day.by_metric()
            for metric, judges in metrics.items():
                parted = self._parts(by_metric.get(metric, {}))
                yield from self._draining_parts(day, metric, parted, judges, requested.get(metric, ()))
        else:
            many = ManyCells(self._record_bytes) if day.many is None else day.many
            for verdicts in _batches(day.cells if day.many is None else touched):
                for verdict in verdicts:
                    many.update(verdict, day.cells.get(verdict, _NO_COUNTS))
                yield None
            day.many = many
            for metric, judges in metrics.items():
                yield from self._draining_parts(day, metric, many.parts(metric), judges, requested.get(metric, ()))
        yield from self._dropping_cells(day)

    def _draining_parts(
        self,
        day: DayTally,
        metric: str,
        current: Mapping[int, Cells],
        judges: Collection[str],
        requested: Iterable[int],
    ) -> Steps:
        """The parts to publish: requested, of changed judges, new since the last `drain`, or, without judges, gone."""
        before = self._divided.pop((day, metric), _UNDIVIDED)
        if (now := frozenset(current)) != _UNDIVIDED:
            self._divided[day, metric] = now
        published = {*requested, *(before ^ now)}
        for some in _batches(judges):
            published.update(part for judge in some if (part := parts.part_of(judge, current)) is not None)
            if len(judges) > STEP:
                yield None
        for part in sorted(published):
            yield tallies.group_key(day.cells_group(metric), part), cells_payload(current.get(part, {}))

    def _parts(self, cells: Cells) -> dict[int, Cells]:
        """The few cells of a day and metric by part. Verdicts that count nothing are in no part of divided cells."""
        if len(cells) * parts.MOST_BYTES <= self._record_bytes:
            return {0: cells}
        counting = {verdict: counts for verdict, counts in cells.items() if any(counts)}
        judges = parts.split({verdict.judge for verdict in counting}, self._record_bytes)
        if len(judges) == 1:
            return {0: cells}
        place = {judge: part for part, of_part in judges.items() for judge in of_part}
        divided: dict[int, Cells] = {part: {} for part in judges}
        for verdict, counts in counting.items():
            divided[place[verdict.judge]][verdict] = counts
        return divided

    def _forget(self, tally: DayTally | CoverageTally) -> None:
        """Drop a tally that counts nothing. Its cells are dropped in the same `drain`."""
        if isinstance(tally, CoverageTally):
            self._coverage.pop((tally.queue, tally.metric, tally.day), None)
        else:
            self._criteria[tally.queue, tally.criterion].forget(tally.day)


def _batches(values: Collection[_Value]) -> Iterator[Collection[_Value]]:
    """The values of each step; what is small is one step."""
    if len(values) <= STEP:
        yield values
        return
    left = iter(values)
    while batch := list(islice(left, STEP)):
        yield batch


def _length(by: Mapping[Any, Sized]) -> int:
    return sum(map(len, by.values()))


def _number(day: str) -> int:
    """The number of a day; -1, which no tally has, when the text is not a day."""
    try:
        return day_number(day)
    except ValueError:
        return -1
