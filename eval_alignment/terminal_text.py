"""Numbers and untrusted names as text for a terminal, and text for one that may be gone."""

import contextlib
import os
import select
import sys
from typing import Final

from aggregator.names import printable

__all__ = ["DASH", "interval", "percent", "printable", "tell"]

DASH: Final = "-"
"""Printed for an undefined number."""
_ROOM_SECONDS: Final = 0.2
"""How long a slow reader may hold up the process, for a line."""


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
    """Print a line from a process that goes on whether or not anybody reads it.

    Where nobody can any more, because the terminal or the reader of a pipe has ended, or the disk is full, the line is
    lost; so is what has no room in a pipe whose reader does not read. Nothing waits in a buffer, which would fail when
    the process ends.
    """
    if sys.stdout is None:
        return
    line = f"{text}\n".encode(sys.stdout.encoding, "backslashreplace")
    with contextlib.suppress(OSError):
        output = sys.stdout.fileno()
        # A pipe that is ready has room for this many bytes.
        for start in range(0, len(line), select.PIPE_BUF):
            if not select.select([], [output], [], _ROOM_SECONDS)[1]:
                return
            os.write(output, line[start : start + select.PIPE_BUF])
