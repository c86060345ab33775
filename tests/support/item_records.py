"""A record of each tool that has values of its item, and the settings that read it."""

from typing import Any

AT = "2026-11-23T10:00:00.000Z"
ABOUT = {"question": "Where is it?", "answer": "On its way.", "page": "https://x.test/1", "plan": "free", "turns": 2}
"""What every record has of its item."""
SETTINGS: dict[str, Any] = {
    "input": "question",
    "output": "answer",
    "url_path": "page",
    "tags": {"plan": "plan", "turns": "turns"},
}


def below(path: str) -> dict[str, Any]:
    """The settings for records that have `ABOUT` at a path."""
    paths = {name: f"{path}.{of}" for name, of in SETTINGS.items() if name != "tags"}
    return {**paths, "tags": {name: f"{path}.{of}" for name, of in SETTINGS["tags"].items()}}


STARS = {"queue": "q", "criteria": {"tone": {"rating": "stars"}}}
JUDGE = {"metrics": {"tone": {"threshold": 0.5}}}
TABLE: dict[str, Any] = {
    "queue": "q",
    "criteria": {"overall": {"rating": "stars"}},
    "columns": {"item": "id", "rating": "stars"},
}
OTLP = [
    {"key": "gen_ai.evaluation.name", "value": {"stringValue": "tone"}},
    {"key": "gen_ai.evaluation.score.value", "value": {"doubleValue": 0.9}},
    *({"key": f"app.{name}", "value": {"stringValue": text}} for name, text in ABOUT.items() if name != "turns"),
    {"key": "app.turns", "value": {"intValue": "2"}},
]
OTLP_SETTINGS = {
    **{name: f'attributes."app.{of}"' for name, of in SETTINGS.items() if name != "tags"},
    "tags": {name: f'attributes."app.{of}"' for name, of in SETTINGS["tags"].items()},
}
TASK = {"id": 1, "data": {"trace": "t", **ABOUT}}
LABEL = {
    "id": 7,
    "updated_at": AT,
    "result": [{"type": "rating", "value": {"rating": 4}, "from_name": "tone"}],
    "task": 1,
}
LABEL_STUDIO = {**STARS, "item": "trace", **below("data")}
SCORE = {
    "id": "s",
    "name": "tone",
    "value": 4,
    "dataType": "NUMERIC",
    "source": "ANNOTATION",
    "updatedAt": AT,
    "subject": {"kind": "trace", "id": "t"},
    "metadata": ABOUT,
}
EXPORTED = {
    "id": "s",
    "name": "tone",
    "value": 4,
    "data_type": "NUMERIC",
    "source": "ANNOTATION",
    "updated_at": AT,
    "trace_id": "t",
    "metadata": ABOUT,
}
METRIC = {"name": "tone", "score": 0.9, "success": True}
SPAN = {"uuid": "s", "metricsData": [METRIC], "metadata": ABOUT}

