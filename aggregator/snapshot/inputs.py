"""What a snapshot document is made from: one queue's rolled-up counts in one window, and how they are read.

The counts come from anywhere: a view adds up tallies, a recount counts rows. What a window leaves out is
already left out of them.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from aggregator.policy import Policy
from aggregator.ratings import DEFAULT_PASS_STARS, LEVELS, human_passes
from aggregator.statistics.gate import GateLimits

Vector = Sequence[int]
"""14 counts, rating level by verdict (see `ratings`)."""


def sum_vectors(vectors: Iterable[Sequence[int]]) -> tuple[int, ...]:
    """The sum of one or more vectors of the same length.

    >>> sum_vectors([(1, 2), (3, 4)])
    (4, 6)
    """
    return tuple(map(sum, zip(*vectors, strict=True)))


class Cell(NamedTuple):
    """One judge version's comparisons: where its evaluation is the item's latest, and where it is not."""

    current: Vector
    superseded: Vector


@dataclass(frozen=True, slots=True)
class Pair:
    """A criterion and a metric: distinct items among the current comparisons, and cells by judge version."""

    items: int
    judges: Mapping[str, Cell]


@dataclass(frozen=True, slots=True)
class CriterionState:
    """Annotations of a criterion. `contributing` and `items_compared` look at on-topic metrics only."""

    annotations: int
    contributing: int
    items_compared: int
    metrics: Mapping[str, Pair]


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What a metric said of a queue's items: four counts of the window; `waiting` for it at present."""

    passed: int
    failed: int
    errored: int
    skipped: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Funnel:
    """The items that standing queue-item rows place in the queue (at least one), whatever the window.

    `waiting_evaluation`: no metric has said anything; `errored`: failures only; `waiting_annotation`: no
    standing annotation. `metrics`: every metric that said anything of one of them, on whatever day.
    """

    items: int
    waiting_evaluation: int
    errored: int
    waiting_annotation: int
    metrics: Mapping[str, Evaluated]


@dataclass(frozen=True, slots=True)
class QueueState:
    """Counts of one queue since some day: `items_compared` over on-topic pairs, `funnel` with queue items."""

    queue: str
    items_compared: int
    items_annotated: int
    criteria: Mapping[str, CriterionState]
    funnel: Funnel | None = None


@dataclass(frozen=True, slots=True)
class DocumentStamp:
    """Which state the counts are: `as_of` as by `days.timestamp`, ledger offsets by partition."""

    as_of: str
    revision: int
    ledger: str
    positions: Mapping[int, int]
    policy: Policy


@dataclass(frozen=True, slots=True)
class CountingRules:
    """Settings that apply when counts are read: what people passed, meaningful pairs, limits of the gate.

    A criterion that `criterion_metrics` does not name is compared with every metric.
    """

    pass_stars: int = DEFAULT_PASS_STARS
    criterion_metrics: Mapping[str, Collection[str]] = field(default_factory=dict)
    limits: GateLimits = field(default_factory=GateLimits)

    def on_topic(self, criterion: str, metric: str) -> bool:
        """Whether the pair counts in cards, gauges, gate and alerts."""
        return criterion not in self.criterion_metrics or metric in self.criterion_metrics[criterion]

    def outcomes(self, vector: Vector) -> tuple[int, int, int, int]:
        """tp, fn, tn and fp of a vector under the pass convention; people are the truth."""
        tp = fn = tn = fp = 0
        for level in range(len(LEVELS)):
            fails, passes = vector[2 * level], vector[2 * level + 1]
            if human_passes(level, self.pass_stars):
                tp, fn = tp + passes, fn + fails
            else:
                tn, fp = tn + fails, fp + passes
        return tp, fn, tn, fp
