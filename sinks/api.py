"""The HTTP API of a view. Handlers parse the request, ask in a thread, and answer JSON.

Paths are routed as they were sent, before percent-decoding: a queue may have any printable name, also with
`/`.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Final, TypeVar
from unicodedata import normalize
from urllib.parse import quote, unquote

import orjson
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from aggregator.snapshot import timestamp
from aggregator.state import Window
from sinks.answers import HistoryEntry, HistoryList, QueueList, QueueListing, Readiness
from sinks.changes import Changes
from sinks.collector import Gauges
from sinks.comparisons import OUTCOMES, PAGE_LIMIT, CursorError, Query, comparisons
from sinks.config import ViewConfig
from sinks.documents import Documents, State, read_state
from sinks.http import Guard, on_http_error
from sinks.metrics import ViewMetrics
from sinks.openapi import openapi
from sinks.snapshots import History
from sinks.store import Store
from sinks.stream import Streams

_HISTORY_LIMIT: Final = 50
_T = TypeVar("_T")


@dataclass(slots=True, kw_only=True)
class Services:
    """What the handlers ask. `gauges` is replaced whole by each refresh; `ready` tells whether the view
    caught up.
    """

    config: ViewConfig
    store: Store
    documents: Documents
    history: History
    changes: Changes
    metrics: ViewMetrics
    streams: Streams
    ready: Callable[[], bool]
    now: Callable[[], float] = time.time
    gauges: Gauges = field(default_factory=Gauges)

    def today(self) -> date:
        """The current UTC day."""
        return datetime.fromtimestamp(self.now(), UTC).date()

    def readiness(self, state: State) -> Readiness:
        """Readiness and staleness of a state."""
        as_of = state.as_of
        stale = as_of is None or self.now() - as_of / 1000 > self.config.stale_after_s
        return Readiness(ready=self.ready(), stale=stale, as_of=None if as_of is None else timestamp(as_of))


def create_app(services: Services, token: bytes | None = None) -> ASGIApp:
    """The whole application of a view, guarded; `token` as for `Guard`."""
    api = _Api(services)
    routes = [
        Route("/api/v1/queues", api.queues),
        Route("/api/v1/queues/{queue}", api.queue),
        Route("/api/v1/queues/{queue}/comparisons", api.comparisons),
        Route("/api/v1/queues/{queue}/history", api.history),
        Route("/api/v1/stream", api.stream),
        Route("/metrics", api.metrics),
        Route("/healthz", api.healthz),
        Route("/readyz", api.readyz),
        Route("/openapi.json", api.openapi),
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: on_http_error})
    app.router.redirect_slashes = False
    config = services.config
    return Guard(_RawPath(app), token=token, allowed_hosts=(config.host, *config.allowed_hosts))


class _RawPath:
    """Routes on the path as it was sent; handlers decode the names in it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = {**scope, "path": scope["raw_path"].split(b"?")[0].decode("latin-1")}
        await self._app(scope, receive, send)


