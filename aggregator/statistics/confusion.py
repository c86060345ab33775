"""Agreement statistics: pure functions of the four counts of a confusion matrix.

Every number is computed from counts when it is read; none is stored or added up. A number that cannot be computed is
an `Undefined` reason, never 0 and never 1.

The width of an interval comes from n_eff, the number of distinct items, and not from the number of comparisons, because
several annotators (or metrics) of one item are not independent. A rate over a part of the comparisons, such as tpr, has
its share of the items, n_eff * part / n. This is one design effect, n / n_eff, for the whole table (Kish 1965, Survey
Sampling).
"""

from dataclasses import dataclass
from enum import StrEnum
from math import sqrt
from typing import Final, Literal, NamedTuple

Z_95: Final = 1.959963984540054
Z_99: Final = 2.5758293035489004
"""The 97.5 % quantile of the standard normal distribution."""


Outcome = Literal["tp", "fn", "tn", "fp"]
"""A cell of the confusion matrix, see `Confusion`."""
OUTCOMES: Final[tuple[Outcome, ...]] = ("tp", "fn", "tn", "fp")


class Undefined(StrEnum):
    """Why a number is undefined."""

    NO_COMPARISONS = "no_comparisons"
    """No item has both an annotation and a verdict of the metric."""
    NO_HUMAN_PASS = "no_human_pass"
    """People passed none of the compared items."""
    NO_HUMAN_FAIL = "no_human_fail"
    """People failed none of the compared items."""
    NO_METRIC_PASS = "no_metric_pass"
    """The metric passed none of the compared items."""
    NO_METRIC_FAIL = "no_metric_fail"
    """The metric failed none of the compared items."""
    ONE_CLASS = "one_class"
    """People and metric gave only one verdict, the same one: chance explains all agreement."""
    NO_QUEUE_ITEMS = "no_queue_items"
    """The queue has no queue items, so the number of its items is unknown."""
    ONE_JUDGE = "one_judge"
    """The answer is of one judge version, and the number is of all of them."""
    NO_VERDICTS = "no_verdicts"
    """The metric has no verdict on any item of the queue."""
    OFF_TOPIC = "off_topic"
    """The setting `criterion_metrics` excludes the metric from the criterion."""
    NO_SCORES = "no_scores"
    """No compared evaluation has a score."""
    NO_THRESHOLD = "no_threshold"
    """The evaluations have no threshold."""
    MIXED_DIRECTIONS = "mixed_directions"
    """Higher scores pass in some evaluations, lower scores in others."""
    NO_PAIRS = "no_pairs"
    """No item was rated by two people."""
    NO_SHARED_ITEMS = "no_shared_items"
    """No item was judged by both versions."""
    NO_BETTER_THAN_CHANCE = "no_better_than_chance"
    """The metric passes what people fail at least as often as what they pass: `tpr + tnr <= 1`."""
    FEW_PAIRS = "few_pairs"
    """Fewer items than the gate needs were rated by two people."""
    HUMANS_DISAGREE = "humans_disagree"
    """The interval of the human-human kappa reaches 0: people agree no better than by chance."""
    NO_BETTER_CUT = "no_better_cut"
    """No threshold is better than the verdicts as they are and than a constant judge."""
    TWO_SCALES = "two_scales"
    """The scores or thresholds are on two scales."""
    GATE_STAYS = "gate_stays"
    """At the rates seen no number of labels changes the state of the gate."""
    NOT_A_PROBABILITY = "not_a_probability"
    """Some scores are below 0 or above 1."""
    FEW_ANNOTATORS = "few_annotators"
    """Fewer than 3 annotators rated at least 30 items each that others rated too."""
    FEW_ITEMS = "few_items"
    """Fewer than 10 items, so nothing is tested."""
    NO_REST = "no_rest"
    """Fewer than 10 items are outside the segment, so there is nothing to compare it with."""


class Estimate(NamedTuple):
    """A share with its Wilson 95 % interval, all in 0..1."""

    value: float
    low: float
    high: float


def wilson(share: float, n: float, z: float = Z_95) -> tuple[float, float]:
    """Score interval of a share seen in `n` > 0 independent trials; `n` may be fractional. `z`: its half width in
    standard errors.

    Source: Wilson 1927, Probable inference, JASA 22:209-212.

    >>> [round(bound, 4) for bound in wilson(0.85, 100)]
    [0.7672, 0.9069]
    """
    z2 = z * z
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    # At the ends the bound is exactly the share; rounding must not push it outside.
    return (0.0 if share == 0 else max(0.0, centre - half)), (1.0 if share == 1 else min(1.0, centre + half))