RECORDS: list[tuple[str, str, dict[str, Any], Any]] = [
    (
        "argilla",
        "response",
        {**STARS, **below("record.metadata")},
        {
            "type": "response.created",
            "timestamp": AT,
            "data": {
                "id": "r",
                "status": "submitted",
                "values": {"tone": {"value": 4}},
                "record": {"external_id": "t", "metadata": ABOUT, "dataset": {"name": "d"}},
            },
        },
    ),
    (
        "braintrust",
        "span",
        {**JUDGE, **below("metadata")},
        {
            "events": [
                {
                    "id": "1",
                    "created": AT,
                    "span_id": "s",
                    "root_span_id": "t",
                    "_xact_id": "5",
                    "scores": {"tone": 0.9},
                    "metadata": ABOUT,
                }
            ]
        },
    ),
    (
        "confident",
        "annotation",
        {"queue": "q", **below("metadata")},
        {"rating": 4, "type": "FIVE_STAR_RATING", "traceUuid": "t", "metadata": ABOUT},
    ),
    (
        "csv",
        "row",
        {**TABLE, **SETTINGS},
        b"id,stars,question,answer,page,plan,turns\nt,4,%b\n"
        % b",".join(str(text).encode() for text in ABOUT.values()),
    ),
    ("csv", "line of JSON", {**TABLE, **SETTINGS}, {"id": "t", "stars": 4, **ABOUT}),
    (
        "datadog",
        "metric",
        {**JUDGE, **below("metadata")},
        {
            "data": {
                "attributes": {
                    "metrics": [
                        {
                            "label": "tone",
                            "timestamp_ms": 1795428000000,
                            "score_value": 0.9,
                            "join_on": {"span": {"span_id": "1", "trace_id": "t"}},
                            "metadata": ABOUT,
                        }
                    ]
                }
            }
        },
    ),
    (
        "datadog",
        "interaction",
        {**STARS, **below("content")},
        {
            "data": {
                "id": "queue",
                "attributes": {
                    "annotated_interactions": [
                        {
                            "type": "trace",
                            "content_id": "t",
                            "content": ABOUT,
                            "annotations": [{"id": "a", "modified_at": AT, "label_values": {"tone": 4}}],
                        }
                    ]
                },
            }
        },
    ),
    (
        "deepeval",
        "test case",
        {"item": "name", **below("metadata")},
        {"testCases": [{"name": "t", "metricsData": [METRIC], "metadata": ABOUT}]},
    ),
    (
        "deepeval",
        "conversation",
        {"thread": "name", **below("metadata")},
        {"testCases": [], "conversationalTestCases": [{"name": "t", "metricsData": [METRIC], "metadata": ABOUT}]},
    ),
    ("deepeval", "span", below("metadata"), {"testCases": [{"trace": {"uuid": "t", "agentSpans": [SPAN]}}]}),
    ("json", "record", {**TABLE, **SETTINGS}, [{"id": "t", "stars": 4, **ABOUT}]),
    ("labelstudio", "webhook", LABEL_STUDIO, {"action": "ANNOTATION_CREATED", "annotation": LABEL, "task": TASK}),
    ("labelstudio", "many", LABEL_STUDIO, {"action": "ANNOTATIONS_CREATED", "annotation": [LABEL], "task": [TASK]}),
    ("labelstudio", "export", LABEL_STUDIO, [{**TASK, "annotations": [LABEL]}]),
    (
        "labelstudio",
        "prediction",
        {"item": "trace", "predictions": True, "metrics": {"tone": {"threshold": 3}}, **below("data")},
        [{**TASK, "predictions": [{"id": 8, "result": LABEL["result"], "updated_at": AT}]}],
    ),
    ("langfuse", "score", {**STARS, **below("metadata")}, {"data": [SCORE]}),
    ("langfuse", "line of an export", {**STARS, **below("metadata")}, EXPORTED),
    (
        "langfuse",
        "queue item",
        {"queue": "q", **below("metadata")},
        {
            "data": [
                {
                    "id": "i",
                    "queueId": "n",
                    "objectId": "t",
                    "objectType": "TRACE",
                    "createdAt": AT,
                    "metadata": ABOUT,
                }
            ]
        },
    ),
    (
        "langsmith",
        "feedback",
        {**STARS, **below("extra.metadata")},
        [
            {
                "id": "f",
                "key": "tone",
                "modified_at": AT,
                "run_id": "t",
                "score": 4,
                "feedback_source": {"type": "app"},
                "extra": {"metadata": ABOUT},
            }
        ],
    ),
    (
        "mlflow",
        "trace",
        {**STARS, **below("tags")},
        {
            "traces": [
                {
                    "trace_id": "t",
                    "tags": ABOUT,
                    "assessments": [
                        {
                            "assessment_id": "a",
                            "assessment_name": "tone",
                            "last_update_time": AT,
                            "source": {"source_type": "HUMAN", "source_id": "ann"},
                            "feedback": {"value": 4},
                        }
                    ],
                }
            ]
        },
    ),
    (
        "mlflow",
        "queue item",
        {"queue": "q", **below("metadata")},
        {
            "items": [
                {
                    "queue_id": "n",
                    "item_id": "t",
                    "item_type": "TRACE",
                    "creation_time_ms": 1795428000000,
                    "metadata": ABOUT,
                }
            ]
        },
    ),
    (
        "opik",
        "trace",
        {**STARS, **below("metadata")},
        {
            "content": [
                {
                    "id": "t",
                    "metadata": ABOUT,
                    "feedback_scores": [
                        {
                            "name": "tone",
                            "value_by_author": {"ann": {"last_updated_at": AT, "value": 4, "source": "ui"}},
                        }
                    ],
                }
            ]
        },
    ),
    (
        "otel",
        "log record",
        {**JUDGE, **OTLP_SETTINGS},
        {
            "resourceLogs": [
                {
                    "scopeLogs": [
                        {
                            "logRecords": [
                                {
                                    "timeUnixNano": "1795428000000000000",
                                    "eventName": "gen_ai.evaluation.result",
                                    "traceId": "0" * 31 + "1",
                                    "attributes": OTLP,
                                }
                            ]
                        }
                    ]
                }
            ]
        },
    ),
    (
        "otel",
        "span event",
        {**JUDGE, **OTLP_SETTINGS},
        {
            "resourceSpans": [
                {
                    "scopeSpans": [
                        {
                            "spans": [
                                {
                                    "traceId": "0" * 31 + "1",
                                    "spanId": "0" * 15 + "1",
                                    "events": [
                                        {
                                            "timeUnixNano": "1795428000000000000",
                                            "name": "gen_ai.evaluation.result",
                                            "attributes": OTLP,
                                        }
                                    ],
                                }
                            ]
                        }
                    ]
                }
            ]
        },
    ),
    (
        "phoenix",
        "annotation",
        {**STARS, **below("metadata")},
        {
            "data": [
                {
                    "id": "a",
                    "name": "tone",
                    "annotator_kind": "HUMAN",
                    "updated_at": AT,
                    "trace_id": "t",
                    "result": {"score": 4},
                    "metadata": ABOUT,
                }
            ]
        },
    ),
    (
        "promptfoo",
        "result",
        below("vars"),
        {
            "results": {
                "timestamp": AT,
                "results": [
                    {
                        "id": "t",
                        "vars": ABOUT,
                        "gradingResult": {
                            "componentResults": [
                                {"pass": True, "score": 1, "assertion": {"type": "contains", "metric": "tone"}}
                            ]
                        },
                    }
                ],
            }
        },
    ),
    (
        "ragas",
        "row",
        {"item": "id", "metrics": {"tone": {"threshold": 0.5}}, **SETTINGS, "input": "user_input"},
        b"id,tone,user_input,answer,page,plan,turns\nt,0.9,%b\n"
        % b",".join(str(text).encode() for text in ABOUT.values()),
    ),
    (
        "weave",
        "feedback",
        {"queue": "q", "criteria": {"tone": {"rating": "stars"}}, **below("payload.about")},
        {
            "result": [
                {
                    "id": "f",
                    "weave_ref": "weave:///a/b/call/t",
                    "feedback_type": "wandb.annotation.tone",
                    "created_at": AT,
                    "payload": {"value": 4, "about": ABOUT},
                }
            ]
        },
    ),
]
"""Tool, what the record is, its settings, and a payload with one record."""
