"""JSON Schema of the events on the wire, for producers and their tests.

Types and ranges come from the structs that decode events, defaults from the facts that they become. A schema accepts
what the decoder accepts, except where JSON Schema cannot express the rule: lengths count after NFC (names) and in bytes
of UTF-8 (url), the day of a time must exist, and a threshold may come from a setting.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from aggregator.facts import (
    LATEST_AT,
    MAX_ID,
    MAX_NAME,
    MAX_TAG_VALUE,
    MAX_TAGS,
    MAX_URL_BYTES,
    TAG_NAME,
    Annotation,
    Evaluation,
    QueueItem,
)
from streams.events.decoder import Kind
from streams.events.values import EARLIEST_INTEGER_AT
from streams.events.wire import AnnotationEvent, EvaluationEvent, QueueItemEvent

Schema = dict[str, Any]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

EVENT_TYPES: Final[Mapping[Kind, tuple[type[msgspec.Struct], type[msgspec.Struct]]]] = {
    Kind.ANNOTATION: (AnnotationEvent, Annotation),
    Kind.EVALUATION: (EvaluationEvent, Evaluation),
    Kind.QUEUE_ITEM: (QueueItemEvent, QueueItem),
}
"""The type that decodes an event of each kind, and the fact that it becomes."""

_PLAIN: Final[Schema] = {"not": {"pattern": r"[\u0000-\u001f\u007f-\u009f]"}}
_TIME: Final = (
    r"^(19[7-9]\d|[2-9]\d{3})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[Tt ]"
    r"([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?([Zz]|[+-]\d{2}:?\d{2})$"
)


def _string(longest: int, *, least: int = 1) -> Schema:
    return {"string": {"minLength": least, "maxLength": longest, **_PLAIN}}


_LIMITS: Final[Mapping[str, Schema]] = {
    "id": _string(MAX_ID),
    "item": _string(MAX_ID),
    "annotator": _string(MAX_ID, least=0),
    "queue": _string(MAX_NAME),
    "criterion": _string(MAX_NAME),
    "metric": _string(MAX_NAME),
    "judge": _string(MAX_NAME, least=0),
    "at": {
        "integer": {"minimum": EARLIEST_INTEGER_AT, "maximum": LATEST_AT},
        "string": {"format": "date-time", "pattern": _TIME},
    },
}
"""Checks of the decoder beyond types, by field and JSON type."""

MEANINGS: Final[Mapping[str, str]] = {
    "id": "Unique id of the event. Decides between events of one row that have the same `at`.",
    "at": "Time of the judgement or of the change of the queue: RFC 3339 with an offset, or milliseconds since 1970 "
    "UTC. The newest event of a row wins.",
    "queue": "Annotation queue.",
    "item": "Id of the trace, span or thread that is judged.",
    "level": "What the item is. For display only.",
    "criterion": "What the person judges, as the rubric names it.",
    "annotator": "The person, by any id. Never a metric label.",
    "thumbs": "The rating. Exactly one of `thumbs` and `stars` is required.",
    "stars": "The rating. Exactly one of `thumbs` and `stars` is required.",
    "explanation": "Why the person rates it so.",
    "expected": "The output or outcome that the person expects.",
    "metric": "Name of the metric.",
    "score": "The metric's score.",
    "threshold": "The metric's threshold at that time. Default: the setting `metrics`.",
    "direction": "Which scores pass: those at or above the threshold, or those at or below. Default: "
    "the setting `metrics`.",
    "passed": "The verdict. Wins over `score` and `threshold`.",
    "status": "`error` and `skipped` count as missing verdicts, never as a fail, and never replace a verdict.",
    "reason": "The judge's explanation.",
    "judge": "Version of the judge: model, prompt hash, or anything else that changes its verdicts. Each version has "
    "its own row and its own counts.",
    "url": "Address of the item in your tool.",
    "input": "What the application received.",
    "output": "What the application answered.",
    "tags": "Segments of the item, value by name.",
    "deleted": "With `true`, the event deletes the row. Only `id`, `at` and the fields of the row's identity are "
    "needed.",
}
"""Every field of every event, in the order of schemas and docs."""

REQUIRED: Final[Mapping[Kind, Sequence[str]]] = {
    Kind.ANNOTATION: ["id", "at", "queue", "item"],
    Kind.EVALUATION: ["id", "at", "item", "metric"],
    Kind.QUEUE_ITEM: ["id", "at", "queue", "item"],
}

_URL: Final[Schema] = {
    "anyOf": [
        {"enum": [None, ""]},
        {
            "maxLength": MAX_URL_BYTES,
            "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://.",
            "not": {"pattern": r"[\s\u0000-\u001f\u007f]"},
        },
    ]
}
_TAGS: Final[Schema] = {
    "maxProperties": MAX_TAGS,
    "propertyNames": {"pattern": f"^{TAG_NAME}$"},
    "additionalProperties": {"minLength": 1, "maxLength": MAX_TAG_VALUE, **_PLAIN},
}


def _given(field: str, schema: Schema) -> Schema:
    return {"required": [field], "properties": {field: schema}}


_UNLESS_DELETED: Final[Mapping[Kind, Schema]] = {
    Kind.ANNOTATION: {"oneOf": [_given("thumbs", {"type": "string"}), _given("stars", {"type": "integer"})]},
    Kind.EVALUATION: {
        "anyOf": [
            _given("status", {"enum": ["error", "skipped"]}),
            _given("passed", {"type": "boolean"}),
            _given("score", {"type": "number"}),
        ]
    },
    Kind.QUEUE_ITEM: {},
}


def event_schema(kind: Kind) -> Schema:
    """The schema of an event. Null is the same as absent, and unknown fields are allowed."""
    event, fact = EVENT_TYPES[kind]
    generated = msgspec.json.schema(event)["$defs"][event.__name__]["properties"]
    defaults = {field.name: field.default for field in msgspec.structs.fields(fact)}
    required = REQUIRED[kind]
    properties = {}
    for name, meaning in MEANINGS.items():
        if name in generated:
            properties[name] = {"description": meaning, **_field(name, generated[name], required=name in required)}
            if defaults[name] not in (None, msgspec.NODEFAULT):
                properties[name]["default"] = defaults[name]
    return {
        "$schema": DIALECT,
        "title": kind.value.replace("_", " "),
        "description": (fact.__doc__ or "").split("\n", 1)[0],
        "type": "object",
        "properties": properties,
        "required": list(required),
        "if": _given("deleted", {"const": True}),
        "else": {"properties": {"url": _URL, "tags": _TAGS}, **_UNLESS_DELETED[kind]},
    }


def _field(name: str, generated: Schema, *, required: bool) -> Schema:
    limits = _LIMITS.get(name, {})
    types = [option.get("type") for option in generated["anyOf"]]
    options = [
        {**option, **limits.get(option.get("type", ""), {})}
        for option in generated["anyOf"]
        if not (required and option == {"type": "null"})
        # `4.0` is an integer of JSON Schema.
        and not (option == {"type": "number"} and "integer" in types)
    ]
    return options[0] if len(options) == 1 else {"anyOf": options}
