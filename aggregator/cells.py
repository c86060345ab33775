"""Counts that fold: what a shard counts, and which of it changed since it was published.

A comparison has two sides: a place, for an annotation, and a verdict, for an evaluation. When a row changes, one side
moves against all others at once, and this happens several times an event. So moves are only noted, by one call of C
that counts elements, and from time to time all that moved alike is added to the cells together (`_settle`). Nobody
sees the difference: whatever reads the counts settles them first.
"""

from collections import _count_elements  # type: ignore[attr-defined]
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from aggregator import tallies
from aggregator.days import day_name, day_number
from aggregator.ratings import COUNTS, LEVELS


class Verdict(msgspec.Struct, gc=False, eq=False):
    """What a judge version can say of an item: that it passes or fails, while it is or is not the latest to judge.

    There is one object of each in a shard, compared by identity.
    """

    metric: str
    judge: str
    passed: bool
    current: bool


Cells = dict[Verdict, list[int]]
"""Per verdict the number of comparisons by rating, in the order of `ratings.LEVELS`."""


class DayTally:
    """Annotations of one queue, criterion and UTC day, and the cells of the comparisons that they take part in."""

    __slots__ = ("annotations", "cells", "contributing", "criterion", "day", "queue", "touched")

    def __init__(self, queue: str, criterion: str, day: int) -> None:
        self.queue = queue
        self.criterion = criterion
        self.day = day
        self.annotations = 0
        self.contributing = 0
        self.cells: Cells = {}
        self.touched = False

    @property
    def group(self) -> tallies.TallyGroup:
        """The tally's group."""
        return tallies.annotations_group(self.queue, self.criterion, day_name(self.day))

    def cells_group(self, metric: str) -> tallies.TallyGroup:
        """The group of the day's comparisons with a metric."""
        return tallies.cells_group(self.queue, self.criterion, metric, day_name(self.day))

    @property
    def empty(self) -> bool:
        """Whether no annotation stands."""
        return self.annotations == 0

    def payload(self) -> tallies.AnnotationsPayload:
        """The counts as they are published."""
        return {"annotations": self.annotations, "contributing": self.contributing}

    def by_metric(self) -> dict[str, Cells]:
        """The cells of each metric."""
        metrics: dict[str, Cells] = {}
        for verdict, counts in self.cells.items():
            metrics.setdefault(verdict.metric, {})[verdict] = counts
        return metrics


class Bucket(msgspec.Struct, gc=False, eq=False):
    """Where comparisons with annotations of one rating are counted: their day, and the index of the rating.

    There is one object of each in a shard, compared by identity, as long as its day counts anything.
    """

    tally: DayTally
    rating: int


class CriterionCounts(msgspec.Struct, gc=False, eq=False):
    """The annotations of one queue and criterion, by the number of the UTC day.

    There is one object of each in a shard, compared by identity. `buckets` has a number for every day and rating.
    """

    queue: str
    criterion: str
    days: dict[int, DayTally]
    buckets: dict[int, Bucket]

    def bucket(self, day: int, rating: int) -> Bucket:
        """The place of annotations; `rating` is the index in `ratings.LEVELS`."""
        number = day * len(LEVELS) + rating
        bucket = self.buckets.get(number)
        if bucket is None:
            tally = self.days.get(day)
            if tally is None:
                tally = self.days[day] = DayTally(self.queue, self.criterion, day)
            bucket = self.buckets[number] = Bucket(tally, rating)
        return bucket

    def forget(self, day: int) -> None:
        """Drop a day that counts nothing: no row has a place in it."""
        self.days.pop(day, None)
        for rating in range(len(LEVELS)):
            self.buckets.pop(day * len(LEVELS) + rating, None)


class CoverageTally:
    """What a metric said of the items placed in a queue, by the UTC day of the evaluation."""

    __slots__ = ("counts", "day", "metric", "queue", "touched")

    def __init__(self, queue: str, metric: str, day: int) -> None:
        self.queue = queue
        self.metric = metric
        self.day = day
        self.counts = [0, 0, 0, 0]
        self.touched = False

    @property
    def group(self) -> tallies.TallyGroup:
        """The tally's group."""
        return tallies.evaluations_group(self.queue, self.metric, day_name(self.day))

    @property
    def empty(self) -> bool:
        """Whether nothing is counted."""
        return not any(self.counts)

    def payload(self) -> tallies.EvaluationsPayload:
        """The counts as they are published."""
        passed, failed, error, skipped = self.counts
        return {"pass": passed, "fail": failed, "error": error, "skipped": skipped}


