"""docs/events.md: every field of every event, the rules, examples, and how to send events."""

from collections.abc import Iterator
from typing import Any, Final, get_args

import msgspec
import orjson

from aggregator.facts import MAX_ID, MAX_NAME, MAX_TAG_VALUE, MAX_TAGS, MAX_TEXT_BYTES, MAX_URL_BYTES, TAG_NAME, Text
from aggregator.ratings import DEFAULT_PASS_STARS
from streams.events.decoder import MAX_VALUE_BYTES, Decoder, Kind
from streams.events.schemas import EVENT_TYPES, MEANINGS, REQUIRED, event_schema
from streams.events.values import CUT_MARK, EARLIEST_INTEGER_AT
from streams.kafka.topics import Topics
from tools.reference.examples import EXAMPLES, Example
from tools.reference.markdown import code, document, fenced, json_block, section, table

IDENTITIES: Final = {
    Kind.ANNOTATION: ("queue", "item", "criterion", "annotator"),
    Kind.EVALUATION: ("item", "metric", "judge"),
    Kind.QUEUE_ITEM: ("queue", "item"),
}
"""The fields that identify the row of an event, by kind."""

_TITLES: Final = {Kind.ANNOTATION: "Annotation", Kind.EVALUATION: "Evaluation", Kind.QUEUE_ITEM: "Queue item"}
_SUMMARIES: Final = {
    Kind.ANNOTATION: "A person judged an item by a criterion.",
    Kind.EVALUATION: "A metric (an LLM judge, a classifier, a rule) scored an item. An evaluation has no queue: it "
    "counts in every queue in which the item is annotated or announced.",
    Kind.QUEUE_ITEM: "An item was put into an annotation queue or taken out of it. These events are optional. With "
    "them the view can show how many items of a queue wait, and a metric's pass rate over all items of the queue. A "
    "deleted queue item takes the item's annotations out of all counts of the queue, until a newer queue item puts "
    "it back.",
}
_LIMITS: Final = {
    "at": "years 1970 to 9999",
    "url": f"http or https, {MAX_URL_BYTES // 1024} KiB",
    "tags": f"at most {MAX_TAGS}; names `{TAG_NAME}`, values 1 to {MAX_TAG_VALUE} characters",
}
_MINUTES: Final = Decoder().future_ms // 60_000


def page() -> str:
    """The page."""
    return document(
        "Events",
        "Eval Alignment reads three kinds of events, each from a Kafka topic of its own. An event is one JSON object "
        "in UTF-8; the record's key is the event's `item`. Annotations and evaluations of the same item are compared, "
        "in any order of arrival.",
        "On this page: the fields of each event, [rules](#rules), [examples](#examples), and [how to send events]"
        "(#sending-events). The [merge law](architecture.md#merge-law) "
        "decides between events of one row.",
        _kinds(),
        *(_kind(kind) for kind in Kind),
        section("Rules", _rules()),
        section("Examples", *map(_example, EXAMPLES)),
        _sending(),
        section(
            "Rejected events",
            "An event that breaks a rule becomes a dead letter with one of the [reject reasons](reasons.md), and "
            "changes no count. `eval-alignment dlq ls` lists dead letters.",
        ),
        see_also=(
            "[Reject reasons](reasons.md)",
            "[Statistics](statistics.md): what counts, with small examples",
            "[Topics](topics.md)",
            "[Glossary](glossary.md)",
            "`eval-alignment schema`: the same as JSON Schema",
        ),
    )


def _kinds() -> str:
    topics = {kind: topic for topic, kind in Topics().sources.items()}
    rows = [
        (f"[{_TITLES[kind]}](#{_anchor(kind)})", f"`{topics[kind]}`", code(IDENTITIES[kind]), f"`{kind.value}`")
        for kind in Kind
    ]
    note = "An evaluation that failed (`error`, `skipped`) has a row of its own, alongside that of the verdict."
    return table(("event", "topic", "identity of its row", "`kind` in files"), rows) + f"\n{note}"


