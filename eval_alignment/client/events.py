"""Events as the client takes them: typed keyword arguments become one checked line of JSON.

The worker's decoder checks every event at the call, so an event that it would reject raises where it can be corrected.
Two rules depend on the settings of the server and stay with it: the default threshold of a metric, and how far `at` may
be in the future.
"""

import json
import time
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Required, TypedDict, get_type_hints

from aggregator import days
from aggregator.facts import Direction, Level, Status, Text
from aggregator.ratings import Thumbs
from streams.events import values
from streams.events.decoder import Decoder, Kind, Rejection
from streams.events.errors import InvalidEventError
from streams.events.reasons import Reason
from streams.events.schemas import EVENT_TYPES
from streams.events.unknown_fields import nearest_field


class EventFields(TypedDict, total=False):
    """Fields of every event. None is the same as absent."""

    item: Required[str]
    """Id of the trace, span or thread that is judged."""
    id: str | None
    """Unique id of the event. Default: a new UUID, and ids of later calls are greater."""
    at: datetime | int | str | None
    """Time of the judgement: an aware datetime, milliseconds since 1970, or RFC 3339. Default: now."""
    level: Level | None
    """What the item is. Default: `trace`."""
    url: str | None
    """Address of the item in your tool, http or https."""
    input: str | None
    """What the application received."""
    output: str | None
    """What the application answered."""
    tags: dict[str, str] | None
    """Segments of the item, value by name."""
    deleted: bool | None
    """With True, the event deletes its row."""


class AnnotationFields(EventFields, total=False):
    """Fields of an annotation. Exactly one of `thumbs` and `stars` is required."""

    queue: Required[str]
    """Annotation queue."""
    criterion: str | None
    """What the person judges. Default: `overall`."""
    annotator: str | None
    """The person, by any id."""
    thumbs: Thumbs | None
    """The rating, `up` or `down`."""
    stars: int | None
    """The rating, 1 to 5."""
    explanation: str | None
    """Why the person rates it so."""
    expected: str | None
    """The output or outcome that the person expects."""


class EvaluationFields(EventFields, total=False):
    """Fields of an evaluation. It needs `passed`, a `score`, or a `status` other than `ok`."""

    metric: Required[str]
    """Name of the metric."""
    score: float | None
    """The metric's score."""
    threshold: float | None
    """The metric's threshold. Default: the setting `metrics` of the server."""
    direction: Direction | None
    """Which scores pass, `higher` or `lower`. Default: the setting `metrics` of the server, else `higher`."""
    passed: bool | None
    """The verdict. Wins over `score` and `threshold`."""
    status: Status | None
    """`error` and `skipped` count as missing verdicts. Default: `ok`."""
    reason: str | None
    """The judge's explanation."""
    judge: str | None
    """Version of the judge."""


class QueueItemFields(EventFields, total=False):
    """Fields of a queue item."""

    queue: Required[str]
    """Annotation queue."""


_DECODER: Final = Decoder()
_TEXTS: Final = frozenset(
    name
    for _, fact in EVENT_TYPES.values()
    for name, hint in get_type_hints(fact, include_extras=True).items()
    if hint == Text | None
)
"""Fields that are cut at the limit of free text: here already, so that no text makes a batch large."""


def encode(kind: Kind, fields: Mapping[str, Any]) -> tuple[str, bytes]:
    """Return the id of an event, and its JSON with `kind`, `id` and `at`, without a newline.

    The result is written once: a repeated request carries the same event, which counts once.

    Raises InvalidEventError for what the server would reject for certain, TypeError for an unknown field.
    """
    known = EVENT_TYPES[kind][0].__struct_fields__
    for name in fields:
        if name not in known:
            nearest = nearest_field(kind, name)
            raise TypeError(f"unknown field `{name}`" + (f": did you mean `{nearest}`?" if nearest else ""))
    now_ns = time.time_ns()
    event = {"kind": kind.value} | {name: value for name, value in fields.items() if value is not None}
    event.setdefault("id", _new_id(now_ns))
    at = event.setdefault("at", days.timestamp(now_ns // 1_000_000))
    if isinstance(at, datetime):
        event["at"] = _timestamp(at)
    for name in _TEXTS & event.keys():
        if isinstance(event[name], str):
            event[name] = values.text(_without_half_pairs(event[name]))
    line = _json(event)
    outcome = _DECODER.decode_value(kind, line)
    if isinstance(outcome, Rejection) and not _has_threshold_of_server(event, outcome):
        raise InvalidEventError(f"{outcome.reason.value}: {outcome.detail}")
    return event["id"], line


def _has_threshold_of_server(event: Mapping[str, Any], rejection: Rejection) -> bool:
    """Whether the event is complete if the server has a threshold for the metric."""
    return rejection.reason is Reason.NO_VERDICT and "score" in event


def _new_id(now_ns: int) -> str:
    """A UUID of version 7 with a fraction of the millisecond in the 12 bits after it (RFC 9562, 6.2, method 3).

    Of two events of one row with the same `at`, the one with the greater id wins: here, the later call.
    """
    milliseconds, nanoseconds = divmod(now_ns, 1_000_000)
    fraction = nanoseconds * 4096 // 1_000_000
    random_bits = uuid.uuid4().int & (1 << 62) - 1
    return str(uuid.UUID(int=milliseconds << 80 | 7 << 76 | fraction << 64 | 2 << 62 | random_bits))


def _timestamp(at: datetime) -> str:
    if at.tzinfo is None:
        raise InvalidEventError(
            "invalid_field: at is a datetime without a time zone: use datetime.now(timezone.utc), or .astimezone() on "
            "a local time - at `$.at`"
        )
    return days.timestamp(days.milliseconds(at))


def _without_half_pairs(text: str) -> str:
    """The text with U+FFFD for each half of a surrogate pair, as the decoder reads its escape."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _json(event: Mapping[str, Any]) -> bytes:
    """The event as JSON. What is not JSON is left to the decoder, which explains NaN and halves of surrogate pairs."""
    try:
        try:
            return json.dumps(event, ensure_ascii=False, separators=(",", ":"), default=_scalar).encode()
        except UnicodeEncodeError:
            return json.dumps(event, separators=(",", ":"), default=_scalar).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidEventError(f"invalid_field: {error}") from error


def _scalar(value: Any) -> Any:
    """A scalar of numpy, pandas or torch as a value of Python, since scores often are one."""
    if callable(item := getattr(value, "item", None)):
        return item()
    raise TypeError(f"{type(value).__name__} is not a string, number or boolean")
