"""The gate for CI: decides whether the pairs of a queue reach a limit.

The caller sets the limit; it is independent of the gate in the document. A pair that cannot be decided does not pass.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from aggregator.snapshot.schema import MetricDocument, SnapshotDocument
from aggregator.statistics.confusion import Confusion, Undefined
from aggregator.statistics.gate import GateLimits, Looks
from eval_alignment.terminal_text import DASH, printable
from eval_alignment.unknown_names import not_found
from streams.runtime.exit_codes import ExitCode

Bound = Literal["low", "point"]

NEWEST_JUDGE: Final = "newest"
"""Judges the newest judge version in use."""
ALL_JUDGES: Final = "all"
"""Judges the mix of all versions: the latest verdict of each item."""


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
    judge: str = NEWEST_JUDGE
    """`newest`, `all`, or the name of a judge version."""
    looks: Looks = Looks.MANY
    """Whether the lower bound holds at all looks together, or at one."""


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
    decided += _not_listed(document, request)
    outcomes = {pair.outcome for pair in decided}
    for outcome in (ExitCode.BELOW, ExitCode.TOO_FEW, ExitCode.PASS):
        if outcome in outcomes:
            return outcome, [pair for pair in decided if pair.outcome is outcome]
    return ExitCode.TOO_FEW, []


def outcome_lines(outcome: ExitCode, deciding: Sequence[PairOutcome], request: GateRequest) -> list[str]:
    """The outcome in words, a line for each pair that decides it."""
    word = outcome.name.lower().replace("_", " ")
    what = f"lower bound ({request.looks} look{'s' if request.looks is Looks.MANY else ''})"
    what = what if request.bound == "low" else "alignment"
    if not deciding:
        return [f"{word}: no on-topic pair matches"]
    return [
        f"{word}: {printable(pair.criterion)} / {printable(pair.metric)}: "
        f"{what} {DASH if pair.share is None else f'{pair.share:.4f}'}, limit {request.limit:g}, "
        f"{pair.items} items, minimum {request.items}"
        for pair in deciding
    ]


def missing_names(document: SnapshotDocument, request: GateRequest) -> str | None:
    """A message about a requested criterion or metric that the queue does not have; None when it has both."""
    criteria = {criterion["criterion"] for criterion in document["criteria"]}
    metrics = {metric["metric"] for criterion in document["criteria"] for metric in criterion["metrics"]}
    if request.criterion is not None and request.criterion not in criteria:
        return not_found("criterion", request.criterion, criteria)
    if request.metric is not None and request.metric not in metrics:
        if any(criterion.get("metrics_left_out") for criterion in document["criteria"]):
            return (
                f"metric {request.metric!r} not found among the pairs with most comparisons, which the document lists"
            )
        return not_found("metric", request.metric, metrics)
    return None


def _pairs(document: SnapshotDocument, request: GateRequest) -> Iterator[tuple[str, MetricDocument]]:
    for criterion in document["criteria"]:
        if request.criterion in (None, criterion["criterion"]):
            for metric in criterion["metrics"]:
                if request.metric in (None, metric["metric"]) and not metric["off_topic"]:
                    yield criterion["criterion"], metric


def _not_listed(document: SnapshotDocument, request: GateRequest) -> Iterator[PairOutcome]:
    """The pairs that a large document leaves out, those with fewest comparisons: they are not decided."""
    for criterion in document["criteria"]:
        # A view of an earlier release lists all.
        left_out = criterion.get("metrics_left_out", 0)
        if left_out and request.metric is None and request.criterion in (None, criterion["criterion"]):
            metrics = f"{left_out} metrics that the document leaves out"
            yield PairOutcome(criterion["criterion"], metrics, 0, None, ExitCode.TOO_FEW)


def _counts(metric: MetricDocument, judge: str) -> Confusion:
    """The comparisons of the judge versions that the request names: the newest in use, all, or one by its name."""
    if judge == ALL_JUDGES:
        return Confusion(metric["tp"], metric["fn"], metric["tn"], metric["fp"], metric["items_compared"])
    own = metric["newest_judge"] if judge == NEWEST_JUDGE else metric["judges"].get(judge)
    if own is None:
        return Confusion(0, 0, 0, 0, 0)
    return Confusion(own["tp"], own["fn"], own["tn"], own["fp"], own["items_compared"])


def _decide_pair(criterion: str, metric: MetricDocument, request: GateRequest) -> PairOutcome:
    counts = _counts(metric, request.judge)
    items, alignment = counts.items, counts.alignment
    share = None
    if not isinstance(alignment, Undefined):
        low = GateLimits(looks=request.looks).lower_bound(alignment, items)
        share = low if request.bound == "low" else alignment.value
    if items < request.items or share is None:
        outcome = ExitCode.TOO_FEW
    else:
        outcome = ExitCode.PASS if share >= request.limit else ExitCode.BELOW
    return PairOutcome(criterion, metric["metric"], items, share, outcome)