def _anchor(kind: Kind) -> str:
    return _TITLES[kind].lower().replace(" ", "-")


def _kind(kind: Kind) -> str:
    return section(
        _TITLES[kind], _SUMMARIES[kind], table(("field", "type", "default", "limits", "meaning"), _fields(kind))
    )


def _fields(kind: Kind) -> Iterator[tuple[str, ...]]:
    properties = event_schema(kind)["properties"]
    _, fact = EVENT_TYPES[kind]
    types = {field.name: field.type for field in msgspec.structs.fields(fact)}
    for name, schema in properties.items():
        options = [option for option in schema.get("anyOf", [schema]) if option.get("type") != "null"]
        yield (
            f"`{name}`",
            " or ".join(_type(option, schema.get("default")) for option in options),
            _default(kind, name, schema),
            _limits(name, options, Text in get_args(types[name])),
            MEANINGS[name],
        )


def _type(option: dict[str, Any], default: object) -> str:
    if "enum" in option:
        return code(sorted(option["enum"], key=lambda value: value != default))
    if option.get("format") == "date-time":
        return "RFC 3339 string"
    if "additionalProperties" in option:
        return f"{option['type']} of {option['additionalProperties']['type']}s"
    return str(option["type"])


def _default(kind: Kind, name: str, schema: dict[str, Any]) -> str:
    if name in REQUIRED[kind]:
        return "**required**"
    default = schema.get("default")
    if default in (None, ""):
        return "none"
    return f"`{default}`" if isinstance(default, str) else f"`{orjson.dumps(default).decode()}`"


def _limits(name: str, options: list[dict[str, Any]], free_text: bool) -> str:
    if name in _LIMITS:
        return _LIMITS[name]
    if free_text:
        return f"cut at {MAX_TEXT_BYTES // 1024} KiB"
    limits = {key: value for option in options for key, value in option.items()}
    if "maxLength" in limits:
        return f"{limits['minLength']} to {limits['maxLength']} characters"
    if "maximum" in limits:
        return f"{limits['minimum']} to {limits['maximum']}"
    return "finite" if limits.get("type") == "number" else ""


