"""The OpenAPI document of the HTTP API. Schemas are derived from the types of the responses."""

from typing import Any, Final, get_args

import msgspec

from aggregator.days import Window
from aggregator.facts import TAG_NAME, Level
from aggregator.snapshot import schema as snapshot_schema
from aggregator.snapshot.schema import SnapshotDocument
from aggregator.statistics.confusion import OUTCOMES
from sinks import budgets
from sinks.api import responses
from sinks.api.deep_dive_routes import SKIP_LIMIT
from sinks.api.field_docs import describe
from sinks.api.responses import HealthResponse, HistoryList, ProblemDetails, QueueList, Readiness, ViewPositions
from sinks.queries import (
    alternative_results,
    calibration,
    comparisons,
    item_answer,
    next_items,
    people,
    results,
    search,
    segments,
    side_by_side,
)
from sinks.queries.alternative_results import AlternativeAnnotator
from sinks.queries.calibration import ScoreCalibration
from sinks.queries.comparisons import PAGE_LIMIT, Page
from sinks.queries.item_answer import ItemTrace
from sinks.queries.next_items import ITEMS, MOST_ITEMS, MOST_SEED, SELECTION, NextItems, Strategy
from sinks.queries.people import Annotators, Disagreements
from sinks.queries.results import Ceiling, Corrected, Trend, TrendBasis, Versions, WhatIf
from sinks.queries.search import MOST_CHARACTERS, PREFIX
from sinks.queries.segments import ATTRIBUTES, TAG, Segments
from sinks.queries.side_by_side import SideBySide

RESPONSES: Final = (
    SnapshotDocument,
    QueueList,
    Page,
    ItemTrace,
    HistoryList,
    Trend,
    WhatIf,
    ScoreCalibration,
    Ceiling,
    AlternativeAnnotator,
    Versions,
    Corrected,
    Segments,
    NextItems,
    Disagreements,
    Annotators,
    ViewPositions,
    HealthResponse,
    Readiness,
    ProblemDetails,
)
"""The type of every JSON response."""
_MODULES: Final = (
    snapshot_schema,
    responses,
    alternative_results,
    calibration,
    comparisons,
    item_answer,
    next_items,
    results,
    search,
    segments,
    side_by_side,
    people,
)
"""Modules that define the types of the responses."""


def _query(name: str, description: str, schema: dict[str, Any], *, required: bool = False) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "required": required, "schema": schema}


OPENAPI_PATH: Final = "/openapi.json"
_STRING: Final = {"type": "string"}
_TEXT: Final = {"type": "string", "minLength": 1}
_TIME: Final = {
    "anyOf": [
        {"type": "string", "format": "date-time"},
        {"type": "string", "format": "date"},
        {"type": "integer", "minimum": 0, "maximum": 10**18 - 1},
    ]
}
_OUTCOMES: Final = f"({'|'.join(OUTCOMES)})"
_QUEUE: Final = {
    "name": "queue",
    "in": "path",
    "required": True,
    "description": "Name of the queue, percent-encoded: `/` is `%2F`. `.` and `..` are written `~.` and `~..`.",
    "schema": _TEXT,
}
_ITEM: Final = {
    **_QUEUE,
    "name": "item",
    "description": "Id of the item, percent-encoded in the same way. It is exact: no other form of the text is found.",
}
_WINDOW: Final = _query(
    "window", "UTC days up to today, or all days.", {"enum": [w.value for w in Window], "default": "all"}
)
_CRITERION: Final = _query("criterion", "Name of the criterion.", _TEXT, required=True)
_METRIC: Final = _query("metric", "Name of the metric.", _TEXT, required=True)
_JUDGE: Final = _query(
    "judge", "Only current verdicts of this judge version. Without one of them, the answer has no comparisons.", _TEXT
)
_CURSOR: Final = _query("cursor", "`next` of the previous page.", {"type": "string", "pattern": "^[A-Za-z0-9_-]+$"})
_PLACE: Final = _query("cursor", "`next` of the previous page.", {"type": "integer", "minimum": 0, "maximum": 2**62})
_ERRORS: Final = {
    400: "A parameter is missing or invalid, or the request has a body; `detail` names it.",
    401: "The token is missing or wrong.",
    403: "Numbers of single annotators need the setting `show_annotators`.",
    404: "The queue, or the item in it, is not found.",
    500: "The numbers of the queue cannot be computed from what the view's store has; `detail` has the reason.",
    503: "Too many requests wait, or too many streams are open. Retry after the time in `Retry-After`.",
}


