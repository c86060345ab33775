"""The events' schemas agree with the decoder."""

import json
from typing import Any

import pytest
from hypothesis import given
from jsonschema import Draft202012Validator

from aggregator.facts import Annotation, Evaluation, Fact, QueueItem
from streams.events.decoder import Decoder, Kind, MetricDefaults, Rejection
from streams.events.encoder import encode_event
from streams.events.schemas import MEANINGS, event_schema
from tests.support import facts as strategies

SCHEMAS = {kind: Draft202012Validator(event_schema(kind)) for kind in Kind}
KINDS = {Annotation: Kind.ANNOTATION, Evaluation: Kind.EVALUATION, QueueItem: Kind.QUEUE_ITEM}

# A threshold may come from a setting, so the schema cannot require one: here a setting has one.
DECODER = Decoder({"relevance": MetricDefaults(0.5)})

LEAST: dict[Kind, dict[str, Any]] = {
    Kind.ANNOTATION: {"id": "a", "at": 1_700_000_000_000, "queue": "q", "item": "i", "thumbs": "up"},
    Kind.EVALUATION: {"id": "e", "at": 1_700_000_000_000, "item": "i", "metric": "relevance", "passed": True},
    Kind.QUEUE_ITEM: {"id": "x", "at": 1_700_000_000_000, "queue": "q", "item": "i"},
}
ABSENT = object()
NO_TAGS: list[Any] = [None, {}, [], "plan", 5, {"plan": None}, {"plan": 5}, {"plan": ["free"]}]

ALL: list[dict[str, Any]] = [
    {},
    {"unknown": [1, {"x": None}]},
    *({field: value} for field in ("id", "item") for value in (ABSENT, None, "", 5, "x" * 256, "x" * 257, "a\nb", "é")),
    *({"id": value} for value in ("a\n", "\u202e", 'say "hi"', "\x7f", "\x85", "\U0001f600" * 256)),
    *(
        {"at": value}
        for value in (
            ABSENT,
            None,
            True,
            -1,
            0,
            1.5,
            2.0,
            1.7e12,
            1e30,
            99_999_999_999,
            100_000_000_000,
            253_402_300_799_999,
            253_402_300_800_000,
            "1",
            "",
        )
    ),
    *(
        {"at": value}
        for value in (
            "2026-11-23T10:15:02Z",
            "2026-11-23T10:15:02.412+05:30",
            "2026-11-23 10:15:02z",
            "2026-11-23T10:15:02",
            "2026-11-23",
            "2026-13-23T10:15:02Z",
            "2026-11-23T24:15:02Z",
            "1969-11-23T10:15:02Z",
            "0001-11-23T10:15:02Z",
        )
    ),
    *({"level": value} for value in (None, "trace", "span", "thread", "session", "", 1)),
    *({"deleted": value} for value in (None, False, True, 0, "true")),
    *({"deleted": True, field: value} for field in ("url", "id") for value in (None, "ftp://x", 5)),
    *({"url": value} for value in (None, "", "http://x", "HTTPS://x/y?z", "ftp://x", "http://", "http://a b", "x")),
    *({"url": f"https://{'x' * size}"} for size in (2040, 2041)),
    *({"url": value} for value in ("https://x\n", "https://x\x7f", 5)),
    *({field: value} for field in ("input", "output") for value in (None, "", "x\n\x00", "x" * 20_000, 5, ["x"])),
    *({"tags": value} for value in NO_TAGS),
    *({"tags": {name: "x"}} for name in ("a", "a" * 63, "a" * 64, "z0_", "Plan", "1st", "a-b", "é", "")),
    *({"tags": {"plan": value}} for value in ("", " ", "é", "x" * 128, "x" * 129, "a\nb", "a\x85b", "\u202e")),
    *({"tags": {f"t{number}": "x" for number in range(count)}} for count in (16, 17)),
    *({"tags": value, "deleted": True} for value in ({"Plan": ""}, *NO_TAGS)),
]
NAMES = (ABSENT, None, "", "x" * 128, "x" * 129, "a/b", 'a"b', "a\x00b", "a\n", 5, "\u202e")
ONE: dict[Kind, list[dict[str, Any]]] = {
    Kind.ANNOTATION: [
        *({field: value} for field in ("queue", "criterion", "annotator") for value in NAMES),
        *({"annotator": "x" * size} for size in (256, 257)),
        *({"thumbs": value} for value in (ABSENT, None, "up", "down", "sideways", True)),
        *({"thumbs": ABSENT, "stars": value} for value in (None, 0, 1, 5, 6, 2.5, 4.0, 6.0, "3", True)),
        {"stars": 3},
        {"stars": None},
        {"thumbs": None, "stars": 3},
        {"thumbs": ABSENT, "deleted": True},
        {"stars": 3, "deleted": True},
        {"stars": 9, "deleted": True},
        {"queue": "", "deleted": True},
        *(
            {field: value}
            for field in ("explanation", "expected")
            for value in (None, "", "x\n\x00", "\ud83d", "x" * 20_000, 5)
        ),
    ],
    Kind.EVALUATION: [
        *({field: value} for field in ("metric", "judge") for value in NAMES if value != "a/b"),
        *({"passed": value} for value in (ABSENT, None, True, False, 1, "true")),
        *({"passed": ABSENT, "score": value} for value in (None, 0, 1, 0.5, -3, "0.5", True)),
        {"passed": ABSENT, "threshold": 0.5},
        {"passed": ABSENT, "score": 1, "threshold": 0.5, "direction": "lower"},
        *({"threshold": value} for value in (None, 0, "0")),
        *({"direction": value} for value in (None, "higher", "lower", "up")),
        *({"status": value} for value in (None, "ok", "error", "skipped", "failed")),
        *({"passed": ABSENT, "status": value} for value in (None, "ok", "error", "skipped")),
        {"passed": ABSENT, "deleted": True},
        {"passed": ABSENT, "deleted": False},
        *({"reason": value} for value in (None, "", "x" * 20_000, 5)),
    ],
    Kind.QUEUE_ITEM: [{"queue": value} for value in NAMES],
}
CASES = [(kind, changes) for kind in Kind for changes in (*ALL, *ONE[kind])]


