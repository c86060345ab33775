"""Every rule of events: accepted values, their normal form, and the exact reason of every rejection."""

import json
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.facts import Annotation, Evaluation, Fact, QueueItem, encode
from streams.events.decoder import Decoder, Kind, MetricDefaults, Rejection
from streams.events.reasons import Reason
from streams.events.unknown_fields import unknown_fields

AT = 1_700_000_000_000

ANNOTATION = {"id": "a1", "at": AT, "queue": "support", "item": "t1", "thumbs": "up"}
EVALUATION = {"id": "e1", "at": AT, "item": "t1", "metric": "relevance", "passed": True}
QUEUE_ITEM = {"id": "q1", "at": AT, "queue": "support", "item": "t1"}


def decode(kind: Kind, event: Any, *, decoder: Decoder | None = None, **record: Any) -> Fact | Rejection:
    value = event if isinstance(event, bytes | None) else json.dumps(event).encode()
    return (decoder or Decoder()).decode(kind, value, **{"key": b"t1", **record})


def annotation(**changes: Any) -> Fact | Rejection:
    return decode(Kind.ANNOTATION, _changed(ANNOTATION, changes))


def evaluation(**changes: Any) -> Fact | Rejection:
    return decode(Kind.EVALUATION, _changed(EVALUATION, changes))


def queue_item(**changes: Any) -> Fact | Rejection:
    return decode(Kind.QUEUE_ITEM, _changed(QUEUE_ITEM, changes))


