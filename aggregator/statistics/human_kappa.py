"""How sure the agreement of people among themselves is: an interval for the human-human kappa."""

from collections import Counter
from collections.abc import Iterable, Sequence
from math import sqrt
from random import Random
from typing import Final

from aggregator.ratings import LEVELS, human_passes
from aggregator.statistics.ceiling import Panel, ordered_pairs
from aggregator.statistics.confusion import Undefined

RESAMPLES: Final = 1_000
_SEED: Final = 20_261_129
_UP, _DOWN = LEVELS.index("up"), LEVELS.index("down")
_EXACT: Final = 40.0
"""Variance from which a binomial number is drawn from the normal distribution."""


def kappa_interval(panels: Iterable[Panel], pass_stars: int) -> tuple[float, float] | Undefined:
    """95 % interval of the kappa of all ordered pairs of people: a percentile bootstrap over items, seeded.

    An item is drawn with all its ratings, so pairs of one item stay together (Efron 1979, Annals of Statistics 7:1-26).
    Resamples with one result only have no kappa and are left out. Undefined as `kappa` is.
    """
    profiles = _profiles(panels, pass_stars)
    kappa = ordered_pairs(profiles, pass_stars).kappa
    if isinstance(kappa, Undefined):
        return kappa
    random = Random(_SEED)
    counts = [panel.items for panel in profiles]
    kappas = []
    for _ in range(RESAMPLES):
        drawn = _multinomial(random, counts)
        resampled = [Panel(panel.levels, items) for panel, items in zip(profiles, drawn, strict=True) if items]
        value = ordered_pairs(resampled, pass_stars).kappa
        if not isinstance(value, Undefined):
            kappas.append(value)
    kappas.sort()
    return kappas[int(0.025 * len(kappas))], kappas[min(int(0.975 * len(kappas)), len(kappas) - 1)]


def _profiles(panels: Iterable[Panel], pass_stars: int) -> list[Panel]:
    """Items that two or more people rated, by how many passed and failed it: few, however many items there are."""
    found: Counter[tuple[int, int]] = Counter()
    for panel in panels:
        passes = sum(count for level, count in enumerate(panel.levels) if human_passes(level, pass_stars))
        if sum(panel.levels) > 1:
            found[passes, sum(panel.levels) - passes] += panel.items
    profiles = []
    for (passes, fails), items in sorted(found.items()):
        levels = [0] * len(LEVELS)
        levels[_UP], levels[_DOWN] = passes, fails
        profiles.append(Panel(levels, items))
    return profiles


def _multinomial(random: Random, counts: Sequence[int]) -> list[int]:
    """As many items as there are, drawn with replacement: how often each profile comes."""
    left, weight = sum(counts), sum(counts)
    drawn = []
    for count in counts:
        number = left if count == weight else _binomial(random, left, count / weight)
        drawn.append(number)
        left -= number
        weight -= count
    return drawn


def _binomial(random: Random, n: int, p: float) -> int:
    """A binomial number; from a variance of 40 on the normal distribution with the same moments, rounded."""
    variance = n * p * (1 - p)
    if variance < _EXACT:
        return sum(random.random() < p for _ in range(n)) if n < 200 else _inverted(random, n, p)
    return min(n, max(0, round(random.gauss(n * p, sqrt(variance)))))


def _inverted(random: Random, n: int, p: float) -> int:
    """By inversion from the rarer side: about variance many steps."""
    if p > 0.5:
        return n - _inverted(random, n, 1 - p)
    uniform = random.random()
    ratio = p / (1 - p)
    term = (1 - p) ** n
    number, total = 0, term
    while uniform > total and number < n:
        number += 1
        term *= ratio * (n - number + 1) / number
        total += term
    return number
