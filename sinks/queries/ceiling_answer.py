"""The answer about the human ceiling, from the panels of a criterion."""

from collections.abc import Mapping, Sequence

from aggregator.snapshot.build import Nulls
from aggregator.statistics.ceiling import Panel, alpha_binary, alpha_ordinal, ordered_pairs
from aggregator.statistics.confusion import Undefined
from aggregator.statistics.human_kappa import kappa_interval
from sinks.queries.results import Ceiling, Headroom
from sinks.queries.scope import Scope


def ceiling_of(
    panels: Sequence[Panel], annotators: int, alignments: Mapping[str, float], scope: Scope, criterion: str
) -> Ceiling:
    """How well people agree with each other, and the headroom of each metric, by the alignment of these."""
    nulls = Nulls()
    pass_stars = scope.rules.pass_limit(criterion)
    pairs = ordered_pairs(panels, pass_stars)
    agreement = pairs.alignment if pairs.n else Undefined.NO_PAIRS
    value, low, high = nulls.estimate("agreement", agreement)
    kappa_low, kappa_high = _kappa_interval(panels, pass_stars, nulls)
    usable = _usable(value, kappa_low, pairs.items, scope.rules.limits.items)
    return Ceiling(
        queue=scope.queue,
        criterion=criterion,
        window=scope.window.value,
        pairs=pairs.n // 2,
        items=pairs.items,
        annotators=annotators,
        agreement=value,
        agreement_low=low,
        agreement_high=high,
        kappa=nulls.number("kappa", pairs.kappa if pairs.n else Undefined.NO_PAIRS),
        kappa_low=kappa_low,
        kappa_high=kappa_high,
        alpha=nulls.number("alpha", alpha_binary(panels, pass_stars)),
        alpha_ordinal=nulls.number("alpha_ordinal", alpha_ordinal(panels)),
        metrics=[_headroom(metric, alignment, usable) for metric, alignment in sorted(alignments.items())],
        metrics_left_out=0,
        undefined=nulls.reasons,
    )


def _kappa_interval(panels: Sequence[Panel], pass_stars: int, nulls: Nulls) -> tuple[float | None, float | None]:
    interval = kappa_interval(panels, pass_stars)
    if not isinstance(interval, Undefined):
        return interval
    reason = Undefined.NO_PAIRS if interval is Undefined.NO_COMPARISONS else interval
    nulls.reasons["kappa_low"] = nulls.reasons["kappa_high"] = reason
    return None, None


def _usable(agreement: float | None, kappa_low: float | None, items: int, least: int) -> float | Undefined:
    """Human agreement as a ceiling for metrics: where people agree among themselves, and on enough items."""
    if agreement is None:
        return Undefined.NO_PAIRS
    if items < least:
        return Undefined.FEW_PAIRS
    # People who all give one result agree always: there is no kappa, and nothing to disagree about.
    return Undefined.HUMANS_DISAGREE if kappa_low is not None and kappa_low <= 0 else agreement


def _headroom(metric: str, alignment: float, agreement: float | Undefined) -> Headroom:
    return Headroom(
        metric=metric,
        alignment=alignment,
        headroom=None if isinstance(agreement, Undefined) else agreement - alignment,
        undefined={"headroom": agreement} if isinstance(agreement, Undefined) else {},
    )
