"""Details of rejections: what is wrong with an event, what is expected, and where, without values of the event."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

import msgspec

from aggregator.facts import LATEST_AT
from streams.events.wire import AnnotationEvent, EvaluationEvent, QueueItemEvent

KINDS: Final = "`annotation`, `evaluation` or `queue_item`"
"""The values of `kind` in a line of a file."""

_STRING: Final = "a string"
_TIME: Final = "an RFC 3339 time with an offset, or milliseconds since 1970"
_TYPES: Final = {
    "str": _STRING,
    "int": "an integer",
    "float": "a number",
    "bool": "a boolean",
    "array": "an array",
    "object": "an object",
    "null": "null",
}
"""JSON types in words, by the name that msgspec has for them."""
_EXPECTED_TYPES: Final = {str: _STRING, float: "a number", bool: "true or false"}
_WRONG_TYPE: Final = re.compile(r"Expected `[^`]+`, got `(\w+)`")
_PATH: Final = re.compile(r" - at `(\$[^`]*)`$")
_FRAMING_BYTES: Final = 5
_SIMILAR: Final = re.compile(rb'"(rating|score|label|verdict|thumb|star|metrics|criteria|user)"\s*:')
"""Names that are mistaken for the fields of an event. A detail names only these, and no other part of a payload."""

_WRAPPED: Final = re.compile(rb'\s*\{\s*"[^"]*"\s*:\s*\[\s*\{')
"""The beginning of an object that has an array of objects first."""


class _Constant(str):
    """NaN, Infinity or -Infinity in a document that is JSON otherwise."""

    __slots__ = ()


def alternatives(values: tuple[str, ...]) -> str:
    """Return the values as words.

    >>> alternatives(("trace", "span", "thread"))
    '`trace`, `span` or `thread`'
    """
    *first, last = (f"`{value}`" for value in values)
    return f"{', '.join(first)} or {last}" if first else last


def _expectations() -> Iterator[tuple[str, str]]:
    for struct in (AnnotationEvent, EvaluationEvent, QueueItemEvent):
        for name, hint in get_type_hints(struct).items():
            options = get_args(hint)
            literals = [value for option in options if get_origin(option) is Literal for value in get_args(option)]
            if literals:
                yield name, alternatives(tuple(literals))
            else:
                yield name, next((_EXPECTED_TYPES[option] for option in options if option in _EXPECTED_TYPES), "")
    yield from {"at": _TIME, "time": "an RFC 3339 time with an offset", "stars": "an integer from 1 to 5"}.items()
    yield from {"tags": "an object", "tags[...]": _STRING, "kind": KINDS, "specversion": _STRING}.items()


_EXPECTED: Final = dict(_expectations())
"""What a field must be, by its name."""


def invalid(error: msgspec.ValidationError) -> str:
    """Return the detail for a field with a wrong type or value."""
    message = str(error)
    location = _PATH.search(message)
    path = location[1] if location else "$"
    name = "the value" if path == "$" else path.removeprefix("$.")
    expected = "a JSON object" if path == "$" else _EXPECTED.get(name, "another value")
    if wrong_type := _WRONG_TYPE.match(message):
        problem, expected = _TYPES.get(wrong_type[1], wrong_type[1]), _quoting(expected, wrong_type[1])
    elif message.startswith("Invalid enum value"):
        problem = "an unknown value"
    else:
        problem = "out of range"
    return at(path, f"{name} is {problem}, expected {expected}")


def _quoting(expected: str, found: str) -> str:
    if found == "str" and expected in ("a number", "true or false", "an integer from 1 to 5"):
        return f"{expected} without quotes"
    return f"{expected} in quotes" if found in ("int", "float") and expected == _STRING else expected


def at(path: str, detail: str) -> str:
    """Return the detail with the JSON path of the field."""
    return f"{detail} - at `{path}`"


def absent(name: str) -> str:
    """Return the detail for a required field that is missing or null."""
    return at(f"$.{name}", f"{name} is missing")


def no_content_type(detail: str) -> str:
    """Return the detail for an event with a missing field, which looks like a CloudEvent in structured mode.

    >>> no_content_type(absent("at"))
    'at is missing (a structured CloudEvent needs the header `content-type: application/cloudevents+json`) - at `$.at`'
    """
    hint = "(a structured CloudEvent needs the header `content-type: application/cloudevents+json`)"
    return detail.replace(" - at ", f" {hint} - at ", 1)


def not_a_time(name: str) -> str:
    """Return the detail for a text that is no time."""
    return at(f"$.{name}", f"{name} is not a time, expected {_EXPECTED[name]}, such as 2026-03-02T12:00:00+01:00")


def wrong_unit(time: float) -> str:
    """Return the detail for an integer `at` that is no time in milliseconds."""
    if time < 0:
        return at("$.at", "at is before 1970")
    if time <= LATEST_AT:
        unit, remedy = "seconds", "multiply it by 1,000"
    elif time <= LATEST_AT * 1_000:
        unit, remedy = "microseconds", "divide it by 1,000"
    else:
        unit, remedy = "nanoseconds", "divide it by 1,000,000"
    return at("$.at", f"at is in {unit} since 1970, expected milliseconds: {remedy}, or send an RFC 3339 string")


def no_rating(value: bytes) -> str:
    """Return the detail for an annotation without a rating."""
    expected = f"`thumbs` ({_EXPECTED['thumbs']}) or `stars` ({_EXPECTED['stars']})"
    return f"no rating, expected {expected}{_similar(value)} - at `$.thumbs`, `$.stars`"


def no_kind(line: bytes) -> str:
    """Return the detail for a line of a file whose kind does not follow from its fields."""
    if _WRAPPED.match(line):
        return at("$", "the object has the events in an array, expected the array itself, or one event per line")
    remedy = _similar(line) or '; `"kind": "queue_item"` makes it a queue item'
    return at("$.kind", f"neither metric, thumbs, stars, criterion nor annotator{remedy}")


def no_verdict(missing: str) -> str:
    """Return the detail for a verdict that lacks a field, `score` or `threshold`."""
    if missing == "score":
        remedy = 'send one of them, or `"status": "error"` if the evaluation failed'
    else:
        remedy = "send one of them, or set the metric's threshold in the setting `metrics`"
    return at(f"$.{missing}", f"no verdict, `passed` and `{missing}` are missing: {remedy}")


def _similar(value: bytes) -> str:
    similar = _SIMILAR.search(value)
    return f" (found `{similar[1].decode()}`)" if similar else ""


def framed(data: bytes) -> bool:
    """Return whether bytes begin as a schema registry's serializers write them: a zero byte and a schema id."""
    return len(data) > _FRAMING_BYTES and data[0] == 0


