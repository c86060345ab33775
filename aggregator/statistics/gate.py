"""The gate: whether a metric may stand in for people, and how many labels it still needs.

Pure functions without memory. People read the gate after every label and stop labelling when it is `trusted`. With a
bound for one look, a judge at the limit would be called trusted in one of five histories. So the bound holds at all
looks together (`confidence_sequence`), unless `GateLimits.looks` is `one`.
"""

from dataclasses import dataclass
from enum import StrEnum
from math import ceil, sqrt
from typing import NamedTuple

from aggregator.statistics.confidence_sequence import lower_bound, n_to_exceed
from aggregator.statistics.confusion import Z_95, Confusion, Estimate, Undefined


class Looks(StrEnum):
    """How often the gate is read while labels come."""

    MANY = "many"
    """After any label: the bounds hold at all moments together."""
    ONE = "one"
    """Once, on a data set that was fixed before: Wilson's bounds."""


@dataclass(frozen=True, slots=True)
class GateLimits:
    """Limits of the gate. Raises ValueError for a limit that is out of range."""

    items: int = 30
    """Distinct items below which the state is `undecided`, at least 1."""
    trusted_low: float = 0.80
    """Lowest lower bound of alignment for `trusted`, 0 to 1."""
    trusted_tnr: float = 0.70
    """Lowest true negative rate for `trusted`, 0 to 1."""
    probation_low: float = 0.70
    """Lowest lower bound of alignment for `probation`, 0 to 1."""
    half_width: float = 0.05
    """Half width of the interval of alignment at which labels are enough, above 0 and below 0.5."""
    looks: Looks = Looks.MANY
    """Which lower bound of alignment is compared with the limits."""

    def __post_init__(self) -> None:
        wrong = [name for name in ("trusted_low", "trusted_tnr", "probation_low") if not 0 <= getattr(self, name) <= 1]
        if not 0 < self.half_width < 0.5:
            wrong.append("half_width")
        if self.items < 1:
            wrong.append("items")
        if wrong:
            raise ValueError(f"gate limits out of range: {', '.join(wrong)}")

    def lower_bound(self, alignment: Estimate, items: float) -> float:
        """The lower bound of an alignment on distinct items that the limits are compared with."""
        if self.looks is Looks.ONE:
            return alignment.low
        return lower_bound(alignment.value * items, items)

    def items_for_bound(self, share: float, limit: float) -> int | None:
        """Smallest number of items at which an alignment of `share` has a lower bound of at least `limit`.

        None when no number is enough: the share is not above the limit.
        """
        if share <= limit:
            return None
        if self.looks is Looks.MANY:
            return n_to_exceed(share, limit)
        # Wilson's bound is where the share is z standard errors of the bound away from it.
        return ceil(Z_95 * Z_95 * limit * (1 - limit) / (share - limit) ** 2)


class Gate(StrEnum):
    """Whether a metric may stand in for people."""

    TRUSTED = "trusted"
    """Agreement and true negative rate are high enough to use the metric in place of people."""
    PROBATION = "probation"
    """Agreement is fair and better than that of a constant judge, but too low to replace people: keep labelling."""
    NOT_TRUSTED = "not_trusted"
    """Agreement is too low, or no better than that of a constant judge."""
    UNDECIDED = "undecided"
    """The labels do not allow an answer yet."""


class Obstacle(StrEnum):
    """Why a metric is not `trusted`."""

    FEW_ITEMS = "few_items"
    """Fewer distinct items than the setting `gate_items`."""
    NO_HUMAN_PASS = "no_human_pass"
    """People passed none of the compared items."""
    NO_HUMAN_FAIL = "no_human_fail"
    """People failed none of the compared items."""
    LOW_BELOW_TRUSTED = "alignment_low_below_trusted"
    """`gate_low` is below the setting `gate_trusted_low`."""
    TNR_BELOW_TRUSTED = "tnr_below_trusted"
    """The true negative rate is below the setting `gate_trusted_tnr`."""
    LOW_BELOW_PROBATION = "alignment_low_below_probation"
    """`gate_low` is below the setting `gate_probation_low`."""
    NOT_ABOVE_BASELINE = "not_above_baseline"
    """The metric agrees with people no more often than a constant judge does."""


