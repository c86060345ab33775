"""Parse JSON into the structs of the wire, or reject it with a detail."""

from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec

from streams.events import messages
from streams.events.reasons import Reason
from streams.events.values import InvalidValueError
from streams.events.wire import AnnotationEvent, EvaluationEvent, QueueItemEvent, WireEvent

Parsed = TypeVar("Parsed")
Event = TypeVar("Event", bound=WireEvent)


def _closed(event: type[WireEvent]) -> type[msgspec.Struct]:
    """Return the type with the fields of an event, and of a line of a file, that forbids all others."""
    return msgspec.defstruct(
        f"Closed{event.__name__}", [("kind", str | None, None)], bases=(event,), forbid_unknown_fields=True, gc=False
    )


_EVENTS: Final = (AnnotationEvent, EvaluationEvent, QueueItemEvent)
_OPEN: Final[Mapping[type[WireEvent], Any]] = {event: msgspec.json.Decoder(event) for event in _EVENTS}
_CLOSED: Final[Mapping[type[WireEvent], Any]] = {event: msgspec.json.Decoder(_closed(event)) for event in _EVENTS}


def parse_event(event: type[Event], value: bytes) -> tuple[Event, bool]:
    """Return an event, and whether it has unknown fields. Raises InvalidValueError."""
    try:
        closed: Event = _CLOSED[event].decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # Without an unknown field this fails too, with the detail that a sender understands.
        return parse(_OPEN[event], value), True
    return closed, False


def parse(decoder: "msgspec.json.Decoder[Parsed]", value: bytes) -> Parsed:
    """Return a parsed value. Raises InvalidValueError."""
    try:
        return decoder.decode(value)
    except msgspec.ValidationError as error:
        raise InvalidValueError(Reason.INVALID_FIELD, messages.invalid(error)) from None
    except msgspec.DecodeError as error:
        if detail := messages.not_a_number(value):
            raise InvalidValueError(Reason.INVALID_FIELD, detail) from None
        raise InvalidValueError(Reason.MALFORMED, messages.malformed(value, error)) from None
    except UnicodeDecodeError:
        raise InvalidValueError(Reason.MALFORMED, "not UTF-8") from None
    except RecursionError:
        raise InvalidValueError(Reason.MALFORMED, "nested too deep") from None
