"""The HTTP API of a view. Handlers parse the request, query the store in a thread, and answer JSON."""

import sqlite3
from typing import Final
from urllib.parse import quote

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from aggregator.days import Window, timestamp
from aggregator.snapshot.schema import SnapshotDocument
from sinks import budgets
from sinks.api import parameters
from sinks.api.deep_dive_routes import deep_dive_routes
from sinks.api.openapi import OPENAPI_PATH, openapi
from sinks.api.parameters import without_empty
from sinks.api.responses import (
    HistoryEntry,
    HistoryList,
    QueueList,
    QueueListing,
    SourceProgress,
    ViewPositions,
    json_response,
    serialized,
)
from sinks.api.services import Services
from sinks.exposition import expose
from sinks.queries.comparisons import PAGE_LIMIT, CursorError, Query, comparisons
from sinks.queries.history import documents_between
from sinks.queries.item_answer import ItemTrace
from sinks.queries.item_trace import trace_item
from sinks.queries.queues import QueueEntry, read_state, source_positions
from sinks.queries.scope import Scope
from sinks.queries.waiting import waiting_evaluations
from sinks.queue_index import divided

STREAM_PATH: Final = "/api/v1/stream"
_HISTORY_LIMIT: Final = 50


def api_routes(services: Services) -> list[Route]:
    """Routes of the API, of the metrics and of the health checks."""
    api = _Api(services)
    return [
        Route("/api/v1/queues", without_empty(api.queues)),
        Route("/api/v1/queues/{queue}", without_empty(api.queue)),
        Route("/api/v1/queues/{queue}/comparisons", without_empty(api.comparisons)),
        Route("/api/v1/queues/{queue}/items/{item}", without_empty(api.item)),
        Route("/api/v1/queues/{queue}/history", without_empty(api.history)),
        *deep_dive_routes(services),
        Route("/api/v1/positions", without_empty(api.positions)),
        Route(STREAM_PATH, without_empty(api.stream)),
        Route("/metrics", api.metrics),
        Route("/healthz", api.healthz),
        Route("/readyz", api.readyz),
        Route(OPENAPI_PATH, api.openapi),
    ]