def gate(counts: Confusion, limits: GateLimits) -> tuple[Gate, tuple[Obstacle, ...]]:
    """The state, and every reason why it is not `trusted`.

    `undecided` with few items or one human class; `trusted` with a high lower bound of alignment and a high tnr;
    `probation` with a fair lower bound and an alignment above the baseline; otherwise `not_trusted`.
    """
    unknown = [
        obstacle
        for obstacle, present in (
            (Obstacle.FEW_ITEMS, counts.items < limits.items),
            (Obstacle.NO_HUMAN_PASS, counts.human_pass == 0),
            (Obstacle.NO_HUMAN_FAIL, counts.human_fail == 0),
        )
        if present
    ]
    alignment, tnr = counts.alignment, counts.tnr
    if unknown or isinstance(alignment, Undefined) or isinstance(tnr, Undefined):
        return Gate.UNDECIDED, tuple(unknown)
    below_trusted = []
    low = limits.lower_bound(alignment, counts.items)
    if low < limits.trusted_low:
        below_trusted.append(Obstacle.LOW_BELOW_TRUSTED)
    if tnr.value < limits.trusted_tnr:
        below_trusted.append(Obstacle.TNR_BELOW_TRUSTED)
    if not below_trusted:
        return Gate.TRUSTED, ()
    below_probation = []
    if low < limits.probation_low:
        below_probation.append(Obstacle.LOW_BELOW_PROBATION)
    if not _above_baseline(counts):
        below_probation.append(Obstacle.NOT_ABOVE_BASELINE)
    state = Gate.NOT_TRUSTED if below_probation else Gate.PROBATION
    return state, tuple(below_trusted + below_probation)


def items_for(share: float, half_width: float) -> int:
    """The smallest number of items whose Wilson interval around `share` has at most this half width.

    `share` is in 0..1, `half_width` above 0 and below 0.5. The squared bound on the width is a quadratic in 1 / n with
    one positive root.
    """
    z2, width2 = Z_95 * Z_95, half_width * half_width
    a, b = z2 * z2 * (0.25 - width2), z2 * (share * (1 - share) - 2 * width2)
    return ceil((b + sqrt(b * b + 4 * a * width2)) / (2 * width2))


class Purpose(StrEnum):
    """What labels are needed for."""

    GATE = "gate"
    """To decide the gate, or to bring it to a better state at the rates seen."""
    INTERVAL = "interval"
    """To narrow the interval of alignment; the state of the gate stays."""


class LabelsNeeded(NamedTuple):
    """The labels that a metric still needs."""

    items: int
    """Number of items that people still have to annotate."""
    purpose: Purpose


def labels_needed(counts: Confusion, limits: GateLimits) -> LabelsNeeded | Undefined:
    """Items that people still have to annotate, at the rates seen so far.

    Until the gate decides; then until its state improves; once it is `trusted`, until the interval of alignment is as
    narrow as the limits require. Undefined when people gave only one verdict (how many items it takes to see the other
    is unknown), and when no number of items would change the state.
    """
    if counts.items < limits.items:
        return LabelsNeeded(limits.items - counts.items, Purpose.GATE)
    for rate in (counts.tpr, counts.tnr):
        if isinstance(rate, Undefined):
            return rate
    alignment, tnr = counts.alignment, counts.tnr
    assert not isinstance(alignment, Undefined), "there are comparisons"
    assert not isinstance(tnr, Undefined), "people failed some"
    state, _ = gate(counts, limits)
    if state is Gate.TRUSTED:
        return LabelsNeeded(max(0, items_for(alignment.value, limits.half_width) - counts.items), Purpose.INTERVAL)
    goals = []
    if tnr.value >= limits.trusted_tnr:
        goals.append(limits.items_for_bound(alignment.value, limits.trusted_low))
    if state is Gate.NOT_TRUSTED and _above_baseline(counts):
        goals.append(limits.items_for_bound(alignment.value, limits.probation_low))
    reachable = [items for items in goals if items is not None]
    if not reachable:
        return Undefined.GATE_STAYS
    return LabelsNeeded(max(1, min(reachable) - counts.items), Purpose.GATE)


def _above_baseline(counts: Confusion) -> bool:
    return counts.tp + counts.tn > max(counts.human_pass, counts.human_fail)
