"""Items with many rows of one kind: indexes that find, for a changed row, the few others that change with it.

Without them an event costs as much as its item has rows, and all events of an item the square of that. A nightly judge
that names each run, or a page that every visitor rates, is such an item. Nearly all items have few rows: a search
among them is faster, and an index would need more memory than it is worth.

An index has a `NewestRow` for each set of rows of which only the newest counts. All other state of an index is numbers.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from heapq import heapify, heappop, heappush
from typing import Final, Generic, TypeVar

import msgspec

from aggregator.policy import Policy
from aggregator.ratings import LEVELS
from aggregator.rows import (
    DELETED,
    LAST_VERDICT,
    AnnotationRow,
    AnnotatorKey,
    EvaluationRow,
    ItemRow,
    Judge,
    Row,
    RowVersion,
)
from aggregator.sides import Bucket, CriterionCounts, SideCounts, numbers
from aggregator.verdicts import Verdict

MANY: Final = 64
"""An item with more annotations, or more evaluations, has an index of them."""

Key = TypeVar("Key", AnnotatorKey, Judge)


class _Candidate(msgspec.Struct, Generic[Key], gc=False, eq=False):
    """A row as it was when it was added."""

    version: RowVersion
    key: Key

    def __lt__(self, other: "_Candidate[Key]") -> bool:
        """Whether it is newer: the first of a heap is the least."""
        return self.version > other.version


class NewestRow(Generic[Key]):
    """The newest of many rows of one item, which may change or stop to count.

    A heap that also keeps former versions of changed rows: one is dropped when it comes to the top, or when the heap
    has become twice as large as needed.

    Args:
        rows: all rows of the item; each `Key` that was added has a row.
    """

    __slots__ = ("_heap", "_limit", "_rows")

    def __init__(self, rows: Mapping[Key, Row]) -> None:
        self._rows: Mapping[Key, Row] = rows
        self._heap: list[_Candidate[Key]] = []
        self._limit = MANY

    def __len__(self) -> int:
        """Number of versions that it keeps."""
        return len(self._heap)

    def add(self, key: Key) -> None:
        """Take part from now on, until the version of the row changes."""
        heappush(self._heap, _Candidate(self._rows[key].version, key))
        if len(self._heap) > self._limit:
            self._heap = [each for each in self._heap if self._is_row(each)]
            heapify(self._heap)
            self._limit = 2 * len(self._heap) + MANY

    def find(self, unless: Callable[[Key], bool] | None = None) -> Key | None:
        """The key of the newest row. A row for which `unless` is true takes part no longer."""
        heap = self._heap
        while heap:
            first = heap[0]
            if self._is_row(first) and not (unless is not None and unless(first.key)):
                return first.key
            heappop(heap)
        return None

    def _is_row(self, candidate: _Candidate[Key]) -> bool:
        return self._rows[candidate.key].version == candidate.version


class _MetricIndex:
    """The evaluations of one item by one metric."""

    __slots__ = ("current", "failures", "verdicts")

    def __init__(self, evaluations: Mapping[Judge, EvaluationRow]) -> None:
        self.verdicts: NewestRow[Judge] = NewestRow(evaluations)
        """Those that stand."""
        self.failures: NewestRow[Judge] = NewestRow(evaluations)
        """Those that their judge has not deleted since."""
        self.current: Judge | None = None
        """The judge of the current verdict."""


class ManyEvaluations(SideCounts[Verdict]):
    """The standing verdicts of an item that has many evaluations, and the index of these.

    Args:
        item: has all its rows; only the verdict of the last one may not be resolved yet.
    """

    __slots__ = ("_evaluations", "_metrics")

    def __init__(self, item: ItemRow) -> None:
        super().__init__(verdict for verdict, _ in numbers(item.verdicts))
        self._evaluations = item.evaluations
        self._metrics: dict[str, _MetricIndex] = {}
        for judge, row in item.evaluations.items():
            self.update(judge)
            if row.verdict is not None and row.verdict.current:
                self._metrics[judge.metric].current = judge

    @property
    def metrics(self) -> Iterable[str]:
        """Every metric with an evaluation."""
        return self._metrics

    def update(self, judge: Judge) -> None:
        """An evaluation is new or has changed."""
        metric = self._metrics.get(judge.metric)
        if metric is None:
            metric = self._metrics[judge.metric] = _MetricIndex(self._evaluations)
        coverage = self._evaluations[judge].coverage
        if coverage <= LAST_VERDICT:
            metric.verdicts.add(judge)
        elif coverage != DELETED:
            metric.failures.add(judge)

    def resolve(self, changed: Judge) -> Iterator[tuple[EvaluationRow, Verdict | None]]:
        """The verdicts that may change with that of a judge: its own, the former current one and the current one."""
        metric = self._metrics[changed.metric]
        former, metric.current = metric.current, metric.verdicts.find()
        for judge in dict.fromkeys((changed, former, metric.current)):
            if judge is not None:
                row = self._evaluations[judge]
                yield row, judge.verdict(row.coverage, current=judge is metric.current)

    def shown(self, metric: str, judges: Mapping[str, Judge]) -> EvaluationRow | None:
        """As `rivals.shown_evaluation`; `judges` are those with verdicts of the metric."""
        index = self._metrics.get(metric)
        if index is None:
            return None

        def deleted_since(judge: Judge) -> bool:
            # No verdict stands, so this one is a deletion. It stays: neither becomes older.
            deletion = self._evaluations.get(judges[judge.name]) if judge.name in judges else None
            return deletion is not None and deletion.version > self._evaluations[judge].version

        judge = index.current or index.failures.find(unless=deleted_since)
        return None if judge is None else self._evaluations[judge]


class _CriterionIndex:
    """The annotations of one item by one queue and criterion."""

    __slots__ = ("annotators", "compared", "newest", "ratings")

    def __init__(self, annotations: Mapping[AnnotatorKey, AnnotationRow]) -> None:
        self.annotators: list[AnnotatorKey] = []
        """All of them, also those of deleted annotations."""
        self.newest: NewestRow[AnnotatorKey] = NewestRow(annotations)
        """Of the annotations that are not deleted."""
        self.ratings = [0] * len(LEVELS)
        """Their numbers by rating, in the order of `ratings.LEVELS`."""
        self.compared: AnnotatorKey | None = None
        """The one that was compared last, unless each is."""


class ManyAnnotations(SideCounts[Bucket]):
    """The compared annotations of an item that has many annotations, and the index of all.

    Args:
        item: has all its rows; only the last one may not be counted yet.
        policy: which annotations are compared.
    """

    __slots__ = ("_annotations", "_policy", "_queues")

    def __init__(self, item: ItemRow, policy: Policy) -> None:
        super().__init__(bucket for bucket, _ in numbers(item.compared))
        self._annotations = item.annotations
        self._policy = policy
        self._queues: dict[str, dict[CriterionCounts, _CriterionIndex]] = {}
        for annotator, row in item.annotations.items():
            self.update(annotator, None)
            if row.compared:
                self._index(annotator.criterion).compared = annotator

    def criteria(self, queue: str) -> Iterable[CriterionCounts]:
        """Every criterion of a queue with an annotation."""
        return self._queues.get(queue, ())

    def update(self, annotator: AnnotatorKey, former: int | None) -> None:
        """An annotation is new, or has changed and had the rating `former`, an index in `ratings.LEVELS` or less."""
        index = self._index(annotator.criterion)
        if former is None:
            index.annotators.append(annotator)
        elif former >= 0:
            index.ratings[former] -= 1
        rating = self._annotations[annotator].rating
        if rating >= 0:
            index.ratings[rating] += 1
            # A policy that compares each needs no newest one.
            if self._policy is not Policy.EACH:
                index.newest.add(annotator)

    def rivals(self, criterion: CriterionCounts, changed: AnnotatorKey | None) -> list[AnnotationRow]:
        """The annotations whose comparisons may change with that of an annotator; all of the criterion without one.

        The newest standing one is among them, except under a policy that compares each.
        """
        index = self._index(criterion)
        former, index.compared = index.compared, index.newest.find()
        others: Iterable[AnnotatorKey | None] = index.annotators if changed is None else (changed, former)
        # First, so that of equal versions this one is taken for the newest.
        annotators = dict.fromkeys((index.compared, *others))
        return [self._annotations[annotator] for annotator in annotators if annotator is not None]

    def ratings(self, criterion: CriterionCounts) -> Sequence[int]:
        """Numbers of standing annotations by rating, in the order of `ratings.LEVELS`."""
        return self._index(criterion).ratings

    def _index(self, criterion: CriterionCounts) -> _CriterionIndex:
        criteria = self._queues.setdefault(criterion.queue, {})
        index = criteria.get(criterion)
        if index is None:
            index = criteria[criterion] = _CriterionIndex(self._annotations)
        return index
