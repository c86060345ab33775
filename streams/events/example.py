"""A rejected event in short: what log lines, `doctor` and `dlq peek` show of it."""

from dataclasses import dataclass
from typing import Final

from aggregator.names import printable
from streams.events.decoder import Rejection

VALUE_BYTES: Final = 200
"""Most bytes of a value that are shown."""
_DETAIL_CHARACTERS: Final = 300


@dataclass(frozen=True, slots=True)
class RejectedExample:
    """A rejected event: where it is, why it is rejected, and the start of its value. All of it may be printed."""

    place: str
    """TOPIC:PARTITION:OFFSET in its source topic, or the name of a source."""
    reason: str
    detail: str
    value: str
    """At most 200 bytes, escaped."""

    @property
    def brief(self) -> str:
        """Place and reason, without anything that its sender wrote."""
        return f"{self.place} ({self.reason})"

    def __str__(self) -> str:
        return f"{self.place} {self.reason}: {self.detail}; value {self.value}"


def example(place: str, rejection: Rejection, value: bytes | None) -> RejectedExample:
    r"""Shorten and escape a rejected event.

    >>> from streams.events.reasons import Reason
    >>> str(example("t:0:7", Rejection(Reason.MALFORMED, "not JSON"), b"{\x1b[2J\xff"))
    't:0:7 malformed: not JSON; value {\\x1b[2J\\xff'
    """
    detail = printable(rejection.detail[:_DETAIL_CHARACTERS])
    return RejectedExample(printable(place), rejection.reason.value, detail, _shown(value))


def _shown(value: bytes | None) -> str:
    if value is None:
        return "null"
    more = f"... ({len(value)} bytes)" if len(value) > VALUE_BYTES else ""
    return printable(value[:VALUE_BYTES].decode(errors="backslashreplace")) + more