def key_mismatch(key: bytes | None, item: str) -> str:
    """Return the detail for a key that is not the bytes of the item."""
    expected = "expected the bytes of `item`"
    if key is None:
        detail = f"the record has no key, {expected}"
    elif not key:
        detail = f"the key is empty, {expected}"
    elif key.strip(b'"') == item.encode():
        detail = f"the key is in quotes, {expected} without them"
    elif framed(key):
        detail = f"the key begins with the framing of a schema registry, {expected} without it"
    else:
        detail = f"the key is another text, {expected}"
    return at("$.item", detail)


def malformed(value: bytes, error: msgspec.DecodeError) -> str:
    """Return the detail for a value that is not JSON."""
    if framed(value):
        return (
            "the value begins with the framing of a schema registry (a zero byte and a schema id of 4 bytes), "
            "expected JSON without it"
        )
    if not value.strip():
        return "the value is empty, expected a JSON object"
    if "truncated" in str(error):
        return "the JSON is incomplete"
    if "trailing characters" in str(error):
        return (
            "more text follows the JSON, expected one event per line or record; `curl -d` removes line ends, "
            "`curl --data-binary` keeps them"
        )
    return str(error)


def not_a_number(value: bytes) -> str | None:
    """Return the detail for a value that is JSON except for NaN or infinity; None if it is not."""
    if b"NaN" not in value and b"Infinity" not in value:
        return None
    try:
        document: Any = json.loads(value.decode(), parse_constant=_Constant)
    except (ValueError, RecursionError):
        return None
    for prefix in ("$", "$.data"):
        for name, field in document.items() if isinstance(document, dict) else ():
            if isinstance(field, _Constant) and name in _EXPECTED:
                remedy = (
                    '. If the evaluation failed, send `"status": "error"` without a score' if name == "score" else ""
                )
                return at(f"{prefix}.{name}", f"{name} is {field}, expected {_EXPECTED[name]}{remedy}")
        document = document.get("data") if isinstance(document, dict) else None
    return at("$", "NaN and infinity are not JSON")


def duration(milliseconds: int) -> str:
    """Return a duration in the largest unit of which it has two or more.

    >>> duration(301_000), duration(31_534_203_426)
    ('5 minutes', '364 days')
    """
    for unit, length in (("days", 86_400_000), ("hours", 3_600_000), ("minutes", 60_000)):
        if milliseconds >= 2 * length:
            return f"{milliseconds // length} {unit}"
    return f"{milliseconds / 1000:g} s"
