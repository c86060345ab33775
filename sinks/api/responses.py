"""Types of the HTTP API's answers. The OpenAPI document is derived from them."""

from typing import TypedDict

import orjson
from starlette.responses import Response

from aggregator.snapshot.schema import Cards, SnapshotDocument


class QueueListing(TypedDict):
    """A queue in the list: its cards over all days, and its address in the annotation tool if a setting makes one."""

    queue: str
    url: str | None
    revision: int
    cards: Cards


class QueueList(TypedDict):
    """Queues in the order in which they were first seen. `next`: the cursor of the following page, null at
    the end.

    `as_of` is the time of the oldest partition's last checkpoint, null before the first; `stale`: it is too
    old, a worker or the broker is away. `ready`: the view has caught up since its start.
    """

    as_of: str | None
    stale: bool
    ready: bool
    queues: list[QueueListing]
    next: str | None


class HistoryEntry(TypedDict):
    """A snapshot document and when it was kept."""

    at: str
    document: SnapshotDocument


class HistoryList(TypedDict):
    """Snapshot documents of a queue, newest first. `next`: the `to` of the following page, null at the
    end.
    """

    queue: str
    snapshots: list[HistoryEntry]
    next: str | None


class HealthResponse(TypedDict):
    """The process answers."""

    status: str


class Readiness(TypedDict):
    """Whether the view has caught up since its start, and whether what it serves is stale."""

    ready: bool
    stale: bool
    as_of: str | None


class ProblemDetails(TypedDict):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str


def json_response(body: object, status: int = 200) -> Response:
    """A JSON answer that no cache keeps."""
    return Response(orjson.dumps(body), status, {"Cache-Control": "no-store"}, media_type="application/json")
