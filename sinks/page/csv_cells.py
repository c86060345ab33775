"""Cells of CSV files that spreadsheets show as they are. This module is pure: commands without a server load it."""

import re
from typing import Any, Final

_FORMULA: Final = re.compile(
    r"^(?=[\t\r\n])|(?:^|(?<=;))(?=[\s\u200b-\u200f\u2060\ufeff]*[=+\-@|%\uff1d\uff0b\uff0d\uff20])"
)
"""Where a text begins that spreadsheets interpret as a formula or a command: at the start, or after a semicolon, which
divides cells in much of Europe. Blanks may come first, and full-width characters count.
"""


def guarded(value: Any) -> Any:
    """A cell that no spreadsheet interprets: an apostrophe precedes what looks like a formula.

    >>> guarded("=HYPERLINK(1)"), guarded("note;=1"), guarded(" fine"), guarded(-0.5)
    ("'=HYPERLINK(1)", "note;'=1", ' fine', -0.5)
    """
    return _FORMULA.sub("'", value) if isinstance(value, str) else value
