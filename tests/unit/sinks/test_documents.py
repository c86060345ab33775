"""Documents are built one queue at a time: nobody waits for the document of another queue."""

import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest

from aggregator.snapshot.inputs import CountingRules, QueueState
from sinks import documents as module
from sinks.documents import Documents
from sinks.queries import counts
from sinks.queries.counts import queue_states
from sinks.store.store import Store
from tests.support.sample_view import FACTS, HOSTILE, HOUR_MS, NOW_MS, fill
from tests.support.stores import TODAY


def test_a_document_that_takes_long_delays_no_other_queue_and_is_built_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, FACTS)
    documents = Documents(store, CountingRules(), lambda: TODAY)
    entered, leave = Event(), Event()
    built: list[str] = []

    def slow(
        connection: sqlite3.Connection, queue: str, starts: Sequence[str], rules: CountingRules
    ) -> list[QueueState]:
        built.append(queue)
        if queue == HOSTILE:
            entered.set()
            assert leave.wait(60)
        return queue_states(connection, queue, starts, rules)

    monkeypatch.setattr(module, "queue_states", slow)
    with ThreadPoolExecutor(3) as readers:
        try:
            waiting = [readers.submit(documents.get, HOSTILE) for _ in range(2)]
            assert entered.wait(60)
            other = readers.submit(lambda: (documents.get("support"), documents.failed, documents.cached("support")))
            document, failed, cached = other.result(60)
        finally:
            leave.set()
        assert document is not None
        assert cached is not None
        assert not failed
        first, second = (future.result(60) for future in waiting)
    assert first == second
    assert first is not None
    assert sorted(built) == sorted([HOSTILE, "support"])


def test_windows_with_the_same_counts_are_counted_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(store, [fact for fact in FACTS if fact.at > NOW_MS - 3 * HOUR_MS])
    made: list[str] = []
    real = counts._state

    def noted(queue: str, *rest: Any) -> QueueState:
        made.append(queue)
        return real(queue, *rest)

    monkeypatch.setattr(counts, "_state", noted)
    with store.read() as connection:
        states = queue_states(connection, "support", ["", "2026-10-25", "2026-11-18"], CountingRules())
    assert made == ["support"]
    assert len({id(state) for state in states}) == 1
