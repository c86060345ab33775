"""The corrected pass rate: what people would say of all items, from what a judge says and how it errs.

It holds when the items that people annotated are a fair sample of the others.
"""

from math import sqrt

from aggregator.statistics.confusion import Z_95, Confusion, Estimate, Undefined

_Observed = tuple[float, float]
"""How many, of how many."""


def rogan_gladen(pass_rate: float, tpr: float, tnr: float) -> float | Undefined:
    """The true share of passes behind a judge's pass rate, clipped to 0..1.

    Source: Rogan and Gladen 1978, Am. J. Epidemiol. 107:71-76.

    >>> round(rogan_gladen(0.75, tpr=0.9, tnr=0.6), 12)
    0.7
    """
    if tpr + tnr <= 1:
        return Undefined.NO_BETTER_THAN_CHANCE
    return min(1.0, max(0.0, (pass_rate + tnr - 1) / (tpr + tnr - 1)))


def corrected_pass_rate(passed: int, evaluated: int, counts: Confusion) -> Estimate | Undefined:
    """The corrected share of passes with its 95 % interval, which carries the noise of all three rates.

    The interval is by the delta method on counts with pseudo-observations, so that it does not collapse where a rate
    is 0 or 1 (Lang and Reiczigel 2014, Prev. Vet. Med. 113:13-22). tpr and tnr count with their share of the distinct
    items, see `statistics`.

    Args:
        passed: items that the judge passed, of
        evaluated: those that it gave a verdict, annotated or not.
        counts: the judge compared with people.
    """
    if evaluated == 0:
        return Undefined.NO_VERDICTS
    tpr, tnr = counts.tpr, counts.tnr
    if isinstance(tpr, Undefined):
        return tpr
    if isinstance(tnr, Undefined):
        return tnr
    rate = rogan_gladen(passed / evaluated, tpr.value, tnr.value)
    if isinstance(rate, Undefined):
        return rate
    scale = counts.items / counts.n
    low, high = _interval(
        (passed, evaluated),
        (counts.tp * scale, counts.human_pass * scale),
        (counts.tn * scale, counts.human_fail * scale),
    )
    # The interval has a centre of its own; it never excludes the rate itself.
    return Estimate(rate, min(low, rate), max(high, rate))


def _interval(passes: _Observed, found_passes: _Observed, found_fails: _Observed) -> tuple[float, float]:
    z2 = Z_95 * Z_95
    p, p_n = _added(passes, z2)
    tpr, tpr_n = _added(found_passes, 2)
    tnr, tnr_n = _added(found_fails, 2)
    informed = tpr + tnr - 1
    if informed <= 0:
        return 0.0, 1.0
    rate = (p + tnr - 1) / informed
    of_tpr, of_tnr = tpr * (1 - tpr) / tpr_n, tnr * (1 - tnr) / tnr_n
    centre = rate + 2 * z2 * (rate * of_tpr - (1 - rate) * of_tnr)
    half = Z_95 * sqrt(p * (1 - p) / p_n + rate * rate * of_tpr + (1 - rate) ** 2 * of_tnr) / informed
    return min(1.0, max(0.0, centre - half)), max(0.0, min(1.0, centre + half))


def _added(seen: _Observed, extra: float) -> tuple[float, float]:
    """The share with `extra` more observations, half of them hits, and how many observations that makes."""
    count, of = seen
    return (count + extra / 2) / (of + extra), of + extra
