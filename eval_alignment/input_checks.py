"""Checks of the events of an input as a whole, and against a clock."""

import time
from collections.abc import Collection

from streams.events import messages
from streams.events.decoder import Kind, Rejection
from streams.events.reasons import Reason


def now_ms() -> int:
    """This machine's clock in milliseconds since epoch."""
    return time.time_ns() // 1_000_000


def future_rejection(at: int, clock: int, limit: int) -> Rejection | None:
    """The rejection of an event whose time is too far ahead; None for any other.

    The worker applies the same rule with the broker's timestamp as the clock.

    Args:
        at: time of the event, in milliseconds since epoch.
        clock: the current time, in the same unit.
        limit: milliseconds that `at` may be ahead of the clock.

    >>> future_rejection(600_000, clock=0, limit=300_000).detail
    'at is 10 minutes ahead of the clock, 5 minutes are allowed (setting `future_limit_ms`) - at `$.at`'
    """
    if at <= clock + limit:
        return None
    return Rejection(
        Reason.FUTURE_TIMESTAMP,
        f"at is {messages.duration(at - clock)} ahead of the clock, {messages.duration(limit)} are allowed "
        "(setting `future_limit_ms`) - at `$.at`",
    )


def future_warning(count: int, limit: int) -> str:
    """A line about sent events that the workers will reject, because their time is too far ahead.

    >>> future_warning(1, 300_000)
    "1 event is more than 5 minutes (setting `future_limit_ms`) ahead of this machine's clock: expect future_timestamp"
    """
    subject = "1 event is" if count == 1 else f"{count} events are"
    return (
        f"{subject} more than {messages.duration(limit)} (setting `future_limit_ms`) ahead of this machine's clock: "
        f"expect {Reason.FUTURE_TIMESTAMP.value}"
    )


def missing_side(kinds: Collection[Kind], invalid: int) -> str | None:
    """What the input lacks for a comparison; None when nothing, or when its lines are invalid and reported.

    Args:
        kinds: the kinds of the valid events.
        invalid: number of invalid lines.

    >>> missing_side({Kind.EVALUATION}, invalid=0)
    'no annotations in the input: a comparison needs an annotation and an evaluation of the same item'
    """
    if not kinds:
        return None if invalid else "no events in the input: expected one JSON object per line"
    missing = [kind for kind in (Kind.ANNOTATION, Kind.EVALUATION) if kind not in kinds]
    if not missing:
        return None
    listed = " and no ".join(f"{kind.value}s" for kind in missing)
    return f"no {listed} in the input: a comparison needs an annotation and an evaluation of the same item"
