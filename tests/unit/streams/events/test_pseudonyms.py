"""Pseudonyms of annotators: what a worker's decoder makes of names, and that no count depends on it."""

import hmac
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.facts import Annotation, Fact, encode
from aggregator.policy import Policy
from aggregator.recount import Recount
from streams.events.decoder import KIND_OF, Decoder, Kind, Rejection
from streams.events.pseudonyms import Pseudonyms, is_pseudonym
from tests.support.facts import histories

KEY = b"0123456789abcdef"
PSEUDONYMS = Pseudonyms(KEY)
WORKER = Decoder(pseudonyms=PSEUDONYMS)
PLAIN = {"id": "a1", "at": 1_780_000_000_000, "queue": "q", "item": "i", "annotator": "Grace Hopper", "thumbs": "up"}


def decoded(event: dict[str, Any], decoder: Decoder = WORKER) -> Annotation:
    fact = decoder.decode(Kind.ANNOTATION, orjson.dumps(event), b"i", timestamp=event["at"])
    assert isinstance(fact, Annotation), fact
    return fact


def test_a_pseudonym_is_an_hmac_of_the_name_with_the_fingerprint_of_the_key() -> None:
    def digest(message: bytes) -> str:
        return hmac.new(KEY, message, "sha256").hexdigest()

    expected = f"anon-{digest(b'key' + bytes(1))[:6]}-{digest(b'annotator' + bytes(1) + 'Åsa'.encode())[:20]}"
    assert PSEUDONYMS.of("Åsa") == expected
    assert is_pseudonym(expected)
    assert KEY.hex() not in PSEUDONYMS.fingerprint


@given(st.text(), st.text())
def test_people_stay_apart_and_pseudonyms_stay_as_they_are(one: str, other: str) -> None:
    first, second = PSEUDONYMS.of(one), PSEUDONYMS.of(other)
    assert (first == second) is (one == other)
    assert PSEUDONYMS.of(first) == first
    assert Pseudonyms(b"another key of 16").of(first) == first
    assert (first == "") is (one == "")


def test_another_key_gives_another_pseudonym() -> None:
    assert Pseudonyms(b"another key of 16").of("ann").split("-")[1:] != PSEUDONYMS.of("ann").split("-")[1:]


@pytest.mark.parametrize("name", ["anon-", "anon-ann", "anon-1aa92f-short", "Anon-1aa92f-" + 20 * "0", "x" + 32 * "0"])
def test_a_name_that_only_looks_like_a_pseudonym_is_replaced(name: str) -> None:
    assert PSEUDONYMS.of(name) != name


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"unknown": 1},
        {"explanation": "why", "tags": {"plan": "free"}},
        {"at": "2026-06-01T00:00:00Z"},
        {"deleted": True, "thumbs": None},
    ],
)
def test_a_worker_replaces_the_name_on_every_way_through_its_decoder(changes: dict[str, Any]) -> None:
    event = {**PLAIN, **changes}
    value = orjson.dumps(event)
    for fact in (
        WORKER.decode(Kind.ANNOTATION, value, b"i", timestamp=1_790_000_000_000),
        WORKER.decode(Kind.ANNOTATION, value, b"i"),
        WORKER.decode_value(Kind.ANNOTATION, value),
    ):
        assert isinstance(fact, Annotation), fact
        assert fact.annotator == PSEUDONYMS.of("Grace Hopper")
        assert b"Grace" not in encode(fact)


def test_no_other_decoder_replaces_names() -> None:
    assert decoded(PLAIN, Decoder()).annotator == "Grace Hopper"


def test_an_annotation_without_a_name_stays_without() -> None:
    assert decoded({name: value for name, value in PLAIN.items() if name != "annotator"}).annotator == ""


def test_a_row_that_is_exported_and_loaded_again_keeps_its_identity() -> None:
    row = decoded(PLAIN)
    again = decoded({**msgspec.to_builtins(row), "at": row.at})
    assert again == row


@given(histories, st.sampled_from(Policy))
def test_no_count_depends_on_pseudonyms(history: list[Fact], policy: Policy) -> None:
    facts: list[Fact] = []
    for fact in history:
        # Times of the strategies are too early for events.
        fact.at += 1_780_000_000_000
        outcome = WORKER.decode_value(KIND_OF[type(fact)], encode(fact))
        assert not isinstance(outcome, Rejection), outcome
        facts.append(outcome)
    assert Recount(facts, policy).tallies() == Recount(history, policy).tallies()
