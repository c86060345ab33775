"""Items are found by the words of their ids and texts, as a naive search over the rows finds them."""

import contextlib
import re
import sqlite3
import sys
from itertools import groupby
from typing import Any, Literal
from unicodedata import combining, normalize
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.facts import Annotation, Evaluation, Fact, QueueItem
from sinks import budgets
from sinks.queries.search import SearchState, search_items, search_words, words_in
from sinks.store import search_index
from sinks.store.store import Store
from tests.support.logs import Logs, steps_of
from tests.support.sample_view import fill
from tests.support.stores import new_store

QUEUES = ("q", "r")
ITEMS = ("item-1", "Item-12", "東京 x")
TEXTS = ("Refund late", "réfunds arrive LATE", "東京都", "京都で", "re_fund 12", "ﬁnal item", None, "?!")
SEARCHES = (
    "refund",
    "REFUND late",
    "fund",
    "é",
    "東京",
    "京",
    "都",
    "12",
    "item",
    "item-12",
    "1",
    "final",
    "x",
    "la",
    '"late"',
)


def fold(text: str) -> str:
    return "".join(each for each in normalize("NFKD", text).casefold() if not combining(each))


def naive(text: str, search: str) -> bool:
    """Whether one word of a search is in a text."""
    if search >= "\u3000":
        return search in text
    words = "".join(each if each.isalnum() else " " for each in fold(text)).split()
    return any(word.startswith(search) if len(search) > 2 else word == search for word in words)


def expected(facts: list[Fact], queue: str, search: str) -> set[str]:
    """Items of the queue that have every word in rows that are not deleted."""
    removed = {row.item for row in facts if isinstance(row, QueueItem) and row.queue == queue and row.deleted}
    rows = [row for row in facts if not row.deleted]
    own = [row for row in rows if isinstance(row, Annotation | QueueItem) and row.queue == queue]
    found = set()
    for item in {row.item for row in own} - removed:
        texts = [item]
        for row in (*own, *(row for row in rows if isinstance(row, Evaluation))):
            if row.item == item:
                texts += [
                    getattr(row, name, None) or "" for name in ("input", "output", "explanation", "expected", "reason")
                ]
        words = "".join(each if each.isalnum() else " " for each in fold(search)).split()
        if all(any(naive(text, word) for text in texts) for word in words):
            found.add(item)
    return found


def found(store: Store, queue: str, search: str) -> set[str]:
    with store.read() as connection:
        items = dict(connection.execute("SELECT item_id, item FROM items"))
        return {items[each] for each in search_items(connection, queue, search)[0]}


def left_out(store: Store, queue: str, search: str) -> SearchState:
    with store.read() as connection:
        return search_items(connection, queue, search)[1]


def pending(store: Store) -> set[tuple[str, str]]:
    with store.read() as connection:
        return set(connection.execute("SELECT queue, item FROM search_pending JOIN items USING (item_id)"))


def finish(store: Store) -> None:
    while store.write_search_documents():
        pass


texts = st.sampled_from(TEXTS)
times = st.integers(1, 9)


@st.composite
def rows(draw: st.DrawFn) -> Fact:
    common: dict[str, Any] = {"at": draw(times), "id": "x", "item": draw(st.sampled_from(ITEMS))}
    queue, deleted = draw(st.sampled_from(QUEUES)), draw(st.sampled_from((False, False, False, True)))
    said: dict[str, Any] = {} if deleted else {"input": draw(texts), "output": draw(texts)}
    kind = draw(st.sampled_from(("annotation", "evaluation", "queue item")))
    if kind == "annotation":
        rating: dict[str, Any] = {} if deleted else {"stars": 3, "explanation": draw(texts), "expected": draw(texts)}
        return Annotation(**common, queue=queue, deleted=deleted, **said, **rating)
    if kind == "evaluation":
        verdict: dict[str, Any] = {} if deleted else {"passed": True, "reason": draw(texts)}
        return Evaluation(
            **common, metric="m", judge=draw(st.sampled_from(("v1", "v2"))), deleted=deleted, **said, **verdict
        )
    return QueueItem(**common, queue=queue, deleted=deleted, **said)


steps = st.lists(st.tuples(st.lists(rows(), max_size=6), st.integers(0, 3)), max_size=6)


@given(steps, st.booleans())
def test_a_search_finds_what_a_naive_one_finds(history: list[tuple[list[Fact], int]], restarts: bool) -> None:
    logs = Logs()
    with (
        new_store() as first,
        contextlib.ExitStack() as stack,
        patch.multiple(search_index, _DOCUMENTS=2, _SPARE=3, _CHARACTERS=30),
    ):
        store = first
        for facts, writes in history:
            logs.write(facts)
            store.apply(steps_of(logs), 1)
            for _ in range(writes):
                store.write_search_documents()
            if restarts:
                # In the middle of writing.
                store = stack.enter_context(contextlib.closing(Store(store.path)))
            stored, unwritten = list(store.facts()), pending(store)
            for queue in QUEUES:
                differs = found(store, queue, "item") ^ expected(stored, queue, "item")
                assert {(queue, item) for item in differs} <= unwritten
        finish(store)
        assert pending(store) == set()
        stored = list(store.facts())
        for queue in QUEUES:
            for search in SEARCHES:
                assert found(store, queue, search) == expected(stored, queue, search), search


