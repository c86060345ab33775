"""Numbers of a document as shapes: bars, cells and plots, in percent of their width.

Geometry is in SVG attributes and classes, so the page needs no style attribute.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

from aggregator.ratings import LEVELS, human_passes
from aggregator.snapshot.inputs import CountingRules
from aggregator.snapshot.schema import CriterionDocument, MetricDocument, SnapshotDocument
from aggregator.statistics.confusion import Confusion, Outcome, Undefined
from aggregator.statistics.gate import Gate, GateLimits
from sinks.page.wording import (
    OUTCOME_NAMES,
    OUTCOME_WORDS,
    SEGMENT_WORDS,
    GateSummary,
    Lean,
    gate_summary,
    lean,
    superseded_words,
)
from sinks.queries.results import Ceiling

_DRAWN: Final[tuple[Outcome, ...]] = ("tp", "fp", "fn", "tn")
"""Order in a bar: disagreement is in the middle, between pass and fail."""
_GAP: Final = 0.5
_SIDES: Final[Mapping[Outcome, tuple[bool, str]]] = {
    "tp": (True, "pass"),
    "fn": (True, "fail"),
    "fp": (False, "pass"),
    "tn": (False, "fail"),
}


def anchor(*names: str) -> str:
    """A stable element id for names of any kind."""
    return blake2b("\0".join(names).encode(), digest_size=5).hexdigest()


@dataclass(frozen=True, slots=True)
class RatingCounts:
    """Comparisons by human rating."""

    counts: tuple[int, ...]
    """By level, in the order of `LEVELS`."""
    borderline: int
    """Ratings by stars next to the pass mark of their criterion, on both sides of it."""
    near: str
    """Which these are, in words."""
    clear: int
    """Other ratings by stars."""
    thumbs: int
    bars: str
    """Path of a bar chart in a box of 140 by 32."""

    @property
    def total(self) -> int:
        """Number of comparisons."""
        return sum(self.counts)


def ratings(metrics: Iterable[tuple[int, MetricDocument]], outcomes: Sequence[Outcome]) -> RatingCounts:
    """Ratings of the comparisons with these outcomes, summed over metrics.

    Args:
        metrics: each with the number of stars from which a rating of its criterion is a pass.
        outcomes: the outcomes.
    """
    counts = [0] * len(LEVELS)
    borderline, limits = 0, set()
    for limit, metric in metrics:
        limits.add(limit)
        by_level: Mapping[str, Mapping[str, int]] = metric["ratings"]  # type: ignore[assignment]
        for index, level in enumerate(LEVELS):
            for outcome in outcomes:
                human, verdict_name = _SIDES[outcome]
                if human_passes(index, limit) == human:
                    number = by_level[level][verdict_name]
                    counts[index] += number
                    borderline += number if level in (str(limit - 1), str(limit)) else 0
    thumbs = counts[0] + counts[1]
    near = f"{min(limits) - 1} or {min(limits)} stars" if len(limits) == 1 else "next to the pass mark"
    return RatingCounts(
        tuple(counts),
        borderline,
        near,
        sum(counts) - borderline - thumbs,
        thumbs,
        _bars(counts),
    )


def _bars(counts: Sequence[int]) -> str:
    most = max(counts)
    if not most:
        return ""
    return "".join(
        f"M{3 + 20 * index} 32v-{max(1.0, 30 * number / most):.1f}h14V32z"
        for index, number in enumerate(counts)
        if number
    )


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a bar, which is also a cell of the matrix."""

    outcome: Outcome
    number: int
    share: float | None
    """Share of all comparisons; None without comparisons."""
    x: float
    """Left edge in percent of the bar."""
    width: float
    heat: int
    """Strength of the cell's color, 0 to 9."""
    name: str
    words: str
    """Explanation in the matrix."""
    drawn: str
    """Explanation in the bar."""
    ratings: RatingCounts

    @property
    def aligned(self) -> bool:
        """Whether people and metric agree in it."""
        return self.outcome in ("tp", "tn")


def _parts(metric: MetricDocument, limit: int) -> dict[Outcome, Part]:
    total = metric["comparisons"]
    numbers: dict[Outcome, int] = {outcome: metric[outcome] for outcome in _DRAWN}
    shown = [outcome for outcome in _DRAWN if numbers[outcome]]
    room = 100 - _GAP * max(0, len(shown) - 1)
    x, parts = 0.0, {}
    for outcome in _DRAWN:
        share = numbers[outcome] / total if total else None
        width = room * (share or 0)
        heat = min(9, int((share or 0) * (14 if outcome in ("tp", "tn") else 28)))
        parts[outcome] = Part(
            outcome, numbers[outcome], share, x, width, heat, OUTCOME_NAMES[outcome], OUTCOME_WORDS[outcome],
            SEGMENT_WORDS[outcome], ratings([(limit, metric)], [outcome]),
        )  # fmt: skip
        x += width + _GAP if outcome in shown else 0
    return parts


