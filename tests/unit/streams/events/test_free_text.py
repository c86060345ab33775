"""Free text never costs a rating: it is cut, and what is not text in it is replaced."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.facts import Annotation, Evaluation, Fact, encode
from streams.events import values
from streams.events.decoder import Decoder, Kind, Rejection
from streams.events.reasons import Reason
from streams.events.values import CUT_MARK, _cut

ANNOTATION = {"id": "a1", "at": 1_700_000_000_000, "queue": "support", "item": "t1", "thumbs": "up"}
PIECES = [
    *(rb"\\", rb"\"", b"\\", rb"\n", rb"\u", rb"\ud8", rb"\u0041", rb"\ud83d", rb"\uDBFF", rb"\ude00", rb"\uDC00"),
    *(b"a", b"text ", b'"', b"\xff", b"\xc3", b"\xa9", b"\xe2\x82", "€😀".encode(), b"\xed\xa0\xbd", b"\xed\xb8\x80"),
]
"""Parts of escapes, of pairs, and of characters, which a step may cut."""
EVALUATION = {"id": "e1", "at": 1_700_000_000_000, "item": "t1", "metric": "relevance", "passed": True}


def decode(kind: Kind, event: Any) -> Fact | Rejection:
    return Decoder().decode(kind, event if isinstance(event, bytes) else json.dumps(event).encode(), b"t1")


def annotation(**changes: Any) -> Fact | Rejection:
    return decode(Kind.ANNOTATION, {**ANNOTATION, **changes})


def evaluation(**changes: Any) -> Fact | Rejection:
    return decode(Kind.EVALUATION, {**EVALUATION, **changes})


@given(st.text(min_size=1, max_size=9000))
def test_text_is_cut_once_and_stays_valid(text: str) -> None:
    fact = annotation(explanation=text)
    assert isinstance(fact, Annotation) and fact.explanation is not None
    assert len(fact.explanation.encode()) <= 8192
    assert fact.explanation == text or fact.explanation.endswith(CUT_MARK)
    assert decode(Kind.ANNOTATION, encode(fact)) == fact


def test_half_of_a_surrogate_pair_in_free_text_is_replaced() -> None:
    fact = annotation(explanation="good \ud83d", expected="\ude00 \U0001f600 \\ud83d", mood="\ud83d")
    assert isinstance(fact, Annotation)
    assert (fact.explanation, fact.expected) == ("good \ufffd", "\ufffd \U0001f600 \\ud83d")
    judged = evaluation(reason="\ud83d")
    assert isinstance(judged, Evaluation) and judged.reason == "\ufffd"
    line = Decoder().decode_line(json.dumps({**ANNOTATION, "explanation": "good \ud83d"}).encode())
    assert line == (Kind.ANNOTATION, annotation(explanation="good \ufffd"))


@pytest.mark.parametrize("non_text", [b"\xed\xa0\xbd", b"\xed\xa0\xbd\xed\xb8\x80", b"\xff", b"\xe9", b"\xc3"])
def test_bytes_that_are_not_utf_8_are_replaced_in_free_text_only(non_text: bytes) -> None:
    value = json.dumps({**ANNOTATION, "explanation": "good ?, \u00e9", "mood?": "?"}, ensure_ascii=False).encode()
    assert decode(Kind.ANNOTATION, value.replace(b"?", non_text)) == annotation(explanation="good \ufffd, \u00e9")
    for field, reason in (
        ("queue", Reason.INVALID_NAME),
        ("criterion", Reason.INVALID_NAME),
        ("annotator", Reason.INVALID_NAME),
        ("item", Reason.INVALID_NAME),
        ("id", Reason.INVALID_NAME),
        ("url", Reason.INVALID_FIELD),
        ("thumbs", Reason.INVALID_FIELD),
    ):
        value = json.dumps({**ANNOTATION, field: "https://x/?"}).encode().replace(b"?", non_text)
        outcome = decode(Kind.ANNOTATION, value)
        assert isinstance(outcome, Rejection)
        assert outcome.reason is reason and f"`$.{field}`" in outcome.detail


def test_free_text_is_replaced_without_making_a_value_oversized() -> None:
    value = json.dumps({**ANNOTATION, "explanation": "?" * 200_000}).encode().replace(b"?" * 2, b"\xff.")
    assert isinstance(decode(Kind.ANNOTATION, value), Annotation)


@pytest.mark.parametrize("field", ["input", "output"])
def test_input_and_output_are_free_text(field: str) -> None:
    for of_kind in (annotation, evaluation):
        fact = of_kind(**{field: "é" * 8000})
        assert getattr(fact, field) == getattr(annotation(explanation="é" * 8000), "explanation")  # noqa: B009
        assert of_kind(**{field: ""}) == of_kind()
        assert of_kind(**{field: "a\ud83d\x00\n"}) == of_kind(**{field: "a\ufffd\x00\n"})


def test_long_text_is_cut_at_8_kib_with_a_mark() -> None:
    fact = annotation(explanation="é" * 8000)
    assert isinstance(fact, Annotation) and fact.explanation is not None
    assert fact.explanation.endswith("é" + CUT_MARK)
    assert 8190 <= len(fact.explanation.encode()) <= 8192


@given(
    st.lists(st.sampled_from(PIECES), max_size=30).map(b"".join),
    st.integers(1, 20),
    st.sampled_from(["?", "\ufffd", ""]),
)
def test_what_is_not_text_is_replaced_in_steps_as_in_one(value: bytes, step: int, replacement: str) -> None:
    in_one = values.replace_non_text(value, replacement)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(values, "_STEP", step)
        assert values.replace_non_text(value, replacement) == in_one


@pytest.mark.parametrize(
    "part", [b"a", rb"\\", rb"\n", b"\\", rb"\ud83d", rb"\ude00", rb"\ud83d\ude00", b"\xff", b"\xc3"]
)
def test_no_step_is_larger_than_the_others(part: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each holds up all other threads."""
    monkeypatch.setattr(values, "_STEP", 100)
    steps: list[int] = []

    def cut(text: str) -> tuple[str, str]:
        steps.append(len(text))
        return _cut(text)

    monkeypatch.setattr(values, "_cut", cut)
    values.replace_non_text(b'"\xff' + part * 10_000 + b'"', "?")
    assert len(steps) == len(part) * 100
    assert max(steps) <= 100 + 20