def _changed(event: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The event with changes; a value of `...` leaves the field out."""
    return {name: value for name, value in {**event, **changes}.items() if value is not ...}


def reason_of(outcome: Fact | Rejection) -> tuple[Reason, str]:
    assert isinstance(outcome, Rejection), outcome
    return outcome.reason, outcome.detail


def test_least_events_become_facts_with_defaults() -> None:
    assert annotation() == Annotation(AT, "a1", "support", "t1", thumbs="up")
    assert evaluation() == Evaluation(AT, "e1", "t1", "relevance", passed=True)
    assert decode(Kind.QUEUE_ITEM, QUEUE_ITEM) == QueueItem(AT, "q1", "support", "t1")


def test_a_null_field_counts_as_absent() -> None:
    nothing = dict.fromkeys(("level", "criterion", "annotator", "stars", "explanation", "expected", "url", "deleted"))
    about_item = dict.fromkeys(("input", "output", "tags"))
    assert annotation(**nothing, **about_item) == annotation()
    assert evaluation(**about_item) == evaluation()
    assert queue_item(**about_item) == queue_item()


def test_every_event_may_have_input_output_and_tags() -> None:
    about_item: dict[str, Any] = {"input": "Where is it?", "output": "On its way.", "tags": {"plan": "free"}}
    assert annotation(**about_item) == Annotation(AT, "a1", "support", "t1", thumbs="up", **about_item)
    assert evaluation(**about_item) == Evaluation(AT, "e1", "t1", "relevance", passed=True, **about_item)
    assert queue_item(**about_item) == QueueItem(AT, "q1", "support", "t1", **about_item)
    failure = evaluation(passed=..., status="error", **about_item)
    assert failure == Evaluation(AT, "e1", "t1", "relevance", status="error", **about_item)


def test_a_deletion_carries_neither_input_nor_output_nor_tags() -> None:
    about_item: dict[str, Any] = {"input": "?", "output": "!", "tags": {"Plan": ""}}
    for deleted in (annotation, evaluation, queue_item):
        assert deleted(deleted=True, **about_item) == deleted(deleted=True)


@pytest.mark.parametrize(
    ("tags", "normal"),
    [
        ({}, None),
        ({"plan": "free", "lang": "de"}, {"lang": "de", "plan": "free"}),
        ({"a": "x" * 128, "a0_" + "z" * 60: " "}, {"a": "x" * 128, "a0_" + "z" * 60: " "}),
        ({"city": unicodedata.normalize("NFD", "Köln")}, {"city": "Köln"}),
        ({f"t{number}": "x" for number in range(16)}, {f"t{number}": "x" for number in range(16)}),
    ],
)
def test_tags_are_in_the_order_of_their_names_and_in_nfc(tags: dict[str, str], normal: dict[str, str] | None) -> None:
    for of_kind in (annotation, evaluation, queue_item):
        fact = of_kind(tags=tags)
        assert not isinstance(fact, Rejection) and fact.tags == normal
        assert list(fact.tags or ()) == sorted(normal or ())


@pytest.mark.parametrize(
    ("tags", "reason", "path"),
    [
        ({"": "x"}, Reason.INVALID_NAME, "$.tags"),
        ({"Plan": "x"}, Reason.INVALID_NAME, "$.tags"),
        ({"1st": "x"}, Reason.INVALID_NAME, "$.tags"),
        ({"a b": "x"}, Reason.INVALID_NAME, "$.tags"),
        ({"a\n": "x"}, Reason.INVALID_NAME, "$.tags"),
        ({"a" * 64: "x"}, Reason.INVALID_NAME, "$.tags"),
        ({"plan": ""}, Reason.INVALID_NAME, "$.tags.plan"),
        ({"plan": "x" * 129}, Reason.INVALID_NAME, "$.tags.plan"),
        ({"plan": "a\nb"}, Reason.INVALID_NAME, "$.tags.plan"),
        ({"plan": "a\ud83d"}, Reason.INVALID_NAME, "$.tags.plan"),
        ({f"t{number}": "x" for number in range(17)}, Reason.INVALID_FIELD, "$.tags"),
        ({"plan": None}, Reason.INVALID_FIELD, "$.tags[...]"),
        ({"plan": 5}, Reason.INVALID_FIELD, "$.tags[...]"),
        (["plan"], Reason.INVALID_FIELD, "$.tags"),
        ("plan", Reason.INVALID_FIELD, "$.tags"),
    ],
)
def test_other_tags_are_rejected(tags: object, reason: Reason, path: str) -> None:
    for of_kind in (annotation, evaluation, queue_item):
        rejected, detail = reason_of(of_kind(tags=tags))
        assert (rejected, detail.partition(" - at ")[2]) == (reason, f"`{path}`")


@pytest.mark.parametrize(
    ("event", "unknown"),
    [
        (ANNOTATION, False),
        ({**ANNOTATION, "at": "1970-01-01T00:00:00Z", "kind": "annotation", "level": None}, False),
        ({**ANNOTATION, "mood": {"deep": [1]}}, True),
        ({**ANNOTATION, "mood": "\ud83d"}, True),
        ({"mood": 1, **ANNOTATION, "at": "1970-01-01T00:00:00Z"}, True),
        ({**ANNOTATION, "mood": 1, "stars": 3}, False),
        ({**ANNOTATION, "mood": 1, "item": "t2"}, False),
    ],
)
def test_each_accepted_event_with_unknown_fields_is_reported_once(event: dict[str, Any], unknown: bool) -> None:
    reported: list[tuple[Kind, list[str]]] = []
    decoder = Decoder(on_unknown_fields=lambda kind, event: reported.append((kind, unknown_fields(kind, event))))
    for timestamp in (None, AT):
        outcome = decode(Kind.ANNOTATION, event, decoder=decoder, timestamp=timestamp)
        without = decode(Kind.ANNOTATION, _changed(event, {"mood": ...}), timestamp=timestamp)
        assert outcome == without
    assert reported == 2 * unknown * [(Kind.ANNOTATION, ["mood"])]


@pytest.mark.parametrize(
    ("written", "milliseconds"),
    [
        (100_000_000_000, 100_000_000_000),
        (1.7e12, AT),
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:01Z", 1000),
        ("1970-01-01T01:00:00.0019+01:00", 1),
        ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
        ("9999-12-31T23:59:59.9999999Z", 253_402_300_799_999),
        ("1970-01-02t00:00:00z", 86_400_000),
        ("1970-01-02 00:00:00-00:00", 86_400_000),
        ("1990-12-31T23:59:60Z", 662_688_000_000),
        ("1990-12-31T15:59:60.25-08:00", 662_688_000_250),
        ("1990-12-31T17:29:60.9999999-06:30", 662_688_000_999),
    ],
)
def test_times_become_integer_milliseconds(written: object, milliseconds: int) -> None:
    fact = decode(Kind.ANNOTATION, {**ANNOTATION, "at": written})
    assert isinstance(fact, Annotation) and fact.at == milliseconds


@pytest.mark.parametrize(
    "at",
    [
        -1,
        0,
        1_772_452_800,
        99_999_999_999,
        253_402_300_800_000,
        "1969-12-31T23:59:59Z",
        "2026-01-01T00:00:00",
        "2026-01-01T00:00:60Z",
        "2026-12-31T23:59:60",
        "2026-12-31T23:59:61Z",
        "2026-12-31T23:60:00Z",
        "9999-12-31T23:59:60Z",
        "now",
        1.5,
        True,
    ],
)
def test_other_times_are_rejected(at: object) -> None:
    reason, detail = reason_of(annotation(at=at))
    assert (reason, "`$.at`" in detail) == (Reason.INVALID_FIELD, True)


@pytest.mark.parametrize(
    ("event", "passed"),
    [
        ({"score": 0.5, "threshold": 0.5}, True),
        ({"score": 0.4, "threshold": 0.5}, False),
        ({"score": 0.5, "threshold": 0.5, "direction": "lower"}, True),
        ({"score": 0.6, "threshold": 0.5, "direction": "lower"}, False),
        ({"score": 0.1, "threshold": 0.5, "passed": True}, True),
        ({"passed": False}, False),
    ],
)
def test_the_verdict_follows_from_score_threshold_and_direction(event: dict[str, Any], passed: bool) -> None:
    fact = evaluation(**{"passed": ..., **event})
    assert isinstance(fact, Evaluation) and fact.passed is passed


def test_a_metrics_settings_fill_what_the_event_lacks() -> None:
    decoder = Decoder(metrics={"relevance": MetricDefaults(threshold=0.3, direction="lower")})
    scored = _changed(EVALUATION, {"passed": ..., "score": 0.2})
    fact = decode(Kind.EVALUATION, scored, decoder=decoder)
    assert fact == Evaluation(AT, "e1", "t1", "relevance", score=0.2, threshold=0.3, direction="lower", passed=True)
    decided = Decoder(metrics={"relevance": MetricDefaults(threshold=9, direction="higher")})
    assert decode(Kind.EVALUATION, encode(fact), decoder=decided) == fact
    own = decode(Kind.EVALUATION, {**scored, "threshold": 0.1, "direction": "higher"}, decoder=decoder)
    assert isinstance(own, Evaluation) and (own.threshold, own.direction) == (0.1, "higher")


@pytest.mark.parametrize("status", ["error", "skipped"])
def test_a_failure_has_no_verdict(status: str) -> None:
    fact = evaluation(status=status, passed=False, score=0.1, threshold=0.5, reason="timeout")
    assert isinstance(fact, Evaluation) and fact.failed
    assert (fact.passed, fact.reason) == (None, "timeout")


def test_a_deletion_carries_no_text_and_needs_no_rating() -> None:
    deleted = annotation(deleted=True, thumbs=..., explanation="why", expected="x", url="https://x/")
    assert deleted == Annotation(AT, "a1", "support", "t1", deleted=True)
    assert evaluation(deleted=True, status="error", reason="why") == Evaluation(
        AT, "e1", "t1", "relevance", deleted=True
    )


@pytest.mark.parametrize(
    ("changes", "reason", "path"),
    [
        ({"id": ...}, Reason.MISSING_FIELD, "$.id"),
        ({"at": ...}, Reason.MISSING_FIELD, "$.at"),
        ({"queue": ...}, Reason.MISSING_FIELD, "$.queue"),
        ({"item": ...}, Reason.MISSING_FIELD, "$.item"),
        ({"item": None}, Reason.MISSING_FIELD, "$.item"),
        ({"thumbs": ...}, Reason.MISSING_FIELD, "$.thumbs"),
        ({"stars": 3}, Reason.INVALID_FIELD, "$.stars"),
        ({"thumbs": ..., "stars": 0}, Reason.INVALID_FIELD, "$.stars"),
        ({"thumbs": ..., "stars": 6}, Reason.INVALID_FIELD, "$.stars"),
        ({"thumbs": ..., "stars": 3.5}, Reason.INVALID_FIELD, "$.stars"),
        ({"thumbs": ..., "stars": 6.0}, Reason.INVALID_FIELD, "$.stars"),
        ({"thumbs": ..., "stars": 3.5, "deleted": True}, Reason.INVALID_FIELD, "$.stars"),
        ({"item": "\ud83d"}, Reason.INVALID_NAME, "$.item"),
        ({"queue": "q\ud83d"}, Reason.INVALID_NAME, "$.queue"),
        ({"criterion": "\ude00"}, Reason.INVALID_NAME, "$.criterion"),
        ({"annotator": "a\ud83d", "explanation": "\ud83d"}, Reason.INVALID_NAME, "$.annotator"),
        ({"url": "https://x/\ud83d"}, Reason.INVALID_FIELD, "$.url"),
        ({"thumbs": "up\ud83d"}, Reason.INVALID_FIELD, "$.thumbs"),
        ({"thumbs": ..., "stars": True}, Reason.INVALID_FIELD, "$.stars"),
        ({"thumbs": "sideways"}, Reason.INVALID_FIELD, "$.thumbs"),
        ({"level": "session"}, Reason.INVALID_FIELD, "$.level"),
        ({"queue": 7}, Reason.INVALID_FIELD, "$.queue"),
        ({"deleted": "yes"}, Reason.INVALID_FIELD, "$.deleted"),
        ({"url": "javascript:alert(1)"}, Reason.INVALID_FIELD, "$.url"),
        ({"url": "https://x/" + "y" * 2048}, Reason.INVALID_FIELD, "$.url"),
        ({"url": "https://x/\ny"}, Reason.INVALID_FIELD, "$.url"),
        ({"queue": ""}, Reason.INVALID_NAME, "$.queue"),
        ({"queue": "q" * 129}, Reason.INVALID_NAME, "$.queue"),
        ({"queue": "a\nb"}, Reason.INVALID_NAME, "$.queue"),
        ({"criterion": ""}, Reason.INVALID_NAME, "$.criterion"),
        ({"criterion": "a\x7fb"}, Reason.INVALID_NAME, "$.criterion"),
        ({"annotator": "a" * 257}, Reason.INVALID_NAME, "$.annotator"),
        ({"id": ""}, Reason.INVALID_NAME, "$.id"),
        ({"id": "a\u0085b"}, Reason.INVALID_NAME, "$.id"),
        ({"item": "t" * 257}, Reason.INVALID_NAME, "$.item"),
        ({"item": "t2"}, Reason.KEY_MISMATCH, "$.item"),
    ],
)
def test_annotations_are_rejected_with_reason_and_path(changes: dict[str, Any], reason: Reason, path: str) -> None:
    actual, detail = reason_of(annotation(**changes))
    assert actual is reason
    assert path in detail


@pytest.mark.parametrize(
    ("changes", "reason", "path"),
    [
        ({"metric": ...}, Reason.MISSING_FIELD, "$.metric"),
        ({"metric": ""}, Reason.INVALID_NAME, "$.metric"),
        ({"judge": "j" * 129}, Reason.INVALID_NAME, "$.judge"),
        ({"passed": ...}, Reason.NO_VERDICT, "$.score"),
        ({"passed": ..., "score": 0.5}, Reason.NO_VERDICT, "$.threshold"),
        ({"passed": ..., "threshold": 0.5}, Reason.NO_VERDICT, "$.score"),
        ({"score": "high"}, Reason.INVALID_FIELD, "$.score"),
        ({"score": True}, Reason.INVALID_FIELD, "$.score"),
        ({"status": "pending"}, Reason.INVALID_FIELD, "$.status"),
        ({"direction": "up"}, Reason.INVALID_FIELD, "$.direction"),
    ],
)
def test_evaluations_are_rejected_with_reason_and_path(changes: dict[str, Any], reason: Reason, path: str) -> None:
    actual, detail = reason_of(evaluation(**changes))
    assert actual is reason
    assert path in detail


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, Reason.NULL_VALUE),
        (b"", Reason.MALFORMED),
        (b'{"id":"a1"', Reason.MALFORMED),
        (b'{"id":"\xff"', Reason.MALFORMED),
        (b'{"id":"a1"\xff}', Reason.MALFORMED),
        (b'{"id":"a1","explanation":"\\\xff"}', Reason.MALFORMED),
        (b'{"id":"a\\ud800","at":1700000000000}', Reason.INVALID_NAME),
        (b'{"id":"\\ud800"', Reason.MALFORMED),
        (b'{"stars":NaN}', Reason.INVALID_FIELD),
        (b'{"stars":NaN', Reason.MALFORMED),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", Reason.MALFORMED),
        (b'{"id":"a1"} {"id":"a2"}', Reason.MALFORMED),
        (b"null", Reason.INVALID_FIELD),
        (b"[1]", Reason.INVALID_FIELD),
        (b" " * (256 * 1024 + 1), Reason.OVERSIZED),
    ],
)
def test_a_value_that_is_no_event_is_rejected(value: bytes | None, reason: Reason) -> None:
    assert reason_of(decode(Kind.ANNOTATION, value))[0] is reason


def test_details_never_carry_the_payload() -> None:
    for event in (
        {"thumbs": "secret"},
        {"level": "secret"},
        {"url": "secret"},
        {"queue": "secret\n"},
        {"at": "secret"},
    ):
        assert "secret" not in reason_of(annotation(**event))[1]


def test_an_event_far_ahead_of_its_broker_timestamp_is_rejected() -> None:
    assert isinstance(decode(Kind.ANNOTATION, {**ANNOTATION, "at": AT + 300_000}, timestamp=AT), Annotation)
    rejected = decode(Kind.ANNOTATION, {**ANNOTATION, "at": AT + 300_001}, timestamp=AT)
    assert reason_of(rejected)[0] is Reason.FUTURE_TIMESTAMP
    assert isinstance(decode(Kind.ANNOTATION, {**ANNOTATION, "at": AT + 300_001}, timestamp=-1), Annotation)


def test_names_are_nfc_and_ids_stay_byte_exact() -> None:
    decomposed = unicodedata.normalize("NFD", "é")
    fact = annotation(queue=decomposed, criterion=decomposed, annotator=decomposed)
    assert isinstance(fact, Annotation)
    assert (fact.queue, fact.criterion, fact.annotator) == ("é", "é", decomposed)


def test_names_may_have_quotes_slashes_and_bidi_marks() -> None:
    name = 'a/b "c" \\ \u202eevil {x="1"}'
    fact = annotation(queue=name)
    assert isinstance(fact, Annotation) and fact.queue == name


def test_equal_names_are_one_object() -> None:
    decoder = Decoder()
    first, second = (decode(Kind.ANNOTATION, {**ANNOTATION, "id": id}, decoder=decoder) for id in ("1", "2"))
    assert isinstance(first, Annotation) and isinstance(second, Annotation)
    assert first.queue is second.queue


def test_whole_numbers_may_be_written_with_a_point_or_an_exponent() -> None:
    value = b'{"id":"a1","at":1.7724528e12,"queue":"support","item":"t1","stars":4.0}'
    fact = decode(Kind.ANNOTATION, value)
    assert fact == Annotation(1_772_452_800_000, "a1", "support", "t1", stars=4)
    assert isinstance(fact, Annotation)
    assert (type(fact.at), type(fact.stars)) == (int, int)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (ANNOTATION, Kind.ANNOTATION),
        (EVALUATION, Kind.EVALUATION),
        ({**QUEUE_ITEM, "kind": "queue_item"}, Kind.QUEUE_ITEM),
        ({**_changed(ANNOTATION, {"thumbs": ...}), "criterion": "overall", "deleted": True}, Kind.ANNOTATION),
        ({**EVALUATION, "kind": "evaluation"}, Kind.EVALUATION),
    ],
)
def test_the_kind_of_a_line_follows_from_its_fields(line: dict[str, Any], kind: Kind) -> None:
    outcome = Decoder().decode_line(json.dumps(line).encode())
    assert not isinstance(outcome, Rejection) and outcome[0] is kind


@pytest.mark.parametrize(
    ("line", "reason"),
    [(QUEUE_ITEM, Reason.MISSING_FIELD), ({**ANNOTATION, "kind": "rating"}, Reason.INVALID_FIELD)],
)
def test_a_line_of_no_kind_is_rejected(line: dict[str, Any], reason: Reason) -> None:
    outcome = Decoder().decode_line(json.dumps(line).encode())
    assert isinstance(outcome, Rejection) and outcome.reason is reason


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from((*ANNOTATION, *EVALUATION, "kind")), inner),
    ).map(lambda value: json.dumps(value).encode())
)
def test_decoding_never_raises(value: bytes) -> None:
    for kind in Kind:
        outcome = decode(kind, value, key=value, decoder=Decoder(on_unknown_fields=unknown_fields))
        assert isinstance(outcome, Annotation | Evaluation | QueueItem | Rejection)
    Decoder().decode_line(value)


def test_every_reason_has_an_explanation() -> None:
    assert all(reason.explanation.remedy for reason in Reason)
