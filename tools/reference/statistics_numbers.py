"""The numbers of a criterion and metric: formula, reading and source, with an example that the code computes."""

from collections.abc import Callable
from itertools import product
from typing import Final, NamedTuple

from aggregator.statistics.confidence_sequence import n_to_exceed
from aggregator.statistics.confusion import Confusion, Estimate, Undefined
from aggregator.statistics.error_side import SIGNIFICANCE
from aggregator.statistics.gate import GateLimits, LabelsNeeded, items_for, labels_needed
from tools.reference.markdown import code, section

StatisticValue = Estimate | float | int | Undefined
"""What a formula returns."""

EXAMPLE: Final = Confusion(tp=85, fn=5, tn=5, fp=5, items=100)
"""The counts of the page's examples."""
LIMITS: Final = GateLimits()
"""The default limits of the gate."""


class Number(NamedTuple):
    """A number of a criterion and metric."""

    field: str
    title: str
    formula: str
    reading: str
    """How to read it; `{}` is the value of the example."""
    source: str
    of: Callable[[Confusion], StatisticValue]
    undefined: str = ""
    """What else makes it undefined in a document."""


NUMBERS: Final = (
    Number(
        "alignment",
        "Alignment",
        "(tp + tn) / n",
        "The metric agrees with people in {} of the comparisons. Compare it with `baseline` before you call it good.",
        "Accuracy. Interval: E. B. Wilson 1927, JASA 22:209-212.",
        lambda counts: counts.alignment,
    ),
    Number(
        "baseline",
        "Baseline",
        "max(tp + fn, tn + fp) / n",
        "A judge that passes everything, without looking, reaches {}. A metric at or below its baseline has learned "
        "nothing from the items.",
        "Share of the larger class.",
        lambda counts: counts.baseline,
    ),
    Number(
        "kappa",
        "Cohen's kappa",
        "2 (tp tn - fn fp) / ((tp + fp) (tn + fp) + (tp + fn) (tn + fn))",
        "Agreement above chance, 1 at most, 0 for chance: {} here, although alignment is high. It falls when one class "
        "is rare. The page calls it poor below 0, slight up to 0.2, fair up to 0.4, moderate up to 0.6, substantial up "
        "to 0.8, and almost perfect above.",
        "J. Cohen 1960, Educational and Psychological Measurement 20:37-46. Words: J. R. Landis and G. G. Koch 1977, "
        "Biometrics 33:159-174.",
        lambda counts: counts.kappa,
    ),
    Number(
        "ac1",
        "Gwet's AC1",
        "(a - c) / (1 - c), a = alignment, c = 2 q (1 - q), q = mean pass rate of people and metric",
        "Agreement above chance, {} here. It stays high when one class is rare, so read it together with kappa.",
        "K. L. Gwet 2008, British Journal of Mathematical and Statistical Psychology 61:29-48.",
        lambda counts: counts.ac1,
    ),
    Number(
        "mcc",
        "Matthews correlation",
        "(tp tn - fp fn) / sqrt((tp + fn) (tn + fp) (tp + fp) (tn + fn))",
        "Correlation of the two verdicts, -1 to 1: {} here. For two classes, Pearson's, Spearman's, Kendall's tau-b "
        "and phi are the same number.",
        "B. W. Matthews 1975, Biochimica et Biophysica Acta 405:442-451.",
        lambda counts: counts.mcc,
    ),
    Number(
        "alpha",
        "Krippendorff's alpha",
        "1 - (2 n - 1) (fn + fp) / (passes fails), passes and fails of both sides together",
        "Agreement above chance for interchangeable raters, {} here: close to kappa when both sides pass equally "
        "often, lower when the metric is biased.",
        "K. Krippendorff 2004, Content Analysis, chapter 11.",
        lambda counts: counts.alpha,
    ),
    Number(
        "bias",
        "Bias",
        "(fp - fn) / n, which is the pass rate of the metric minus the pass rate of people",
        "Above 0 the metric is lenient, below 0 strict: {} here. The page reports too lenient or too strict only when "
        f"the exact binomial test of fp against fn has a two-sided p-value below {SIGNIFICANCE:.2f}.",
        "Difference of marginal shares.",
        lambda counts: counts.bias,
    ),
    Number(
        "tpr",
        "True positive rate",
        "tp / (tp + fn)",
        "Of what people pass, the metric passes {}. Also called recall or sensitivity.",
        "Wilson interval on its share of the distinct items.",
        lambda counts: counts.tpr,
    ),
    Number(
        "tnr",
        "True negative rate",
        "tn / (tn + fp)",
        "Of what people fail, the metric catches {}. Also called specificity. The gate requires it, because a high "
        "alignment can hide a lenient metric.",
        "Wilson interval on its share of the distinct items.",
        lambda counts: counts.tnr,
    ),
    Number(
        "ppv",
        "Positive predictive value",
        "tp / (tp + fp)",
        "Of what the metric passes, people pass {}. Also called precision. It depends on how many items are good.",
        "Wilson interval on its share of the distinct items.",
        lambda counts: counts.ppv,
    ),
    Number(
        "npv",
        "Negative predictive value",
        "tn / (tn + fn)",
        "Of what the metric fails, people fail {}: how often a fail of the metric deserves a look.",
        "Wilson interval on its share of the distinct items.",
        lambda counts: counts.npv,
    ),
    Number(
        "f1",
        "F1",
        "2 tp / (2 tp + fp + fn)",
        "Harmonic mean of ppv and tpr, {} here. It ignores tn, so a metric that passes everything scores high.",
        "C. J. van Rijsbergen 1979, Information Retrieval; L. R. Dice 1945, Ecology 26:297-302.",
        lambda counts: counts.f1,
    ),
    Number(
        "balanced_accuracy",
        "Balanced accuracy",
        "(tpr + tnr) / 2",
        "{} here. Every constant judge has 0.5, also where one class is rare.",
        "K. H. Brodersen et al. 2010, ICPR, 3121-3124.",
        lambda counts: counts.balanced_accuracy,
    ),
    Number(
        "labels_needed",
        "Labels needed",
        "The first of these that applies:\n"
        f"  - fewer than {LIMITS.items} items: the items missing to {LIMITS.items}\n"
        "  - not yet `trusted`: the items missing until the state of the gate improves, at the rates seen so far\n"
        f"  - `trusted`: the items missing until the interval of alignment reaches at most {LIMITS.half_width:.2f} to "
        "either side\n"
        "- `labels_needed_for`: `gate` for the first two, `interval` for the third",
        f"At an alignment of 0.95 a judge is trusted with {n_to_exceed(0.95, LIMITS.trusted_low)} items, of 0.9 with "
        f"{n_to_exceed(0.9, LIMITS.trusted_low)}, of 0.85 with {n_to_exceed(0.85, LIMITS.trusted_low)}; an interval of "
        f"0.05 to either side needs {items_for(0.9, LIMITS.half_width)} items at 0.9. {{}} here: no number of labels "
        "makes these rates better than the baseline.",
        "The bound of the gate, solved for the number of items.",
        lambda counts: _items(labels_needed(counts, LIMITS)),
        ", `off_topic` for a pair that the setting `criterion_metrics` leaves out",
    ),
)


