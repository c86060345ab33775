"""The policy of a deployment: which annotations of one item, queue and criterion are compared."""

from enum import StrEnum


class Policy(StrEnum):
    """Which annotations of one item, queue and criterion are compared with the metrics' verdicts."""

    EACH = "each"
    """Every standing annotation, so several annotators of one item are several comparisons."""
    LATEST = "latest"
    """Only the newest standing annotation."""
