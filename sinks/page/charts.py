"""Charts of the slow parts: alignment over time, and scores with a movable threshold.

Coordinates are computed on the server, in percent or viewBox units.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from math import floor
from typing import Final, Literal

from aggregator.days import day_name, day_number
from sinks.page.version_marks import (
    Flag,
    VersionLevel,
    VersionMark,
    shares_of_versions,
    version_flags,
    version_levels,
    version_marks,
)
from sinks.queries.calibration import ScoreCalibration
from sinks.queries.results import Cut, Trend, TrendDay, WhatIf

_LEFT: Final = 4.5
"""Left edge of the days in percent of the width; the labels of shares are to the left of it."""
_TOP: Final = 24
_HEIGHT: Final = 200
_TICKS: Final = 8
_YEAR_TICKS: Final = 4
"""Most ticks whose labels have a year."""
SPARK_DAYS: Final = 30
"""Days of a small chart."""
_LEAST: Final = 5


@dataclass(frozen=True, slots=True)
class Spark:
    """A small line chart in a box of 100 by 24."""

    path: str
    end: float
    """The y of its last point."""
    first: float
    last: float


def spark(weeks: Mapping[str, float]) -> Spark | None:
    """The chart of the last 30 days that have a share; `weeks`: shares of the week that ends on each day, by day.

    None for fewer than 5 such days.
    """
    if not weeks:
        return None
    first = day_number(max(weeks)) - SPARK_DAYS + 1
    days = [day_name(first + place) for place in range(SPARK_DAYS)]
    shares = [(place, weeks[day]) for place, day in enumerate(days) if day in weeks]
    if len(shares) < _LEAST:
        return None
    low, high = min(share for _, share in shares), max(share for _, share in shares)
    # A range of less than 4 points does not fill the height, so that an almost flat line looks flat.
    middle, height = (low + high) / 2, max(high - low, 0.04)
    points = [(2 + 96 * place / (SPARK_DAYS - 1), 12 - 20 * (share - middle) / height) for place, share in shares]
    path = "M" + " ".join(f"{x:.0f} {y:.1f}" for x, y in points)
    return Spark(path, round(points[-1][1], 1), shares[0][1], shares[-1][1])


@dataclass(frozen=True, slots=True)
class Point:
    """A day in the chart."""

    label: str
    day: TrendDay
    x: float
    """Center of the day in percent of the width."""
    y: float
    """Its alignment in pixels."""
    hit: float
    """Left edge of the area that shows its numbers, in percent."""
    width: float
    """Width of that area in percent."""
    marks: list[VersionMark]
    """New judge versions since the day before it in the chart; of the last day also those after it."""


@dataclass(frozen=True, slots=True)
class TrendChart:
    """The chart of alignment over time: shares in pixels, days in percent of the width."""

    points: list[Point]
    end: float
    """The y of the line's last point."""
    band: str
    """Path of the interval, of weeks where days have them."""
    line: str
    """Path of alignment, of weeks where days have them."""
    grid: list[tuple[float, float]]
    ticks: list[tuple[float, str]]
    marks: list[VersionMark]
    """New judge versions, oldest first."""
    flags: list[Flag]
    levels: list[VersionLevel]
    """Only of one metric."""
    baseline: float | None
    ceiling: float | None


def short(day: str, years: bool = False) -> str:
    """A day as the page writes it; `years`: with its year, because days of several years are shown.

    >>> short("2026-11-03"), short("2026-11-03", True)
    ('3 Nov', '3 Nov 2026')
    """
    parsed = date.fromisoformat(day)
    return f"{parsed.day} {parsed:%b} {parsed.year}" if years else f"{parsed.day} {parsed:%b}"


def several_years(days: Iterable[str]) -> bool:
    """Whether days (ISO text) are of more than one year."""
    return len({day[:4] for day in days}) > 1