def _limit(default: int) -> dict[str, Any]:
    schema = {"type": "integer", "minimum": 1, "maximum": PAGE_LIMIT, "default": default}
    return _query("limit", "Maximum number of entries. Fewer come when they are large: `next` has the rest.", schema)


def _get(
    summary: str, response: type | str, parameters: list[dict[str, Any]], errors: tuple[int, ...] = ()
) -> dict[str, Any]:
    content = (
        {response: {"schema": {"type": "object"} if response == "application/json" else _STRING}}
        if isinstance(response, str)
        else {"application/json": {"schema": {"$ref": f"#/components/schemas/{response.__name__}"}}}
    )
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
    responses = {"200": {"description": "Success.", "content": content}}
    for status in errors:
        responses[str(status)] = {"description": _ERRORS[status], "content": problem}
    return {"get": {"summary": summary, "parameters": parameters, "responses": responses}}


def _deep_dive() -> dict[str, Any]:
    pair = [_QUEUE, _CRITERION, _METRIC, _WINDOW]
    skip = _query(
        "skip",
        f"Number of newest judge versions to skip: an answer has at most {budgets.VERSIONS}.",
        {"type": "integer", "minimum": 0, "maximum": SKIP_LIMIT, "default": 0},
    )
    errors = (400, 401, 404, 500, 503)
    return {
        "/api/v1/queues/{queue}/trend": _get(
            "Alignment by day, and the days on which new judge versions appeared.",
            Trend,
            [
                _QUEUE,
                _query("criterion", "Only this criterion. Default: all.", _TEXT),
                _query(
                    "metric",
                    "Only this metric. Default: all that are on topic. `by=publication` needs a criterion with it.",
                    _TEXT,
                ),
                _query(
                    "by",
                    "`annotation`: current rows, by day of annotation. `publication`: the last document of each day.",
                    {"enum": list(get_args(TrendBasis)), "default": "annotation"},
                ),
                {**_JUDGE, "description": f"{_JUDGE['description']} Not with `by=publication`."},
                _WINDOW,
                {**skip, "description": f"Number of newest days to skip: an answer has at most {budgets.DAYS:,}."},
            ],
            errors,
        ),
        "/api/v1/queues/{queue}/what-if": _get(
            "Counts and alignment at other thresholds, from the scores of the comparisons.",
            WhatIf,
            [
                *pair,
                _JUDGE,
                _query(
                    "cost",
                    "Cost of a false positive in false negatives.",
                    {"type": "number", "exclusiveMinimum": 0, "default": 1},
                ),
            ],
            errors,
        ),
        "/api/v1/queues/{queue}/calibration": _get(
            "Scores as probabilities: Brier score, calibration error and bins.",
            ScoreCalibration,
            [*pair, _JUDGE],
            errors,
        ),
        "/api/v1/queues/{queue}/ceiling": _get(
            "Agreement of annotators with each other: the human ceiling.",
            Ceiling,
            [_QUEUE, _CRITERION, _WINDOW],
            errors,
        ),
        "/api/v1/queues/{queue}/alternative-annotator": _get(
            "Whether each metric may replace one of the annotators: the alternative annotator test.",
            AlternativeAnnotator,
            [_QUEUE, _CRITERION, _JUDGE, _WINDOW],
            errors,
        ),
        "/api/v1/queues/{queue}/versions": _get("Comparison of judge versions.", Versions, [*pair, skip], errors),
        "/api/v1/queues/{queue}/corrected": _get(
            "Pass rate over all items of the queue, corrected for the judge's errors.", Corrected, [*pair, skip], errors
        ),
        "/api/v1/queues/{queue}/side-by-side": _get(
            "Two metrics, or two judge versions, on the items that both judged.",
            SideBySide,
            [
                *pair,
                _query("judge", "Judge version of the metric. Default: the current verdict on each item.", _TEXT),
                _query("other_metric", "The other metric. Default: the same.", _TEXT),
                _query("other_judge", "Judge version of the other. Default: the current verdict.", _TEXT),
            ],
            errors,
        ),
        "/api/v1/queues/{queue}/segments": _get(
            "Alignment by the value of a tag, by annotator, level or judge version, and which of them differ.",
            Segments,
            [
                *pair,
                _JUDGE,
                _query(
                    "by",
                    f"What divides the comparisons: {', '.join(f'`{name}`' for name in ATTRIBUTES)}, or `{TAG}` and "
                    "the name of a tag. `annotator` needs the setting `show_annotators`. Default: the tag of most "
                    "comparisons, or the level.",
                    {"type": "string", "pattern": rf"^({'|'.join(ATTRIBUTES)}|{TAG}[\s\S]*)$"},
                ),
            ],
            (400, 401, 403, 404, 500, 503),
        ),
        "/api/v1/queues/{queue}/disagreements": _get(
            "Items on which people disagree, those with most annotators first.",
            Disagreements,
            [
                _QUEUE,
                _CRITERION,
                _WINDOW,
                _query(
                    "skip",
                    "Number of items to skip.",
                    {"type": "integer", "minimum": 0, "maximum": SKIP_LIMIT, "default": 0},
                ),
                _query(
                    "limit",
                    "Maximum number of items.",
                    {"type": "integer", "minimum": 1, "maximum": budgets.DISAGREEMENTS, "default": 20},
                ),
            ],
            errors,
        ),
        "/api/v1/queues/{queue}/annotators": _get(
            "How each annotator rates the items that others rated too. Needs the setting `show_annotators`.",
            Annotators,
            [_QUEUE, _CRITERION, _WINDOW],
            (400, 401, 403, 404, 500, 503),
        ),
    }


