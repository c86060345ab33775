"""Numbers and untrusted names as text for a terminal, and text for one that may be gone."""

import contextlib
import os
import sys
from typing import Final

from aggregator.names import printable

__all__ = ["DASH", "interval", "percent", "printable", "tell"]

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


def tell(text: str) -> None:
    """Print a line from a process that goes on whoever reads it.

    Where nobody can any more, because the terminal or the reader of a pipe has ended, or the disk is full, the
    line is lost. Nothing waits in a buffer, which would fail when the process ends.
    """
    if sys.stdout is not None:
        with contextlib.suppress(OSError):
            os.write(sys.stdout.fileno(), f"{text}\n".encode(sys.stdout.encoding, "backslashreplace"))
