"""New judge versions in the chart of alignment over time.

Each has a flag on its day with the result of its test, in the colour and the words of the findings, and in the chart of
one metric each version has a level: its alignment over all of its comparisons.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Final

from sinks.page.formats import p_value, percent
from sinks.queries.results import JudgeChange

TONES: Final = {"worse": "untrusted", "better": "trusted", "unclear": "undecided"}
"""Class of the style sheet of each result."""
WORDS: Final = {"worse": "worse", "better": "better", "unclear": "no clear change"}
_RANK: Final = ("worse", "better", "unclear")
_NARROW: Final = 246
"""Width in pixels of the chart on a screen of 320 pixels: labels do not overlap there, nor on a wider screen."""
_CHARACTER: Final = 7.4
"""Width of a character of a label in pixels."""
_GAP: Final = 4
"""Pixels between a flag and its words."""
_FLAGS: Final = 38
"""The y from which a label above a line is below the flags."""
_NAME: Final = 18
"""Most characters of a version's name in the chart; of a longer one its end, in which versions differ."""


@dataclass(frozen=True, slots=True)
class VersionMark:
    """A new judge version in the list below the chart."""

    number: int
    epoch: JudgeChange
    drawn: bool
    """Whether its day is one of the chart's days."""

    @property
    def tone(self) -> str:
        """Class of the style sheet."""
        return TONES[self.epoch["change"]]

    @property
    def words(self) -> str:
        """The result of its test."""
        return WORDS[self.epoch["change"]]

    @property
    def result(self) -> str:
        """Alignment of both versions, and the result of the test."""
        before, after = self.epoch["before"]["alignment"], self.epoch["after"]["alignment"]
        return f"{percent(before)} before, {percent(after)} after, {self.words} (p {p_value(self.epoch['p_value'])})"

    @property
    def names(self) -> str:
        """Metric and versions."""
        epoch = self.epoch
        return f"{epoch['metric']}, judge version {epoch['judge'] or 'unnamed'} after {epoch['previous'] or 'unnamed'}"

    @property
    def text(self) -> str:
        """What changed, in one line."""
        return f"{self.names}: {self.result}"

    def text_on(self, day: str) -> str:
        """The same in the row of a day, with its own day where that is another one."""
        return self.text if day == self.epoch["day"] else f"{self.epoch['day']}: {self.text}"


@dataclass(frozen=True, slots=True)
class Flag:
    """The new versions of one day in the chart; `x` in percent of its width."""

    x: float
    text: str
    """Their numbers."""
    half: int
    """Half of the width of the disc, in pixels."""
    tone: str
    """Class of the style sheet of the first of them that is worse, else better."""
    words: str
    """The result of its test; empty where there is no room."""
    shift: int
    """Pixels from its day to the words; negative where they are before it."""
    title: str


@dataclass(frozen=True, slots=True)
class VersionLevel:
    """A judge version of the chart's metric: a line at its alignment, while it was the newest version."""

    start: float
    """Left end in percent of the width."""
    end: float
    y: float
    tone: str
    """Class of the style sheet; of the first version `undecided`, because it is compared with none."""
    name: str
    share: float
    label: float | None
    """The y of its label; None without one."""


def version_marks(epochs: Sequence[JudgeChange], first: str, last: str) -> list[VersionMark]:
    """The changes of a chart whose days are from `first` to `last`."""
    return [VersionMark(number, epoch, first <= epoch["day"] <= last) for number, epoch in enumerate(epochs, 1)]


def version_flags(marks: Iterable[VersionMark], x: Callable[[str], float], name: Callable[[str], str]) -> list[Flag]:
    """The flags of the marks that are drawn.

    Args:
        marks: the changes of the chart, oldest first.
        x: the place of a day in percent of the width.
        name: a day in words.
    """
    drawn = (mark for mark in marks if mark.drawn)
    days = [(round(x(day), 2), list(of_day)) for day, of_day in groupby(drawn, lambda mark: mark.epoch["day"])]
    texts = [_numbers(of_day) for _, of_day in days]
    halves = [9 + 3 * (len(text) - 1) for text in texts]
    strongest = [min(of_day, key=lambda mark: _RANK.index(mark.epoch["change"])) for _, of_day in days]
    taken = [(at - _share(half), at + _share(half)) for (at, _), half in zip(days, halves, strict=True)]
    shifts: dict[int, int] = {}
    # Where not all have room, the worse ones and the newest have their words.
    for place in sorted(range(len(days)), key=lambda each: (_RANK.index(strongest[each].epoch["change"]), -each)):
        at, half = days[place][0], halves[place] + _GAP
        needed = _share(half + _CHARACTER * len(strongest[place].words))
        for shift, span in ((half, (at + _share(half), at + needed)), (-half, (at - needed, at - _share(half)))):
            free = all(span[1] <= start or end <= span[0] for start, end in taken)
            if span[0] >= 0 and span[1] <= 100 and free:
                shifts[place] = shift
                taken.append(span)
                break
    return [
        Flag(
            x=at,
            text=texts[place],
            half=halves[place],
            tone=strongest[place].tone,
            words=strongest[place].words if place in shifts else "",
            shift=shifts.get(place, 0),
            title=f"{name(of_day[0].epoch['day'])}: {'; '.join(mark.text for mark in of_day)}",
        )
        for place, (at, of_day) in enumerate(days)
    ]


def _share(pixels: float) -> float:
    """Pixels in percent of the narrowest chart."""
    return 100 * pixels / _NARROW


def _numbers(marks: Sequence[VersionMark]) -> str:
    first, last = marks[0].number, marks[-1].number
    return str(first) if first == last else f"{first}–{last}"  # noqa: RUF001 -- a range


def shares_of_versions(epochs: Sequence[JudgeChange]) -> Iterator[float]:
    """The alignment of each version."""
    for epoch in epochs:
        yield from (epoch["before"]["alignment"], epoch["after"]["alignment"])


def version_levels(
    epochs: Sequence[JudgeChange], x: Callable[[str], float], y: Callable[[float], float], left: float
) -> list[VersionLevel]:
    """The levels of the versions of one metric; `left` is the place where the days begin.

    The two newest have a label, the higher one above its line and the other below.
    """
    if not epochs:
        return []
    starts = [left, *(min(100.0, max(left, round(x(epoch["day"]), 2))) for epoch in epochs)]
    versions = [(epochs[0]["previous"], epochs[0]["before"], "undecided")]
    versions += [(epoch["judge"], epoch["after"], TONES[epoch["change"]]) for epoch in epochs]
    levels = []
    higher = versions[-1][1]["alignment"] >= versions[-2][1]["alignment"]
    for place, ((name, agreed, tone), (start, end)) in enumerate(
        zip(versions, pairwise([*starts, 100.0]), strict=True)
    ):
        at, newest = y(agreed["alignment"]), place == len(versions) - 1
        # A label above a line at the top would be under the flags.
        above = at - 7 if newest is higher and at > _FLAGS else at + 16
        label = above if place >= len(versions) - 2 and end > start else None
        levels.append(VersionLevel(start, end, at, tone, _short_name(name), agreed["alignment"], label))
    return levels


def _short_name(name: str) -> str:
    if not name:
        return "unnamed"
    return name if len(name) <= _NAME else f"…{name[-_NAME + 1 :]}"
