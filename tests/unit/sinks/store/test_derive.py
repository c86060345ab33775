"""The cost of a transaction grows neither with the store nor with the square of an item's rows."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.facts import Annotation, Evaluation, Fact, QueueItem, encode, key, version
from aggregator.policy import Policy
from aggregator.ratings import LEVELS, ORDER
from sinks.store import derive, merge
from sinks.store.store import Store
from tests.support import facts as strategies
from tests.support.stores import new_store, open_store


@pytest.mark.parametrize("statement", derive.DERIVE)
def test_derivation_scans_touched_rows_only(tmp_path: Path, statement: str) -> None:
    store = open_store(tmp_path / "store.sqlite3")
    with store.write() as connection:
        plan = [step[3] for step in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
    store.close()
    assert plan
    # Touched rows by alias or name, rows derived from them, and partitions, which are few.
    touched = {"t", "touched_criteria", "touched_items", "changed_profiles", "gone", "m", "new", "p"}
    scanned = [step.split()[1] for step in plan if step.startswith("SCAN")]
    # A subquery names what it scans in a step of its own.
    assert [name for name in scanned if name not in touched and not name.startswith("(subquery")] == []


def apply(store: Store, policy: Policy, facts: list[Fact]) -> int:
    """Merge facts and derive from them, in one transaction; returns the steps of SQLite's machine, in tens."""
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    with store.write() as connection:
        connection.set_progress_handler(count, 10)
        connection.execute(
            "INSERT OR REPLACE INTO partitions (partition, policy, facts_next, tallies_next) VALUES (0, ?, 0, 0)",
            (policy,),
        )
        merge.merge(connection, 0, [(key(fact), encode(fact)) for fact in facts], merge.refuse_invalid)
        derive.derive(connection)
        connection.set_progress_handler(None, 0)
    return steps


def annotation(at: int, who: str = "p", criterion: str = "c", queue: str = "q") -> Annotation:
    return Annotation(id=f"a{at}", at=at, queue=queue, item="i", criterion=criterion, annotator=who, thumbs="up")


def deleted_annotation(at: int, who: str) -> Annotation:
    return Annotation(id=f"a{at}", at=at, queue="q", item="i", criterion="c", annotator=who, deleted=True)


def verdict(at: int, judge: str = "j", metric: str = "m") -> Evaluation:
    return Evaluation(id=f"e{at}", at=at, item="i", metric=metric, judge=judge, passed=True)


def failure(at: int, judge: str = "j") -> Evaluation:
    return Evaluation(id=f"e{at}", at=at, item="i", metric="m", judge=judge, status="error")


def deletion(at: int, judge: str = "j") -> Evaluation:
    return Evaluation(id=f"e{at}", at=at, item="i", metric="m", judge=judge, deleted=True)


