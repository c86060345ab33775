"""OTLP over HTTP: `POST /v1/logs` and `POST /v1/traces`, in protobuf and in JSON.

A whole pipeline may be sent here. Its evaluations feed the one source with `tool = "otel"`; everything else is passed
over. Evaluations that are rejected are in the answer's `partial_success`, with the reasons, and become no dead letters:
like the senders of events, the exporter has been told. The source has no owner index, so any number of processes may
take OTLP.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Literal, NamedTuple

from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from aggregator.facts import Fact
from aggregator.names import printable
from ingest.acknowledge import acknowledged, away
from ingest.body import BodyReader
from ingest.config import IngestConfig
from ingest.limits import LARGE_BYTES, Budget, Reservation
from ingest.media import refuse_web_pages
from ingest.metrics import IngestMetrics
from ingest.otlp_protobuf import protobuf_events
from ingest.parts import has_too_many_fields, has_too_many_parts, too_many_parts
from ingest.sources import KafkaDelivery, RecordPublisher
from sources.intake.intake import Delivery
from sources.records import Malformed, Skip, SkipReason, UnknownShapeError
from sources.registry import OTLP_TOOL
from sources.source import EventRejection, ToolSource
from sources.tools.otel import UNITS, Signal, json_events, source_record
from streams.events.example import RejectedExample

Encoding = Literal["protobuf", "json"]

OTLP_PATHS: Final[Mapping[str, Signal]] = {"/v1/logs": "logs", "/v1/traces": "traces"}
OTLP_TYPES: Final[Mapping[str, Encoding]] = {
    "application/x-protobuf": "protobuf",
    "application/json": "json",
    "application/protobuf": "protobuf",
}
"""Encodings by media type; an answer has the first type of its encoding."""

_REASONS: Final = 5
"""Most reasons in an answer."""
_CODES: Final[Mapping[int, int]] = {400: 3, 403: 7, 404: 5, 408: 4, 413: 3, 415: 3, 429: 8, 503: 14}
"""Codes of google.rpc by status of HTTP."""


class ExportContent(NamedTuple):
    """What an exporter sent."""

    body: bytes
    """Without its content encoding."""
    signal: Signal
    encoding: Encoding


@dataclass(slots=True)
class Export:
    """What the log records or spans of a request became."""

    facts: list[Fact] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    """By reason; log records and spans without an evaluation are `not_an_evaluation`."""
    rejected: dict[int, str] = field(default_factory=dict)
    """Why a log record or span is rejected, at least in part, by its number."""

    def problem(self, signal: Signal) -> str:
        """Why evaluations are rejected; empty when all are accepted."""
        if not self.rejected:
            return ""
        reasons = list(self.rejected.values())
        more = len(reasons) - _REASONS
        shown = "; ".join(reasons[:_REASONS]) + (f"; and {more} more" if more > 0 else "")
        others = self.skipped.copy()
        del others[SkipReason.NOT_AN_EVALUATION.value]
        skipped = "".join(f", {count} skipped ({reason})" for reason, count in sorted(others.items()))
        unit = UNITS[signal] + ("s" if len(reasons) > 1 else "")
        return f"{len(reasons)} {unit} with an evaluation rejected, {len(self.facts)} accepted{skipped}: {shown}"


def read_export(content: ExportContent, source: ToolSource, received: int, clock: int | None) -> Export:
    """Read a request.

    Args:
        content: of the request.
        source: the rules.
        received: when it arrived, in milliseconds; the time of evaluations that have none.
        clock: the broker's time, in milliseconds. None accepts every time.

    Raises UnknownShapeError for a body that is not a request, HTTPException (413) for one with too many parts.
    """
    body, signal, encoding = content
    if (has_too_many_fields if encoding == "protobuf" else has_too_many_parts)(body):
        raise too_many_parts()
    export, others = Export(), 0
    for placed in (protobuf_events if encoding == "protobuf" else json_events)(body, signal):
        if placed.event is None:
            others += 1
            continue
        record = source_record(placed, signal, source.rules)
        for outcome in source.outcomes((record,), received, clock):
            match outcome.result:
                case Skip(reason):
                    export.skipped[reason.value] += 1
                case EventRejection(rejection):
                    why = f"{UNITS[signal]} {placed.number}: {rejection.detail}"
                    export.rejected.setdefault(placed.number, why)
                case Malformed(why):
                    export.rejected.setdefault(placed.number, why)
                case fact:
                    export.facts.append(fact)
    if others:
        export.skipped[SkipReason.NOT_AN_EVALUATION.value] = others
    return export


class OtlpHandlers:
    """Handles the requests of OTLP exporters.

    Args:
        config: the sources, of which one may have the tool `otel`.
        publisher: takes the events.
        metrics: counts what the records become.
        budget: of the bytes in flight.
    """

    def __init__(
        self, config: IngestConfig, publisher: RecordPublisher, metrics: IngestMetrics, budget: Budget
    ) -> None:
        self._publisher = publisher
        self._metrics = metrics
        self._budget = budget
        self._source = next((each for each in config.sources.items() if each[1].rules.settings.tool == OTLP_TOOL), None)
        self._topics = config.topics
        self._bodies = BodyReader(config.limits.of_sources(), metrics.bytes.inc)
        self._large = asyncio.Lock()

    async def export(self, request: Request) -> Response:
        """Log records or spans. The answer, also that of a failure, is in the encoding of the request."""
        encoding = encoding_of_type(request.headers)
        try:
            return await self._export(request, OTLP_PATHS[request.url.path], encoding)
        except HTTPException as error:
            status = Status(code=_CODES.get(error.status_code, 2), message=error.detail)
            return _response(status, encoding or "json", error.status_code, error.headers)

    async def _export(self, request: Request, signal: Signal, encoding: Encoding | None) -> Response:
        refuse_web_pages(request.headers)
        if self._source is None:
            raise HTTPException(
                404, f'no source takes OTLP: add one with `tool = "{OTLP_TOOL}"` to the setting `sources`'
            )
        if encoding is None and request.headers.get("content-type"):
            raise HTTPException(
                415,
                f"content type {request.headers['content-type'].partition(';')[0]} is not supported: expected one of "
                f"{', '.join(OTLP_TYPES)}",
                {"Accept-Post": ", ".join(OTLP_TYPES)},
            )
        name, source = self._source
        with Reservation(self._budget) as reservation:
            body = await self._bodies.read(request, reservation)
            content = ExportContent(body, signal, encoding or ("json" if body[:1] == b"{" else "protobuf"))
            try:
                export = await self._read(content, source)
            except UnknownShapeError as error:
                raise HTTPException(400, f"the body is not an export request of {signal}: {error}") from error
            if export.facts:
                # What has no evaluation does not wait: exporters drop what they cannot send in time.
                if (reason := self._publisher.away) is not None:
                    raise away(reason)
                with acknowledged(reservation):
                    delivery = KafkaDelivery(name, self._publisher, self._topics, keeps_oversized=False)
                    await delivery(Delivery(export.facts, ()))
        self._count(name, export)
        return _response(_answer(export, signal), content.encoding)

    async def _read(self, content: ExportContent, source: ToolSource) -> Export:
        now = self._publisher.clock.now()
        read = partial(read_export, content, source, now, now)
        if len(content.body) <= LARGE_BYTES:
            return read()
        # One large body at a time.
        async with self._large:
            return await asyncio.to_thread(read)

    def _count(self, name: str, export: Export) -> None:
        self._metrics.source_events.labels(name).inc(len(export.facts))
        self._metrics.source_rejected.labels(name).inc(len(export.rejected))
        if export.rejected:
            refused = RejectedExample(f"source {name}", "refused", printable(next(iter(export.rejected.values()))), "")
            self._metrics.rejections.note(f"source={name}", len(export.rejected), refused)
        for reason, count in export.skipped.items():
            self._metrics.source_skipped.labels(name, reason).inc(count)


def encoding_of_type(headers: Headers) -> Encoding | None:
    """The encoding of a request by its content type; None for no type, or another."""
    return OTLP_TYPES.get(headers.get("content-type", "").partition(";")[0].strip().lower())


def _answer(export: Export, signal: Signal) -> Message:
    problem = export.problem(signal)
    if signal == "logs":
        logs = ExportLogsServiceResponse()
        if problem:
            logs.partial_success.rejected_log_records = len(export.rejected)
            logs.partial_success.error_message = problem
        return logs
    traces = ExportTraceServiceResponse()
    if problem:
        traces.partial_success.rejected_spans = len(export.rejected)
        traces.partial_success.error_message = problem
    return traces


def _response(
    message: Message, encoding: Encoding, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    content: Any = (
        message.SerializeToString() if encoding == "protobuf" else json_format.MessageToJson(message, indent=None)
    )
    media_type = next(name for name, named in OTLP_TYPES.items() if named == encoding)
    return Response(content, status, headers, media_type)
