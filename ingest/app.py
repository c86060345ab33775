"""The application of an ingest process: events, sources, health and metrics."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Final

import orjson
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, request_response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ingest.acknowledge import acknowledged, away
from ingest.body import BodyReader
from ingest.config import IngestConfig
from ingest.decide import decide
from ingest.framing import FramedBody, frame
from ingest.limits import LARGE_BYTES, Budget, Reservation
from ingest.media import Format, cloud_event_headers, format_of, refuse_web_pages, unsupported
from ingest.metrics import IngestMetrics
from ingest.openapi import EVENTS_PATH, OPENAPI_PATH, openapi
from ingest.otlp import OTLP_PATHS, OtlpHandlers
from ingest.pulls import SYNC_PATH, IngestPulls
from ingest.signatures import Verifier
from ingest.source_access import COMMAND_PATH, SourceAccess, is_pushed
from ingest.sources import SOURCES_PATH, RecordPublisher, SourceHandlers
from sinks.access import AccessMiddleware, AccessToken, client_address, on_http_error, problem
from sinks.exposition import expose
from sources.intake.intake import SourceIntake
from streams.kafka.producer import Outgoing
from streams.runtime.refusals import RefusalReason

_METHODS: Final = ("GET", "HEAD", "POST")
_KEPT: Final = 8
"""One part in so many of the bytes in flight is kept for small requests."""


def create_app(
    config: IngestConfig,
    publisher: RecordPublisher,
    metrics: IngestMetrics,
    tokens: Sequence[AccessToken] = (),
    intakes: Mapping[str, SourceIntake] | None = None,
    *,
    verifiers: Mapping[str, Verifier] | None = None,
    pulls: IngestPulls | None = None,
) -> ASGIApp:
    """Create the ASGI application.

    Args:
        config: the decoder, the topics and the limits.
        publisher: takes the accepted events.
        metrics: counts them.
        tokens: clients must send one of them, as for `AccessMiddleware`; empty admits every client.
        intakes: of the sources that this process runs, by name.
        verifiers: of the sources whose webhooks have a secret, by name.
        pulls: of the sources that this process runs; None: the command cannot ask for a pull.
    """
    handlers = _Handlers(config, publisher, metrics, (intakes or {}).values())
    access = SourceAccess(verifiers or {}, guarded=bool(tokens), refusals=metrics.refusals)
    sources = SourceHandlers(config, intakes or {}, publisher, metrics, handlers.budget, access=access)
    otlp = OtlpHandlers(config, publisher, metrics, handlers.budget)
    app = Starlette(
        routes=[
            Route(EVENTS_PATH, handlers.events, methods=["POST"]),
            Route(f"{SOURCES_PATH}/{COMMAND_PATH}file", sources.file, methods=["POST"]),
            Route(f"{SOURCES_PATH}/{COMMAND_PATH}retract", sources.retract, methods=["POST"]),
            *([Route(SYNC_PATH, pulls.sync, methods=["POST"])] if pulls is not None else ()),
            Route(SOURCES_PATH, sources.pushed, methods=["POST"]),
            Route(f"{SOURCES_PATH}/{{path:path}}", sources.pushed, methods=["POST"]),
            *(Route(path, otlp.export, methods=["POST"]) for path in OTLP_PATHS),
            Route("/metrics", handlers.metrics),
            Route("/healthz", handlers.healthz),
            Route("/readyz", handlers.readyz),
            Route(OPENAPI_PATH, handlers.openapi),
        ],
        exception_handlers={HTTPException: on_http_error, Exception: _on_error},
    )
    app.router.redirect_slashes = False
    app.router.default = request_response(_unknown_path)
    guarded = AccessMiddleware(
        app,
        refusals=metrics.refusals,
        tokens=tokens,
        allowed_hosts=(config.host, *config.allowed_hosts),
        methods=_METHODS,
        verifies=is_pushed,
    )
    return _count_responses(guarded, metrics)


def _count_responses(app: ASGIApp, metrics: IngestMetrics) -> ASGIApp:
    """Count the responses of an application to requests with events, also of those that are refused access."""

    async def counted(scope: Scope, receive: Receive, send: Send) -> None:
        async def count(message: Message) -> None:
            if message["type"] == "http.response.start":
                metrics.responses.labels(str(message["status"])).inc()
                if message["status"] == 403:
                    metrics.refusals.note(RefusalReason.WEB_PAGE, client_address(scope))
            await send(message)

        has_events = scope["type"] == "http" and scope["method"] == "POST"
        await app(scope, receive, count if has_events else send)

    return counted


async def _unknown_path(request: Request) -> Response:
    raise HTTPException(
        404, f"path {request.scope['path']!r} not found: events go to POST {EVENTS_PATH}, see {OPENAPI_PATH}"
    )


async def _on_error(_request: Request, _error: Exception) -> Response:
    """The response to a request that failed unexpectedly; uvicorn logs the exception."""
    return problem(500, "unexpected error: the log of this process has it; none of the events may be taken as accepted")


class _Handlers:
    def __init__(
        self,
        config: IngestConfig,
        publisher: RecordPublisher,
        metrics: IngestMetrics,
        intakes: Collection[SourceIntake] = (),
    ) -> None:
        self._config = config
        self._intakes = intakes
        self._publisher = publisher
        self._metrics = metrics
        limit = config.limits.in_flight_bytes
        # As long as it leaves room for the largest body.
        kept = max(0, min(limit // _KEPT, limit - max(config.limits.body_bytes, config.limits.source_body_bytes)))
        self.budget = Budget(limit, metrics.in_flight.set, kept)
        self._bodies = BodyReader(config.limits, metrics.bytes.inc)
        self._answers = Budget(limit)
        self._large = asyncio.Lock()
        self._openapi = orjson.dumps(openapi(config.version))
        self._topics = {kind: topic for topic, kind in config.topics.sources.items()}

    async def events(self, request: Request) -> Response:
        refuse_web_pages(request.headers)
        if (reason := self._publisher.away) is not None:
            raise away(reason)
        with Reservation(self.budget) as reservation:
            form = format_of(request.headers)
            body = await self._bodies.read(request, reservation)
            async with self._turn(len(body)):
                events = await self._frame(body, form, request.headers)
                decision = await decide(events, self._config.decoder, self._topics, self._publisher.clock.now())
            if decision.records:
                await self._publish(decision.records, reservation)
        sender = request.scope.get("sender", "")
        self._metrics.accepted.labels(sender).inc(len(decision.records))
        for reason, count in Counter(rejected["reason"] for rejected in decision.rejected).items():
            self._metrics.count_refused(sender, count, decision.examples[reason])
        return _IngestResponse(orjson.dumps(decision.answer()), decision.status(), self._answers)

    async def _frame(self, body: bytes, form: Format, headers: Headers) -> FramedBody:
        framing = partial(frame, body, form, cloud_event_headers(headers), self._config.limits.events)
        events = framing() if len(body) <= LARGE_BYTES else await asyncio.to_thread(framing)
        if events is None:
            raise unsupported(headers.get("content-type", "").partition(";")[0])
        return events

    def _turn(self, size: int) -> contextlib.AbstractAsyncContextManager[object]:
        """One large body at a time: others then wait for a part of one of them only, not for a part of each."""
        return self._large if size > LARGE_BYTES else contextlib.nullcontext()

    async def _publish(self, records: Sequence[Outgoing], reservation: Reservation) -> None:
        started = time.monotonic()
        with acknowledged(reservation):
            await self._publisher.publish(records)
        self._metrics.acknowledge_seconds.observe(time.monotonic() - started)

    async def metrics(self, request: Request) -> Response:
        self._metrics.ready.set(self._publisher.away is None)
        scraped = expose(self._metrics.registry, request.headers.get("accept", ""))
        return Response(scraped.body, headers={"Content-Type": scraped.content_type})

    async def openapi(self, _request: Request) -> Response:
        return Response(self._openapi, media_type="application/json")

    async def healthz(self, _request: Request) -> Response:
        return Response(orjson.dumps({"status": "ok"}), media_type="application/json")

    async def readyz(self, _request: Request) -> Response:
        reasons = {self._publisher.away, *(intake.not_made for intake in self._intakes)} - {None}
        body = {"ready": not reasons, "reasons": list(reasons)}
        return Response(orjson.dumps(body), 503 if reasons else 200, media_type="application/json")


class _IngestResponse(Response):
    """An answer that is in a budget until its client has taken it. Raises HTTPException (429) when no room is left."""

    def __init__(self, content: bytes, status: int, budget: Budget) -> None:
        super().__init__(content, status, media_type="application/json")
        self._reservation = Reservation(budget)
        if len(content) > LARGE_BYTES:
            self._reservation.grow(len(content))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        with self._reservation:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": self.body, "more_body": True})
            # The server takes this message when the client has taken what came before, up to a small rest.
            await send({"type": "http.response.body"})
