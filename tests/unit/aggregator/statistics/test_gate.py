"""The gate's decisions at its limits, and how many labels are still missing."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.statistics.confidence_sequence import n_to_exceed
from aggregator.statistics.confusion import Confusion, Undefined, wilson
from aggregator.statistics.gate import Gate, GateLimits, Looks, Obstacle, Purpose, gate, items_for, labels_needed

LIMITS = GateLimits()
ONE_LOOK = GateLimits(looks=Looks.ONE)


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
    assert gate(counts, ONE_LOOK) == (decision, tuple(map(Obstacle, reasons)))


def test_limits_are_settings() -> None:
    counts = confusion(45, 5, 30, 20)
    assert gate(counts, replace(ONE_LOOK, trusted_low=0.5, trusted_tnr=0.4)) == (Gate.TRUSTED, ())
    assert gate(counts, GateLimits(items=101))[0] is Gate.UNDECIDED
    assert gate(counts, replace(ONE_LOOK, probation_low=0.55))[0] is Gate.PROBATION


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


def test_labels_needed_counts_to_the_decision_first() -> None:
    assert labels_needed(confusion(0, 0, 0, 0), LIMITS) == (30, Purpose.GATE)
    assert labels_needed(confusion(5, 0, 0, 4), LIMITS) == (21, Purpose.GATE)


def test_labels_needed_counts_to_the_next_state_at_the_rates_seen() -> None:
    # Alignment .85, tnr .9: on probation, trusted with 606 items at these rates.
    assert labels_needed(confusion(40, 10, 5, 45), LIMITS) == (n_to_exceed(0.85, 0.8) - 100, Purpose.GATE)
    assert n_to_exceed(0.85, 0.8) == 606
    # Eight annotators on each of 100 items: what counts is items.
    assert labels_needed(confusion(320, 80, 40, 360, items=100), LIMITS) == (506, Purpose.GATE)
    # One look: Wilson's bound needs fewer.
    needed = labels_needed(confusion(40, 10, 5, 45), ONE_LOOK)
    assert needed == (wilson_items(0.85, 0.8) - 100, Purpose.GATE)


def wilson_items(share: float, limit: float) -> int:
    return next(n for n in range(1, 10_000) if wilson(share, n)[0] >= limit)


def test_labels_needed_by_a_trusted_metric_narrow_its_interval() -> None:
    assert labels_needed(confusion(20, 0, 0, 10), LIMITS) == (items_for(1, 0.05) - 30, Purpose.INTERVAL)
    assert labels_needed(confusion(4000, 1000, 500, 4500), LIMITS) == (0, Purpose.INTERVAL)


@pytest.mark.parametrize(
    "counts",
    [confusion(45, 5, 30, 20), confusion(93, 4, 2, 1), confusion(85, 5, 5, 5)],
    ids=["alignment under both limits", "under its baseline", "no better than its baseline, low tnr"],
)
def test_labels_that_change_nothing_are_not_asked_for(counts: Confusion) -> None:
    assert labels_needed(counts, LIMITS) is Undefined.GATE_STAYS


@given(tp=st.integers(0, 400), fn=st.integers(0, 60), fp=st.integers(0, 60), tn=st.integers(0, 400), many=st.booleans())
def test_with_the_labels_needed_the_state_is_another_and_with_one_less_it_is_not(
    tp: int, fn: int, fp: int, tn: int, many: bool
) -> None:
    limits = replace(LIMITS, looks=Looks.MANY if many else Looks.ONE)
    counts = confusion(tp, fn, fp, tn)
    needed = labels_needed(counts, limits)
    if isinstance(needed, Undefined) or needed.purpose is not Purpose.GATE or counts.items < limits.items:
        return
    before, _ = gate(counts, limits)
    # The same rates on more items: comparisons are scaled, so that rates stay exact.
    items = counts.items + needed.items
    grown = replace(counts, items=items, **scaled(counts, items))
    assert gate(grown, limits)[0] is not before
    if needed.items > 1:
        less = replace(grown, items=counts.items + needed.items - 1)
        assert gate(less, limits)[0] is before


def scaled(counts: Confusion, times: int) -> dict[str, int]:
    return {name: getattr(counts, name) * times for name in ("tp", "fn", "tn", "fp")}


def test_labels_needed_is_unknown_while_people_gave_one_result_only() -> None:
    assert labels_needed(confusion(5, 0, 0, 0), LIMITS) == (25, Purpose.GATE)
    assert labels_needed(confusion(40, 0, 0, 0), LIMITS) is Undefined.NO_HUMAN_FAIL
    assert labels_needed(confusion(0, 0, 0, 40), LIMITS) is Undefined.NO_HUMAN_PASS


def test_many_looks_ask_for_more_than_one() -> None:
    # 36 of 40: Wilson starts at .7695, the sequence at .7187.
    counts = confusion(20, 2, 2, 16)
    limits = GateLimits(trusted_low=0.75)
    assert gate(counts, replace(limits, looks=Looks.ONE))[0] is Gate.TRUSTED
    assert gate(counts, limits)[0] is Gate.PROBATION