class _Api:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._openapi = orjson.dumps(openapi(services.config.version))

    # ---- handlers

    async def queues(self, request: Request) -> Response:
        after = _number(request, "cursor", 0, least=0, most=2**62)
        limit = _number(request, "limit", 100, least=1, most=PAGE_LIMIT)
        return _json(await asyncio.to_thread(self._list, after, limit))

    async def queue(self, request: Request) -> Response:
        name, window = _name(request), _window(request)
        return _json(await self._found(name, lambda: self._services.documents.get(name, window)))

    async def comparisons(self, request: Request) -> Response:
        services = self._services
        outcomes = [part for part in request.query_params.get("outcome", "").split(",") if part]
        if unknown := [part for part in outcomes if part not in OUTCOMES]:
            raise HTTPException(400, f"outcome: {unknown[0]!r} is none of {', '.join(OUTCOMES)}")
        query = Query(
            queue=_name(request),
            criterion=_text(request, "criterion"),
            metric=_text(request, "metric"),
            outcomes=[outcome for outcome in OUTCOMES if outcome in outcomes],
            window=_window(request),
            cursor=request.query_params.get("cursor"),
            limit=_number(request, "limit", 50, least=1, most=PAGE_LIMIT),
        )
        try:
            page = await self._found(
                query.queue,
                lambda: (
                    comparisons(
                        services.store,
                        query,
                        services.config.reading,
                        services.today(),
                        services.config.item_url,
                    )
                    if services.documents.exists(query.queue)
                    else None
                ),
            )
        except CursorError as error:
            raise HTTPException(400, f"cursor: {error}") from error
        return _json(page)

    async def history(self, request: Request) -> Response:
        name = _name(request)
        start, end = _time(request, "from", 0), _time(request, "to", 2**62)
        limit = _number(request, "limit", _HISTORY_LIMIT, least=1, most=PAGE_LIMIT)
        return _json(await self._found(name, lambda: self._kept(name, start, end, limit)))

    async def stream(self, request: Request) -> ASGIApp:
        name, window = _text(request, "queue"), _window(request)
        if name is None:
            raise HTTPException(400, "queue: the name of a queue is needed")
        services = self._services
        return services.streams.response(
            name,
            lambda: asyncio.to_thread(services.documents.get, name, window),
            lambda: asyncio.to_thread(self._readiness),
        )

    async def metrics(self, request: Request) -> Response:
        services = self._services
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        # Gauges first: the OpenMetrics form of the rest ends with its end mark.
        text = services.gauges.text + encode(services.metrics.registry)
        return Response(text, headers={"Content-Type": content_type, "Cache-Control": "no-store"})

    async def healthz(self, _request: Request) -> Response:
        return _json({"status": "ok"})

    async def readyz(self, _request: Request) -> Response:
        readiness = await asyncio.to_thread(self._readiness)
        return _json(readiness, 200 if readiness["ready"] else 503)

    async def openapi(self, _request: Request) -> Response:
        return Response(self._openapi, media_type="application/json")

    # ---- what they ask, in a thread

    async def _found(self, queue: str, ask: Callable[[], _T | None]) -> _T:
        found = await asyncio.to_thread(ask)
        if found is None:
            raise HTTPException(404, f"no queue is called {queue!r}")
        return found

    def _readiness(self) -> Readiness:
        with self._services.store.read() as connection:
            return self._services.readiness(read_state(connection))

    def _list(self, after: int, limit: int) -> QueueList:
        documents = self._services.documents
        with self._services.store.read() as connection:
            state = read_state(connection)
            entries = list(documents.queues(connection, after, limit + 1))
            listed = [
                QueueListing(
                    queue=entry.queue,
                    url=self._queue_url(entry.queue),
                    revision=entry.revision,
                    cards=document["cards"],
                )
                for entry in entries[:limit]
                if (document := documents.make(connection, entry, state, Window.ALL)) is not None
            ]
        more = str(entries[limit - 1].place) if len(entries) > limit else None
        readiness = self._services.readiness(state)
        return QueueList(
            as_of=readiness["as_of"],
            stale=readiness["stale"],
            ready=readiness["ready"],
            queues=listed,
            next=more,
        )

    def _queue_url(self, queue: str) -> str | None:
        template = self._services.config.queue_url
        return template.replace("{queue}", quote(queue, safe="")) if template else None

    def _kept(self, queue: str, start: int, end: int, limit: int) -> HistoryList | None:
        if not self._services.documents.exists(queue):
            return None
        kept = self._services.history.between(queue, start, end, limit + 1)
        return HistoryList(
            queue=queue,
            snapshots=[HistoryEntry(at=timestamp(at), document=document) for at, document in kept[:limit]],
            next=timestamp(kept[limit - 1][0]) if len(kept) > limit else None,
        )


# ---- parts of a request; each raises HTTPException 400 with what is wrong


def _json(body: object, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, {"Cache-Control": "no-store"}, media_type="application/json")


def _name(request: Request) -> str:
    try:
        return normalize("NFC", unquote(request.path_params["queue"], errors="strict"))
    except UnicodeDecodeError as error:
        raise HTTPException(400, "the queue's name is not percent-encoded UTF-8") from error


def _text(request: Request, name: str) -> str | None:
    value = request.query_params.get(name)
    return None if value is None else normalize("NFC", value)


def _window(request: Request) -> Window:
    value = request.query_params.get("window", Window.ALL)
    try:
        return Window(value)
    except ValueError as error:
        raise HTTPException(400, f"window: {value!r} is none of {', '.join(Window)}") from error


def _number(request: Request, name: str, default: int, *, least: int, most: int) -> int:
    value: Any = request.query_params.get(name)
    if value is None:
        return default
    if not (value.isascii() and value.isdecimal() and len(value) < 20 and least <= int(value) <= most):
        raise HTTPException(400, f"{name}: {value!r} is not a number from {least} to {most}")
    return int(value)


def _time(request: Request, name: str, default: int) -> int:
    value = request.query_params.get(name)
    if value is None:
        return default
    if value.isascii() and value.isdecimal() and len(value) < 19:
        return int(value)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise HTTPException(400, f"{name}: {value!r} is neither RFC 3339 nor milliseconds since epoch") from error
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round((moment - datetime.fromtimestamp(0, UTC)).total_seconds() * 1000)
