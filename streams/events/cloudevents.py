"""CloudEvents 1.0: attributes in the headers (binary mode), or around the event (structured mode).

The content type alone determines the mode. The id and the time of a CloudEvent stand in for those of the event.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from streams.events import messages, values
from streams.events.parsing import parse
from streams.events.reasons import Reason
from streams.events.values import InvalidValueError
from streams.events.wire import CloudEvent

Headers = Sequence[tuple[str, bytes | None]]

_STRUCTURED: Final = b"application/cloudevents+json"
_PREFIX: Final = "ce_"
_CLOUD_EVENT: Final = msgspec.json.Decoder(CloudEvent)


@dataclass(frozen=True, slots=True)
class Envelope:
    """Attributes of the CloudEvent, for an event without id or time."""

    id: str | None = None
    time: str | None = None


NO_ENVELOPE: Final = Envelope()


def unwrap(value: bytes, headers: Headers) -> tuple[Envelope, bytes]:
    """Return the attributes of a CloudEvent and its event. Attributes around the event precede those in the headers.

    Raises InvalidValueError.
    """
    named = {name.lower(): content for name, content in headers if is_utf8(name)}
    attributes = {name: _text(name, content) for name, content in named.items() if name.startswith(_PREFIX)}
    id, time = attributes.get("ce_id"), attributes.get("ce_time")
    if time is not None and values.rfc3339(time) is None:
        raise InvalidValueError(Reason.INVALID_FIELD, "not an RFC 3339 time - at header `ce_time`")
    if not (named.get("content-type") or b"").lower().startswith(_STRUCTURED):
        if (version := attributes.get("ce_specversion")) is not None:
            _check_version(version)
        return Envelope(id, time), value
    event = parse(_CLOUD_EVENT, value)
    if event.specversion is None:
        raise InvalidValueError(Reason.MISSING_FIELD, messages.absent("specversion"))
    _check_version(event.specversion)
    if not event.data:
        raise InvalidValueError(Reason.MISSING_FIELD, messages.absent("data"))
    if event.time is not None and values.rfc3339(event.time) is None:
        raise InvalidValueError(Reason.INVALID_FIELD, messages.not_a_time("time"))
    return Envelope(event.id or id, event.time or time), bytes(event.data)


def is_utf8(name: str) -> bool:
    """Whether a name of a header was UTF-8. It has lone surrogates for bytes that were not."""
    if name.isascii():
        return True
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _text(name: str, content: bytes | None) -> str | None:
    try:
        return None if content is None else content.decode()
    except UnicodeDecodeError:
        raise InvalidValueError(Reason.INVALID_FIELD, f"not UTF-8 - at header `{name}`") from None


def _check_version(version: str) -> None:
    if version != "1.0":
        raise InvalidValueError(Reason.UNSUPPORTED_VERSION, "CloudEvents specversion is not 1.0")
