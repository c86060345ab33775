"""The policy of a deployment: which annotations of one item, queue and criterion are compared."""

from enum import StrEnum


class Policy(StrEnum):
    """Which annotations of one item, queue and criterion are compared with the metrics' verdicts."""

    EACH = "each"
    """Every standing annotation, so several annotators of one item are several comparisons."""
    LATEST = "latest"
    """Only the newest standing annotation."""
    MAJORITY = "majority"
    """One comparison with the lower median of the ratings of all standing annotations (`ratings.ORDER`), on the day of
    the newest. On one scale it is the majority vote, for every number of stars that may be a pass; a tie fails.
    """
