"""Cells of CSV files that spreadsheets show as they are. This module is pure: commands without a server load it."""

import re
from typing import Any, Final

_NOT_SHOWN: Final = (
    r" \x00-\x08\x0b\x0c\x0e-\x1f\x7f-\xa0\xad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f"
    r"\u2028-\u202f\u205f-\u206f\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb"
)
"""Blanks, and characters of control and format, as part of a character class; without tabs and line breaks."""
_FORMULA: Final = re.compile(
    r"^(?=[\t\r\n])"
    rf"|(?:^|(?<=[;\t\r\n]))(?=[\"{_NOT_SHOWN}]*[=+\-@|%\uff1d\uff0b\uff0d\uff20\uff5c\uff05])"
)
"""Where a text begins that spreadsheets interpret as a formula or a command.

At the start, after a tab or a line break, or after a semicolon, which divides cells in much of Europe: there, a file
whose cells are divided by commas is taken apart at semicolons and line breaks, whether they are quoted or not. Blanks,
characters that are not shown and quotes may come first, and full-width characters count.
"""


def guarded(value: Any) -> Any:
    """A cell that no spreadsheet interprets: an apostrophe precedes what looks like a formula.

    >>> guarded("=HYPERLINK(1)"), guarded("note;=1"), guarded(" fine"), guarded(-0.5)
    ("'=HYPERLINK(1)", "note;'=1", ' fine', -0.5)
    """
    return _FORMULA.sub("'", value) if isinstance(value, str) else value
