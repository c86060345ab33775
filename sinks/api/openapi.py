"""The OpenAPI document of the HTTP API. Schemas are derived from the types of the answers."""

from typing import Any, Final, get_args

import msgspec

from aggregator.days import Window
from aggregator.snapshot.schema import SnapshotDocument
from aggregator.statistics.confusion import OUTCOMES
from sinks.api.responses import HealthResponse, HistoryList, ProblemDetails, QueueList, Readiness
from sinks.queries.comparisons import PAGE_LIMIT, Page
from sinks.queries.results import Ceiling, Corrected, Trend, TrendBasis, Versions, WhatIf

_ANSWERS: Final = (
    SnapshotDocument,
    QueueList,
    Page,
    HistoryList,
    Trend,
    WhatIf,
    Ceiling,
    Versions,
    Corrected,
    HealthResponse,
    Readiness,
    ProblemDetails,
)


def _query(name: str, description: str, schema: dict[str, Any], *, required: bool = False) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "required": required, "schema": schema}


_STRING: Final = {"type": "string"}
_QUEUE: Final = {
    "name": "queue",
    "in": "path",
    "required": True,
    "description": "Name of the queue, percent-encoded: `/` is `%2F`. `.` and `..` are written `~.` and `~..`.",
    "schema": _STRING,
}
_WINDOW: Final = _query(
    "window", "UTC days back, today included.", {"enum": [w.value for w in Window], "default": "all"}
)
_CRITERION: Final = _query("criterion", "Name of the criterion.", _STRING, required=True)
_METRIC: Final = _query("metric", "Name of the metric.", _STRING, required=True)
_LIMIT: Final = _query("limit", "Most entries.", {"type": "integer", "minimum": 1, "maximum": PAGE_LIMIT})
_CURSOR: Final = _query("cursor", "`next` of the page before.", _STRING)


def _get(
    summary: str, answer: type | str, parameters: list[dict[str, Any]], errors: tuple[int, ...] = ()
) -> dict[str, Any]:
    content = (
        {answer: {"schema": _STRING}}
        if isinstance(answer, str)
        else {"application/json": {"schema": {"$ref": f"#/components/schemas/{answer.__name__}"}}}
    )
    failed = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
    responses = {"200": {"description": "The answer.", "content": content}}
    for status in errors:
        responses[str(status)] = {"description": "See `detail`.", "content": failed}
    return {"get": {"summary": summary, "parameters": parameters, "responses": responses}}


def _insights() -> dict[str, Any]:
    pair = [_QUEUE, _CRITERION, _METRIC, _WINDOW]
    errors = (400, 401, 404)
    return {
        "/api/v1/queues/{queue}/trend": _get(
            "Alignment by day, and when judge versions appeared.",
            Trend,
            [
                _QUEUE,
                _query("criterion", "Only of this criterion.", _STRING),
                _query("metric", "Only of this metric; otherwise of all that are on topic.", _STRING),
                _query(
                    "by",
                    "By day of annotation with the present rows, or as the last document of each day had it.",
                    {"enum": list(get_args(TrendBasis)), "default": "annotation"},
                ),
                _WINDOW,
            ],
            errors,
        ),
        "/api/v1/queues/{queue}/what-if": _get(
            "What other thresholds would give, measured on the comparisons at hand.",
            WhatIf,
            [
                *pair,
                _query(
                    "cost",
                    "How many false negatives one false positive is worth.",
                    {"type": "number", "exclusiveMinimum": 0, "default": 1},
                ),
            ],
            errors,
        ),
        "/api/v1/queues/{queue}/ceiling": _get(
            "How well people agree with each other.", Ceiling, [_QUEUE, _CRITERION, _WINDOW], errors
        ),
        "/api/v1/queues/{queue}/versions": _get("Judge versions side by side.", Versions, pair, errors),
        "/api/v1/queues/{queue}/corrected": _get(
            "Pass rates over all items, corrected for the judge's errors.", Corrected, pair, errors
        ),
    }


def openapi(version: str) -> dict[str, Any]:
    """The document, of a release."""
    _, schemas = msgspec.json.schema_components(_ANSWERS, ref_template="#/components/schemas/{name}")
    readiness = {"application/json": {"schema": {"$ref": "#/components/schemas/Readiness"}}}
    ready = _get("Whether the view has caught up with the topics since its start.", Readiness, [])
    ready["get"]["responses"]["503"] = {"description": "It has not.", "content": readiness}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Eval Alignment",
            "version": version,
            "description": "How LLM metrics agree with people. Every answer is one state that really was.",
        },
        "paths": {
            "/api/v1/queues": _get("Queues, oldest first.", QueueList, [_CURSOR, _LIMIT], (400, 401)),
            "/api/v1/queues/{queue}": _get(
                "The snapshot document of a queue.", SnapshotDocument, [_QUEUE, _WINDOW], (400, 401, 404)
            ),
            "/api/v1/queues/{queue}/comparisons": _get(
                "Single comparisons, newest annotation first.",
                Page,
                [
                    _QUEUE,
                    _query("criterion", "Only of this criterion.", _STRING),
                    _query("metric", "Only of this metric.", _STRING),
                    _query("outcome", f"Only these, separated by commas: {', '.join(OUTCOMES)}.", _STRING),
                    _WINDOW,
                    _CURSOR,
                    _LIMIT,
                ],
                (400, 401, 404),
            ),
            "/api/v1/queues/{queue}/history": _get(
                "Snapshot documents as published, newest first; older ones are thinned to one a day.",
                HistoryList,
                [
                    _QUEUE,
                    _query("from", "First time: RFC 3339, or ms since epoch.", _STRING),
                    _query("to", "Time behind the last one, in the same forms.", _STRING),
                    _LIMIT,
                ],
                (400, 401, 404),
            ),
            **_insights(),
            "/api/v1/stream": _get(
                "Server-sent events: `snapshot` is the whole document, again on every change and at most "
                "once a second; `heartbeat` is as `/readyz`.",
                "text/event-stream",
                [_query("queue", "Name of the queue.", _STRING, required=True), _WINDOW],
                (400, 401, 503),
            ),
            "/metrics": _get("Prometheus metrics.", "text/plain", [], (401,)),
            "/healthz": _get("Whether the process answers. Needs no token.", HealthResponse, []),
            "/readyz": ready,
            "/openapi.json": _get("This document.", "application/json", [], (401,)),
        },
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "basic": {"type": "http", "scheme": "basic"},
            },
        },
        "security": [{}, {"bearer": []}, {"basic": []}],
    }