ITEMS: Final[dict[str, Callable[[int], list[Fact]]]] = {
    "annotators": lambda rows: [annotation(at, f"p{at}") for at in range(1, rows)],
    "deleted annotations": lambda rows: [deleted_annotation(at, f"p{at}") for at in range(1, rows)],
    "criteria": lambda rows: [annotation(at, criterion=f"c{at}") for at in range(1, rows)],
    "queues": lambda rows: [annotation(at, queue=f"q{at}") for at in range(1, rows)],
    "judges": lambda rows: [verdict(at, f"j{at}") for at in range(1, rows)],
    "failing judges": lambda rows: [failure(at, f"j{at}") for at in range(1, rows)],
    "failing judges with deletions": lambda rows: [
        kind(at, f"j{at}") for at in range(1, rows // 2) for kind in (failure, deletion)
    ],
    "queues and judges": lambda rows: [
        fact for at in range(1, rows // 2) for fact in (annotation(at, queue=f"q{at}"), verdict(at, f"j{at}"))
    ],
    "metrics": lambda rows: [verdict(at, metric=f"m{at}") for at in range(1, rows)],
}
"""Rows of one item, all alike in something."""
EVENTS: Final[list[Fact]] = [
    annotation(10**6 + 1, "another"),
    deleted_annotation(10**6 + 1, "p1"),
    verdict(10**6, "another"),
    failure(10**6, "another"),
    deletion(10**6, "j1"),
    QueueItem(id="x", at=10**6, queue="q", item="i"),
    QueueItem(id="x", at=10**6, queue="q", item="i", deleted=True),
]


@pytest.mark.parametrize("policy", Policy)
@pytest.mark.parametrize("rows", ITEMS.values(), ids=ITEMS)
def test_one_more_event_of_an_item_costs_no_square_of_its_rows(
    rows: Callable[[int], list[Fact]], policy: Policy
) -> None:
    def costs(number: int) -> list[int]:
        with new_store() as store:
            apply(store, policy, [annotation(0), verdict(0), *rows(number)])
            return [apply(store, policy, [event]) for event in EVENTS]

    for event, few, many in zip(EVENTS, costs(100), costs(200), strict=True):
        assert many < 3 * few + 100, event


def flags_of(facts: list[Fact], policy: Policy) -> dict[bytes, tuple[object, ...]]:
    """The derived columns of every row that remains of the facts, by their definition, without SQL."""
    rows: dict[bytes, Fact] = {}
    for fact in facts:
        if key(fact) not in rows or version(fact) > version(rows[key(fact)]):
            rows[key(fact)] = fact
    removed = {(fact.queue, fact.item) for fact in rows.values() if isinstance(fact, QueueItem) and fact.deleted}
    flags: dict[bytes, tuple[object, ...]] = {}
    for name, fact in rows.items():
        if isinstance(fact, Annotation):
            group = [
                other
                for other in rows.values()
                if isinstance(other, Annotation)
                and (other.queue, other.item, other.criterion) == (fact.queue, fact.item, fact.criterion)
                and not other.deleted
            ]
            newest = max(group, key=lambda other: (version(other), other.annotator), default=None)
            counted = fact in group and (policy is Policy.EACH or fact == newest)
            counted = counted and (fact.queue, fact.item) not in removed
            ratings = sorted(
                (other.thumbs if other.stars is None else str(other.stars) for other in group), key=ORDER.index
            )
            median = LEVELS.index(ratings[(len(ratings) - 1) // 2]) if counted and policy is Policy.MAJORITY else None
            flags[name] = (counted, median)
        elif isinstance(fact, Evaluation):
            evaluations = [
                other
                for other in rows.values()
                if isinstance(other, Evaluation) and (other.item, other.metric) == (fact.item, fact.metric)
            ]
            standing = [version(other) for other in evaluations if not other.failed and not other.deleted]
            failing = [
                version(other)
                for other in evaluations
                if other.failed
                and not any(
                    not newer.failed and newer.judge == other.judge and version(newer) > version(other)
                    for newer in evaluations
                )
            ]
            current = not fact.failed and not fact.deleted and version(fact) == max(standing)
            shown = fact.failed and not standing and version(fact) == max(failing, default=None)
            flags[name] = (current, shown)
    return flags


@given(
    parts=st.lists(strategies.histories, min_size=1, max_size=3),
    policy=st.sampled_from(Policy),
)
@settings(max_examples=150)
def test_derived_columns_are_those_of_their_definition(parts: list[list[Fact]], policy: Policy) -> None:
    with new_store() as store:
        for part in parts:
            apply(store, policy, part)
        with store.read() as connection:
            stored: dict[bytes, tuple[object, ...]] = {}
            for table, kind, columns in (
                ("annotations", Annotation, "counted, median"),
                ("evaluations", Evaluation, "current, shown"),
            ):
                flags = connection.execute(f"SELECT {columns} FROM {table} ORDER BY id").fetchall()  # noqa: S608
                facts = [fact for fact in merge.facts_of(connection, None) if isinstance(fact, kind)]
                stored.update(zip(map(key, facts), flags, strict=True))
    assert stored == flags_of([fact for part in parts for fact in part], policy)
