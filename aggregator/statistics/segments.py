"""Whether a part of the comparisons, such as those of one plan, is aligned differently from the rest."""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import islice, takewhile
from typing import Final, NamedTuple, TypeVar

from aggregator.statistics.confusion import Undefined
from aggregator.statistics.error_side import SIGNIFICANCE

LEAST_ITEMS: Final = 10
"""Items that a segment needs to be tested."""
_K = TypeVar("_K")
_NEGLIGIBLE: Final = 1e-20
"""Weight of a table, compared with that of the one seen, from which on it is not added up."""
_TIE: Final = 1 + 1e-7
"""Tables whose probabilities differ by less are equally likely, as in R's fisher.test."""


class ItemVotes(NamedTuple):
    """Items by what most of their annotators say and by the verdict of the metric. A tie is in no number."""

    tp: int
    fn: int
    tn: int
    fp: int

    @property
    def aligned(self) -> int:
        """Items on which the metric agrees with most annotators."""
        return self.tp + self.tn

    @property
    def misaligned(self) -> int:
        """Items on which it does not."""
        return self.fn + self.fp


class SegmentLean(StrEnum):
    """How strict a metric is in a segment, compared with the rest."""

    MORE_LENIENT = "more_lenient"
    """It passes more of what people fail, or fails less of what they pass."""
    STRICTER = "stricter"
    """It fails more of what people pass, or passes less of what they fail."""
    UNCLEAR = "unclear"
    """No test finds a difference, or the metric errs more, or less, on both sides."""


class FisherTest(NamedTuple):
    """A test of a segment against the rest."""

    p_value: float
    """Two-sided, of Fisher's exact test."""
    adjusted: float
    """The same by Holm, over the tests that answer the same question."""

    @property
    def significant(self) -> bool:
        """Whether the segment differs from the rest."""
        return self.adjusted < SIGNIFICANCE


class SegmentTest(NamedTuple):
    """The tests of a segment against the rest."""

    alignment: FisherTest
    """Whether the metric agrees with people equally often."""
    passes: FisherTest | Undefined
    """Whether it fails as much of what people pass."""
    fails: FisherTest | Undefined
    """Whether it passes as much of what people fail."""
    lean: SegmentLean


def differences(
    segments: Mapping[str | None, tuple[ItemVotes, ItemVotes]],
) -> dict[str | None, SegmentTest | Undefined]:
    """Tests of segments against the rest, by name of the segment; the values are the votes of both.

    An item counts once on each side, so that several annotations of it are one observation. Holm's correction is over
    the tests of alignment, and over those of both human results together: a metric that is too strict in a segment and
    too lenient elsewhere may be aligned equally well in both.
    """
    answers: dict[str | None, SegmentTest | Undefined] = {}
    tested: dict[str | None, tuple[ItemVotes, ItemVotes]] = {}
    for name, (own, rest) in segments.items():
        if sum(own) < LEAST_ITEMS:
            answers[name] = Undefined.FEW_ITEMS
        elif sum(rest) < LEAST_ITEMS:
            answers[name] = Undefined.NO_REST
        else:
            tested[name] = own, rest
    alignment = _tests({name: [(each.aligned, each.misaligned) for each in both] for name, both in tested.items()})
    sides = _tests(
        {(name, False): [(each.fn, each.tp) for each in both] for name, both in tested.items()}
        | {(name, True): [(each.fp, each.tn) for each in both] for name, both in tested.items()}
    )
    for name, (own, rest) in tested.items():
        passes = sides.get((name, False), Undefined.NO_HUMAN_PASS)
        fails = sides.get((name, True), Undefined.NO_HUMAN_FAIL)
        stricter = _change(passes, (own.fn, own.tp), (rest.fn, rest.tp))
        lenient = _change(fails, (own.fp, own.tn), (rest.fp, rest.tn))
        answers[name] = SegmentTest(alignment[name], passes, fails, _lean(stricter, lenient))
    return answers


def _tests(tables: Mapping[_K, Sequence[tuple[int, int]]]) -> dict[_K, FisherTest]:
    """Tests of all tables with observations in both rows."""
    p_values = {name: fisher(first, second) for name, (first, second) in tables.items() if sum(first) and sum(second)}
    adjusted = holm(list(p_values.values()))
    return {name: FisherTest(p, of_all) for (name, p), of_all in zip(p_values.items(), adjusted, strict=True)}


def _change(test: FisherTest | Undefined, own: tuple[int, int], rest: tuple[int, int]) -> int:
    """1 where the share of the first number is significantly higher than in the rest, -1 where lower, else 0."""
    if isinstance(test, Undefined) or not test.significant:
        return 0
    return 1 if own[0] * sum(rest) > rest[0] * sum(own) else -1


def _lean(stricter: int, lenient: int) -> SegmentLean:
    """From the changes of what the metric fails of human passes, and of what it passes of human fails."""
    if lenient == stricter:
        return SegmentLean.UNCLEAR
    return SegmentLean.MORE_LENIENT if lenient > stricter else SegmentLean.STRICTER


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
        """Tables by the number in their first cell, from the mode on; their weights fall."""
        weight, cell = 1.0, mode
        while low <= cell <= high:
            yield cell, weight
            up = (size - cell) * (column - cell), (cell + 1) * (total - size - column + cell + 1)
            down = cell * (total - size - column + cell), (size - cell + 1) * (column - cell + 1)
            more, less = up if step > 0 else down
            weight *= more / less
            cell += step

    towards = weights(1 if first[0] >= mode else -1)
    seen = next(weight for cell, weight in towards if cell == first[0] or not weight)
    if not seen:
        return 0.0
    # All tables that follow a lighter one are together too light to change the sum.
    least = seen * _NEGLIGIBLE
    all_weights = [1.0]
    for step in (1, -1):
        all_weights += [
            weight for _, weight in takewhile(lambda table: table[1] > least, islice(weights(step), 1, None))
        ]
    return min(1.0, sum(weight for weight in all_weights if weight <= seen * _TIE) / sum(all_weights))


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