def _next() -> dict[str, Any]:
    return _get(
        "Items to annotate next: those placed in the queue that have no annotation of the criterion.",
        NextItems,
        [
            _QUEUE,
            _CRITERION,
            _query(
                "strategy",
                "`random`: every item is equally likely. `boundary`: scores near the threshold first. `disagreement`: "
                "items that some metrics pass and others fail. The annotations of the last two are a biased sample.",
                {"enum": [strategy.value for strategy in Strategy], "default": Strategy.RANDOM.value},
            ),
            _query("metric", "Only scores and verdicts of this metric. Default: all that are on topic.", _TEXT),
            _query(
                "seed",
                "Another seed is another random order.",
                {"type": "integer", "minimum": 0, "maximum": MOST_SEED, "default": 0},
            ),
            _query(
                "limit",
                "Number of items.",
                {"type": "integer", "minimum": 1, "maximum": MOST_ITEMS, "default": ITEMS},
            ),
            _query(
                "selection",
                "`selection` of an earlier answer with the same criterion and seed: exactly its items, in its order, "
                "although others were placed or some were annotated since. `limit` has no effect.",
                {"type": "string", "pattern": SELECTION},
            ),
        ],
        (400, 401, 404, 500, 503),
    )


def _schemas() -> dict[str, Any]:
    """JSON Schema of every type of the responses, by name, with the documentation of each field."""
    _, schemas = msgspec.json.schema_components(RESPONSES, ref_template="#/components/schemas/{name}")
    describe(schemas, *_MODULES)
    return schemas