@given(st.text(min_size=1))
def test_any_text_is_a_search_and_finds_nothing_without_words(search: str) -> None:
    with new_store() as store:
        logs = Logs()
        logs.write([QueueItem(at=1, id="a", queue="q", item="i", input=search)])
        store.apply(steps_of(logs), 1)
        finish(store)
        assert found(store, "q", search) == ({"i"} if search_words(search) else set())
        assert found(store, "nobody", search) == set()


def corrected(number: int) -> list[Fact]:
    return [QueueItem(at=number, id="a", queue="q", item=f"i{item}", input=f"word{number}") for item in range(3)]


def kept_words(store: Store) -> set[str]:
    """Every word that the file has, of standing documents or not."""
    words: set[str] = set()
    with contextlib.closing(sqlite3.connect(store.path)) as connection:
        for table in (0, 1):
            connection.execute(f"CREATE VIRTUAL TABLE temp.v{table} USING fts5vocab (main, search_words_{table}, row)")
            words |= {word for (word,) in connection.execute(f"SELECT term FROM temp.v{table}")}  # noqa: S608
    return words


def test_replaced_words_leave_the_file(store: Store) -> None:
    logs, left = Logs(), []
    with patch.object(search_index, "_SPARE", 4):
        for number in range(1, 9):
            logs.write(corrected(number))
            store.apply(steps_of(logs), 1)
            finish(store)
            assert found(store, "q", f"word{number}") == {"i0", "i1", "i2"}
            assert found(store, "q", f"word{number - 1}") == set()
            left.append(sum(word.startswith("word") for word in kept_words(store)))
    assert left == [1, 2, 3, 1, 2, 3, 1, 2]


def test_an_item_that_did_not_change_is_not_written_again(store: Store) -> None:
    logs = Logs()
    logs.write(corrected(1))
    store.apply(steps_of(logs), 1)
    finish(store)
    logs.write([Evaluation(at=2, id="e", item="i1", metric="m", passed=True)])
    store.apply(steps_of(logs), 1)
    assert ("q", "i1") in pending(store)
    finish(store)
    with store.read() as connection:
        assert connection.execute("SELECT next FROM search_state").fetchone() == (4,)


def test_a_search_states_what_it_leaves_out(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    logs = Logs()
    logs.write(corrected(1))
    store.apply(steps_of(logs), 1)
    assert left_out(store, "q", "word1") == {"more": False, "not_searchable": 3}
    assert left_out(store, "r", "word1") == {"more": False, "not_searchable": 0}
    finish(store)
    monkeypatch.setattr(budgets, "SEARCHED_ITEMS", 2)
    assert left_out(store, "q", "word1") == {"more": True, "not_searchable": 0}
    assert left_out(store, "q", "i1") == {"more": False, "not_searchable": 0}
    assert found(store, "q", "word1") == {"i1", "i2"}


def test_a_text_that_is_too_long_is_searched_to_its_limit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budgets, "SEARCHED_CHARACTERS", 12)
    logs = Logs()
    logs.write([QueueItem(at=1, id="a", queue="q", item="i", input="first words", output="last words")])
    store.apply(steps_of(logs), 1)
    finish(store)
    assert found(store, "q", "first") == {"i"}
    assert found(store, "q", "last") == set()


def test_the_time_for_many_marks_grows_with_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    longest = 0

    def watched(form: Literal["NFC", "NFKD"], text: str) -> str:
        nonlocal longest
        runs = (len(list(run)) for marks, run in groupby(text, lambda char: combining(char) > 0) if marks)
        longest = max(longest, *runs, 0)
        return normalize(form, text)

    monkeypatch.setattr("sinks.queries.search.normalize", watched)
    descending = "\u0315" * 500 + "\u0327" * 500
    assert words_in(f"u{descending}ber Za{descending[:9]}hl {descending}") == ["uber", "zahl"]
    assert 9 < longest <= 60
    assert {char for char in map(chr, range(sys.maxunicode + 1)) if combining(char) and re.match(r"\w", char)} == set()


def test_a_transaction_ends_by_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(store, [QueueItem(at=1, id=f"a{item}", queue="q", item=f"i{item}") for item in range(3)])
    monkeypatch.setattr(search_index, "_SECONDS", 0.0)
    for left in (2, 1, 0):
        assert store.write_search_documents()
        assert len(pending(store)) == left
