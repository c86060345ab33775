"""The gate for CI: decides whether the pairs of a queue reach a limit.

The caller sets the limit; it is independent of the gate in the document. A pair that cannot be decided does not pass.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from aggregator.snapshot.schema import MetricDocument, SnapshotDocument
from streams.runtime.exit_codes import ExitCode

Bound = Literal["low", "point"]


@dataclass(frozen=True, slots=True)
class GateRequest:
    """What a build requires of the pairs of a queue."""

    limit: float
    """Minimum of `bound`, in 0..1."""
    bound: Bound = "low"
    """What is compared with the limit: the lower bound of alignment, or its point estimate."""
    items: int = 30
    """Minimum number of distinct items; a pair with fewer is not decided."""
    criterion: str | None = None
    """Only pairs of this criterion; None for all."""
    metric: str | None = None
    """Only pairs of this metric; None for all."""


@dataclass(frozen=True, slots=True)
class PairOutcome:
    """The outcome of a pair of criterion and metric."""

    criterion: str
    metric: str
    items: int
    """Number of distinct items."""
    share: float | None
    """The value that was compared with the limit; None when it is undefined."""
    outcome: ExitCode


def decide(document: SnapshotDocument, request: GateRequest) -> tuple[ExitCode, list[PairOutcome]]:
    """The outcome for a queue, and the pairs that decide it. Ignores off-topic pairs."""
    decided = [_decide_pair(criterion, metric, request) for criterion, metric in _pairs(document, request)]
    outcomes = {pair.outcome for pair in decided}
    for outcome in (ExitCode.BELOW, ExitCode.TOO_FEW, ExitCode.PASS):
        if outcome in outcomes:
            return outcome, [pair for pair in decided if pair.outcome is outcome]
    return ExitCode.TOO_FEW, []


def _pairs(document: SnapshotDocument, request: GateRequest) -> Iterator[tuple[str, MetricDocument]]:
    for criterion in document["criteria"]:
        if request.criterion in (None, criterion["criterion"]):
            for metric in criterion["metrics"]:
                if request.metric in (None, metric["metric"]) and not metric["off_topic"]:
                    yield criterion["criterion"], metric


def _decide_pair(criterion: str, metric: MetricDocument, request: GateRequest) -> PairOutcome:
    items = metric["items_compared"]
    share = metric["alignment_low"] if request.bound == "low" else metric["alignment"]
    if items < request.items or share is None:
        outcome = ExitCode.TOO_FEW
    else:
        outcome = ExitCode.PASS if share >= request.limit else ExitCode.BELOW
    return PairOutcome(criterion, metric["metric"], items, share, outcome)
