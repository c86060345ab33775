"""The alert on a drop: quiet on noise for a year, quick on a drop; simulated by the formula that Prometheus evaluates.

The simulation evaluates series once an hour; their labels arrive all day. Windows are those of the view: UTC days,
today included, so that the last five days are between four and five days long.
"""

import re
from dataclasses import dataclass
from functools import cache
from math import sqrt
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from aggregator.statistics.confusion import Z_95, Confusion, Estimate
from sinks.gauges import RECENT_DAYS
from tests.support.rules import alerts, evaluate, recorded

Counts = npt.NDArray[np.int64]
Shares = npt.NDArray[np.float64]

HOURS: Final = 24
RECORD = "pair:eval_alignment_newest_judge_agreement_ratio"
DROP = f"{RECORD}:drop"
REFERENCE_DAYS: Final = 30
LED_IN: Final = REFERENCE_DAYS + 7
"""Days before a series can be judged."""
YEAR: Final = 365
DEADLINE_DAYS: Final = 5
FALSE_ALERTS: Final = 5


class Rule(NamedTuple):
    """Factor on the half width, least drop, hours before it fires, and hours that it keeps firing."""

    factor: float
    least: float
    wait: int
    keep: int


@cache
def rule() -> Rule:
    """The rule of the file; fails when its expression has another form."""
    alert = alerts()["EvalAlignmentDropped"]
    expression = " ".join(alert["expr"].split())
    match = re.fullmatch(
        rf"{DROP} > (\S+) \* {DROP}_half_width "
        rf"and {DROP} >= (\S+)",
        expression,
    )
    assert match, expression
    wait, keep = (int(alert[name].removesuffix("h")) for name in ("for", "keep_firing_for"))
    return Rule(float(match[1]), float(match[2]), wait, keep)


