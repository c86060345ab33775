"""The judge version in use, which is found without a walk over verdicts or versions."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from sqlite3 import Connection
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.days import DAY_MS, Window
from aggregator.facts import Annotation, Evaluation, Fact
from aggregator.statistics.judge_in_use import JudgePeriod, newest_in_use
from aggregator.tallies import WaitingState
from sinks.queries.judge_versions import judge_periods, judged_metrics, judges_in_use
from sinks.queries.queues import find_queue, read_state
from sinks.store.store import Store
from tests.support.logs import Logs, steps_of
from tests.support.sample_view import HOUR_MS, NOW_MS, fill, view_of
from tests.support.stores import open_store


def verdict(number: int, judge: str = "", metric: str = "m", at: int = NOW_MS, **fields: Any) -> Evaluation:
    return Evaluation(at=at, id="e", item=f"item {number}", metric=metric, judge=judge, **{"passed": True, **fields})


@contextmanager
def counted(connection: Connection) -> Iterator[Callable[[], int]]:
    """Returns the steps of SQLite's machine so far."""
    taken = 0

    def count() -> int:
        nonlocal taken
        taken += 1
        return 0

    connection.set_progress_handler(count, 1)
    try:
        yield lambda: taken
    finally:
        connection.set_progress_handler(None, 1)


def steps(store: Store) -> int:
    """Steps that finding the versions takes."""
    with store.read() as connection:
        judges_in_use(connection, [*judged_metrics(connection)])  # A new connection reads the schema first.
        with counted(connection) as taken:
            found = judges_in_use(connection, [*judged_metrics(connection)])
            work = taken()
    newest = {metric: (period.judge, period.first_at) for metric, period in found.items()}
    assert newest == dict.fromkeys(("m", "n"), ("v2", NOW_MS + 1_800_000))
    return work


def test_the_number_of_verdicts_does_not_matter(store: Store) -> None:
    def verdicts(count: int) -> list[Fact]:
        """Verdicts of two versions each of two metrics, the second version half an hour after the first."""
        return [
            verdict(number, judge, metric, NOW_MS + at)
            for metric in ("m", "n")
            for judge, at in (("", 0), ("v2", 1_800_000))
            for number in range(count)
        ]

    fill(store, verdicts(1))
    few = steps(store)
    fill(store, verdicts(500))
    assert steps(store) == few


RATED: Sequence[Fact] = [
    Annotation(at=NOW_MS, id="a", queue=queue, item=item, stars=4)
    for queue, item in (("judged", "item 0"), ("other", "of another"))
]


def work_of_versions(store: Store, versions: int) -> dict[str, int]:
    """Steps that transactions and documents take after so many versions of one metric, and as many metrics."""
    of_one_metric = [verdict(number, f"run {number}", at=NOW_MS + number) for number in range(versions)]
    fill(store, [*RATED, *of_one_metric, *(verdict(number, metric=f"metric {number}") for number in range(versions))])
    work: dict[str, int] = {}
    with store.write() as writer:
        pass
    transactions: dict[str, list[Fact]] = {"marker": [], "verdict": [verdict(0, "newest", at=NOW_MS + versions)]}
    for name, facts in transactions.items():
        with counted(writer) as taken:
            fill(store, facts)
            work[name] = taken()
    with store.read() as connection:
        documents = view_of(store, store.path.parent).documents
        state = read_state(connection)
        for queue in ("judged", "other"):
            entry = find_queue(connection, queue)
            assert entry is not None
            with counted(connection) as taken:
                documents.build(connection, entry, state, Window.ALL)
                work[queue] = taken()
    return work


def test_the_number_of_versions_and_metrics_does_not_matter(tmp_path: Path) -> None:
    # Most metrics and versions are not those of the queues.
    few, many = (work_of_versions(open_store(tmp_path / str(number)), number) for number in (20, 400))
    assert {name: many[name] < 2 * few[name] for name in few} == dict.fromkeys(few, True), (few, many)


def test_of_versions_in_parallel_the_one_that_began_last_is_in_use(store: Store) -> None:
    times = {"old": (0, 3), "new": (1, 2), "ended": (-9, -8)}
    fill(
        store,
        [
            verdict(number, judge, at=NOW_MS + hours * HOUR_MS)
            for judge, of_judge in times.items()
            for number, hours in enumerate(of_judge)
        ],
    )
    with store.read() as connection:
        assert judges_in_use(connection, ["m", "unknown"]) == {
            "m": JudgePeriod("new", NOW_MS + HOUR_MS, NOW_MS + 2 * HOUR_MS)
        }


JUDGES = st.sampled_from(["", "v1", "v2"])
METRICS = st.sampled_from(["m", "m", "m", "n"])
TIMES = st.sampled_from([NOW_MS + step * DAY_MS // 2 + more for step in range(6) for more in (0, 1)])
RESULTS = st.sampled_from([{}, {}, {"passed": None, "status": "error"}, {"passed": None, "deleted": True}])
VERDICTS = st.builds(
    lambda number, judge, metric, at, result: verdict(number, judge, metric, at, **result),
    st.integers(0, 2),
    JUDGES,
    METRICS,
    TIMES,
    RESULTS,
)
REPORTS = st.none() | st.lists(
    st.tuples(METRICS, JUDGES, TIMES, st.integers(0, DAY_MS)), unique_by=lambda each: each[:2], max_size=3
)


@given(st.lists(st.tuples(st.lists(VERDICTS, max_size=8), REPORTS, st.booleans()), max_size=6))
def test_the_newest_in_use_is_that_of_all_verdicts_that_stand_or_wait(
    tmp_path_factory: pytest.TempPathFactory, transactions: Sequence[tuple[Sequence[Evaluation], Any, bool]]
) -> None:
    store = open_store(tmp_path_factory.mktemp("store") / "store")
    logs = Logs(at=NOW_MS)
    for facts, report, renewed in transactions:
        if renewed:
            logs = Logs(at=NOW_MS, ledger=f"{logs.ledger} renewed")
        waiting = [] if report is None else [(metric, judge, at, at + more, 1) for metric, judge, at, more in report]
        logs.waiting = (
            None
            if report is None
            else WaitingState(rebuilding=0, missing=0, evaluations=0, since=0, sample=[], judges=waiting)
        )
        logs.write(facts)
        store.apply([replace(step, replaces_rows=renewed) for step in steps_of(logs)], 1)
        times: dict[tuple[str, str], list[int]] = defaultdict(list)
        for metric, judge, first_at, last_at, _ in waiting:
            times[metric, judge] += [first_at, last_at]
        with store.read() as connection:
            sql = "SELECT metric, judge, at FROM evaluations WHERE failure = 0 AND deleted = 0"
            for metric, judge, at in connection.execute(sql):
                times[metric, judge].append(at)
            periods = {version: JudgePeriod(version[1], min(of), max(of)) for version, of in times.items()}
            metrics = sorted({metric for metric, _ in periods})
            assert [*judged_metrics(connection)] == metrics
            assert judges_in_use(connection, {"m", "n"}) == {
                metric: newest_in_use(period for (of, _), period in periods.items() if of == metric)
                for metric in metrics
            }
            assert judge_periods(connection, [*periods, ("m", "none")]) == periods
    store.close()
