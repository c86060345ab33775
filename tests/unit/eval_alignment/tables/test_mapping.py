"""Rows to events: what each cell becomes, and ids that depend on the row alone."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.facts import MAX_ID, Annotation, Evaluation
from eval_alignment.tables.labels import STARS, THUMBS, WORDS, parse_scale
from eval_alignment.tables.mapping import (
    ColumnRules,
    ComparedSide,
    EmptyCell,
    Mapped,
    MappedEvent,
    MetricRule,
    UnreadableCell,
    map_row,
)
from sources.tables import NestedCell
from streams.events.decoder import Decoder

AT = 1_764_000_000_000
RULES = ColumnRules(
    item="id",
    queue="q",
    at=AT,
    at_column="when",
    human="label",
    scale=THUMBS,
    annotator="who",
    criterion="criterion",
    explanation="comment",
    metrics=[
        MetricRule(name="tone", verdict="tone", scale=WORDS),
        MetricRule(name="cost", score="cost", threshold=0.5, direction="lower"),
    ],
    judge="version",
    reason="why",
)
ROW = {
    "id": " 007",
    "when": "2026-03-01",
    "label": "1",
    "who": "ann",
    "criterion": " Safety ",
    "comment": "fine",
    "tone": "No",
    "cost": "0,25",
    "version": "v1",
    "why": "short",
}


def mapped(*, rules: ColumnRules = RULES, **changes: str) -> list[Mapped]:
    return list(map_row({**ROW, **changes}, rules))


def event(outcome: Mapped) -> dict[str, object]:
    assert isinstance(outcome, MappedEvent)
    return {**outcome.event}


def test_a_row_becomes_an_annotation_and_an_evaluation_for_each_metric() -> None:
    annotation, tone, cost = [event(each) for each in mapped()]
    ids = [each.pop("id") for each in (annotation, tone, cost)]
    assert len(set(ids)) == 3
    common = {"item": " 007", "at": "2026-03-01T00:00:00Z"}
    assert annotation == {
        **common, "kind": "annotation", "queue": "q", "thumbs": "up", "criterion": "Safety", "annotator": "ann",
        "explanation": "fine",
    }  # fmt: skip
    evaluation = {**common, "kind": "evaluation", "judge": "v1", "reason": "short"}
    assert tone == {**evaluation, "metric": "tone", "passed": False}
    assert cost == {**evaluation, "metric": "cost", "score": 0.25, "threshold": 0.5, "direction": "lower"}


@pytest.mark.parametrize(
    ("changes", "outcomes"),
    [
        ({"label": " "}, [EmptyCell("label", ComparedSide.HUMAN)]),
        ({"tone": ""}, [EmptyCell("tone", ComparedSide.METRIC)]),
        ({"cost": ""}, [EmptyCell("cost", ComparedSide.METRIC)]),
        ({"tone": "perhaps", "cost": "cheap"}, ["tone", "cost"]),
        ({"cost": "nan"}, ["cost"]),
        ({"cost": "1e999"}, ["cost"]),
        ({"criterion": ""}, ["criterion"]),
        ({"label": "", "criterion": ""}, [EmptyCell("label", ComparedSide.HUMAN)]),
    ],
)
def test_an_empty_cell_and_an_unreadable_one_leave_the_other_events(
    changes: dict[str, str], outcomes: list[EmptyCell | str]
) -> None:
    others = [each for each in map_row({**ROW, **changes}, RULES) if not isinstance(each, MappedEvent)]
    assert [each.column if isinstance(each, UnreadableCell) else each for each in others] == outcomes
    assert len(list(map_row({**ROW, **changes}, RULES))) == 3


@pytest.mark.parametrize("item", ["", "  ", NestedCell("an object")])
def test_a_row_without_item_is_one_problem(item: str) -> None:
    (outcome,) = mapped(id=item)
    assert isinstance(outcome, UnreadableCell)
    assert outcome.column == "id"


def test_a_verdict_decides_over_a_score_and_without_it_the_score_does() -> None:
    rule = MetricRule(name="m", verdict="v", scale=WORDS, score="s", threshold_column="t")
    rules = ColumnRules(item="id", queue="q", at=AT, metrics=[rule])
    both, scored, neither, unlimited = (
        event(each) if isinstance(each, MappedEvent) else each
        for cells in ({"v": "yes", "s": "0.1", "t": "0.5"}, {"s": "0.1", "t": "0.5"}, {"t": "0.5"}, {"s": "0.1"})
        for each in map_row({"id": "a", **cells}, rules)
    )
    assert isinstance(both, dict)
    assert (both["passed"], both["score"], both["threshold"]) == (True, 0.1, 0.5)
    assert isinstance(scored, dict)
    assert ("passed" in scored, scored["threshold"]) == (False, 0.5)
    assert neither == EmptyCell("v", ComparedSide.METRIC)
    assert isinstance(unlimited, dict)
    assert "threshold" not in unlimited


def test_stars_and_cells_that_are_skipped() -> None:
    rules = ColumnRules(item="id", queue="q", at=AT, human="label", scale=STARS)
    (stars,) = mapped(rules=rules, label="4.0")
    assert event(stars)["stars"] == 4
    rules = ColumnRules(item="id", queue="q", at=AT, human="label", scale=parse_scale("a=pass,na=skip"))
    assert mapped(rules=rules, label="NA") == [EmptyCell("label", ComparedSide.HUMAN)]


@pytest.mark.parametrize(
    ("cell", "at"),
    [("", AT), ("1764000000123", 1_764_000_000_123), ("2026-03-01T10:00:00+01:00", "2026-03-01T10:00:00+01:00")],
)
def test_the_time_of_a_row(cell: str, at: object) -> None:
    assert {event(each)["at"] for each in mapped(when=cell)} == {at}


def test_an_id_depends_on_the_content_and_not_on_the_time() -> None:
    first, *_ = mapped()
    later, *_ = mapped(when="2026-03-02")
    other, *_ = mapped(label="0")
    assert event(first)["id"] == event(later)["id"] != event(other)["id"]
    # Pinned: another digest would make a repeated load of an old file send other events.
    (pinned,) = map_row({"id": "a", "x": "yes"}, ColumnRules(item="id", queue="q", at=1, human="x", scale=WORDS))
    assert event(pinned)["id"] == "row:b27c28b9342ca86a92483cb4ea66beb8"


IDS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=MAX_ID).filter(str.strip)


@given(IDS, st.sampled_from(["pass", "fail"]), st.sampled_from(["yes", "no"]))
def test_every_event_decodes_to_a_fact_with_the_item_byte_for_byte(item: str, label: str, verdict: str) -> None:
    rules = ColumnRules(
        item="id", queue="q", at=AT, human="h", scale=WORDS, metrics=[MetricRule(name="m", verdict="v", scale=WORDS)]
    )
    decoder = Decoder()
    lines = [orjson.dumps(event(each)) for each in map_row({"id": item, "h": label, "v": verdict}, rules)]
    (_, annotation), (_, evaluation) = (decoder.decode_line(line) for line in lines)  # type: ignore[misc]
    assert isinstance(annotation, Annotation)
    assert isinstance(evaluation, Evaluation)
    assert (annotation.item.encode(), annotation.thumbs == "up") == (item.encode(), label == "pass")
    assert (evaluation.item.encode(), evaluation.passed) == (item.encode(), verdict == "yes")
