"""What workers report of waiting evaluations is summed over partitions, and kept only as long as they report it."""

from dataclasses import replace
from typing import Any

import pytest

from aggregator.facts import Annotation, Evaluation, Fact
from aggregator.tallies import WaitingState
from sinks.queries.judge_versions import judged_metrics, judges_in_use
from sinks.queries.queues import read_state
from sinks.queries.waiting import waiting_evaluations
from sinks.store.store import Store
from tests.support.logs import Logs, steps_of
from tests.support.sample_view import FACTS, HOUR_MS, NOW_MS, fill
from tests.support.stores import new_store


def report(**fields: Any) -> WaitingState:
    """A worker's report."""
    base = WaitingState(rebuilding=0, missing=0, evaluations=3, since=1_000, sample=["a"], judges=[])
    return WaitingState(**{**base, **fields})  # type: ignore[typeddict-item]


def checkpoint(store: Store, *reports: WaitingState | None) -> set[str]:
    """A checkpoint of as many partitions, with these reports; returns the queues that changed."""
    partitions = [
        Logs(partition=partition, partitions=len(reports), waiting=waiting) for partition, waiting in enumerate(reports)
    ]
    for logs in partitions:
        logs.close()
    return store.apply(steps_of(*partitions), len(reports))


def waiting(store: Store) -> Any:
    with store.read() as connection:
        return waiting_evaluations(connection)


def test_nothing_waits_where_no_worker_reports_it(store: Store) -> None:
    assert waiting(store) is None
    checkpoint(store, None, None)
    assert waiting(store) is None


def test_reports_are_summed_over_partitions(store: Store) -> None:
    one = report(rebuilding=5, missing=1, sample=["a", "b"], judges=[("m", "v1", 2_000, 4_000, 7)])
    two = report(since=2_000, sample=["c", "d"], judges=[("m", "v1", 1_000, 3_000, 2), ("n", "", 1, 1, 9)])
    checkpoint(store, one, None, two)
    assert waiting(store) == {
        "evaluations": 6,
        "metrics": 2,
        "rebuilding": 5,
        "missing": 1,
        # What is older has expired in one of the partitions.
        "since": "1970-01-01T00:00:02.000Z",
        "sample": ["a", "b", "c"],
        "judges": [
            {
                "metric": "m",
                "judge": "v1",
                "first_at": "1970-01-01T00:00:01.000Z",
                "last_at": "1970-01-01T00:00:04.000Z",
                "verdicts": 9,
            },
            {
                "metric": "n",
                "judge": "",
                "first_at": "1970-01-01T00:00:00.001Z",
                "last_at": "1970-01-01T00:00:00.001Z",
                "verdicts": 9,
            },
        ],
    }


def test_nothing_has_expired_at_first(store: Store) -> None:
    checkpoint(store, report(since=0))
    assert waiting(store)["since"] is None


def test_a_newer_report_replaces_the_one_of_its_partition(store: Store) -> None:
    checkpoint(store, report(judges=[("m", "v1", 1, 2, 3)]), report(judges=[("n", "v1", 1, 2, 3)]))
    checkpoint(store, report(evaluations=1, judges=[("m", "v2", 5, 6, 1)]))
    now = waiting(store)
    assert now["evaluations"] == 4
    assert [(judge["metric"], judge["judge"]) for judge in now["judges"]] == [("n", "v1"), ("m", "v2")]
    checkpoint(store, None, None)
    assert waiting(store) is None
    with store.read() as connection:
        assert connection.execute("SELECT count(*) FROM waiting_judges").fetchone() == (0,)


def test_a_rebuild_with_fewer_partitions_drops_the_reports_of_the_others(store: Store) -> None:
    checkpoint(store, report(), report(judges=[("m", "v1", 1, 2, 3)]))
    other = Logs(ledger="second", waiting=report(evaluations=1))
    other.close()
    (step,) = steps_of(other)
    store.apply([replace(step, replaces_rows=True)], 1)
    assert (waiting(store)["evaluations"], waiting(store)["judges"]) == (1, [])


def in_use(store: Store) -> dict[str, tuple[str, int, int]]:
    with store.read() as connection:
        periods = judges_in_use(connection, [*judged_metrics(connection)])
        return {metric: tuple(period) for metric, period in periods.items()}  # type: ignore[misc]


def test_a_judge_version_whose_verdicts_all_wait_is_in_use(store: Store) -> None:
    annotated: list[Fact] = [
        Annotation(at=NOW_MS, id="a", queue="q", item="i", stars=4),
        Evaluation(at=NOW_MS, id="e", item="i", metric="m", judge="v1", passed=True),
    ]
    fill(store, [*annotated, Annotation(at=NOW_MS, id="b", queue="other", item="j", stars=4)])
    assert in_use(store) == {"m": ("v1", NOW_MS, NOW_MS)}
    later = NOW_MS + HOUR_MS
    # The gate of queues with the metric decides again.
    newer = report(judges=[("m", "v2", later, later + 5, 1), ("new", "", 1, 2, 1)])
    assert fill(store, [], waiting=newer) == {"q"}
    assert in_use(store) == {"m": ("v2", later, later + 5), "new": ("", 1, 2)}
    assert fill(store, [], waiting=newer) == set()
    # Both sides of a version count: it came first where one is older.
    fill(store, [], waiting=report(judges=[("m", "v1", NOW_MS - 9, NOW_MS - 8, 1)]))
    assert in_use(store) == {"m": ("v1", NOW_MS - 9, NOW_MS)}


@pytest.mark.parametrize("left", [1, 700])
def test_every_queue_changes_when_a_rebuild_begins_and_ends(store: Store, left: int) -> None:
    queues = fill(store, FACTS)
    assert fill(store, [], waiting=report(rebuilding=left)) == queues
    assert fill(store, [], waiting=report(rebuilding=left + 9)) == set()
    with store.read() as connection:
        assert read_state(connection).rebuilding == left + 9
    assert fill(store, [], waiting=report()) == queues
    assert fill(store, []) == set()


def test_a_store_keeps_reports_over_a_restart() -> None:
    with new_store() as store:
        checkpoint(store, report(rebuilding=5, judges=[("m", "v1", 1, 2, 3)]))
        again = Store(store.path, readonly=True)
        try:
            assert waiting(again)["rebuilding"] == 5
            assert waiting(again) == waiting(store)
        finally:
            again.close()
