"""What every annotation of an item and every evaluation of it count for."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings

from aggregator.facts import Annotation, Evaluation, Fact, QueueItem
from aggregator.policy import Policy
from aggregator.snapshot.inputs import CountingRules
from aggregator.statistics.confusion import OUTCOMES
from sinks import budgets
from sinks.queries import item_rows
from sinks.queries.comparisons import Query, count_outcomes
from sinks.queries.item_answer import ItemTrace, PairState
from sinks.queries.item_trace import trace_item
from sinks.store.store import Store
from tests.support.facts import ITEMS, QUEUES, histories
from tests.support.logs import Logs, steps_of
from tests.support.sample_view import fill
from tests.support.stores import TODAY, new_store

REMOVED = QueueItem(9, "q", "q", "i", deleted=True)
RULES = CountingRules(criterion_metrics={"tone": ["other"]})


def judged(at: int = 5, judge: str = "v1", **fields: Any) -> Evaluation:
    return Evaluation(at, f"e{at}{judge}", "i", fields.pop("metric", "m"), judge=judge, **fields)


def rated(annotator: str = "ann", at: int = 3, **fields: Any) -> Annotation:
    fields = fields or {"stars": 2}
    return Annotation(at, f"a{at}{annotator}", "q", "i", annotator=annotator, **fields)


def traced(store: Store, facts: list[Fact], item: str = "i") -> ItemTrace:
    fill(store, facts)
    with store.read() as connection:
        trace = trace_item(connection, "q", item, RULES, "https://t.test/{item}")
    assert trace is not None
    return trace


@pytest.mark.parametrize(
    ("facts", "pairs"),
    [
        ([rated(), judged(passed=True)], {("ann", "v1"): ("counted", "fp")}),
        ([rated(), judged(passed=False)], {("ann", "v1"): ("counted", "tn")}),
        ([rated(stars=3), judged(passed=False)], {("ann", "v1"): ("counted", "fn")}),
        ([rated(thumbs="up"), judged(passed=True)], {("ann", "v1"): ("counted", "tp")}),
        ([rated(criterion="tone", stars=1), judged(passed=True)], {("ann", "v1"): ("off_topic", "fp")}),
        ([rated(), judged(status="error")], {("ann", "v1"): ("error", None)}),
        ([rated(), judged(status="skipped")], {("ann", "v1"): ("skipped", None)}),
        ([rated(), judged(deleted=True)], {("ann", "v1"): ("evaluation_deleted", None)}),
        ([rated(deleted=True), judged(passed=True)], {("ann", "v1"): ("annotation_deleted", None)}),
        ([rated(), judged(passed=True), REMOVED], {("ann", "v1"): ("item_removed", None)}),
        ([rated(), QueueItem(9, "q", "q", "i")], {}),
        (
            [rated(), judged(5, "v1", passed=True), judged(6, "v2", passed=False)],
            {("ann", "v1"): ("superseded", "fp"), ("ann", "v2"): ("counted", "tn")},
        ),
        (
            [rated("ann"), rated("bob", 4, stars=5), judged(passed=True)],
            {("ann", "v1"): ("counted", "fp"), ("bob", "v1"): ("counted", "tp")},
        ),
    ],
)  # fmt: skip
def test_every_pair_has_a_state_and_a_cell(
    store: Store, facts: list[Fact], pairs: dict[tuple[str, str], tuple[str, str | None]]
) -> None:
    trace = traced(store, facts)
    found = {(pair["annotator"], pair["judge"]): (pair["state"], pair["outcome"]) for pair in trace["pairs"]}
    assert found == pairs
    assert {pair["day"] for pair in trace["pairs"] if pair["outcome"]} <= {"1970-01-01"}
    assert all(pair["why"] for pair in trace["pairs"])


def test_the_policy_latest_counts_the_newest_annotation(store: Store) -> None:
    logs = Logs(policy=Policy.LATEST)
    logs.write([rated("ann", 3), rated("bob", 4), judged(passed=True)])
    store.apply(steps_of(logs), 1)
    with store.read() as connection:
        trace = trace_item(connection, "q", "i", RULES, "")
    assert trace is not None
    assert trace["policy"] == "latest"
    assert {pair["annotator"]: pair["state"] for pair in trace["pairs"]} == {"bob": "counted", "ann": "not_latest"}


def test_a_trace_has_all_rows_in_order_of_time(store: Store) -> None:
    facts: list[Fact] = [
        rated("eve", 7, deleted=True),
        rated("ann", 3, stars=5, explanation="why", url="https://x.test/i", input="in"),
        judged(9, "v2", passed=True),
        judged(2, "v1", passed=False, reason="old"),
        judged(4, "v1", status="error"),
        QueueItem(1, "q", "q", "i", output="out", tags={"plan": "free"}),
        Evaluation(1, "x", "another", "m", passed=True),
    ]
    trace = traced(store, facts)
    assert [(row["annotator"], row["deleted"]) for row in trace["annotations"]] == [("ann", False), ("eve", True)]
    assert [(row["at"], row["judge"]) for row in trace["evaluations"]] == [(2, "v1"), (4, "v1"), (9, "v2")]
    assert [row["current"] for row in trace["evaluations"]] == [False, False, True]
    assert (trace["url"], trace["input"], trace["output"]) == ("https://x.test/i", "in", "out")
    assert trace["tags"] == {"plan": "free"}
    assert trace["placement"] is not None


@pytest.mark.parametrize(("queue", "item"), [("q", "none"), ("q", "elsewhere"), ("p", "i"), ("q", "judged only")])
def test_an_item_of_which_the_queue_has_no_row_is_not_found(store: Store, queue: str, item: str) -> None:
    fill(
        store,
        [
            rated(),
            judged(passed=True),
            Annotation(1, "o", "p", "elsewhere", stars=1),
            Evaluation(1, "j", "judged only", "m", passed=True),
        ],
    )
    with store.read() as connection:
        assert trace_item(connection, queue, item, RULES, "") is None


def test_an_item_with_more_rows_than_are_read_states_how_many_are_left_out(store: Store) -> None:
    facts: list[Fact] = [rated()]
    facts += [Evaluation(number, "e", "i", f"m{number}", passed=True) for number in range(250)]
    trace = traced(store, facts)
    assert (len(trace["evaluations"]), trace["evaluations_left_out"], trace["annotations_left_out"]) == (200, 50, 0)
    assert trace["evaluations"][0]["metric"] == "m50", "the newest are kept"


def test_an_item_with_longer_texts_than_an_answer_may_have_states_how_many_rows_are_left_out(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sinks.budgets.ANSWER_BYTES", 20_000)
    facts: list[Fact] = [rated(f"p{number}", at=number, stars=4, expected=4_000 * "x") for number in range(5)]
    facts += [Evaluation(number, "e", "i", f"m{number}", passed=True) for number in range(20)]
    trace = traced(store, facts)
    assert [row["annotator"] for row in trace["annotations"]] == ["p2", "p3", "p4"], "the newest are kept"
    assert (trace["annotations_left_out"], trace["evaluations_left_out"]) == (2, 0)
    assert len(trace["pairs"]) + trace["pairs_left_out"] == 3 * 20
    assert trace["pairs_left_out"] > 0


def test_only_the_pairs_that_are_listed_are_put_into_words(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    facts: list[Fact] = [rated(f"p{number}", at=100 + number, stars=4) for number in range(100)]
    facts += [Evaluation(200, "e", "i", f"m{number}", passed=True) for number in range(100)]
    facts += [Evaluation(number, "e", "i", f"m{number}", judge="old", passed=True) for number in range(100)]
    words: list[PairState] = []
    real = item_rows._why

    def counted(state: PairState, *args: Any) -> str:
        words.append(state)
        return real(state, *args)

    monkeypatch.setattr(item_rows, "_why", counted)
    trace = traced(store, facts)
    assert len(words) <= len(trace["pairs"]) + 1 <= budgets.ITEM_PAIRS + 1
    assert len(trace["pairs"]) + trace["pairs_left_out"] == 100 * 200
    assert {pair["state"] for pair in trace["pairs"]} == {PairState.COUNTED}, "those in cells first"


@settings(max_examples=30, deadline=None)
@given(histories)
def test_the_pairs_of_all_items_are_the_comparisons_of_the_queue(history: list[Fact]) -> None:
    rules = CountingRules()
    with new_store() as store:
        fill(store, history)
        with store.read() as connection:
            for queue in QUEUES:
                traces = [trace_item(connection, queue, item, rules, "") for item in ITEMS]
                cells = Counter(
                    pair["outcome"]
                    for trace in traces
                    for pair in (trace["pairs"] if trace else ())
                    if pair["state"] is PairState.COUNTED
                )
                counts = count_outcomes(connection, Query(queue=queue), rules, TODAY)
                assert {outcome: cells[outcome] for outcome in OUTCOMES} == counts
