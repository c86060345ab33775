"""The gate's decisions at its limits, and how many labels are still missing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.statistics.confusion import Confusion, Undefined, wilson
from aggregator.statistics.gate import Gate, GateLimits, Obstacle, gate, items_for, labels_needed

LIMITS = GateLimits()


def confusion(tp: int, fn: int, fp: int, tn: int, items: int | None = None) -> Confusion:
    return Confusion(tp=tp, fn=fn, tn=tn, fp=fp, items=tp + fn + fp + tn if items is None else items)


@pytest.mark.parametrize(
    ("counts", "decision", "reasons"),
    [
        (confusion(0, 0, 0, 0), Gate.UNDECIDED, ["few_items", "no_human_pass", "no_human_fail"]),
        (confusion(20, 0, 0, 9), Gate.UNDECIDED, ["few_items"]),
        (confusion(20, 0, 0, 10), Gate.TRUSTED, []),
        # Many comparisons on few items count as few.
        (confusion(200, 0, 0, 90, items=29), Gate.UNDECIDED, ["few_items"]),
        (confusion(40, 0, 0, 0), Gate.UNDECIDED, ["no_human_fail"]),
        (confusion(0, 0, 0, 40), Gate.UNDECIDED, ["no_human_pass"]),
        # Alignment .85, lower bound .7672, tnr .9, baseline .5.
        (confusion(40, 10, 5, 45), Gate.PROBATION, ["alignment_low_below_trusted"]),
        # Alignment .9, lower bound .8256, tnr .5, baseline .9: equal to the baseline is not above it.
        (confusion(85, 5, 5, 5), Gate.NOT_TRUSTED, ["tnr_below_trusted", "not_above_baseline"]),
        (confusion(86, 4, 5, 5), Gate.PROBATION, ["tnr_below_trusted"]),
        # Agrees 94 %, below its 97 % baseline.
        (confusion(93, 4, 2, 1), Gate.NOT_TRUSTED, ["tnr_below_trusted", "not_above_baseline"]),
        (
            confusion(45, 5, 30, 20),
            Gate.NOT_TRUSTED,
            ["alignment_low_below_trusted", "tnr_below_trusted", "alignment_low_below_probation"],
        ),
        # tnr of exactly .7 is enough.
        (confusion(970, 0, 9, 21), Gate.TRUSTED, []),
    ],
)
def test_the_gate_decides_with_a_reason(counts: Confusion, decision: Gate, reasons: list[str]) -> None:
    assert gate(counts, LIMITS) == (decision, tuple(map(Obstacle, reasons)))


def test_limits_are_settings() -> None:
    counts = confusion(45, 5, 30, 20)
    assert gate(counts, GateLimits(trusted_low=0.5, trusted_tnr=0.4)) == (Gate.TRUSTED, ())
    assert gate(counts, GateLimits(items=101))[0] is Gate.UNDECIDED
    assert gate(counts, GateLimits(probation_low=0.55))[0] is Gate.PROBATION


def test_impossible_limits_are_refused_together() -> None:
    with pytest.raises(ValueError, match="trusted_tnr, probation_low, half_width, items"):
        GateLimits(items=0, trusted_tnr=1.01, probation_low=-0.1, half_width=0.5)


@given(st.floats(0, 1), st.floats(0.005, 0.4))
def test_items_for_is_the_smallest_number_that_is_enough(share: float, half_width: float) -> None:
    def half(n: int) -> float:
        low, high = wilson(share, n)
        # The interval of a share at the end is cut there; its width is what matters.
        centre = (share + z2 / 2 / n) / (1 + z2 / n)
        return max(high - centre, centre - low)

    z2 = 1.959963984540054**2
    n = items_for(share, half_width)
    assert half(n) <= half_width + 1e-9
    assert n == 1 or half(n - 1) >= half_width - 1e-9


def test_labels_needed_counts_to_the_gate_then_to_the_interval() -> None:
    assert labels_needed(confusion(0, 0, 0, 0), LIMITS) == 30
    assert labels_needed(confusion(5, 0, 0, 4), LIMITS) == 21
    assert labels_needed(confusion(40, 10, 5, 45), LIMITS) == items_for(0.85, 0.05) - 100 == 96
    assert labels_needed(confusion(4000, 1000, 500, 4500), LIMITS) == 0
    # Eight annotators on each of 100 items: the number of items counts.
    assert labels_needed(confusion(320, 80, 40, 360, items=100), LIMITS) == 96


def test_labels_needed_is_unknown_while_people_gave_one_result_only() -> None:
    assert labels_needed(confusion(5, 0, 0, 0), LIMITS) == 25
    assert labels_needed(confusion(40, 0, 0, 0), LIMITS) is Undefined.NO_HUMAN_FAIL
    assert labels_needed(confusion(0, 0, 0, 40), LIMITS) is Undefined.NO_HUMAN_PASS
