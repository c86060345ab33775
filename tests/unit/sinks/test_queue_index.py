"""Totals of all queues are those of the documents, also after changes, and for readers of an older state."""

import sqlite3
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from aggregator.facts import Annotation, Evaluation, Fact, QueueItem
from aggregator.recount import Recount
from aggregator.snapshot.inputs import CountingRules
from sinks import budgets
from sinks.queries import queue_totals
from sinks.queries.queue_totals import QueueTotals
from sinks.queue_index import QueueIndex, QueueSort, sort_queues
from sinks.store.store import Store
from tests.support.facts import histories
from tests.support.sample_view import FACTS, NOW_MS, fill
from tests.support.stores import TODAY, new_store

RULES = CountingRules(pass_stars=3, criterion_metrics={"tone": ["relevance"]})


def comparison(queue: str, item: str, *, agree: bool = True, at: int = NOW_MS) -> list[Fact]:
    return [
        Annotation(at=at, id="a", queue=queue, item=item, criterion="c", thumbs="up"),
        Evaluation(at=at, id="e", item=item, metric="m", passed=agree),
    ]


def read(store: Store, index: QueueIndex) -> dict[str, QueueTotals]:
    with store.read() as connection:
        return {totals.entry.queue: totals for totals in index.queues(connection)}


def names(queues: Sequence[QueueTotals]) -> list[str]:
    return [totals.entry.queue for totals in queues]


@given(facts=histories, cut=st.integers(0, 40))
@settings(max_examples=60)
def test_totals_are_those_of_a_recount(facts: list[Fact], cut: int) -> None:
    index = QueueIndex(RULES)
    with new_store() as store:
        fill(store, facts[:cut])
        read(store, index)
        fill(store, facts)
        totals = read(store, index)
    recount = Recount(facts)
    assert sorted(totals) == recount.queues
    for queue in recount.queues:
        document = recount.document(queue, today=TODAY, rules=RULES)
        cards, of_queue = document["cards"], totals[queue]
        assert (of_queue.comparisons, of_queue.misaligned, of_queue.alignment) == (
            cards["comparisons"], cards["misaligned"], cards["alignment"]
        )  # fmt: skip
        assert of_queue.criteria == [criterion["criterion"] for criterion in document["criteria"]]
        assert of_queue.pairs == {
            (criterion["criterion"], metric["metric"]): metric["comparisons"]
            for criterion in document["criteria"]
            for metric in criterion["metrics"]
            if metric["comparisons"] and not metric["off_topic"]
        }
        assert of_queue.standing == bool(cards["annotations"] or cards["items_queued"])


def test_only_changed_queues_are_read_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    index = QueueIndex(CountingRules())
    calls: list[list[str]] = []
    real = queue_totals.queue_totals

    def noted(connection: object, queues: list[str], rules: CountingRules) -> dict[str, QueueTotals]:
        calls.append(queues)
        return real(connection, queues, rules)  # type: ignore[arg-type]

    monkeypatch.setattr("sinks.queue_index.queue_totals", noted)
    fill(store, FACTS)
    queues = set(read(store, index))
    read(store, index)
    with store.write() as connection:
        connection.execute("UPDATE queues SET revision = revision + 1 WHERE queue = 'support'")
    read(store, index)
    assert [set(call) for call in calls] == [queues, {"support"}]


def test_a_reader_of_an_older_state_gets_its_own_totals(store: Store) -> None:
    index = QueueIndex(CountingRules())
    fill(store, comparison("q", "i1"))
    with store.read() as before:
        assert [totals.comparisons for totals in index.queues(before)] == [1]
        fill(store, comparison("q", "i1") + comparison("q", "i2"))
        assert read(store, index)["q"].comparisons == 2
        assert [totals.comparisons for totals in index.queues(before)] == [1]
    assert read(store, index)["q"].comparisons == 2


def test_every_order_has_all_queues(store: Store) -> None:
    everything = [
        *comparison("b", "i1"), *comparison("b", "i2", agree=False),
        *comparison("A", "i3", agree=False),
        *comparison("c", "i4"),
        QueueItem(at=NOW_MS, id="i", queue="waits", item="i5"),
    ]  # fmt: skip
    fill(store, everything)
    queues = list(read(store, QueueIndex(CountingRules())).values())
    assert {sort: names(sort_queues(queues, sort)) for sort in QueueSort} == {
        QueueSort.COMPARISONS: ["b", "A", "c", "waits"],
        QueueSort.ALIGNMENT: ["A", "b", "c", "waits"],
        QueueSort.NAME: ["A", "b", "c", "waits"],
    }


def at_hand(store: Store, index: QueueIndex) -> dict[str, int]:
    with store.read() as connection:
        return {totals.entry.queue: totals.comparisons for totals in index.at_hand(connection)}


def test_what_is_at_hand_leaves_out_a_queue_of_too_many_tallies_until_somebody_has_read_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budgets, "NAVIGATION_TALLIES", 7)
    large = [replace(fact, criterion=f"c{number}") for number in range(9) for fact in comparison("large", "l")[:1]]
    facts = [*large, *comparison("large", "l")[1:], *comparison("a", "i1"), *comparison("b", "i2")]
    index = QueueIndex(CountingRules())
    fill(store, facts)
    assert at_hand(store, index) == {"a": 1, "b": 1}
    assert {queue: totals.comparisons for queue, totals in read(store, index).items()} == {"large": 9, "a": 1, "b": 1}
    fill(store, [*facts, *comparison("a", "i3"), replace(large[0], item="i3")])
    assert at_hand(store, index) == {"large": 9, "a": 2, "b": 1}
    assert read(store, index)["large"].comparisons == 10
    assert at_hand(store, index)["large"] == 10


def test_what_is_at_hand_waits_for_no_other_reader(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    index, entered, leave = QueueIndex(CountingRules()), Event(), Event()
    real = queue_totals.queue_totals

    def slow(connection: sqlite3.Connection, queues: list[str], rules: CountingRules) -> dict[str, QueueTotals]:
        if threading.current_thread() is reader:
            entered.set()
            assert leave.wait(60)
        return real(connection, queues, rules)

    monkeypatch.setattr("sinks.queue_index.queue_totals", slow)
    fill(store, comparison("a", "i1"))
    reader = threading.Thread(target=read, args=(store, index))
    reader.start()
    try:
        assert entered.wait(60)
        with ThreadPoolExecutor(1) as other:
            assert other.submit(at_hand, store, index).result(60) == {"a": 1}
    finally:
        leave.set()
        reader.join()
