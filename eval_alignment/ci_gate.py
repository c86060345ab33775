"""The gate for CI: whether the pairs of a queue agree enough, as an exit code.

The limit is the caller's own, beside the gate that a document carries. What cannot be decided never passes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from aggregator.snapshot.schema import MetricDocument, SnapshotDocument
from streams.runtime.exit_codes import ExitCode

Bound = Literal["low", "point"]


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
    outcome: ExitCode


def decide(document: SnapshotDocument, ask: Ask) -> tuple[ExitCode, list[PairOutcome]]:
    """The outcome, and the pairs that decide it. Off-topic pairs are not looked at."""
    decided = [_decide_pair(criterion, metric, ask) for criterion, metric in _pairs(document, ask)]
    outcomes = {pair.outcome for pair in decided}
    for outcome in (ExitCode.BELOW, ExitCode.TOO_FEW, ExitCode.PASS):
        if outcome in outcomes:
            return outcome, [pair for pair in decided if pair.outcome is outcome]
    return ExitCode.TOO_FEW, []


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
        outcome = ExitCode.TOO_FEW
    else:
        outcome = ExitCode.PASS if share >= ask.limit else ExitCode.BELOW
    return PairOutcome(criterion, metric["metric"], items, share, outcome)
