"""Ends of an interval that is defined by a test of its points."""

from collections.abc import Callable
from typing import Final

_STEPS: Final = 44
"""Halvings: an end is known to 6e-14 of the way."""


def last_inside(inside: Callable[[float], bool], start: float, end: float) -> float:
    """The last point inside on the way from `start`, which is inside, to `end`; once outside, the way stays outside.

    >>> round(last_inside(lambda x: x * x <= 0.25, 0.0, 1.0), 9)
    0.5
    """
    if inside(end):
        return end
    for _ in range(_STEPS):
        middle = (start + end) / 2
        start, end = (middle, end) if inside(middle) else (start, middle)
    return start
