"""Numbers and untrusted names as text for a terminal."""

from typing import Final

DASH: Final = "-"
"""Printed for an undefined number."""


def printable(text: str) -> str:
    r"""The text with control characters and bidirectional marks escaped, so that it cannot drive the terminal.

    >>> printable("a\x1b[31m\u202eb\nc")
    'a\\x1b[31m\\u202eb\\nc'
    """
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


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
