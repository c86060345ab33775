"""The corrected pass rate: the pass rate that people would give to all items, estimated from a judge's verdicts.

The estimate needs annotated items that are a fair sample of all items.
"""

from math import sqrt

from aggregator.statistics.confusion import Z_95, Confusion, Estimate, Undefined

_Observed = tuple[float, float]
"""Number of hits, and number of observations."""


def rogan_gladen(pass_rate: float, tpr: float, tnr: float) -> float | Undefined:
    """The true pass rate, given the pass rate and the true rates of a judge, clipped to 0..1.

    Source: Rogan and Gladen 1978, Am. J. Epidemiol. 107:71-76.

    >>> round(rogan_gladen(0.75, tpr=0.9, tnr=0.6), 12)
    0.7
    """
    if tpr + tnr <= 1:
        return Undefined.NO_BETTER_THAN_CHANCE
    return min(1.0, max(0.0, (pass_rate + tnr - 1) / (tpr + tnr - 1)))


def corrected_pass_rate(passed: int, evaluated: int, counts: Confusion) -> Estimate | Undefined:
    """The corrected pass rate with its 95 % interval, which includes the noise of pass rate, tpr and tnr.

    The interval uses the delta method on counts with pseudo-observations, so it does not collapse where a rate is 0 or
    1 (Lang and Reiczigel 2014, Prev. Vet. Med. 113:13-22). tpr and tnr have their share of the distinct items, see
    `confusion`.

    Args:
        passed: number of items that the judge passed.
        evaluated: number of items with a verdict of the judge, annotated or not.
        counts: the comparisons of the judge with people.
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
    # The centre of the interval is not the rate, so it could exclude the rate.
    return Estimate(rate, min(low, rate), max(high, rate))


def _interval(passes: _Observed, true_passes: _Observed, true_fails: _Observed) -> tuple[float, float]:
    z2 = Z_95 * Z_95
    p, p_n = _added(passes, z2)
    tpr, tpr_n = _added(true_passes, 2)
    tnr, tnr_n = _added(true_fails, 2)
    informed = tpr + tnr - 1
    if informed <= 0:
        return 0.0, 1.0
    rate = (p + tnr - 1) / informed
    of_tpr, of_tnr = tpr * (1 - tpr) / tpr_n, tnr * (1 - tnr) / tnr_n
    centre = rate + 2 * z2 * (rate * of_tpr - (1 - rate) * of_tnr)
    half = Z_95 * sqrt(p * (1 - p) / p_n + rate * rate * of_tpr + (1 - rate) ** 2 * of_tnr) / informed
    return min(1.0, max(0.0, centre - half)), max(0.0, min(1.0, centre + half))


def _added(observed: _Observed, extra: float) -> tuple[float, float]:
    """The share and the number of observations with `extra` more of them, half of which are hits."""
    hits, observations = observed
    return (hits + extra / 2) / (observations + extra), observations + extra