def history(trend: Trend, baseline: float | None, ceiling: float | None, *, years: bool = False) -> TrendChart | None:
    """The chart, with the year of each day if `years`; None for a trend without days."""
    days = trend["days"]
    if not days:
        return None
    drawn = [(day["day"], day["week"] or day) for day in days]
    # A new version may judge items that were annotated before it: its day belongs to the chart too.
    last_day = max(day["day"] for day in (days[-1], *trend["epochs"]))
    epochs = trend["epochs"] if trend["metric"] else []
    lines = [low for low in (baseline, ceiling, *shares_of_versions(epochs)) if low is not None]
    lowest = min([*(agreed["alignment"] for _, agreed in drawn), *lines])
    start = max(0.0, min(0.5, floor((lowest - 0.05) * 10) / 10))
    # Single days and lower bounds often lie far below the line: the axis never cuts them.
    if min(*(day["alignment"] for day in days), *(agreed["low"] for _, agreed in drawn), *lines, 1.0) < start:
        start = 0.0
    first = date.fromisoformat(days[0]["day"])
    width = (100 - _LEFT) / ((date.fromisoformat(last_day) - first).days + 1)

    def x(day: str) -> float:
        return _LEFT + width * ((date.fromisoformat(day) - first).days + 0.5)

    def y(share: float) -> float:
        return round(_TOP + _HEIGHT * (1 - share) / (1 - start), 1)

    def path(points: Sequence[tuple[str, float]]) -> str:
        return " ".join(f"{10 * x(day):.0f} {y(share) - _TOP:.0f}" for day, share in points)

    high = [(day, agreed["high"]) for day, agreed in drawn]
    low = [(day, agreed["low"]) for day, agreed in reversed(drawn)]
    steps = round((1 - start) * 10)
    every = 1 if steps <= 6 else 2
    marks = version_marks(trend["epochs"], days[0]["day"], last_day)
    # Each mark has a row of the table: a version may come on a day without a row, or after the last one.
    spans = pairwise(["", *(day["day"] for day in days[:-1]), last_day])
    return TrendChart(
        points=[
            Point(
                short(day["day"], years), day, round(x(day["day"]), 2), y(day["alignment"]),
                round(x(day["day"]) - width / 2, 2), round(width, 2),
                [mark for mark in marks if mark.drawn and after < mark.epoch["day"] <= until],
            )
            for (after, until), day in zip(spans, days, strict=True)
        ],
        end=y(drawn[-1][1]["alignment"]),
        band=f"M{path(high)} {path(low)}z" if len(days) > 1 else "",
        line=f"M{path([(day, agreed['alignment']) for day, agreed in drawn])}" if len(days) > 1 else "",
        grid=[(1 - step / 10, y(1 - step / 10)) for step in range(0, steps + 1, every)],
        ticks=_ticks(first, width, date.fromisoformat(last_day), years=years),
        marks=marks,
        flags=version_flags(marks, x, lambda day: short(day, years)),
        levels=version_levels(epochs, x, y, _LEFT),
        baseline=None if baseline is None else y(baseline),
        ceiling=None if ceiling is None else y(ceiling),
    )  # fmt: skip


