"""The HTTP API of a view. Handlers parse the request, query the store in a thread, and answer JSON."""

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar
from urllib.parse import quote

import orjson
from prometheus_client.exposition import choose_encoder
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from aggregator.days import Window, timestamp
from sinks.api import parameters
from sinks.api.deep_dive_routes import deep_dive_routes
from sinks.api.openapi import openapi
from sinks.api.responses import HistoryEntry, HistoryList, QueueList, QueueListing, Readiness
from sinks.api.services import Services
from sinks.documents import read_state
from sinks.queries.comparisons import PAGE_LIMIT, CursorError, Page, Query, comparisons

_HISTORY_LIMIT: Final = 50
_T = TypeVar("_T")


def api_routes(services: Services) -> list[Route]:
    """Routes of the API, of the metrics and of the health checks."""
    api = _Api(services)
    return [
        Route("/api/v1/queues", api.queues),
        Route("/api/v1/queues/{queue}", api.queue),
        Route("/api/v1/queues/{queue}/comparisons", api.comparisons),
        Route("/api/v1/queues/{queue}/history", api.history),
        *deep_dive_routes(services),
        Route("/api/v1/stream", api.stream),
        Route("/metrics", api.metrics),
        Route("/healthz", api.healthz),
        Route("/readyz", api.readyz),
        Route("/openapi.json", api.openapi),
    ]


class _Api:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._openapi = orjson.dumps(openapi(services.config.version))

    # ---- handlers

    async def queues(self, request: Request) -> Response:
        after = parameters.number(request, "cursor", 0, least=0, most=2**62)
        limit = parameters.number(request, "limit", 100, least=1, most=PAGE_LIMIT)
        return _json(await asyncio.to_thread(self._list, after, limit))

    async def queue(self, request: Request) -> Response:
        name, window = parameters.queue_name(request), parameters.window(request)
        return _json(await self._found(name, lambda: self._services.documents.get(name, window)))

    async def comparisons(self, request: Request) -> Response:
        query = Query(
            queue=parameters.queue_name(request),
            criterion=parameters.text(request, "criterion"),
            metric=parameters.text(request, "metric"),
            outcomes=parameters.outcomes(request),
            window=parameters.window(request),
            cursor=request.query_params.get("cursor"),
            limit=parameters.number(request, "limit", 50, least=1, most=PAGE_LIMIT),
        )
        try:
            page = await self._found(query.queue, lambda: self._comparisons(query))
        except CursorError as error:
            raise HTTPException(400, f"cursor: {error}") from error
        return _json(page)

    async def history(self, request: Request) -> Response:
        name = parameters.queue_name(request)
        start, end = parameters.time(request, "from", 0), parameters.time(request, "to", 2**62)
        limit = parameters.number(request, "limit", _HISTORY_LIMIT, least=1, most=PAGE_LIMIT)
        return _json(await self._found(name, lambda: self._kept(name, start, end, limit)))

    async def stream(self, request: Request) -> ASGIApp:
        name, window = parameters.text(request, "queue"), parameters.window(request)
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

    def _comparisons(self, query: Query) -> Page | None:
        services = self._services
        with services.store.read() as connection:
            if services.documents.entry(connection, query.queue) is None:
                return None
            config = services.config
            return comparisons(connection, query, config.rules, services.today(), config.item_url)

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


def _json(body: object, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, {"Cache-Control": "no-store"}, media_type="application/json")
