"""How long evaluations wait for their item, and how long the evaluations topic and the workers' disks keep them."""

from typing import Final

WAIT_DAYS: Final = 30
"""Default of the setting `wait_days`: days that an evaluation waits."""
SLACK_DAYS: Final = 7
"""Days that evaluations are kept beyond their wait. They pay for lag and for reading again: both together must stay
below.
"""
_DAY_MS: Final = 86_400_000


def wait_seconds(wait_days: int) -> int:
    """Seconds that an evaluation waits."""
    return wait_days * _DAY_MS // 1000


def keep_ms(wait_days: int) -> int:
    """Milliseconds of broker time that evaluations are kept."""
    return (wait_days + SLACK_DAYS) * _DAY_MS