def _ticks(first: date, width: float, last: date, *, years: bool) -> list[tuple[float, str]]:
    span = (last - first).days
    step = max(1, -(-(span + 1) // (_YEAR_TICKS if years else _TICKS)))
    days = range(0, span + 1, step)
    return [
        (round(_LEFT + width * (offset + 0.5), 2), short((first + timedelta(days=offset)).isoformat(), years))
        for offset in days
    ]


@dataclass(frozen=True, slots=True)
class Bars:
    """Histograms of scores, up for human passes and down for human fails, in a box of 1000 by 160.

    Each bar is between two neighbouring cuts of the slider, so that a cut never divides a bar: what is on either side
    of it is what the table counts. The first and the last bar are of the scores before and after all cuts.
    """

    up: str
    down: str
    axis: float


@dataclass(frozen=True, slots=True)
class Roc:
    """The ROC curve in a box of 100 by 100."""

    path: str
    now: tuple[float, float]
    """Point of the verdicts as they are."""
    best: tuple[float, float]
    """Point of the cut with the best alignment."""


@dataclass(frozen=True, slots=True)
class Lab:
    """The threshold what-if of a metric. Positions are shares of the width of the chart."""

    operator: str
    bars: Bars
    low: float
    high: float
    rows: list[tuple[Cut, float]]
    """Cuts of the slider with their positions."""
    tried: int
    """Index of the row that is tried."""
    now: float | None
    recommended: float | None
    roc: Roc | None


def lab(what_if: WhatIf, cut: int | None) -> Lab | None:
    """The what-if of a metric; None without cuts. `cut` is the row of the grid to try, None the best one."""
    grid, best, recommended = what_if["grid"], what_if["best_alignment"], what_if["recommended"]
    if not grid or best is None:
        return None
    low, high = grid[0]["cut"], grid[-1]["cut"]
    assert low is not None, "every cut of the grid is a threshold"
    assert high is not None, "every cut of the grid is a threshold"
    bars, lower = len(grid) + 1, what_if["direction"] == "lower"

    def place(value: float | None) -> float | None:
        if value is None:
            return None
        # Halved first: the difference of two large numbers may overflow.
        share = min(1.0, max(0.0, (value / 2 - low / 2) / (high / 2 - low / 2))) if high > low else 0.5
        return round((1 + share * (bars - 2)) / bars, 4)

    rows = [(row, place(row["cut"]) or 0.0) for row in grid]
    best_at = place(best["cut"]) or 0.0
    nearest = min(range(len(rows)), key=lambda index: abs(rows[index][1] - best_at))
    return Lab(
        operator="≤" if lower else "≥",
        bars=_bars(_between(grid, "tp", "fn", lower=lower), _between(grid, "fp", "tn", lower=lower)),
        low=low,
        high=high,
        rows=rows,
        tried=nearest if cut is None else min(cut, len(rows) - 1),
        now=place(what_if["threshold"]),
        recommended=None if recommended is None else place(recommended["cut"]),
        roc=_roc(what_if),
    )


def _roc(what_if: WhatIf) -> Roc | None:
    """The curve; None when people passed all items, or none."""

    def point(cut: Cut | None) -> tuple[float, float] | None:
        if cut is None or cut["tpr"] is None or cut["fpr"] is None:
            return None
        return round(100 * cut["fpr"], 1), round(100 - 100 * cut["tpr"], 1)

    now, best = point(what_if["now"]), point(what_if["best_alignment"])
    if now is None or best is None:
        return None
    # From nothing passes to everything passes: both rates grow.
    points = sorted((place for cut in what_if["sweep"] if (place := point(cut))), key=lambda at: (at[0], -at[1]))
    return Roc("M" + " ".join(f"{x:g} {y:g}" for x, y in dict.fromkeys(points)), now, best)


@dataclass(frozen=True, slots=True)
class Reliability:
    """A bin in the reliability diagram, a box of 100 by 100. Both axes are from 0 to 100 %."""

    x: float
    y: float
    low: float
    """The y of the interval's lower bound."""
    high: float
    """The y of its upper bound."""


def reliability(scores: ScoreCalibration) -> list[Reliability]:
    """The dots of the diagram."""

    def y(share: float) -> float:
        return round(100 - 100 * share, 1)

    return [
        Reliability(round(100 * each["score"], 1), y(each["pass_rate"]), y(each["low"]), y(each["high"]))
        for each in scores["bins"]
    ]


def _between(
    grid: Sequence[Cut], passed: Literal["tp", "fp"], failed: Literal["fn", "tn"], *, lower: bool
) -> list[int]:
    """Comparisons of one human result before the first cut, between every two cuts, and after the last one."""
    below = [cut[passed if lower else failed] for cut in grid]
    return [after - before for before, after in pairwise([0, *below, grid[0][passed] + grid[0][failed]])]


def _bars(passes: Sequence[int], fails: Sequence[int]) -> Bars:
    room = 156
    total = max(passes) + max(fails)
    unit = room / total if total else 0
    axis = max(passes) * unit + 1
    width = 1000 / len(passes)

    def path(counts: Sequence[int], start: float, sign: int) -> str:
        step = sign * unit
        return "".join(
            f"M{index * width + 3:.0f} {start:.1f}v{step * number:.1f}h{width - 6:.0f}v{-step * number:.1f}z"
            for index, number in enumerate(counts)
            if number
        )

    return Bars(path(passes, axis, -1), path(fails, axis + 2, 1), round(axis + 1, 1))
