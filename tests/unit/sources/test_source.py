"""Payloads of a source, one after the other: what was said before decides what is said now."""

import json
from typing import Any

import pytest

from aggregator.facts import Annotation, Evaluation
from sources.records import Malformed, Skip, SkipReason, UnknownShapeError
from sources.source import MAX_STATEMENTS, EventRejection, OutcomeResult
from streams.events.decoder import MetricDefaults
from tests.support.sources import RECEIVED, facts_of, outcomes, skips_of, tool_source

UPDATED = "2026-11-23T10:00:00.000Z"


def score(id: str = "s-1", updated: str = UPDATED, **fields: Any) -> dict[str, Any]:
    return {
        "id": id,
        "name": "tone",
        "value": 4,
        "dataType": "NUMERIC",
        "source": "ANNOTATION",
        "updatedAt": updated,
        "subject": {"kind": "trace", "id": "t"},
        **fields,
    }


def page(*scores: Any) -> dict[str, Any]:
    return {"data": list(scores)}


def langfuse(**config: Any) -> Any:
    return tool_source("langfuse", queue="q", criteria={"tone": {"rating": "stars"}}, **config)


def test_an_older_version_after_a_newer_one_is_skipped() -> None:
    source = langfuse()
    facts_of(source, page(score(updated="2026-11-23T10:00:01Z")))
    assert skips_of(source, page(score())) == {"older": 1}


def test_a_version_that_has_no_rule_any_more_takes_its_event_back() -> None:
    source = langfuse()
    facts_of(source, page(score()))
    skipped, deleted = outcomes(source, page(score(updated="2026-11-23T10:00:01Z", value=9)))
    assert isinstance(skipped.result, Skip) and skipped.result.reason is SkipReason.OFF_SCALE
    assert isinstance(deleted.result, Annotation) and deleted.result.deleted


def test_what_is_missing_in_all_that_the_tool_has_is_deleted() -> None:
    source = langfuse()
    facts_of(source, page(score("s-1"), score("s-2", subject={"kind": "trace", "id": "u"})))
    rest = source.read(json.dumps(page(score("s-1"))).encode())
    assert list(source.outcomes(rest, RECEIVED)) == []
    [gone] = source.missing(rest, RECEIVED)
    assert gone.native == "s-2" and isinstance(gone.result, Annotation) and gone.result.deleted


def test_nothing_is_missing_while_a_record_cannot_be_read() -> None:
    source = langfuse()
    facts_of(source, page(score("s-1"), score("s-2")))
    rest = source.read(json.dumps(page(score("s-1"), {"id": "s-2"})).encode())
    assert list(source.missing(rest, RECEIVED)) == []


def test_a_source_without_ids_takes_nothing_back() -> None:
    table: Any = {"queue": "q", "criteria": {"overall": {"rating": "stars"}}}
    with_ids = tool_source("csv", columns={"id": "n", "item": "i", "rating": "r"}, **table)
    assert len(facts_of(with_ids, b"n,i,r\n1,t,4\n")) == 1
    without = tool_source("csv", columns={"item": "i", "rating": "r"}, **table)
    without.index = with_ids.index
    assert list(without.missing([], RECEIVED)) == []
    assert len(list(with_ids.missing([], RECEIVED))) == 1


def test_a_malformed_record_leaves_the_others() -> None:
    [malformed, fact] = outcomes(langfuse(), page({"id": 1}, score()))
    assert isinstance(malformed.result, Malformed) and malformed.result.why.startswith("record 1: ")
    assert isinstance(fact.result, Annotation)
    with pytest.raises(UnknownShapeError):
        outcomes(langfuse(), page({"id": 1}, {"id": 2}))


def test_a_line_that_is_none_of_the_tools_leaves_the_others() -> None:
    lines = b"\n".join(json.dumps(each).encode() for each in (page(score()), {"a": 1}))
    fact, malformed = outcomes(langfuse(), lines)
    assert isinstance(fact.result, Annotation)
    assert isinstance(malformed.result, Malformed) and malformed.result.why.startswith("document 2: ")


def test_an_event_that_the_decoder_rejects_is_reported_with_its_reason() -> None:
    [outcome] = outcomes(langfuse(), page(score(authorUserId="a" * 300)))
    assert isinstance(outcome.result, EventRejection)
    assert outcome.result.rejection.reason == "invalid_name"


def test_thresholds_of_the_deployment_are_written_into_the_event() -> None:
    source = tool_source("langfuse", {"tone": MetricDefaults(3.0, "lower")}, queue="q")
    [fact] = facts_of(source, page(score(source="EVAL")))
    assert isinstance(fact, Evaluation)
    assert (fact.threshold, fact.direction, fact.passed) == (3.0, "lower", False)


def test_text_with_half_of_a_surrogate_pair_costs_no_rating() -> None:
    content = json.dumps(page(score(comment="cut \ud83d"))).encode()
    [fact] = facts_of(langfuse(), content)
    assert isinstance(fact, Annotation) and fact.explanation == "cut \ufffd"


def test_a_text_of_any_length_costs_no_rating() -> None:
    [fact] = facts_of(langfuse(), page(score(comment="x" * 300_000)))
    assert isinstance(fact, Annotation) and fact.explanation is not None and fact.explanation.endswith("…[cut]")


def test_ids_begin_with_the_prefix_of_the_source() -> None:
    [fact] = facts_of(langfuse(id_prefix="second"), page(score()))
    assert fact.id == "second:s-1@1795428000000"


def test_a_long_id_is_kept_as_a_digest_and_its_record_edited_and_deleted() -> None:
    source = langfuse()
    first, second = 100_000 * "s" + "1", 100_000 * "s" + "2"
    facts_of(source, page(score(first), score(second, subject={"kind": "trace", "id": "u"})))
    assert len({*source.index.natives()}) == 2
    assert max(map(len, source.index.natives())) < 100
    [edited] = facts_of(source, page(score(first, updated="2026-11-23T10:00:01Z", value=5)))
    assert isinstance(edited, Annotation) and edited.stars == 5
    rest = source.read(json.dumps(page(score(first))).encode())
    [gone] = source.missing(rest, RECEIVED)
    assert isinstance(gone.result, Annotation) and gone.result.deleted and gone.result.item == "u"


def test_a_record_that_states_too_much_is_malformed() -> None:
    """Each statement becomes an event with the texts of the item, also where later ones replace it."""
    source = tool_source("labelstudio", queue="q", item="id", criteria={"ok": {"rating": {"up": ["y"], "down": ["n"]}}})

    def results(count: int) -> list[OutcomeResult]:
        answer = {"type": "choices", "from_name": "ok", "value": {"choices": ["y"]}}
        annotation = {"id": 1, "updated_at": "2026-11-23T10:00:00Z", "completed_by": 1, "result": [answer] * count}
        task = {"id": 1, "data": {"id": "t"}, "annotations": [annotation, {**annotation, "id": 2, "result": []}]}
        return [outcome.result for outcome in outcomes(source, [task])]

    assert [type(result) for result in results(MAX_STATEMENTS)] == [Annotation]
    (result,) = results(MAX_STATEMENTS + 1)
    assert isinstance(result, Malformed)
    assert result.why == "a record has 2,001 ratings and verdicts, at most 2,000 are read"
