"""Formats of numbers and times on the page."""

from typing import Final

from aggregator.days import moment

DASH: Final = "\u2014"
"""Placeholder of an undefined number; the reason is always shown with it."""
_MINUS: Final = "\u2212"
_DIGITS: Final = 20
"""Digits after the point that tell any two different numbers apart."""


def percent(share: float, digits: int = 1) -> str:
    """A share in 0..1 as a percentage.

    >>> percent(0.9078), percent(1.0, 0)
    ('90.8%', '100%')
    """
    return f"{100 * share:.{digits}f}%"


def interval(low: float, high: float) -> str:
    """The bounds of an interval of shares.

    >>> interval(0.8759, 0.9321)
    '87.6 to 93.2%'
    """
    return f"{100 * low:.1f} to {100 * high:.1f}%"


def points(difference: float) -> str:
    """A difference of two shares in percentage points, with its sign.

    >>> points(0.119), points(-0.0004)
    ('+11.9', '0.0')
    """
    text = f"{100 * difference:+.1f}".replace("-", _MINUS)
    return "0.0" if text[1:] == "0.0" else text


def decimal(value: float, digits: int = 2) -> str:
    """A coefficient such as kappa.

    >>> decimal(-0.9231)
    '\u22120.92'
    """
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", _MINUS)


def p_value(value: float) -> str:
    """A p-value after the letter p.

    >>> p_value(0.0214), p_value(0.00004)
    ('= 0.021', '< 0.001')
    """
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def score(value: float, other: float | None = None, digits: int = 3) -> str:
    """A score or a threshold, with as many digits as it takes to tell it from the `other` of the two.

    Numbers of absurd size, from 1e6 and up to 1e-4, are in scientific notation.

    >>> score(0.7, 0.3), score(0.6999999999999998, 0.7), score(9.2e124)
    ('0.700', '0.6999999999999998', '9.2e124')
    """
    if other is None or other == value:
        return _scored(value, digits)
    while digits < _DIGITS and float(_scored(value, digits, "-")) == float(_scored(other, digits, "-")):
        digits += 1
    return _scored(value, digits)


def _scored(value: float, digits: int, minus: str = _MINUS) -> str:
    if value == 0 or 1e-4 < abs(value) < 1e6:
        text = f"{value:.{digits}f}"
        text = text.lstrip("-") if float(text) == 0 else text
    else:
        mantissa, exponent = f"{value:.{digits}e}".split("e")
        text = f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return text.replace("-", minus)


def threshold(value: float | None, other: float | None = None) -> str:
    """A threshold without needless digits; see `score` for the `other` one, which it is compared with.

    >>> threshold(0.5), threshold(0.125), threshold(0.70004, 0.7), threshold(1e9), threshold(None)
    ('0.50', '0.125', '0.70004', '1e9', 'none')
    """
    if value is None:
        return "none"
    text = score(value, other)
    return text.removesuffix("0") if len(text.partition(".")[2]) == 3 and "e" not in text else text


def count(number: int) -> str:
    """A whole number.

    >>> count(2412)
    '2,412'
    """
    return f"{number:,}"


def plural(number: int, word: str, words: str | None = None) -> str:
    """A number with a noun in singular or plural.

    >>> plural(1, "item"), plural(1200, "query", "queries")
    ('1 item', '1,200 queries')
    """
    return f"{count(number)} {word if number == 1 else words or word + 's'}"


def when(at: int) -> str:
    """A time in ms since epoch as a UTC date and time.

    >>> when(1_795_428_902_412)
    '23 Nov 2026, 10:15 UTC'
    """
    time = moment(at)
    return f"{time.day} {time:%b} {time.year}, {time:%H:%M} UTC"


def age(seconds: float) -> str:
    """An age in words.

    >>> age(2.4), age(200), age(7300), age(200_000)
    ('2 s ago', '3 min ago', '2 h ago', '2 d ago')
    """
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return f"{max(0, int(seconds))} s ago"
