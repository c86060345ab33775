"""The scale of a column of labels: which text is which rating, and whether the column shows it by itself.

Words that state pass or fail are recognised. Numbers are recognised only where one scale explains them: with a 0 they
are pass and fail, and from 1 to 5 with a 5 and another value they are stars. A 4 alone may be of 5 or of 10, so nothing
is guessed: the caller asks for the scale.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Final, Literal

from eval_alignment.terminal_text import printable
from streams.runtime.errors import EvalAlignmentError
from streams.runtime.exit_codes import ExitCode

Label = Literal["up", "down"] | int | None
"""Thumbs, stars, or None for a cell that is left out on purpose."""

PASS_WORDS: Final = ("pass", "passed", "true", "yes", "y", "up", "thumbs up", "good", "correct", "👍")
FAIL_WORDS: Final = ("fail", "failed", "false", "no", "n", "down", "thumbs down", "bad", "incorrect", "👎")
_WORDS: Final[Mapping[str, Label]] = {
    **dict.fromkeys(PASS_WORDS, "up"),
    **dict.fromkeys(FAIL_WORDS, "down"),
}
_DIGITS: Final[Mapping[str, Label]] = {"1": "up", "0": "down"}
_TARGETS: Final[Mapping[str, Label]] = {
    "pass": "up", "fail": "down", "skip": None, "1": 1, "2": 2, "3": 3, "4": 4, "5": 5,
}  # fmt: skip
_STARS: Final = frozenset("12345")
_NUMBER: Final = re.compile(r"[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+-]?\d+)?")
_PASS_AT: Final = "pass-at="
_SHOWN: Final = 5
_LONGEST: Final = 40


class ScaleError(EvalAlignmentError):
    """The scale of a column is not known, or is given in an invalid way; the message has no name of a column."""

    exit_code = ExitCode.USAGE


class UnreadableCellError(EvalAlignmentError, ValueError):
    """A cell is not what its column needs; the message has its text and what is expected."""


def number(cell: str) -> float | None:
    """The number of a cell, with decimal point or decimal comma; None for other text, and beyond the range of a float.

    >>> number(" 0.91 "), number("0,91"), number("1e-3"), number("1.234,5"), number("nan"), number("1e999")
    (0.91, 0.91, 0.001, None, None, None)
    """
    text = cell.strip()
    value = float(text.replace(",", ".")) if _NUMBER.fullmatch(text) else None
    return value if value is not None and isfinite(value) else None


def quoted(cell: str) -> str:
    """The text of a cell for a message: escaped, and cut where it is long."""
    text = cell if len(cell) <= _LONGEST else f"{cell[:_LONGEST]}…"
    return f"'{printable(text)}'"


@dataclass(frozen=True, slots=True)
class LabelScale:
    """Reads the cells of a column of labels."""

    name: str
    """In words, for messages."""
    expected: str
    """What a cell may be, for the message about one that is something else."""
    values: Mapping[str, Label] = field(default_factory=dict)
    """Label by text in normal form."""
    pass_at: float | None = None
    """The number from which a number is a pass."""

    def read(self, cell: str) -> Label:
        """The label of a cell. Raises UnreadableCellError."""
        key = _normal(cell)
        if key in self.values:
            return self.values[key]
        if self.pass_at is not None and (value := number(cell)) is not None:
            return "up" if value >= self.pass_at else "down"
        raise UnreadableCellError(f"{quoted(cell)} is not a label, expected {self.expected}")


_NAMED: Final = "pass or fail (also passed, true, yes, up, good, correct and their opposites)"
WORDS: Final = LabelScale("words for pass and fail", _NAMED, _WORDS)
THUMBS: Final = LabelScale("1 is pass, 0 is fail", f"1, 0, {_NAMED}", {**_WORDS, **_DIGITS})
STARS: Final = LabelScale("stars from 1 to 5", "a whole number from 1 to 5", {digit: int(digit) for digit in "12345"})


def scale_of(cells: Iterable[str], *, verdicts: bool = False) -> LabelScale:
    """The scale that the cells of a column show. Raises ScaleError where they show none, or more than one.

    Args:
        cells: the cells that are not empty.
        verdicts: whether the column has verdicts of a metric, which are pass or fail and never stars.

    >>> scale_of(["Yes", "no "]).name, scale_of(["1", "0"]).name, scale_of(["5", "3.0"]).name
    ('words for pass and fail', '1 is pass, 0 is fail', 'stars from 1 to 5')
    """
    counts: dict[str, int] = {}
    for cell in cells:
        key = _normal(cell)
        counts[key] = counts.get(key, 0) + 1
    numbers = {key for key in counts if number(key) is not None}
    words = counts.keys() & _WORDS.keys()
    others = sum(count for key, count in counts.items() if key not in numbers and key not in words)
    if not counts:
        return WORDS
    if 2 * others > sum(counts.values()):
        raise ScaleError(f"values {_listed(counts)} are not known as pass or fail")
    if not numbers:
        return WORDS
    if numbers <= _DIGITS.keys() and (verdicts or "0" in numbers):
        return THUMBS
    if words:
        raise ScaleError(f"values {_listed(counts)} mix words and numbers")
    if not verdicts and numbers <= _STARS and "5" in numbers and len(numbers) > 1:
        return STARS
    raise ScaleError(f"values {_listed(numbers)} do not show their scale")


def parse_scale(text: str) -> LabelScale:
    """The scale that an option names: `thumbs`, `stars`, `pass-at=7`, or pairs such as `good=pass,bad=fail,na=skip`.

    >>> parse_scale("good=pass,bad=fail,n/a=skip").read("N/A") is None, parse_scale("pass-at=7").read("7.5")
    (True, 'up')
    """
    name = text.strip().casefold()
    if name in ("thumbs", "stars"):
        return THUMBS if name == "thumbs" else STARS
    if name.startswith(_PASS_AT) and (mark := number(name.removeprefix(_PASS_AT))) is not None:
        return LabelScale(f"numbers, pass from {mark:g}", "a number", pass_at=mark)
    values: dict[str, Label] = {}
    for pair in text.split(","):
        value, equals, target = pair.rpartition("=")
        key, target = _normal(value), target.strip().casefold()
        if not equals or not key or target not in _TARGETS:
            raise ScaleError(
                f"{quoted(text)} is not a scale, expected thumbs, stars, pass-at=NUMBER, or VALUE=pass, VALUE=fail, "
                "VALUE=skip or VALUE=1 to VALUE=5, separated by commas"
            )
        if values.get(key, _TARGETS[target]) != _TARGETS[target]:
            raise ScaleError(f"{quoted(text)} has two labels for {quoted(value.strip())}")
        values[key] = _TARGETS[target]
    return LabelScale(text, " or ".join(quoted(value) for value in values), values)


def _normal(cell: str) -> str:
    """The text that decides: without case and surrounding blanks, `_` as a blank, a whole number as an integer."""
    text = cell.strip().casefold().replace("_", " ")
    value = number(text)
    return str(int(value)) if value is not None and abs(value) < 1e15 and value == int(value) else text


def _listed(values: Iterable[str]) -> str:
    ordered = sorted(values, key=lambda value: (number(value) is None, number(value) or 0, value))
    more = f" and {len(ordered) - _SHOWN} more" if len(ordered) > _SHOWN else ""
    return ", ".join(quoted(value) for value in ordered[:_SHOWN]) + more