def _rules() -> str:
    rules = {
        "Merge law, last writer wins": "Events with the same identity are versions of one row. The newest version is "
        "the row: the latest `at`, then the greater `id`, then the content. Ids compare as strings, so `9` is "
        "greater than `10`. The order of arrival does not matter, and an event that arrives twice counts once. Events "
        "with the same `at` and `id` but other content are reported (`load`, `recount`, "
        "`eval_alignment_events_conflicting_total`): give a correction a later `at`. An "
        "event replaces the whole row; it does not change single fields ([architecture](architecture.md#merge-law)).",
        "Deletion": "`deleted: true` deletes the row. A later event of the same identity creates it again.",
        "Several annotators": "With the policy `each` (default) every annotation of an item is a comparison. With "
        "`latest` only the newest annotation per queue, item and criterion counts. With `majority` the annotations of "
        "a queue, item and criterion are one comparison with the lower median of their ratings, in the order 1 and 2 "
        "stars, thumbs down, thumbs up, 3, 4 and 5 stars, on the day of the newest; a tie is a human fail.",
        "Human verdict": f"`thumbs: up`, or at least {DEFAULT_PASS_STARS} stars (settings `pass_stars` "
        "and `pass_stars_by_criterion`), is a pass.",
        "Metric verdict": "`passed` if it is present, otherwise `score` against `threshold` by `direction`; a score "
        "equal to the threshold passes. The setting `metrics` has a threshold and direction for evaluations without "
        "them. The worker stores the verdict, so a changed setting does not change rows that exist.",
        "Failures": "An evaluation with status `error` or `skipped` has no verdict. It has a row of its own, which "
        "counts only while the metric has no verdict on the item.",
        "Versions of a judge": "The latest verdict on the item over all values of `judge` is compared. Each version "
        "also keeps its own counts, for all items that it judged.",
        "Criteria and metrics": "Every criterion is compared with every metric of the item. The setting "
        "`criterion_metrics` lists the metrics that are on topic ([off topic](glossary.md#off-topic)) for a criterion.",
        "Time": f"An RFC 3339 string needs an offset (`Z` or `+01:00`). A leap second is read as the second after. An "
        f"integer is in **milliseconds**, from "
        f"{EARLIEST_INTEGER_AT:,} on: a number of seconds, microseconds or nanoseconds is rejected. "
        f"`at` must not be more than {_MINUTES} minutes (setting "
        "`future_limit_ms`) after the broker's timestamp of the record. Days are UTC days of `at`.",
        "Names and ids": f"`queue`, `criterion`, `metric` and `judge` are normalized to Unicode NFC and have up to "
        f"{MAX_NAME} characters. `id`, `item` and `annotator` are compared byte by byte and have up to {MAX_ID} "
        "characters. None of them may contain control characters. An item has one id; `level` is no part of it.",
        "Tags": "Names are in lower case. Values are normalized to Unicode NFC and may not be null, empty or contain "
        "control characters. Without tags, leave the field out or send an empty object. A comparison has, for each "
        "name, the annotation's value, else the queue item's, else the evaluation's. Tags change no count.",
        "Free text": "`explanation`, `expected`, `reason`, `input` and `output` are each cut at "
        f"{MAX_TEXT_BYTES // 1024} KiB of UTF-8 and end with `{CUT_MARK.strip()}`. Half of a surrogate pair "
        "(`\\ud83d`) and bytes that are not UTF-8 become U+FFFD; in names, ids, `url` and `tags` they are invalid.",
        "Size": f"The value of a record has at most {MAX_VALUE_BYTES // 1024} KiB.",
        "JSON": "Null is the same as absent. Unknown fields are ignored, so a misspelled optional field has no effect: "
        "`load` and `recount` report them with the field that was probably meant, and workers count and log them. "
        "`eval-alignment schema` prints JSON Schemas to test producers against; add `additionalProperties: false` to "
        "find misspelled fields. `4.0` is the integer 4. Strings are not "
        "converted to numbers or booleans. NaN and infinity are not JSON.",
        "CloudEvents": "[CloudEvents](https://cloudevents.io) 1.0 are accepted in structured mode (the event in "
        "`data`) and in binary mode (headers `ce_specversion`, `ce_id`, `ce_time`). The `id` and `time` of the "
        "CloudEvent are used where the event has no `id` or `at`. The header `content-type` alone determines the mode: "
        "`application/cloudevents+json` is structured mode. A header `ce_...` must be UTF-8; all others are ignored.",
    }
    return "\n".join(f"- **{title}.** {text}" for title, text in rules.items())


def _example(example: Example) -> str:
    headers = [f"Header `{name}: {value}`." for name, value in example.headers.items()]
    return section(example.title, " ".join([example.effect, *headers]), json_block(example.event), level=3)


def _sending() -> str:
    return section(
        "Sending events",
        "Send events to `eval-alignment ingest` over HTTP; Python programs have a [client](client.md) for it. Or send "
        "each to the topic of its kind, with the UTF-8 bytes of `item` as the key, to the partition that **murmur2** "
        "of the key chooses. [Producers](producers.md) has the rules, and tested programs for curl, Python, Java, "
        "TypeScript and Go.",
        section(
            "Files",
            "A file has one event a line (NDJSON), plain or gzipped, of all kinds in any mix. `load` chooses topic, "
            "key and partition, and names each invalid line with its reason. A line may name its kind in `kind`. "
            "Without it, a line with `metric` is an evaluation, and one with a rating, `criterion` or `annotator` an "
            'annotation. A queue item always needs `"kind": "queue_item"`.',
            fenced("console", "eval-alignment load --broker 127.0.0.1:9092 events.ndjson more.ndjson.gz"),
            "`eval-alignment recount FILE...` counts the same files without a broker. Tables, such as CSV with a row "
            "for each item, need no conversion: [`check` and `load --columns`](check.md) read them.",
            level=3,
        ),
    )
