"""The inputs of a snapshot document: the counts of one queue in one window, and the settings that apply to them.

The view makes the counts from tallies, a recount from rows. They are those of the window already.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import add
from typing import NamedTuple

from aggregator.policy import Policy
from aggregator.ratings import DEFAULT_PASS_STARS, LEVELS, human_passes
from aggregator.statistics.confusion import Undefined
from aggregator.statistics.gate import GateLimits
from aggregator.statistics.judge_in_use import JudgePeriod

Vector = Sequence[int]
"""A cell vector: 14 counts, rating level by verdict (see `ratings`)."""


def sum_vectors(vectors: Iterable[Sequence[int]]) -> tuple[int, ...]:
    """The sum of one or more vectors of the same length.

    >>> sum_vectors([(1, 2), (3, 4)])
    (4, 6)
    """
    return tuple(map(sum, zip(*vectors, strict=True)))


class JudgeVectors(NamedTuple):
    """The comparisons of one judge version."""

    current: Vector
    """Where its verdict is the newest on the item."""
    superseded: Vector
    """Where another judge's verdict is newer."""
    items: int
    """Distinct items among both."""

    @property
    def own(self) -> Vector:
        """All comparisons of the version."""
        return tuple(map(add, self.current, self.superseded))


@dataclass(frozen=True, slots=True)
class PairCounts:
    """The comparisons of a criterion and a metric."""

    items: int
    """Distinct items among the current comparisons."""
    judges: Mapping[str, JudgeVectors]
    """By judge version."""


class JudgeFailures(NamedTuple):
    """Distinct annotated items without a verdict of a metric, by what its judge reported instead."""

    errored: int
    skipped: int


@dataclass(frozen=True, slots=True)
class CriterionState:
    """The counts of a criterion."""

    annotations: int
    """Standing annotations."""
    contributing: int
    """Those with at least one on-topic comparison."""
    items_compared: int
    """Distinct items with at least one on-topic comparison."""
    metrics: Mapping[str, PairCounts]
    """By metric, on topic or not."""
    failures: Mapping[str, JudgeFailures] = field(default_factory=dict)
    """By metric, on topic or not; only metrics with a failure."""


@dataclass(frozen=True, slots=True)
class MetricCoverage:
    """The items placed in a queue by what a metric shows for them, in the window."""

    passed: int
    failed: int
    errored: int
    skipped: int
    waiting: int
    """Items without any evaluation of the metric, at present, in all windows."""


@dataclass(frozen=True, slots=True)
class Funnel:
    """The items placed in a queue, at least one, at present. They are the same in all windows."""

    items: int
    """All of them."""
    waiting_evaluation: int
    """Without any evaluation."""
    errored: int
    """With failures only."""
    waiting_annotation: int
    """Without a standing annotation."""
    metrics: Mapping[str, MetricCoverage]
    """Every metric that evaluated one of them, on any day."""


@dataclass(frozen=True, slots=True)
class QueueState:
    """The counts of one queue in one window."""

    queue: str
    items_compared: int
    """Distinct items with at least one on-topic comparison."""
    items_annotated: int
    """Distinct items with a standing annotation."""
    criteria: Mapping[str, CriterionState]
    funnel: Funnel | None = None
    """None when no queue item places an item in the queue, and of one judge version."""
    judges: Mapping[str, JudgePeriod] = field(default_factory=dict)
    """By metric the judge version that the gate decides on: the newest in use, over the items of all queues, or
    `judge`.
    """
    judge: str | None = None
    """Judge version whose current comparisons are counted alone; None for those of all versions."""

    @property
    def no_funnel(self) -> Undefined:
        """Why `funnel` is None."""
        return Undefined.NO_QUEUE_ITEMS if self.judge is None else Undefined.ONE_JUDGE


@dataclass(frozen=True, slots=True)
class DocumentStamp:
    """The state of the topics that a document is of."""

    as_of: str
    """As `days.timestamp` returns it."""
    revision: int
    ledger: str
    """The ledger id."""
    positions: Mapping[int, int]
    """Ledger offsets by partition."""
    policy: Policy
    rebuilding: int = 0
    """Offsets of the evaluations topic that workers read again."""


@dataclass(frozen=True, slots=True)
class CountingRules:
    """Settings that apply when counts are read."""

    pass_stars: int = DEFAULT_PASS_STARS
    """Stars from which a rating is a human pass, where the criterion has no number of its own."""
    criterion_metrics: Mapping[str, Collection[str]] = field(default_factory=dict)
    """The metrics that are on topic, by criterion; for a criterion that is not a key, all are."""
    limits: GateLimits = field(default_factory=GateLimits)
    """Limits of the gate."""
    pass_stars_by_criterion: Mapping[str, int] = field(default_factory=dict)
    """The same as `pass_stars`, of criteria that have a number of their own."""

    def pass_limit(self, criterion: str) -> int:
        """Stars from which a rating of this criterion is a human pass."""
        return self.pass_stars_by_criterion.get(criterion, self.pass_stars)

    def on_topic(self, criterion: str, metric: str) -> bool:
        """Whether the pair is in cards, gauges, gate and alerts."""
        return criterion not in self.criterion_metrics or metric in self.criterion_metrics[criterion]

    def outcomes(self, criterion: str, vector: Vector) -> tuple[int, int, int, int]:
        """tp, fn, tn and fp of a cell vector; `pass_limit` decides what a human pass is."""
        limit = self.pass_limit(criterion)
        tp = fn = tn = fp = 0
        for level in range(len(LEVELS)):
            fails, passes = vector[2 * level], vector[2 * level + 1]
            if human_passes(level, limit):
                tp, fn = tp + passes, fn + fails
            else:
                tn, fp = tn + fails, fp + passes
        return tp, fn, tn, fp