class ShardCounts:
    """All counts of a shard."""

    def __init__(self) -> None:
        self._criteria: dict[tuple[str, str], CriterionCounts] = {}
        self._coverage: dict[tuple[str, str, int], CoverageTally] = {}
        self._entered: dict[Bucket | Verdict, dict[Any, int]] = {}
        self._left: dict[Bucket | Verdict, dict[Any, int]] = {}
        self._touched: list[DayTally | CoverageTally] = []
        self._touched_cells: dict[DayTally, set[str]] = {}
        self._vanished: dict[tallies.TallyGroup, None] = {}

    # ---- counting

    def criterion(self, queue: str, criterion: str) -> CriterionCounts:
        """The counts of this queue and criterion."""
        counts = self._criteria.get((queue, criterion))
        if counts is None:
            counts = self._criteria[queue, criterion] = CriterionCounts(queue, criterion, {}, {})
        return counts

    def compare(self, one: Bucket | Verdict, others: Iterable[Bucket | Verdict], sign: int) -> None:
        """Add `sign` to the cells in which one side of comparisons meets the others; equal others count each."""
        moved = self._entered if sign > 0 else self._left
        times = moved.get(one)
        if times is None:
            times = moved[one] = {}
        _count_elements(times, others)

    def annotate(self, tally: DayTally, annotations: int, contributing: int) -> None:
        """Add to the annotations of a day."""
        tally.annotations += annotations
        tally.contributing += contributing
        if not tally.touched:
            self._touch(tally)

    def count_coverage(self, queue: str, metric: str, day: int, outcome: int, sign: int) -> None:
        """Add `sign` to what a metric said of a queue's items; `outcome` is the index in `tallies.COVERAGE`."""
        tally = self._coverage.get((queue, metric, day))
        if tally is None:
            tally = self._coverage[queue, metric, day] = CoverageTally(queue, metric, day)
        tally.counts[outcome] += sign
        self._touch(tally)

    def _settle(self) -> None:
        for moved, sign in ((self._entered, +1), (self._left, -1)):
            for one, others in moved.items():
                for other, times in others.items():
                    sides: tuple[Any, Any] = (one, other) if type(one) is Bucket else (other, one)
                    bucket, verdict = sides
                    tally: DayTally = bucket.tally
                    counts = tally.cells.get(verdict)
                    if counts is None:
                        counts = tally.cells[verdict] = [0] * len(LEVELS)
                    counts[bucket.rating] += sign * times
                    self._touched_cells.setdefault(tally, set()).add(verdict.metric)
            moved.clear()

    # ---- publishing

    def _touch(self, tally: DayTally | CoverageTally) -> None:
        if not tally.touched:
            tally.touched = True
            self._touched.append(tally)

    def touch(self, key: bytes) -> None:
        """Publish this tally at the next `drain`; a group that does not exist is published empty."""
        self._settle()
        match group := tallies.parse_key(key):
            case ("cells", queue, criterion, metric, name):
                day = self._day(queue, criterion, name)
                if day is not None and metric in day.by_metric():
                    self._touched_cells.setdefault(day, set()).add(metric)
                else:
                    self._vanished[group] = None
                return
            case ("annotations", queue, criterion, name):
                tally: DayTally | CoverageTally | None = self._day(queue, criterion, name)
            case ("evaluations", queue, metric, name):
                tally = self._coverage.get((queue, metric, _number(name)))
            case _:
                raise ValueError(f"not a group of tallies: {group!r}")
        if tally is None:
            self._vanished[group] = None
        else:
            self._touch(tally)

    def _day(self, queue: str, criterion: str, name: str) -> DayTally | None:
        rubric = self._criteria.get((queue, criterion))
        return None if rubric is None else rubric.days.get(_number(name))

    @property
    def touched(self) -> int:
        """Number of tallies that the next `drain` will publish."""
        self._settle()
        return len(self._touched) + sum(map(len, self._touched_cells.values())) + len(self._vanished)

    def counted(self) -> Iterator[tuple[bytes, tallies.Payload]]:
        """All tallies that are not empty, as (key, payload)."""
        self._settle()
        for rubric in self._criteria.values():
            for day in rubric.days.values():
                if not day.empty:
                    yield tallies.group_key(day.group), day.payload()
                for metric, cells in day.by_metric().items():
                    payload = _cells_payload(cells)
                    if payload["judges"]:
                        yield tallies.group_key(day.cells_group(metric)), payload
        for coverage in self._coverage.values():
            if not coverage.empty:
                yield tallies.group_key(coverage.group), coverage.payload()

    def drain(self) -> dict[bytes, tallies.Payload]:
        """Touched tallies, as copies, by key; nothing is touched afterwards."""
        self._settle()
        published = {tallies.group_key(group): tallies.empty(group) for group in self._vanished}
        for day, touched in self._touched_cells.items():
            by_metric = day.by_metric()
            for metric in touched:
                cells = by_metric[metric]
                published[tallies.group_key(day.cells_group(metric))] = _cells_payload(cells)
                for verdict, counts in cells.items():
                    if not any(counts):
                        del day.cells[verdict]
        for tally in self._touched:
            tally.touched = False
            published[tallies.group_key(tally.group)] = tally.payload()
            if tally.empty:
                self._forget(tally)
        self._touched.clear()
        self._touched_cells.clear()
        self._vanished.clear()
        return published

    def _forget(self, tally: DayTally | CoverageTally) -> None:
        """Drop a tally that counts nothing: its cells went in the same `drain`."""
        if isinstance(tally, CoverageTally):
            self._coverage.pop((tally.queue, tally.metric, tally.day), None)
        else:
            self._criteria[tally.queue, tally.criterion].forget(tally.day)


def _cells_payload(cells: Mapping[Verdict, list[int]]) -> tallies.CellsPayload:
    """The comparisons with one metric as they are published; judges without a count are left out."""
    judges: dict[str, tallies.JudgeCells] = {}
    for verdict, counts in cells.items():
        if any(counts):
            vectors = judges.get(verdict.judge)
            if vectors is None:
                vectors = judges[verdict.judge] = {"current": [0] * COUNTS, "superseded": [0] * COUNTS}
            # See `ratings.cell_index`.
            vectors["current" if verdict.current else "superseded"][verdict.passed :: 2] = counts
    return {"judges": judges}


def _number(day: str) -> int:
    """The number of a day; -1 for a text that is not a day, which no tally has."""
    try:
        return day_number(day)
    except ValueError:
        return -1