def openapi(version: str) -> dict[str, Any]:
    """The OpenAPI document of a release."""
    schemas = _schemas()
    readiness = {"application/json": {"schema": {"$ref": "#/components/schemas/Readiness"}}}
    ready = _get(
        "Whether the view has read the topics to their end since it started. Needs no token.", Readiness, [], (400,)
    )
    ready["get"]["responses"]["503"] = {"description": "Not yet.", "content": readiness}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Eval Alignment",
            "version": version,
            "description": "Agreement of LLM judges with human annotators. Every response is a consistent snapshot.",
        },
        "paths": {
            "/api/v1/queues": _get(
                "Queues, in the order of their first event.",
                QueueList,
                [
                    _query(
                        "empty",
                        "`1`: also the queues whose annotations were all retracted and whose items were all removed.",
                        {"enum": ["0", "1"], "default": "0"},
                    ),
                    _PLACE,
                    _limit(100),
                ],
                (400, 401, 503),
            ),
            "/api/v1/queues/{queue}": _get(
                "The snapshot document of a queue.",
                SnapshotDocument,
                [_QUEUE, _JUDGE, _WINDOW],
                (400, 401, 404, 500, 503),
            ),
            "/api/v1/queues/{queue}/comparisons": _get(
                "Comparisons one by one, newest annotation first.",
                Page,
                [
                    _QUEUE,
                    _query("criterion", "Only this criterion. Default: all.", _TEXT),
                    _query("metric", "Only this metric. Default: all.", _TEXT),
                    _query(
                        "outcome",
                        f"Only these outcomes, separated by commas: {', '.join(OUTCOMES)}. Default: all.",
                        {"type": "string", "pattern": f"^{_OUTCOMES}(,{_OUTCOMES})*$"},
                    ),
                    _query("annotator", "Only annotations of this annotator.", _TEXT),
                    _query("level", "Only annotations of items of this level.", {"enum": list(get_args(Level))}),
                    _query("judge", "Only evaluations of this judge version that are current.", _TEXT),
                    _query(
                        "tag",
                        "Only comparisons with this tag, as `NAME:VALUE`.",
                        {"type": "string", "pattern": f"^{TAG_NAME}:.+$"},
                    ),
                    _query(
                        "search",
                        "Only items with all these words in their id or texts. A word of "
                        f"{PREFIX} or more characters is found at the beginning of longer ones too. "
                        "A text without a letter or digit finds no item.",
                        {"type": "string", "minLength": 1, "maxLength": MOST_CHARACTERS},
                    ),
                    _query("from", "Start of annotations, inclusive: RFC 3339, or milliseconds since 1970.", _TIME),
                    _query("to", "End of annotations, exclusive, in the same forms.", _TIME),
                    _WINDOW,
                    _CURSOR,
                    _limit(50),
                ],
                (400, 401, 404, 500, 503),
            ),
            "/api/v1/queues/{queue}/items/{item}": _get(
                "An item of a queue: its rows, the cells that they give, and why the others give none.",
                ItemTrace,
                [_QUEUE, _ITEM],
                (400, 401, 404, 500, 503),
            ),
            "/api/v1/queues/{queue}/history": _get(
                "Published snapshot documents, newest first. Of old ones the last of each day is kept.",
                HistoryList,
                [
                    _QUEUE,
                    _query("from", "Start, inclusive: RFC 3339, or milliseconds since 1970.", _TIME),
                    _query("to", "End, exclusive, in the same forms.", _TIME),
                    _limit(50),
                ],
                (400, 401, 404, 500, 503),
            ),
            **_deep_dive(),
            "/api/v1/queues/{queue}/next": _next(),
            "/api/v1/positions": _get(
                "How far the state of the view covers the source topics. `load --wait` waits for it.",
                ViewPositions,
                [],
                (400, 401, 503),
            ),
            "/api/v1/stream": _get(
                "Server-sent events: `snapshot` with the whole document on every change, at most once a second, and "
                "`heartbeat` with the same data as `/readyz` while nothing changes.",
                "text/event-stream",
                [_query("queue", "Name of the queue.", _TEXT, required=True), _WINDOW],
                (400, 401, 404, 500, 503),
            ),
            "/metrics": _get("Prometheus metrics.", "text/plain", [], (400, 401, 503)),
            "/healthz": _get("Liveness of the process. Needs no token.", HealthResponse, [], (400,)),
            "/readyz": ready,
            OPENAPI_PATH: _get("The OpenAPI document.", "application/json", [], (400, 401, 503)),
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
