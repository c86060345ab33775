"""The side on which a metric errs, which is named only when a test is significant."""

from enum import StrEnum
from typing import Final

from aggregator.statistics.versions import mcnemar

SIGNIFICANCE: Final = 0.05
"""Two-sided p-value below which a side is named."""


class ErrorSide(StrEnum):
    """The side on which a metric errs."""

    TOO_STRICT = "too_strict"
    """It fails what people pass more often than the other way round."""
    TOO_LENIENT = "too_lenient"
    """It passes what people fail more often than the other way round."""
    UNCLEAR = "unclear"
    """It errs, and chance explains the difference between the sides."""
    NO_ERRORS = "no_errors"
    """It never disagrees with people."""


def error_side(fn: int, fp: int) -> ErrorSide:
    """The side on which a metric errs, by the exact binomial test of false negatives against false positives.

    Both sides are equally likely under the null hypothesis, so the test is McNemar's on the misaligned comparisons.

    >>> error_side(3, 0), error_side(12, 1)
    (<ErrorSide.UNCLEAR: 'unclear'>, <ErrorSide.TOO_STRICT: 'too_strict'>)
    """
    if fn == fp == 0:
        return ErrorSide.NO_ERRORS
    if mcnemar(fn, fp) >= SIGNIFICANCE:
        return ErrorSide.UNCLEAR
    return ErrorSide.TOO_STRICT if fn > fp else ErrorSide.TOO_LENIENT
