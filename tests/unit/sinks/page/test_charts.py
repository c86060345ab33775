"""Axes show everything that is drawn on them."""

import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.days import Window
from aggregator.facts import Direction
from aggregator.snapshot.inputs import CountingRules
from aggregator.statistics.what_if import ScoredItems
from sinks.page.charts import history, lab
from sinks.page.figures import Scale
from sinks.queries.results import Agreed, Trend, TrendDay
from sinks.queries.scope import Scope
from sinks.queries.what_if_answer import what_if_of


def agreed(alignment: float, low: float) -> Agreed:
    return Agreed(k=round(100 * alignment), n=100, items=100, alignment=alignment, low=low, high=1.0)


def trend(*days: tuple[Agreed, Agreed]) -> Trend:
    """A trend of consecutive days, each with the week that ends on it."""
    return Trend(
        queue="q", by="annotation", metric=None, criterion=None, window="all", epochs=[], epochs_total=0,
        days_total=0, days_left_out=0,
        days=[TrendDay(**day, day=f"2026-11-{number:02}", week=week) for number, (day, week) in enumerate(days, 1)],
    )  # fmt: skip


@pytest.mark.parametrize(("day_alignment", "week_low"), [(0.25, 0.7), (0.8, 0.027)])
def test_the_axis_of_the_trend_starts_at_0_for_a_low_day_or_a_low_bound(day_alignment: float, week_low: float) -> None:
    chart = history(trend((agreed(day_alignment, 0.1), agreed(0.8, week_low))), 0.75, None)
    assert chart is not None
    assert chart.grid[-1][0] == pytest.approx(0)
    bottom, top = chart.grid[-1][1], chart.grid[0][1]
    assert chart.points[0].y == pytest.approx(bottom - day_alignment * (bottom - top), abs=0.1)


def test_the_axis_of_the_trend_starts_higher_when_nothing_is_low() -> None:
    chart = history(trend((agreed(0.8, 0.7), agreed(0.8, 0.7))), 0.75, None)
    assert chart is not None
    assert chart.grid[-1][0] == pytest.approx(0.5)


def test_a_scale_starts_at_0_when_a_share_is_below_its_usual_start() -> None:
    assert Scale.of([0.9, None, 0.41]).start == 0.4
    assert Scale.of([0.9, 0.307]) == Scale(0.0)
    assert Scale(0.0).at(0.307) == 30.7


SCOPE = Scope("q", Window.ALL, date(2026, 11, 24), CountingRules())
BAR = re.compile(r"M(\d+) [\d.]+v(-?[\d.]+)h(\d+)")


def drawn(path: str, at: float, *, right: bool) -> float:
    """The share of a histogram's area on one side of a cut; no bar lies on both."""
    bars = [(int(x), int(x) + int(width), abs(float(height))) for x, height, width in BAR.findall(path)]
    assert all(end <= 1000 * at or start >= 1000 * at for start, end, _ in bars)
    total = sum(height for _, _, height in bars)
    return sum(height for start, _, height in bars if (start >= 1000 * at) is right) / total if total else 0.0


scores = st.one_of(st.sampled_from([0.0, 0.049, 0.05, 0.5, 0.99, 1.0, -3.0, 7.0, 90.0]), st.floats(0, 1))


@given(
    st.lists(st.tuples(scores, st.integers(0, 3), st.integers(1, 3)), min_size=1, max_size=12),
    st.sampled_from(["higher", "lower"]),
)
def test_what_is_coloured_at_a_threshold_is_what_the_table_counts(
    compared: list[tuple[float, int, int]], direction: Direction
) -> None:
    rows = [
        ScoredItems("j", score, 0.5, direction, passed=True, at=0, items=1, passes=passes, fails=fails)
        for score, passes, fails in compared
    ]
    shown = lab(what_if_of(rows, SCOPE, "c", "m"), None)
    assert shown is not None
    for cut, at in shown.rows:
        passing = direction == "higher"
        for path, counted, other in ((shown.bars.up, cut["tp"], cut["fn"]), (shown.bars.down, cut["fp"], cut["tn"])):
            share = counted / (counted + other) if counted + other else 0.0
            assert drawn(path, at, right=passing) == pytest.approx(share, abs=0.02)