def _items(needed: LabelsNeeded | Undefined) -> int | Undefined:
    return needed if isinstance(needed, Undefined) else needed.items


def numbers() -> list[str]:
    """A section for each number."""
    return list(map(_number, NUMBERS))


def _number(number: Number) -> str:
    value = number.of(EXAMPLE)
    if isinstance(value, Undefined):
        shown = f"Undefined (`{value}`)"
    elif isinstance(value, Estimate):
        shown = f"{value.value:.4f} ({interval((value.low, value.high))})"
    else:
        shown = plain(value)
    return section(
        f"{number.title}: `{number.field}`",
        f"- Formula: {number.formula}\n"
        f"- How to read it: {number.reading.format(shown)}\n"
        f"- Undefined: {_reasons(number.of)}{number.undefined}\n"
        f"- Source: {number.source}",
        level=3,
    )


def _reasons(of: Callable[[Confusion], StatisticValue]) -> str:
    """The reasons with which a number is undefined on small tables."""
    found = set()
    for tp, fn, tn, fp in product(range(3), repeat=4):
        for items in {min(tp + fn + tn + fp, 1), tp + fn + tn + fp}:
            value = of(Confusion(tp, fn, tn, fp, items))
            if isinstance(value, Undefined):
                found.add(value)
    # `labels_needed` looks at the other rates only from the gate's items on.
    for counts in (EXAMPLE, Confusion(40, 0, 0, 0, 40), Confusion(0, 0, 40, 0, 40)):
        value = of(counts)
        if isinstance(value, Undefined):
            found.add(value)
    return code(reason.value for reason in Undefined if reason in found) or "never"


def interval(bounds: tuple[float, float]) -> str:
    """Two bounds."""
    return f"{bounds[0]:.4f} to {bounds[1]:.4f}"


def point(value: StatisticValue) -> StatisticValue:
    """A number without its interval."""
    return value.value if isinstance(value, Estimate) else value


def plain(value: StatisticValue) -> str:
    """A number with four decimals, empty when it is undefined."""
    if isinstance(value, Undefined):
        return ""
    assert not isinstance(value, Estimate)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
