"""Cells of CSV files that spreadsheets show as they are. This module is pure: commands without a server load it."""

from typing import Any, Final

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%")
"""First characters of a text that spreadsheets interpret as a formula or a command."""


def guarded(value: Any) -> Any:
    """A cell that no spreadsheet interprets: a text that looks like a formula gets a leading apostrophe.

    >>> guarded("=HYPERLINK(1)"), guarded(" fine"), guarded(-0.5)
    ("'=HYPERLINK(1)", ' fine', -0.5)
    """
    return f"'{value}" if isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA) else value