@dataclass(frozen=True, slots=True)
class Scale:
    """A scale of shares that ends at 100 %; positions are percent of its width."""

    start: float = 0.4

    @classmethod
    def of(cls, shares: Iterable[float | None]) -> "Scale":
        """The scale on which some shares and lower bounds are drawn: from 40 %, or from 0 when one is below 40 %."""
        return cls(0.0 if any(share is not None and share < 0.4 for share in shares) else 0.4)

    def at(self, share: float) -> float:
        """The position of a share."""
        return round(100 * max(0.0, share - self.start) / (1 - self.start), 2)

    def span(self, low: float, high: float) -> float:
        """The width of an interval."""
        return round(self.at(high) - self.at(low), 2)

    @property
    def middle(self) -> float:
        """The share in the middle."""
        return (1 + self.start) / 2


@dataclass(frozen=True, slots=True)
class Figure:
    """A metric of a criterion as the page shows it."""

    document: MetricDocument
    key: str
    """Element id."""
    gate_summary: GateSummary
    lean: Lean
    parts: Mapping[Outcome, Part]
    rank: int | None = None
    """Place by alignment, from 1; None with too few items."""
    drawn: Sequence[Outcome] = field(default=_DRAWN)

    @property
    def below_baseline(self) -> bool:
        """Whether a constant judge would agree with people at least as often; False while the gate is undecided."""
        alignment, baseline = self.document["alignment"], self.document["baseline"]
        decided = self.document["gate_state"] not in (None, Gate.UNDECIDED)
        return decided and alignment is not None and baseline is not None and alignment <= baseline


def figures(criterion: CriterionDocument, rules: CountingRules) -> tuple[list[Figure], list[Figure]]:
    """Figures of a criterion: on-topic metrics, ranked ones first, and off-topic metrics."""
    all_figures = [_figure(criterion["criterion"], metric, rules) for metric in criterion["metrics"]]
    enough, few, off = [], [], []
    for figure in all_figures:
        if figure.document["off_topic"]:
            off.append(figure)
        elif figure.document["items_compared"] >= rules.limits.items:
            enough.append(figure)
        else:
            few.append(figure)
    ranked = [_ranked(figure, rank) for rank, figure in enumerate(enough, start=1)]
    return ranked + few, off


def _figure(criterion: str, metric: MetricDocument, rules: CountingRules) -> Figure:
    replaced = superseded_words(metric)
    return Figure(
        document=metric,
        key=anchor(criterion, metric["metric"]),
        gate_summary=gate_summary(metric, rules.limits),
        lean=Lean("No current comparisons.", f"{replaced}.") if replaced else lean(metric),
        parts=_parts(metric, rules.pass_limit(criterion)),
    )


def _ranked(figure: Figure, rank: int) -> Figure:
    return Figure(figure.document, figure.key, figure.gate_summary, figure.lean, figure.parts, rank)


def metric_scale(drawn: Sequence[Figure], ceiling: Ceiling | None) -> Scale:
    """The scale of the intervals and lines of metrics."""
    shares = [figure.document[name] for figure in drawn for name in ("alignment_low", "baseline")]
    return Scale.of([*shares, None if ceiling is None else ceiling["agreement"]])


@dataclass(frozen=True, slots=True)
class Margin:
    """Passes and fails of people, or of metrics, over all comparisons of a criterion."""

    name: str
    key: str
    passed: int
    failed: int
    passed_ratings: RatingCounts
    failed_ratings: RatingCounts

    @property
    def share(self) -> float:
        """Pass rate."""
        return self.passed / (self.passed + self.failed)


def margins(criterion: CriterionDocument, shown: Sequence[Figure], rules: CountingRules) -> list[Margin]:
    """Margins of people and of metrics, for a criterion with comparisons."""
    metrics = [(rules.pass_limit(criterion["criterion"]), figure.document) for figure in shown]

    def margin(name: str, passes: Sequence[Outcome], fails: Sequence[Outcome]) -> Margin:
        passed, failed = (ratings(metrics, outcomes) for outcomes in (passes, fails))
        key = anchor(criterion["criterion"], name)
        return Margin(name, key, passed.total, failed.total, passed, failed)

    return [
        margin("Human annotations", ("tp", "fn"), ("tn", "fp")),
        margin("Metrics", ("tp", "fp"), ("tn", "fn")),
    ]


def pooled(document: SnapshotDocument) -> Confusion:
    """The confusion matrix of the on-topic comparisons of all criteria, from its margins and the misaligned count."""
    cards = document["cards"]
    human = sum(criterion["human"]["pass"] for criterion in document["criteria"])
    metric = sum(criterion["metric"]["pass"] for criterion in document["criteria"])
    tp = (human + metric - cards["misaligned"]) // 2
    fn, fp = human - tp, metric - tp
    return Confusion(tp, fn, cards["comparisons"] - tp - fn - fp, fp, cards["items_compared"])


def queue_tone(whole: Confusion, limits: GateLimits) -> str:
    """Class of the style sheet for the alignment of all comparisons of a queue.

    Not a verdict on a metric: `untrusted` where a constant judge agrees with people at least as often. Few items, and
    one human class, allow no answer.
    """
    if whole.items < limits.items or not (whole.human_pass and whole.human_fail):
        return "undecided"
    return "untrusted" if whole.tp + whole.tn <= max(whole.human_pass, whole.human_fail) else "trusted"


def defined(value: float | Undefined) -> float | None:
    """A number; None when it is undefined."""
    return None if isinstance(value, Undefined) else value