@dataclass(frozen=True)
class Labels:
    """Labels that arrived and labels that agree, by series and hour."""

    came: Counts
    agree: Counts

    @classmethod
    def draw(cls, draw: np.random.Generator, alignment: Shares, a_day: Shares) -> "Labels":
        """`a_day` labels a day, which agree with the probability `alignment`; both broadcast to series and hours."""
        came = draw.poisson(np.broadcast_to(a_day / HOURS, alignment.shape))
        return cls(came, draw.binomial(came, alignment))

    def window(self, days: int) -> tuple[Counts, Counts]:
        """Labels and agreeing ones of the last UTC days, today included, at the end of every hour."""
        hours = np.arange(self.came.shape[1])
        start = np.maximum(0, (hours // HOURS - days + 1) * HOURS)

        def summed(counts: Counts) -> Counts:
            total = np.concatenate([np.zeros((counts.shape[0], 1), dtype=np.int64), np.cumsum(counts, axis=1)], axis=1)
            within: Counts = total[:, hours + 1] - total[:, start]
            return within

        return summed(self.came), summed(self.agree)


def interval(agree: Counts, n: Counts) -> tuple[Shares, Shares, Shares]:
    """Share and Wilson 95 % bounds, vectorised; NaN without labels."""
    with np.errstate(divide="ignore", invalid="ignore"):
        share = agree / n
        centre = (share + Z_95**2 / (2 * n)) / (1 + Z_95**2 / n)
        half = Z_95 / (1 + Z_95**2 / n) * np.sqrt(share * (1 - share) / n + Z_95**2 / (4 * n * n))
    return share, centre - half, centre + half


def firing(labels: Labels) -> npt.NDArray[np.bool_]:
    """Whether the alert fires, by series and hour from the first hour that has a reference."""
    factor, least, wait, keep = rule()
    back = 7 * HOURS
    n_before, k_before = (counts[:, :-back] for counts in labels.window(REFERENCE_DAYS))
    n_now, k_now = (counts[:, back:] for counts in labels.window(RECENT_DAYS))
    before, before_low, _ = interval(k_before, n_before)
    now, _, now_high = interval(k_now, n_now)
    drop = before - now
    with np.errstate(invalid="ignore"):
        active = (drop > factor * np.sqrt((before - before_low) ** 2 + (now_high - now) ** 2)) & (drop >= least)
    fires = np.zeros_like(active)
    on, run, idle = np.zeros(len(active), bool), np.zeros(len(active), int), np.zeros(len(active), int)
    for hour in range(active.shape[1]):
        now_active = active[:, hour]
        run, idle = np.where(now_active, run + 1, 0), np.where(now_active, 0, idle + 1)
        on = np.where(now_active, on | (run > wait), on & (idle <= keep))
        fires[:, hour] = on
    return fires[:, (LED_IN - 7) * HOURS :]


def starts(fires: npt.NDArray[np.bool_]) -> int:
    """Number of alerts that began."""
    return int(fires[:, 0].sum() + (fires[:, 1:] & ~fires[:, :-1]).sum())


def stable(seed: int, alignment: Shares, a_day: Shares) -> Labels:
    """A year of series whose judge does not change."""
    hours = (LED_IN + YEAR) * HOURS
    spread = np.broadcast_to(alignment[:, None], (len(alignment), hours))
    return Labels.draw(np.random.default_rng(seed), spread, a_day[:, None])


@pytest.mark.parametrize("alignment", [0.6, 0.75, 0.9, 0.97])
def test_a_year_of_stable_series_at_100_items_a_day_raises_few_alerts(alignment: float) -> None:
    labels = stable(1, np.full(100, alignment), np.full(100, 100.0))
    assert starts(firing(labels)) <= FALSE_ALERTS


@pytest.mark.parametrize("seed", range(4))
def test_a_year_of_stable_series_of_all_kinds_raises_few_alerts(seed: int) -> None:
    draw = np.random.default_rng(100 + seed)
    labels = stable(seed, draw.uniform(0.55, 0.99, 100), np.exp(draw.uniform(np.log(2), np.log(1_000), 100)))
    assert starts(firing(labels)) <= FALSE_ALERTS


def seen_after(alignment: float, a_day: float, series: int = 400) -> Shares:
    """Days until the alert fires after a drop of 10 points at midnight; infinite when it does not within 8."""
    hours = (LED_IN + 8) * HOURS
    spread = np.full((series, hours), alignment)
    spread[:, LED_IN * HOURS :] -= 0.1
    fires = firing(Labels.draw(np.random.default_rng(7), spread, np.array(a_day)))
    return np.where(fires.any(axis=1), (fires.argmax(axis=1) + 1) / HOURS, np.inf)


@pytest.mark.parametrize(
    ("alignment", "in_time", "median"), [(0.95, 0.99, 2.6), (0.9, 0.95, 3.3), (0.85, 0.85, 4.0), (0.6, 0.5, 4.8)]
)
def test_a_drop_of_10_points_at_100_items_a_day_is_seen_in_time(
    alignment: float, in_time: float, median: float
) -> None:
    days = seen_after(alignment, 100)
    assert (days <= DEADLINE_DAYS).mean() >= in_time
    assert np.median(days) <= median


def test_a_drop_is_seen_sooner_with_more_labels() -> None:
    medians = [np.median(seen_after(0.9, a_day, 200)) for a_day in (100.0, 300.0, 1_000.0, 3_000.0)]
    assert medians == sorted(medians, reverse=True)
    assert (seen_after(0.9, 300) <= DEADLINE_DAYS).all()
    assert medians[2] <= 1.5
    assert medians[3] <= 1.5


@pytest.mark.parametrize("percent", range(55, 100, 5))
def test_without_noise_a_drop_is_seen_in_time_at_every_level(percent: int) -> None:
    """100 labels a day, evenly over its hours, exactly `percent` of which agree, and ten fewer from a midnight on."""
    hours = np.arange(1, (LED_IN + 8) * HOURS + 1)
    came = hours * 100 // HOURS
    agree = (hours * percent - 10 * np.maximum(0, hours - LED_IN * HOURS)) // HOURS
    fires = firing(Labels(np.diff(came, prepend=0)[None], np.diff(agree, prepend=0)[None]))
    assert not fires[:, :HOURS].any()
    assert fires[:, : DEADLINE_DAYS * HOURS].any()


def test_the_simulated_formula_is_what_prometheus_evaluates(promtool: str, tmp_path: Path) -> None:
    """Three series: gauges with the page's statistics, and the recorded drop and the alert, hour by hour."""
    levels, a_day = np.array([0.9, 0.7, 0.9]), np.array([100.0, 100.0, 12.0])
    hours = (LED_IN + 8) * HOURS
    spread = np.repeat(levels[:, None], hours, axis=1)
    # A drop, a short drop, and no drop.
    spread[0, LED_IN * HOURS :] -= 0.12
    spread[1, LED_IN * HOURS : (LED_IN + 2) * HOURS] -= 0.35
    labels = Labels.draw(np.random.default_rng(11), spread, a_day[:, None])
    simulated = firing(labels)
    assert simulated[0].any() and not simulated[2].any()
    assert simulated[1].any() and not simulated[1, -1]

    first = (LED_IN - 7) * HOURS
    windows = {f"{REFERENCE_DAYS}d": labels.window(REFERENCE_DAYS), f"{RECENT_DAYS}d": labels.window(RECENT_DAYS)}
    estimates: dict[tuple[str, int], list[Estimate]] = {}
    for window, (n, k) in windows.items():
        for series in range(len(levels)):
            estimates[window, series] = [
                estimate(int(k[series, hour]), int(n[series, hour])) for hour in range(first, hours)
            ]
    inputs = {
        f'eval_alignment_{name}{{queue="q{series}",criterion="c",metric="m",window="{window}",instance="a"}}': " ".join(
            repr(getattr(one, field)) for one in of_series
        )
        for (window, series), of_series in estimates.items()
        for name, field in (
            ("newest_judge_agreement_ratio", "value"),
            ("newest_judge_agreement_ci_low", "low"),
            ("newest_judge_agreement_ci_high", "high"),
        )
    }
    queries = []
    for series in range(len(levels)):
        pair = f'{{queue="q{series}"}}'
        for hour in range(0, 8 * HOURS, 7):
            before = estimates[f"{REFERENCE_DAYS}d", series][hour]
            now = estimates[f"{RECENT_DAYS}d", series][hour + 7 * HOURS]
            half_width = sqrt((before.value - before.low) ** 2 + (now.high - now.value) ** 2)
            at = f"{hour + 7 * HOURS}h"
            for name, expected in (("drop", before.value - now.value), ("drop_half_width", half_width)):
                close = f"abs(sum({RECORD}:{name}{pair}) - {expected!r}) < bool 1e-12"
                queries.append((at, close, [{"labels": "{}", "value": 1}]))
            alert = f'count(ALERTS{{alertname="EvalAlignmentDropped",alertstate="firing",queue="q{series}"}})'
            fires = bool(simulated[series, hour])
            queries.append((at, alert, [{"labels": "{}", "value": 1}] if fires else []))
    evaluate(promtool, tmp_path, inputs, queries, interval="1h")


def estimate(agree: int, n: int) -> Estimate:
    """Alignment as the page has it."""
    estimate = Confusion(agree, n - agree, 0, 0, n).alignment
    assert isinstance(estimate, Estimate)
    return estimate


def test_the_simulated_interval_is_that_of_the_page() -> None:
    draw = np.random.default_rng(3)
    n = draw.integers(1, 4_000, 500)
    agree = draw.binomial(n, draw.uniform(0, 1, 500))
    bounds = np.array(interval(agree, n)).T
    expected = np.array([estimate(int(k), int(m)) for k, m in zip(agree, n, strict=True)])
    assert np.abs(bounds - expected).max() < 1e-12


def test_the_windows_are_those_of_the_rules() -> None:
    expressions = {record["record"]: record["expr"] for record in recorded()}
    for name in ("drop", "drop_half_width"):
        windows = set(
            re.findall(
                r'window="(\w+)"\}( offset 7d)?',
                expressions[f"{RECORD}:{name}"],
            )
        )
        assert windows == {(f"{REFERENCE_DAYS}d", " offset 7d"), (f"{RECENT_DAYS}d", "")}
