"""Numbers and untrusted names as text for a terminal."""

from typing import Final

from aggregator.names import printable

__all__ = ["DASH", "interval", "percent", "printable"]

DASH: Final = "-"
"""Printed for an undefined number."""


def percent(share: float | None) -> str:
    """A ratio in 0..1 as a percentage with one decimal; a dash for None.

    >>> percent(0.9078)
    '90.8 %'
    """
    return DASH if share is None else f"{100 * share:.1f} %"


def interval(low: float | None, high: float | None) -> str:
    """The bounds of an interval of a ratio, as percentages.

    >>> interval(0.8759, 0.9321)
    '87.6-93.2 %'
    """
    return DASH if low is None or high is None else f"{100 * low:.1f}-{100 * high:.1f} %"
