"""Axes show everything that is drawn on them."""

import pytest

from sinks.page.charts import history
from sinks.page.figures import Scale
from sinks.queries.results import Agreed, Trend, TrendDay


def agreed(alignment: float, low: float) -> Agreed:
    return Agreed(k=round(100 * alignment), n=100, items=100, alignment=alignment, low=low, high=1.0)


def trend(*days: tuple[Agreed, Agreed]) -> Trend:
    """A trend of consecutive days, each with the week that ends on it."""
    return Trend(
        queue="q", by="annotation", metric=None, criterion=None, window="all", epochs=[], epochs_total=0,
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
