"""Types of the HTTP API's answers. The OpenAPI document is derived from them."""

from collections.abc import Callable
from typing import NotRequired, ParamSpec, TypedDict

import orjson
from starlette.responses import Response

from aggregator.snapshot.schema import Cards, SnapshotDocument
from sinks.queries.results import WaitingTotals

_P = ParamSpec("_P")


class QueueListing(TypedDict):
    """A queue in the list."""

    queue: str
    """Name of the queue."""
    url: str | None
    """Address in the annotation tool, from the setting `queue_url`."""
    revision: int
    """Number of changes of the queue in this view."""
    cards: Cards
    """Numbers of the whole queue, over all days."""


class QueueList(TypedDict):
    """Queues, and the state of the view."""

    as_of: str | None
    """Time up to which every partition is complete: the oldest partition decides; null before the first checkpoint."""
    stale: bool
    """Whether `as_of` is too old or cannot be trusted; `stale_reason` has the reason."""
    stale_reason: NotRequired[str | None]
    """Why the state is stale, in words, with the partition; null while it is not. Earlier releases do not send it."""
    ready: bool
    """Whether the view has read the topics to their end since it started."""
    total: int
    """Number of queues on all pages."""
    left_out: int
    """Number of queues that are not listed because nothing stands in them any more; `empty=1` lists them."""
    queues: list[QueueListing]
    """Queues in the order of their first event."""
    failed: NotRequired[list[str]]
    """Queues that are not listed here because their numbers cannot be computed; the view logs the reason. Earlier
    releases do not send it.
    """
    waiting: NotRequired[WaitingTotals | None]
    """Evaluations whose item no annotation and no queue item names yet, in all queues together; null while no worker
    reports any. Earlier releases do not send it.
    """
    next: str | None
    """Cursor of the following page; null at the end. A page has fewer queues than `limit` where they have 3,000 pairs
    of criterion and metric together.
    """


class HistoryEntry(TypedDict):
    """A published snapshot document."""

    at: str
    """Time of publication, RFC 3339."""
    document: SnapshotDocument
    """The document at that time."""


class HistoryList(TypedDict):
    """Published snapshot documents of a queue."""

    queue: str
    """Name of the queue."""
    snapshots: list[HistoryEntry]
    """Documents, newest first."""
    next: str | None
    """`to` of the following page; null at the end."""


class HealthResponse(TypedDict):
    """Liveness of the process."""

    status: str
    """Always `ok`."""


class Readiness(TypedDict):
    """Readiness of the view, and the age of what it serves."""

    ready: bool
    """Whether the view has read the topics to their end since it started."""
    stale: bool
    """Whether `as_of` is too old or cannot be trusted; `stale_reason` has the reason."""
    stale_reason: str | None
    """Why the state is stale, in words, with the partition; null while it is not."""
    as_of: str | None
    """Time up to which every partition is complete: the oldest partition decides; null before the first checkpoint."""
    rebuilding: NotRequired[int]
    """Offsets of the evaluations topic that workers read again, because their disks lack them: until it is 0,
    comparisons of items that became known meanwhile may be missing. It does not hold `as_of` back. Earlier releases do
    not send it.
    """
    rejected_last_hour: dict[str, int]
    """Number of events that became dead letters in the last hour, by reason; empty if the view cannot read their topic.
    """


class SourceProgress(TypedDict):
    """How far the state of the view covers one partition of a source topic."""

    topic: str
    """Name of the topic."""
    partition: int
    """Number of the partition."""
    position: int
    """Offset of the next event: all before it are counted, superseded, or dead letters."""
    end: int
    """End offset of the partition when its worker last read it."""


class ViewPositions(TypedDict):
    """What the state of the view covers. An event that the broker acknowledged at a lower offset is in all numbers."""

    ledger: str
    """Id of the ledger; empty before the first checkpoint."""
    positions: dict[str, int]
    """Offset in the ledger by partition, as in every snapshot document."""
    sources: list[SourceProgress]
    """Every partition of the source topics with a checkpoint, sorted."""


class ProblemDetails(TypedDict):
    """An error (RFC 9457)."""

    type: str
    """Always `about:blank`."""
    title: str
    """Name of the status."""
    status: int
    """HTTP status."""
    detail: str
    """What is wrong."""


def serialized(ask: Callable[_P, object]) -> Callable[_P, bytes | None]:
    """`ask` with its answer as JSON, so that the thread that calls it serializes it too; None stays None."""

    def ask_and_serialize(*arguments: _P.args, **named: _P.kwargs) -> bytes | None:
        answer = ask(*arguments, **named)
        return None if answer is None else orjson.dumps(answer)

    return ask_and_serialize


def json_response(body: bytes | None, status: int = 200) -> Response:
    """A JSON answer that no cache keeps, of a body that is JSON (`serialized`)."""
    return Response(body, status, {"Cache-Control": "no-store"}, media_type="application/json")
