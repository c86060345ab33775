"""The OpenAPI document of ingest. Schemas are derived from the types of the answer, and are those of the events."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ingest.decide import IngestAnswer
from ingest.media import ENCODINGS, TYPES, Format
from ingest.otlp import OTLP_PATHS, OTLP_TYPES
from ingest.sources import SOURCES_PATH, RecordsAnswer
from sources.tools.otel import Signal
from streams.events.decoder import Kind
from streams.events.schemas import event_schema

OPENAPI_PATH: Final = "/openapi.json"
EVENTS_PATH: Final = "/api/v1/events"

STATUSES: Final[Mapping[int, str]] = {
    200: "The broker has acknowledged every event.",
    207: "The broker has acknowledged the accepted events. Read `rejected`.",
    422: "No event is accepted. Read `rejected`.",
    400: "The body is empty, corrupt or not JSON, or the host name is not allowed.",
    401: "The token is missing or wrong.",
    403: "The request comes from a web page.",
    405: "The path has another method, in `Allow`.",
    408: "The body did not arrive in time.",
    413: "More bytes or more events than allowed, of which none was sent; or an event that the broker refuses as too "
    "large. Send fewer events per request.",
    415: "The content type or the content encoding is not supported. `detail` names those that are.",
    429: "Too many bytes of other requests wait for the broker. Retry after the seconds in `Retry-After`.",
    500: "An unexpected error.",
    503: "The broker is not available, or did not acknowledge all events in time. Send all again after the seconds in "
    "`Retry-After`: events that arrive twice count once.",
}
"""What each status means, in the order of the docs."""
OTLP_STATUSES: Final[Mapping[int, str]] = {
    200: "The broker has acknowledged every evaluation that is not counted in `partial_success`. Do not send those "
    "again.",
    400: "The body is corrupt or not an export request, or the host name is not allowed.",
    404: 'No source has `tool = "otel"`.',
    413: "More bytes or parts than allowed: nothing was sent; or an event that the broker refuses as too large.",
    **{status: STATUSES[status] for status in (401, 403, 405, 408, 415, 429, 500)},
    503: "The broker is not available, or did not acknowledge all events in time. Send all again after the seconds in "
    "`Retry-After`.",
}
"""What each status of OTLP means."""
SOURCE_STATUSES: Final[Mapping[int, str]] = {
    200: "The broker has acknowledged every event. What was skipped is counted; what was rejected is a dead letter.",
    400: "The body is corrupt, or the host name is not allowed.",
    401: "The token, the secret or the signature is missing or wrong. Nothing of the request is kept.",
    404: "No source has this name.",
    413: "More bytes or parts than allowed: nothing was sent; or an event that the broker refuses as too large.",
    415: "The content encoding is not supported. `detail` names those that are.",
    422: "The body is not data of the source's tool, or more than 1,000 of its records are rejected. It is a dead "
    "letter. `detail` has the first reasons.",
    **{status: STATUSES[status] for status in (403, 405, 408, 429, 500)},
    503: "The broker is not available, or did not acknowledge all events in time: send all again after the seconds in "
    "`Retry-After`. Or the source runs in another process.",
}
"""What each status of a webhook means."""
_PROBLEMS: Final = frozenset({401, 405, 500})
"""Statuses of OTLP that are problems in JSON in every encoding of the request."""
ANSWERED: Final = frozenset({200, 207, 422})
"""The statuses with an answer for each event. The others are problems for the whole request."""


_ENCODING: Final = {
    "name": "Content-Encoding",
    "in": "header",
    "description": "How the body is compressed.",
    "schema": {"enum": list(ENCODINGS)},
}


def openapi(version: str) -> dict[str, Any]:
    """The OpenAPI document of a release."""
    _, answers = msgspec.json.schema_components(
        [IngestAnswer, RecordsAnswer], ref_template="#/components/schemas/{name}"
    )
    events = {kind.value: _schema(kind) for kind in Kind}
    one = {"anyOf": [_reference(name) for name in events]}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Eval Alignment ingest",
            "version": version,
            "description": "Takes annotations, evaluations and queue items, and writes them to Kafka.",
        },
        "paths": {
            EVENTS_PATH: {"post": _events(one)},
            SOURCES_PATH: {"post": _source("Send a webhook of a source.", "name")},
            f"{SOURCES_PATH}/{{path}}": {
                "post": _source("The same, for an SDK that appends its own path to the address.", "name", "path")
            },
            **{path: {"post": _otlp(signal)} for path, signal in OTLP_PATHS.items()},
        },
        "components": {
            "schemas": {
                **answers,
                **events,
                "status": {
                    "type": "object",
                    "description": "google.rpc.Status",
                    "properties": {"code": {"type": "integer"}, "message": {"type": "string"}},
                },
                "problem": {
                    "type": "object",
                    "properties": {
                        "type": {"type": "string"},
                        "title": {"type": "string"},
                        "status": {"type": "integer"},
                        "detail": {"type": "string"},
                    },
                    "required": ["type", "title", "status", "detail"],
                },
            },
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
        # A process on loopback may be without a token.
        "security": [{}, {"bearer": []}],
    }


def _source(summary: str, *parameters: str) -> dict[str, Any]:
    answer = {"application/json": {"schema": _reference(RecordsAnswer.__name__)}}
    problem = {"application/problem+json": {"schema": _reference("problem")}}
    named = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in parameters]
    return {
        "summary": summary,
        "parameters": [*named, _ENCODING],
        "requestBody": {"required": True, "content": {"application/json": {"schema": {}}}},
        "responses": {
            str(status): {"description": meaning, "content": answer if status == 200 else problem}
            for status, meaning in sorted(SOURCE_STATUSES.items())
        },
    }


def _otlp(signal: Signal) -> dict[str, Any]:
    rejected = "rejectedLogRecords" if signal == "logs" else "rejectedSpans"
    partial = {"type": "object", "properties": {rejected: {"type": "string"}, "errorMessage": {"type": "string"}}}
    answer = {"type": "object", "properties": {"partialSuccess": partial}}
    return {
        "summary": f"Send {signal} of a pipeline by OTLP; their evaluations become events.",
        "parameters": [_ENCODING],
        "requestBody": {"required": True, "content": _otlp_content({"type": "object"})},
        "responses": {
            str(status): {
                "description": meaning,
                "content": {"application/problem+json": {"schema": _reference("problem")}}
                if status in _PROBLEMS
                else _otlp_content(answer if status == 200 else _reference("status")),
            }
            for status, meaning in sorted(OTLP_STATUSES.items())
        },
    }


def _otlp_content(json: dict[str, Any]) -> dict[str, Any]:
    binary = {"type": "string", "format": "binary"}
    return {name: {"schema": json if encoding == "json" else binary} for name, encoding in OTLP_TYPES.items()}


def _events(one: dict[str, Any]) -> dict[str, Any]:
    bodies = {media_type: {"schema": _body(form, one)} for media_type, form in TYPES.items()}
    return {
        "summary": "Send events.",
        "parameters": [_ENCODING],
        "requestBody": {"required": True, "content": bodies},
        "responses": {str(status): _response(status) for status in sorted(STATUSES)},
    }


def _body(form: Format, one: dict[str, Any]) -> dict[str, Any]:
    if form is Format.JSON:
        return {"anyOf": [one, {"type": "array", "items": one}]}
    if form is Format.NDJSON:
        return {"type": "string", "description": "One event per line."}
    envelope = {
        "type": "object",
        "properties": {"specversion": {"const": "1.0"}, "id": {}, "time": {}, "data": one},
        "required": ["specversion", "data"],
    }
    return {"type": "array", "items": envelope} if form is Format.BATCH else envelope


def _response(status: int) -> dict[str, Any]:
    content = (
        {"application/json": {"schema": _reference(IngestAnswer.__name__)}}
        if status in ANSWERED
        else {"application/problem+json": {"schema": _reference("problem")}}
    )
    return {"description": STATUSES[status], "content": content}


def _schema(kind: Kind) -> dict[str, Any]:
    schema = event_schema(kind)
    del schema["$schema"]
    return schema


def _reference(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}
