"""Whether a part of the comparisons, such as those of one plan, is aligned differently from the rest."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Final, NamedTuple

from aggregator.statistics.confusion import Undefined
from aggregator.statistics.error_side import SIGNIFICANCE

LEAST_ITEMS: Final = 10
"""Items that a segment needs to be tested."""
_TIE: Final = 1 + 1e-7
"""Tables whose probabilities differ by less are equally likely, as in R's fisher.test."""


class ItemVotes(NamedTuple):
    """Items by whether the metric agrees with most of their annotations. A tie is in neither number."""

    aligned: int
    misaligned: int


class SegmentTest(NamedTuple):
    """A test of a segment against the rest."""

    p_value: float
    """Two-sided, of Fisher's exact test."""
    adjusted: float
    """The same by Holm, over all segments that are tested."""

    @property
    def significant(self) -> bool:
        """Whether the segment differs from the rest."""
        return self.adjusted < SIGNIFICANCE


def differences(
    segments: Mapping[str | None, tuple[ItemVotes, ItemVotes]],
) -> dict[str | None, SegmentTest | Undefined]:
    """Tests of segments against the rest, by name of the segment; the values are the votes of both.

    An item counts once on each side, so that several annotations of it are one observation.
    """
    p_values: dict[str | None, float] = {}
    answers: dict[str | None, SegmentTest | Undefined] = {}
    for name, (own, rest) in segments.items():
        if sum(own) < LEAST_ITEMS:
            answers[name] = Undefined.FEW_ITEMS
        elif sum(rest) < LEAST_ITEMS:
            answers[name] = Undefined.NO_REST
        else:
            p_values[name] = fisher(own, rest)
    tested = zip(p_values.items(), holm(list(p_values.values())), strict=True)
    return answers | {name: SegmentTest(p_value, adjusted) for (name, p_value), adjusted in tested}


def fisher(first: tuple[int, int], second: tuple[int, int]) -> float:
    """Two-sided p-value of Fisher's exact test of two rows of counts: all tables at most as likely as the one seen.

    Source: Fisher 1922, Journal of the Royal Statistical Society 85:87-94. Weights of tables with the same margins
    follow from each other by ratios, from the most likely one outwards, so no factorial is needed.

    >>> round(fisher((1, 9), (11, 3)), 6)
    0.002759
    """
    size, column, total = sum(first), first[0] + second[0], sum(first) + sum(second)
    low, high = max(0, size + column - total), min(size, column)
    mode = min(high, max(low, (size + 1) * (column + 1) // (total + 2)))

    def weights(step: int) -> Iterator[tuple[int, float]]:
        """Tables by the number in their first cell, from the mode on, until they have no weight."""
        weight, cell = 1.0, mode
        while low <= cell <= high:
            yield cell, weight
            up = (size - cell) * (column - cell), (cell + 1) * (total - size - column + cell + 1)
            down = cell * (total - size - column + cell), (size - cell + 1) * (column - cell + 1)
            more, less = up if step > 0 else down
            weight *= more / less
            cell += step

    tables = {
        cell: weight for step in (1, -1) for cell, weight in takewhile(lambda table: table[1] > 0.0, weights(step))
    }
    seen = tables.get(first[0], 0.0)
    return min(1.0, sum(weight for weight in tables.values() if weight <= seen * _TIE) / sum(tables.values()))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values of several tests, adjusted so that the chance of any false difference stays below the level.

    Source: Holm 1979, Scandinavian Journal of Statistics 6:65-70.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted
