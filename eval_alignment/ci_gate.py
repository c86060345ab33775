"""The gate for CI: whether the pairs of a queue agree enough, as an exit code.

The limit is the caller's own, beside the gate that a document carries. What cannot be decided never passes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from aggregator.snapshot.schema import MetricDocument, SnapshotDocument

Bound = Literal["low", "point"]


class GateOutcome(Enum):
    """Results of `report --fail-under`, with exit code and meaning."""

    PASS = 0, "every pair that is asked for reaches the limit"
    BELOW = 1, "a pair with enough items is below the limit"
    TOO_FEW = 2, "no pair is below the limit, but one has too few distinct items, or there is no pair at all"
    UNREACHABLE = 3, "the document could not be had: no connection, refused, an unknown queue, or no document"

    @property
    def code(self) -> int:
        """The exit code."""
        return self.value[0]

    @property
    def meaning(self) -> str:
        """When it is the result."""
        return self.value[1]


@dataclass(frozen=True, slots=True)
class Ask:
    """What a build asks: a limit in 0..1 for the lower bound of alignment, or for its point estimate.

    `items`: distinct items below which a pair is not decided. `criterion` and `metric` choose the pairs.
    """

    limit: float
    bound: Bound = "low"
    items: int = 30
    criterion: str | None = None
    metric: str | None = None


@dataclass(frozen=True, slots=True)
class PairOutcome:
    """A pair and its outcome."""

    criterion: str
    metric: str
    items: int
    share: float | None
    outcome: GateOutcome


def decide(document: SnapshotDocument, ask: Ask) -> tuple[GateOutcome, list[PairOutcome]]:
    """The outcome, and the pairs that decide it. Off-topic pairs are not looked at."""
    decided = [_decide_pair(criterion, metric, ask) for criterion, metric in _pairs(document, ask)]
    outcomes = {pair.outcome for pair in decided}
    for outcome in (GateOutcome.BELOW, GateOutcome.TOO_FEW, GateOutcome.PASS):
        if outcome in outcomes:
            return outcome, [pair for pair in decided if pair.outcome is outcome]
    return GateOutcome.TOO_FEW, []


def _pairs(document: SnapshotDocument, ask: Ask) -> Iterator[tuple[str, MetricDocument]]:
    for criterion in document["criteria"]:
        if ask.criterion in (None, criterion["criterion"]):
            for metric in criterion["metrics"]:
                if ask.metric in (None, metric["metric"]) and not metric["off_topic"]:
                    yield criterion["criterion"], metric


def _decide_pair(criterion: str, metric: MetricDocument, ask: Ask) -> PairOutcome:
    items = metric["items_compared"]
    share = metric["alignment_low"] if ask.bound == "low" else metric["alignment"]
    if items < ask.items or share is None:
        outcome = GateOutcome.TOO_FEW
    else:
        outcome = GateOutcome.PASS if share >= ask.limit else GateOutcome.BELOW
    return PairOutcome(criterion, metric["metric"], items, share, outcome)