class _Api:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._openapi = orjson.dumps(openapi(services.config.version))

    async def queues(self, request: Request) -> Response:
        after = parameters.number(request, "cursor", 0, least=0, most=2**62)
        limit = parameters.number(request, "limit", 100, least=1, most=PAGE_LIMIT)
        empty = parameters.with_empty(request)
        return json_response(
            await self._services.query(serialized(lambda connection: self._list(connection, after, limit, empty)))
        )

    async def queue(self, request: Request) -> Response:
        services, documents, window = self._services, self._services.documents, parameters.window(request)
        judge = parameters.text(request, "judge")

        def build(connection: sqlite3.Connection, entry: QueueEntry) -> SnapshotDocument | None:
            state = read_state(connection)
            if judge is None:
                return documents.build(connection, entry, state, window)
            scope = Scope(entry.queue, window, services.today(), services.config.rules, judge)
            return documents.build_of_judge(connection, entry, state, scope)

        return json_response(await services.query_queue(parameters.queue_name(request), serialized(build)))

    async def comparisons(self, request: Request) -> Response:
        query = Query(
            queue=parameters.queue_name(request),
            criterion=parameters.text(request, "criterion"),
            metric=parameters.text(request, "metric"),
            outcomes=parameters.outcomes(request),
            annotator=parameters.exact(request, "annotator"),
            level=parameters.level(request),
            judge=parameters.text(request, "judge"),
            tag=parameters.tag(request),
            search=parameters.search(request),
            since=parameters.time(request, "from", 0),
            until=parameters.time(request, "to", 2**62),
            window=parameters.window(request),
            cursor=request.query_params.get("cursor"),
            limit=parameters.number(request, "limit", 50, least=1, most=PAGE_LIMIT),
            most_bytes=budgets.ANSWER_BYTES,
        )
        services, config = self._services, self._services.config
        try:
            page = await services.query_queue(
                query.queue,
                serialized(
                    lambda connection, _: comparisons(
                        connection, query, config.rules, services.today(), config.item_url
                    )
                ),
            )
        except CursorError as error:
            raise HTTPException(400, f"cursor: {error}") from error
        return json_response(page)

    async def item(self, request: Request) -> Response:
        queue, item = parameters.queue_name(request), parameters.item_id(request)
        config = self._services.config

        def find(connection: sqlite3.Connection, _: QueueEntry) -> ItemTrace:
            trace = trace_item(connection, queue, item, config.rules, config.item_url)
            if trace is None:
                raise HTTPException(404, f"item {item!r} not found in queue {queue!r}")
            return trace

        return json_response(await self._services.query_queue(queue, serialized(find)))

    async def history(self, request: Request) -> Response:
        start, end = parameters.time(request, "from", 0), parameters.time(request, "to", 2**62)
        limit = parameters.number(request, "limit", _HISTORY_LIMIT, least=1, most=PAGE_LIMIT)
        return json_response(
            await self._services.query_queue(
                parameters.queue_name(request),
                serialized(lambda connection, entry: _history(connection, entry.queue, start, end, limit)),
            )
        )

    async def positions(self, _request: Request) -> Response:
        return json_response(await self._services.query(serialized(_positions)))

    async def stream(self, request: Request) -> ASGIApp:
        name, window = parameters.needed(request, "queue"), parameters.window(request)
        services, documents = self._services, self._services.documents
        await services.query_queue(name, lambda _, entry: entry)
        return services.streams.response(
            name,
            lambda: services.requests.run(lambda: documents.get_if_possible(name, window), begun=True),
            services.current_readiness,
        )

    async def metrics(self, request: Request) -> Response:
        services = self._services
        own = expose(services.metrics.registry, request.headers.get("accept", ""))
        # Gauges come first: the OpenMetrics form of the view's own metrics ends with an end mark.
        text = services.gauges.text + own.body
        return Response(text, headers={"Content-Type": own.content_type, "Cache-Control": "no-store"})

    async def healthz(self, _request: Request) -> Response:
        return json_response(orjson.dumps({"status": "ok"}))

    async def readyz(self, _request: Request) -> Response:
        readiness = await self._services.current_readiness()
        return json_response(orjson.dumps(readiness), 200 if readiness["ready"] else 503)

    async def openapi(self, _request: Request) -> Response:
        return Response(self._openapi, media_type="application/json")

    def _list(self, connection: sqlite3.Connection, after: int, limit: int, empty: bool) -> QueueList:
        documents, state = self._services.documents, read_state(connection)
        named = documents.index.queues(connection)
        listed = [totals for totals in named if totals.standing or empty]
        pages = divided([totals for totals in listed if totals.entry.place > after], limit)
        queues, failed = [], []
        for entry in (totals.entry for totals in pages[0]):
            document = documents.build_if_possible(connection, entry, state, Window.ALL)
            if document is None:
                failed.append(entry.queue)
                continue
            queues.append(
                QueueListing(
                    queue=entry.queue,
                    url=self._queue_url(entry.queue),
                    revision=entry.revision,
                    cards=document["cards"],
                )
            )
        readiness = self._services.readiness(state)
        return QueueList(
            as_of=readiness["as_of"],
            stale=readiness["stale"],
            stale_reason=readiness["stale_reason"],
            ready=readiness["ready"],
            total=len(listed),
            left_out=len(named) - len(listed),
            queues=queues,
            # Before the first checkpoint no queue has a document.
            failed=[] if state.as_of is None else failed,
            waiting=waiting_evaluations(connection),
            next=str(pages[0][-1].entry.place) if len(pages) > 1 else None,
        )

    def _queue_url(self, queue: str) -> str | None:
        template = self._services.config.queue_url
        return template.replace("{queue}", quote(queue, safe="")) if template else None


def _positions(connection: sqlite3.Connection) -> ViewPositions:
    state = read_state(connection)
    return ViewPositions(
        ledger=state.ledger,
        positions={str(partition): position for partition, position in sorted(state.positions.items())},
        sources=[
            SourceProgress(topic=topic, partition=partition, position=source["position"], end=source["end"])
            for (topic, partition), source in sorted(source_positions(connection).items())
        ],
    )


def _history(connection: sqlite3.Connection, queue: str, start: int, end: int, limit: int) -> HistoryList:
    documents, more = documents_between(connection, queue, (start, end), limit, budgets.ANSWER_BYTES)
    return HistoryList(
        queue=queue,
        snapshots=[HistoryEntry(at=timestamp(at), document=document) for at, document in documents],
        next=timestamp(documents[-1][0]) if more else None,
    )