@dataclass(frozen=True, slots=True)
class Confusion:
    """A confusion matrix of comparisons; people are the truth.

    Raises ValueError when a count is negative, or `items` is impossible for the number of comparisons.
    """

    tp: int
    """Both pass."""
    fn: int
    """Human pass, metric fail: too strict."""
    tn: int
    """Both fail."""
    fp: int
    """Human fail, metric pass: too lenient."""
    items: int
    """Distinct items among the comparisons (n_eff)."""

    def __post_init__(self) -> None:
        if min(self.tp, self.fn, self.tn, self.fp) < 0:
            raise ValueError(f"negative count in {self}")
        if not min(self.n, 1) <= self.items <= self.n:
            raise ValueError(f"{self.items} distinct items are impossible for {self.n} comparisons: {self}")

    @property
    def n(self) -> int:
        """Number of comparisons."""
        return self.tp + self.fn + self.tn + self.fp

    @property
    def misaligned(self) -> int:
        """Comparisons in which people and metric disagree."""
        return self.fn + self.fp

    @property
    def human_pass(self) -> int:
        """Comparisons that people passed."""
        return self.tp + self.fn

    @property
    def human_fail(self) -> int:
        """Comparisons that people failed."""
        return self.tn + self.fp

    @property
    def metric_pass(self) -> int:
        """Comparisons that the metric passed."""
        return self.tp + self.fp

    @property
    def metric_fail(self) -> int:
        """Comparisons that the metric failed."""
        return self.tn + self.fn

    def _share(self, count: int, part: int, missing: Undefined) -> Estimate | Undefined:
        if self.n == 0:
            return Undefined.NO_COMPARISONS
        if part == 0:
            return missing
        share = count / part
        return Estimate(share, *wilson(share, self.items * part / self.n))

    @property
    def alignment(self) -> Estimate | Undefined:
        """Share of comparisons in which people and metric agree (accuracy)."""
        return self._share(self.tp + self.tn, self.n, Undefined.NO_COMPARISONS)

    @property
    def tpr(self) -> Estimate | Undefined:
        """True positive rate (recall, sensitivity): share of human passes that the metric passes."""
        return self._share(self.tp, self.human_pass, Undefined.NO_HUMAN_PASS)

    @property
    def tnr(self) -> Estimate | Undefined:
        """True negative rate (specificity): share of human fails that the metric fails."""
        return self._share(self.tn, self.human_fail, Undefined.NO_HUMAN_FAIL)

    @property
    def ppv(self) -> Estimate | Undefined:
        """Positive predictive value (precision): share of the metric's passes that people pass."""
        return self._share(self.tp, self.metric_pass, Undefined.NO_METRIC_PASS)

    @property
    def npv(self) -> Estimate | Undefined:
        """Negative predictive value: share of the metric's fails that people fail."""
        return self._share(self.tn, self.metric_fail, Undefined.NO_METRIC_FAIL)

    @property
    def baseline(self) -> float | Undefined:
        """Alignment of a constant judge that always returns the more frequent human verdict."""
        if self.n == 0:
            return Undefined.NO_COMPARISONS
        return max(self.human_pass, self.human_fail) / self.n

    @property
    def bias(self) -> float | Undefined:
        """Pass rate of the metric minus pass rate of people, -1..1; above 0 the metric is lenient."""
        if self.n == 0:
            return Undefined.NO_COMPARISONS
        return (self.fp - self.fn) / self.n

    @property
    def f1(self) -> float | Undefined:
        """Harmonic mean of ppv and tpr (van Rijsbergen 1979; Dice 1945): 2 tp / (2 tp + fp + fn)."""
        if self.n == 0:
            return Undefined.NO_COMPARISONS
        if self.tn == self.n:
            return Undefined.ONE_CLASS
        return 2 * self.tp / (2 * self.tp + self.fp + self.fn)

    @property
    def balanced_accuracy(self) -> float | Undefined:
        """Mean of tpr and tnr (Brodersen et al. 2010, ICPR): 0.5 for every constant judge."""
        tpr, tnr = self.tpr, self.tnr
        if isinstance(tpr, Undefined):
            return tpr
        if isinstance(tnr, Undefined):
            return tnr
        return (tpr.value + tnr.value) / 2

    @property
    def kappa(self) -> float | Undefined:
        """Cohen's kappa (Cohen 1960, Educ. Psychol. Meas. 20:37-46), reduced to whole numbers."""
        if self.n == 0:
            return Undefined.NO_COMPARISONS
        chance = self.metric_pass * self.human_fail + self.human_pass * self.metric_fail
        if chance == 0:
            return Undefined.ONE_CLASS
        return 2 * (self.tp * self.tn - self.fn * self.fp) / chance

    @property
    def mcc(self) -> float | Undefined:
        """Matthews correlation (Matthews 1975, BBA 405:442-451).

        On binary data Pearson's, Spearman's, Kendall's tau-b and phi are the same number.
        """
        if self.n == 0:
            return Undefined.NO_COMPARISONS
        for margin, reason in (
            (self.human_pass, Undefined.NO_HUMAN_PASS),
            (self.human_fail, Undefined.NO_HUMAN_FAIL),
            (self.metric_pass, Undefined.NO_METRIC_PASS),
            (self.metric_fail, Undefined.NO_METRIC_FAIL),
        ):
            if margin == 0:
                return reason
        margins = self.human_pass * self.human_fail * self.metric_pass * self.metric_fail
        return (self.tp * self.tn - self.fp * self.fn) / sqrt(margins)

    @property
    def ac1(self) -> float | Undefined:
        """Gwet's AC1 for two raters and two classes (Gwet 2008, Br. J. Math. Stat. Psychol. 61:29-48)."""
        if self.n == 0:
            return Undefined.NO_COMPARISONS
        chance = 2 * (self.human_pass + self.metric_pass) * (self.human_fail + self.metric_fail)
        return (4 * self.n * (self.tp + self.tn) - chance) / (4 * self.n * self.n - chance)

    @property
    def alpha(self) -> float | Undefined:
        """Krippendorff's alpha for two raters and two classes, none missing.

        Source: Krippendorff 2004, Content Analysis, chapter 11.
        """
        if self.n == 0:
            return Undefined.NO_COMPARISONS
        passes, fails = self.human_pass + self.metric_pass, self.human_fail + self.metric_fail
        if passes == 0 or fails == 0:
            return Undefined.ONE_CLASS
        return 1 - (2 * self.n - 1) * self.misaligned / (passes * fails)
