"""The interval of the human-human kappa against numpy's plain bootstrap."""

import numpy as np
import pytest

from aggregator.ratings import LEVELS
from aggregator.statistics.ceiling import Panel
from aggregator.statistics.confusion import Undefined
from aggregator.statistics.human_kappa import kappa_interval

PASS_STARS = 3


def panel(passes: int, fails: int, items: int) -> Panel:
    levels = [0] * len(LEVELS)
    levels[LEVELS.index("up")], levels[LEVELS.index("2")] = passes, fails
    return Panel(levels, items)


def plain(panels: list[Panel], seed: int) -> tuple[float, float]:
    """Item by item: draw items, list all ordered pairs, and count."""
    items = np.array(
        [(p.levels[LEVELS.index("up")], p.levels[LEVELS.index("2")]) for p in panels for _ in range(p.items)]
    )
    random, kappas = np.random.default_rng(seed), []
    for _ in range(2_000):
        passes, fails = items[random.integers(0, len(items), len(items))].T
        both, neither, split = (passes * (passes - 1)).sum(), (fails * (fails - 1)).sum(), 2 * (passes * fails).sum()
        n = both + neither + split
        share = (both + split / 2) / n
        expected = share**2 + (1 - share) ** 2
        if expected < 1:
            kappas.append(((both + neither) / n - expected) / (1 - expected))
    low, high = np.percentile(kappas, [2.5, 97.5])
    return float(low), float(high)


@pytest.mark.parametrize(
    "panels",
    [
        [panel(2, 0, 30), panel(0, 2, 20), panel(1, 1, 10)],
        [panel(3, 0, 12), panel(2, 1, 30), panel(1, 2, 25), panel(0, 3, 8)],
        [panel(2, 0, 3_000), panel(1, 1, 900), panel(0, 2, 400), panel(1, 0, 50)],
    ],
    ids=["two people", "coin tosses", "many items"],
)
def test_the_interval_is_that_of_resampled_items(panels: list[Panel]) -> None:
    found = kappa_interval(panels, PASS_STARS)
    assert not isinstance(found, Undefined)
    low, high = plain(panels, 1)
    width = high - low
    assert found == pytest.approx((low, high), abs=0.08 * width)


def test_the_interval_is_the_same_at_every_look() -> None:
    panels = [panel(2, 0, 30), panel(0, 2, 20), panel(1, 1, 10)]
    assert kappa_interval(panels, PASS_STARS) == kappa_interval(panels[::-1], PASS_STARS)


def test_without_pairs_or_with_one_result_there_is_no_interval() -> None:
    assert kappa_interval([panel(1, 0, 5)], PASS_STARS) is Undefined.NO_COMPARISONS
    assert kappa_interval([panel(2, 0, 5)], PASS_STARS) is Undefined.ONE_CLASS
