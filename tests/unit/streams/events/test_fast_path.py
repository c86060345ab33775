"""The fast path yields the facts of the checks one by one, and takes the events that are in normal form."""

import json
import unicodedata
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.facts import encode
from streams.events.decoder import Decoder, Kind, MetricDefaults, Rejection
from streams.events.fast_path import GIVEN_NAMES, normal_annotation, normal_evaluation
from streams.events.wire import AnnotationEvent, EvaluationEvent

AT = 1_700_000_000_000

ANNOTATION = {"id": "a1", "at": AT, "queue": "support", "item": "t1", "thumbs": "up"}
EVALUATION = {"id": "e1", "at": AT, "item": "t1", "metric": "relevance", "passed": True}
SCORED = {"id": "e1", "at": AT, "item": "t1", "metric": "relevance", "score": 0.5, "threshold": 0.5}

names = st.sampled_from(
    ("overall", "relevance", "lower", "né", unicodedata.normalize("NFD", "né"), "a\x7f", "n" * 129, "")
)
ids = st.sampled_from(("t1", "né", "a b", "a\u202eb", "a\n", "\x85", "i" * 256, "i" * 257, ""))
texts = st.sampled_from(("why", "", "a\ud83d", "é" * 2048, "é" * 5000, 'a "b" \n\x00', "y" * 8193))
numbers = st.sampled_from((0, -0.0, 0.0, 0.5, 1, 1e-7, 1e22, 10**30, "1", True))
tag_names = st.sampled_from(("plan", "lang", "a", "z9_", "Plan", "a" * 64))
tag_values = st.sampled_from(
    ("free", "é", unicodedata.normalize("NFD", "é"), "a\u202eb", "a\n", "x" * 129, "é" * 128, "a\ud83d", "")
)
urls = st.sampled_from(("https://x/é", "javascript:x", "", "http://x/" + "y" * 2048))
fields: dict[str, st.SearchStrategy[Any]] = {
    "id": ids,
    "at": st.sampled_from(
        (0, -1, 99_999_999_999, 10**11, AT, AT + 300_001, 253_402_300_799_999, 10**18, "1970-01-01T00:00:01Z", 1.7e12)
    ),
    "item": ids,
    "level": st.sampled_from(("trace", "span", "session")),
    "url": urls,
    "deleted": st.booleans(),
    "queue": names,
    "criterion": names,
    "annotator": ids,
    "thumbs": st.sampled_from(("up", "down", "sideways")),
    "stars": st.sampled_from((1, 5, 6, 2.0)),
    "explanation": texts,
    "expected": texts,
    "metric": names,
    "score": numbers,
    "threshold": numbers,
    "direction": st.sampled_from(("higher", "lower", "up")),
    "passed": st.booleans(),
    "status": st.sampled_from(("ok", "error", "pending")),
    "reason": texts,
    "judge": names,
    "input": texts,
    "output": texts,
    "tags": st.none() | st.dictionaries(tag_names, tag_values, max_size=4),
    "specversion": st.just("1.0"),
}


@st.composite
def nearly_normal(draw: st.DrawFn) -> tuple[Kind, dict[str, Any]]:
    """An event with one or two fields replaced by other values."""
    kind, struct, event = draw(
        st.sampled_from(
            (
                (Kind.ANNOTATION, AnnotationEvent, ANNOTATION),
                (Kind.EVALUATION, EvaluationEvent, EVALUATION),
                (Kind.EVALUATION, EvaluationEvent, SCORED),
            )
        )
    )
    changed = draw(st.lists(st.sampled_from((*struct.__struct_fields__, "specversion")), max_size=2))
    return kind, {**event, **{name: draw(fields[name]) for name in changed}}


@settings(max_examples=1000)
@given(nearly_normal(), st.booleans())
def test_the_fast_path_agrees_with_the_checks(event: tuple[Kind, dict[str, Any]], escaped: bool) -> None:
    decoder = Decoder(metrics={"lower": MetricDefaults(0.3, "lower")}, future_ms=300_000)
    kind, fields = event
    value = json.dumps(fields, ensure_ascii=escaped).encode(errors="surrogatepass")
    record: dict[str, Any] = {"key": str(fields["item"]).encode(), "timestamp": AT}
    for usual in (ANNOTATION, SCORED):
        # The fast path takes events whose names were seen before.
        decoder.decode(Kind.EVALUATION if "metric" in usual else Kind.ANNOTATION, json.dumps(usual).encode(), b"t1")
    # With an irrelevant header the event goes through the checks one by one.
    checked = decoder.decode(kind, value, headers=[("trace", b"1")], **record)
    at_once = decoder.decode(kind, value, **record)
    assert at_once == checked
    if not isinstance(at_once, Rejection) and not isinstance(checked, Rejection):
        assert encode(at_once) == encode(checked)
    # So does an event without a topic.
    line = json.dumps({**fields, "kind": kind.value}, ensure_ascii=escaped).encode(errors="surrogatepass")
    expected = at_once if isinstance(at_once, Rejection) else (kind, at_once)
    assert decoder.decode_line(line, timestamp=AT) == expected
    assert decoder.decode_line(line, [("trace", b"1")], AT) == expected


@pytest.mark.parametrize(
    "text", ["Where is it?", "é" * 2048, "y" * 8192], ids=["short", "surely short", "long and ASCII"]
)
def test_the_fast_path_takes_events_with_input_output_and_tags(text: str) -> None:
    about_item = {"input": text, "output": text, "tags": {"plan": "free", "city": "Köln"}}
    for event, normal in (
        (ANNOTATION, lambda value: normal_annotation(value, {"support": "support", **GIVEN_NAMES})),
        (EVALUATION, lambda value: normal_evaluation(value, {"relevance": "relevance"}, ())),
    ):
        kind = Kind.EVALUATION if event is EVALUATION else Kind.ANNOTATION
        value = json.dumps({**event, **about_item}).encode()
        assert normal(value) == Decoder().decode(kind, value, b"t1") is not None


@pytest.mark.parametrize(
    "tags",
    [
        {"city": unicodedata.normalize("NFD", "Köln")},
        {"plan": "a\nb"},
        {"plan": ""},
        {"plan": "x" * 129},
        {"Plan": "free"},
        {"a\n": "free"},
        {},
        {f"t{number}": "x" for number in range(17)},
    ],
)
def test_the_fast_path_leaves_other_tags_to_the_checks(tags: dict[str, str]) -> None:
    value = json.dumps({**ANNOTATION, "tags": tags}).encode()
    assert normal_annotation(value, {"support": "support", **GIVEN_NAMES}) is None
    value = json.dumps({**EVALUATION, "tags": tags}).encode()
    assert normal_evaluation(value, {"relevance": "relevance"}, ()) is None