def event(kind: Kind, changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in (LEAST[kind] | changes).items() if value is not ABSENT}


def decodes(kind: Kind, value: bytes) -> bool:
    item = json.loads(value).get("item")
    key = item.encode() if isinstance(item, str) else b""
    return not isinstance(DECODER.decode(kind, value, key), Rejection)


@pytest.mark.parametrize("kind", Kind)
def test_the_schema_is_a_schema(kind: Kind) -> None:
    Draft202012Validator.check_schema(event_schema(kind))


@pytest.mark.parametrize("kind", Kind)
def test_schema_and_decoder_accept_the_same_events(kind: Kind) -> None:
    events = [event(case, changes) for case, changes in CASES if case is kind]
    differ = [e for e in events if SCHEMAS[kind].is_valid(e) != decodes(kind, json.dumps(e).encode())]
    assert differ == []
    accepted = [SCHEMAS[kind].is_valid(e) for e in events]
    assert min(accepted.count(True), accepted.count(False)) >= 10


@given(strategies.facts)
def test_every_fact_is_an_event_of_its_schema(fact: Fact) -> None:
    SCHEMAS[KINDS[type(fact)]].validate(json.loads(encode_event(fact)))


def test_every_field_has_a_meaning() -> None:
    described = {name for kind in Kind for name in event_schema(kind)["properties"]}
    assert described == set(MEANINGS)
    for kind, fact in ((kind, fact) for fact, kind in KINDS.items()):
        assert list(event_schema(kind)["properties"]) == [n for n in MEANINGS if n in fact.__struct_fields__]
