"""Events as they are on the wire, before any check: every field may be absent or null.

JSON has one type of number, so `4.0` is an integer too. Fields that hold integers also accept a float here, and the
decoder accepts it when it is whole.
"""

from typing import Any, Literal

import msgspec

from aggregator.facts import Direction, Level, Stars, Status


class WireEvent(msgspec.Struct, gc=False):
    """Fields of all events."""

    id: str | None = None
    at: int | float | str | None = None
    item: str | None = None
    level: Level | None = None
    url: str | None = None
    input: str | None = None
    output: str | None = None
    tags: dict[str, str] | None = None
    deleted: bool | None = None


class AnnotationEvent(WireEvent, gc=False):
    """An annotation on the wire."""

    queue: str | None = None
    criterion: str | None = None
    annotator: str | None = None
    thumbs: Literal["up", "down"] | None = None
    stars: Stars | float | None = None
    explanation: str | None = None
    expected: str | None = None


class EvaluationEvent(WireEvent, gc=False):
    """An evaluation on the wire."""

    metric: str | None = None
    score: float | None = None
    threshold: float | None = None
    direction: Direction | None = None
    passed: bool | None = None
    status: Status | None = None
    reason: str | None = None
    judge: str | None = None


class QueueItemEvent(WireEvent, gc=False):
    """A queue item on the wire."""

    queue: str | None = None


class CloudEvent(msgspec.Struct, gc=False):
    """A CloudEvent in structured mode; the event is in `data`."""

    specversion: str | None = None
    id: str | None = None
    time: str | None = None
    data: msgspec.Raw = msgspec.Raw()


class FileEventKind(msgspec.Struct, gc=False):
    """Fields that determine the kind of an event whose topic does not."""

    kind: str | None = None
    metric: Any = None
    thumbs: Any = None
    stars: Any = None
    criterion: Any = None
    annotator: Any = None
