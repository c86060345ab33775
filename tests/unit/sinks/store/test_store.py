"""The store holds the rows, flags and counts of a recount, in any order of the facts."""

import contextlib
import sqlite3
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.days import DAY_MS
from aggregator.facts import Annotation, Evaluation, Fact, QueueItem, encode, key
from aggregator.parts import RECORD_BYTES
from aggregator.policy import Policy
from aggregator.ratings import LEVELS
from aggregator.recount import Recount
from aggregator.snapshot.inputs import CountingRules
from sinks.documents import Documents
from sinks.store.schema import MIGRATIONS
from sinks.store.store import Store
from sinks.store.tail import Step, Tail
from tests.support import facts as strategies
from tests.support.logs import Logs, feed, steps_of
from tests.support.stores import TODAY, assert_matches, comparisons, dump, new_store


@given(
    parts=st.lists(strategies.histories, max_size=4),
    policy=st.sampled_from(Policy),
    record_bytes=st.sampled_from((RECORD_BYTES, 1)),
)
@settings(max_examples=100)
def test_rows_flags_and_documents_are_those_of_a_recount(
    parts: list[list[Fact]], policy: Policy, record_bytes: int
) -> None:
    logs = Logs(policy=policy, record_bytes=record_bytes)
    with new_store() as store:
        tail, facts_from, tallies_from = Tail(0), 0, 0
        for part in parts:
            logs.write(part)
            feed(tail, logs, facts_from, tallies_from)
            facts_from, tallies_from = len(logs.facts), len(logs.tallies)
            step = tail.step()
            assert step is not None
            store.apply([step], 1)
        if parts:
            assert_matches(store, [fact for part in parts for fact in part], policy)


@given(history=strategies.histories, policy=st.sampled_from(Policy), order=st.data())
@settings(max_examples=80)
def test_order_and_duplicates_of_ledger_rows_do_not_matter(
    history: list[Fact], policy: Policy, order: st.DataObject
) -> None:
    again = order.draw(
        st.permutations([*history, *order.draw(st.lists(st.sampled_from(history), max_size=9))] if history else [])
    )
    with new_store() as one, new_store() as other:
        for store, facts in ((one, history), (other, again)):
            logs = Logs(policy=policy)
            # The ledger has all facts, superseded ones included, as after zombies and repairs.
            logs.facts += [(key(fact), encode(fact)) for fact in facts]
            logs.shard = logs.successor().shard
            for tally_key, _ in logs.shard.tallies():
                logs.shard.touch(tally_key)
            logs.write([])
            store.apply(steps_of(logs), 1)
            assert_matches(store, history, policy)
        assert dump(one) == dump(other)


pairs = st.dictionaries(st.sampled_from(strategies.CRITERIA), st.sets(st.sampled_from(strategies.METRICS)), max_size=2)


@given(history=strategies.histories, pairs=pairs, pass_stars=st.integers(1, 5), of_tone=st.integers(1, 5))
@settings(max_examples=60)
def test_documents_follow_pairs_and_pass_convention(
    history: list[Fact], pairs: dict[str, set[str]], pass_stars: int, of_tone: int
) -> None:
    logs = Logs()
    logs.write(history)
    with new_store() as store:
        store.apply(steps_of(logs), 1)
        rules = CountingRules(pass_stars, pairs, pass_stars_by_criterion={"tone": of_tone})
        assert_matches(store, history, Policy.EACH, rules)


def test_equal_items_count_each_under_criterion_metrics(store: Store) -> None:
    facts: list[Fact] = []
    for item in ("a", "b", "c"):
        facts += [
            Annotation(at=1, id=who, queue="q", item=item, criterion="tone", annotator=who, stars=5) for who in "xy"
        ]
        facts.append(Evaluation(at=1, id="e", item=item, metric="m", passed=True))
    logs = Logs()
    logs.write(facts)
    store.apply(steps_of(logs), 1)
    assert_matches(store, facts, Policy.EACH, CountingRules(criterion_metrics={"tone": ["m"]}))


def test_an_item_is_in_a_window_by_the_newest_of_its_criteria(store: Store) -> None:
    facts: list[Fact] = [
        Annotation(at=at, id="a", queue="q", item="i", criterion=criterion, stars=5)
        for criterion, at in (("a", 2 * DAY_MS), ("b", 1))
    ]
    facts.append(Evaluation(at=1, id="e", item="i", metric="m", passed=True))
    logs = Logs()
    logs.write(facts)
    store.apply(steps_of(logs), 1)
    assert_matches(store, facts, Policy.EACH)


def narrowed(fact: Fact) -> Fact:
    """The same for one item, queue, criterion and metric: every row has competitors."""
    if isinstance(fact, Annotation):
        return msgspec.structs.replace(fact, queue="q", item="i", criterion="c")
    if isinstance(fact, Evaluation):
        return msgspec.structs.replace(fact, item="i", metric="m")
    return msgspec.structs.replace(fact, queue="q", item="i")


@given(history=strategies.histories, policy=st.sampled_from(Policy))
@settings(max_examples=100)
def test_competing_annotations_and_judges_are_resolved_as_in_a_recount(history: list[Fact], policy: Policy) -> None:
    facts = [narrowed(fact) for fact in history]
    logs = Logs(policy=policy)
    logs.write(facts)
    with new_store() as store:
        store.apply(steps_of(logs), 1)
        assert_matches(store, facts, policy)


@pytest.mark.parametrize("turned", [False, True])
def test_of_annotators_that_tie_the_store_compares_one_as_the_shard_does(store: Store, turned: bool) -> None:
    """Equal time, id and rating: only the annotators differ, and the newest is one of them."""
    tie = [Annotation(at=2, id="a", queue="q", item="i", annotator=name, stars=4) for name in ("ann", "bob", "cem")]
    facts: list[Fact] = [
        *(tie[::-1] if turned else tie),
        Annotation(at=1, id="z", queue="q", item="i", annotator="dan", stars=1),
        Evaluation(at=1, id="e", item="i", metric="m", passed=True),
    ]
    logs = Logs(policy=Policy.LATEST)
    logs.write(facts)
    store.apply(steps_of(logs), 1)
    assert_matches(store, facts, Policy.LATEST)
    with store.read() as connection:
        counted = connection.execute("SELECT annotator FROM annotations WHERE counted = 1").fetchall()
    # Any of them is right, but it must be the same in every order.
    assert [row[0] for row in counted] == ["cem"]
    compared = [row.compared for row in logs.shard._items["i"].annotations.values()]
    assert compared.count(True) == len(counted)


def test_a_failure_shows_again_when_it_is_newer_than_the_deletion(store: Store) -> None:
    facts: list[Fact] = [
        Evaluation(at=1, id="e", item="i", metric="m", deleted=True),
        Evaluation(at=2, id="e", item="i", metric="m", status="error"),
        QueueItem(at=1, id="q", queue="q", item="i"),
    ]
    logs = Logs()
    logs.write(facts)
    store.apply(steps_of(logs), 1)
    assert_matches(store, facts, Policy.EACH)


def test_partitions_add_up_and_distinct_items_too(store: Store) -> None:
    logs = [Logs(0, 2), Logs(1, 2)]
    facts = comparisons(3, "left"), comparisons(4, "right")
    for log, part in zip(logs, facts, strict=True):
        log.write(part)
    store.apply(steps_of(*logs), 2)
    assert_matches(store, facts[0] + facts[1], Policy.EACH)


def step_from(tail: Tail, logs: Logs, facts_from: int = 0, tallies_from: int = 0) -> Step:
    """The step of the records from these offsets on."""
    feed(tail, logs, facts_from, tallies_from)
    step = tail.step()
    assert step is not None
    return step


def test_a_new_ledger_drops_the_rows_of_the_old_one_and_revisions_continue(store: Store) -> None:
    old, new = Logs(), Logs(ledger="second")
    gone: list[Fact] = [
        QueueItem(at=1, id="q", queue="other", item="item 0"),
        Evaluation(at=1, id="e", item="item 0", metric="gone", passed=True),
        QueueItem(at=1, id="q", queue="q", item="placed once"),
    ]
    old.write([*comparisons(5), *gone])
    store.apply(steps_of(old), 1)
    new.write(comparisons(2))
    assert store.apply([step_from(Tail(0, "first", len(old.facts)), new)], 1) == {"q", "other"}
    assert_matches(store, comparisons(2), Policy.EACH)
    document = Documents(store, CountingRules(), lambda: TODAY).get("q")
    assert document is not None
    assert document["revision"] == 2


def test_rows_follow_their_items_to_fewer_partitions(store: Store) -> None:
    """A new load into one partition: rows of both partitions exist once, and rows that were not loaded are gone."""
    old = [Logs(0, 2), Logs(1, 2)]
    old[0].write(comparisons(2, "left"))
    old[1].write(comparisons(2, "right") + comparisons(1, "not loaded"))
    store.apply(steps_of(*old), 2)
    new = Logs(ledger="second")
    new.write(comparisons(2, "left") + comparisons(2, "right"))
    store.apply([step_from(Tail(0, "first", len(old[0].facts)), new)], 1)
    assert_matches(store, comparisons(2, "left") + comparisons(2, "right"), Policy.EACH)
    assert list(store.partitions()) == [0]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_rows_follow_their_items_to_more_partitions(store: Store, order: tuple[int, int]) -> None:
    old = Logs()
    old.write(comparisons(2, "left") + comparisons(2, "right"))
    store.apply(steps_of(old), 1)
    new = [Logs(0, 2, "second"), Logs(1, 2, "second")]
    new[0].write(comparisons(2, "left"))
    new[1].write(comparisons(2, "right"))
    tails = [Tail(0, "first", len(old.facts)), Tail(1)]
    for partition in order:
        store.apply([step_from(tails[partition], new[partition])], 2)
    assert_matches(store, comparisons(2, "left") + comparisons(2, "right"), Policy.EACH)


def test_a_changed_policy_recounts_all_annotations(store: Store) -> None:
    facts: list[Fact] = [
        Annotation(at=at, id="a", queue="q", item="i", annotator=who, stars=stars)
        for at, who, stars in ((1, "ann", 5), (2, "bob", 4), (3, "cyd", 1))
    ]
    facts.append(Evaluation(at=1, id="e", item="i", metric="m", passed=True))
    logs = Logs()
    logs.write(facts)
    store.apply(steps_of(logs), 1)
    assert_matches(store, facts, Policy.EACH)
    for policy, medians in (
        (Policy.LATEST, [("cyd", None)]),
        (Policy.MAJORITY, [("cyd", LEVELS.index("4"))]),
        (Policy.EACH, [("ann", None), ("bob", None), ("cyd", None)]),
    ):
        read = len(logs.facts), len(logs.tallies)
        logs.policy = policy
        logs = logs.successor()
        logs.write([])
        store.apply([step_from(Tail(0, "first", read[0], read[0]), logs, *read)], 1)
        assert_matches(store, facts, policy)
        with store.read() as connection:
            counted = connection.execute("SELECT annotator, median FROM annotations WHERE counted = 1 ORDER BY 1")
            assert counted.fetchall() == medians


@given(history=strategies.histories)
@settings(max_examples=30)
def test_an_older_store_gets_profiles_and_ids_of_its_rows_and_then_reads_the_ledger_again(history: list[Fact]) -> None:
    older = [msgspec.structs.replace(fact, input=None, output=None, tags=None) for fact in history]
    logs, ledger = Logs(), Logs()
    logs.write(older)
    ledger.write(history)
    with new_store() as store, tempfile.TemporaryDirectory() as directory:
        store.apply(steps_of(logs), 1)
        path = Path(directory) / "old"
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as old:
            old.executescript("".join(MIGRATIONS[:2]))
            old.execute("ATTACH ? AS new", (str(store.path),))
            for table in ("partitions", "annotations", "evaluations", "queue_items", "tallies", "queues"):
                columns = ", ".join(name for _, name, *_ in old.execute(f"PRAGMA main.table_info({table})"))
                old.execute(f"INSERT INTO {table} SELECT {columns} FROM new.{table}")  # noqa: S608 -- constants
            old.execute("PRAGMA user_version = 2")
        with contextlib.closing(Store(path)) as brought:
            assert_matches(brought, older, Policy.EACH)
            assert dump(brought) == dump(store)
            (state,) = brought.partitions().values()
            assert state.facts_next > len(ledger.facts)
            brought.apply([step_from(Tail(0, state.ledger, state.position or 0), ledger)], 1)
            assert_matches(brought, history, Policy.EACH)


def test_the_parts_of_a_tally_are_added_up_as_they_come_and_go(store: Store) -> None:
    """A worker with larger records takes over: what stood in two parts stands in one, and the parts are empty."""
    facts: list[Fact] = [
        Annotation(at=1, id="a", queue="q", item="i", stars=5),
        *(Evaluation(at=1, id=f"e{judge}", item="i", metric="m", judge=judge, passed=True) for judge in "abc"),
    ]
    logs = Logs(record_bytes=1)
    logs.write(facts)
    store.apply(steps_of(logs), 1)
    parts = "SELECT count(*) FROM tallies WHERE kind = 'cells' AND CAST(payload AS TEXT) <> '{\"judges\":{}}'"
    with store.read() as connection:
        assert connection.execute(parts).fetchone() == (3,)
    assert_matches(store, facts, Policy.EACH)
    logs.record_bytes = RECORD_BYTES
    successor = logs.successor()
    (state,) = store.partitions().values()
    tail = Tail(0, state.ledger, state.position or 0, state.facts_next)
    facts_from, tallies_from = state.facts_next, state.tallies_next
    for tally_key in [each for each, _ in logs.tallies if each.startswith(b'["cells"')]:
        successor.shard.touch(tally_key)
    newer = Evaluation(at=2, id="e", item="i", metric="m", judge="d", passed=False)
    successor.write([newer])
    feed(tail, successor, facts_from, tallies_from)
    step = tail.step()
    assert step is not None
    store.apply([step], 1)
    with store.read() as connection:
        assert connection.execute(parts).fetchone() == (1,)
    assert_matches(store, [*facts, newer], Policy.EACH)


def test_revisions_move_only_for_queues_that_changed(store: Store) -> None:
    logs = Logs()
    logs.write([*comparisons(1), Annotation(at=1, id="a", queue="quiet", item="x", stars=1)])
    assert store.apply(steps_of(logs), 1) == {"q", "quiet"}
    facts_from, tallies_from = len(logs.facts), len(logs.tallies)
    logs.write(comparisons(2))
    tail = Tail(0, "first", facts_from, facts_from)
    feed(tail, logs, facts_from, tallies_from)
    step = tail.step()
    assert step is not None
    assert store.apply([step], 1) == {"q"}


def test_facts_of_a_queue_are_its_own_and_the_evaluations_of_its_items(store: Store) -> None:
    logs = Logs()
    other = Annotation(at=1, id="a", queue="other", item="elsewhere", stars=1)
    stray = Evaluation(at=1, id="e", item="elsewhere", metric="m", passed=True)
    placed = QueueItem(at=1, id="q", queue="q", item="waiting")
    early = Evaluation(at=1, id="e", item="waiting", metric="m", status="error", reason="time-out")
    gone = Annotation(at=9, id="d", queue="q", item="item 0", annotator="ann", deleted=True)
    logs.write([*comparisons(2), other, stray, placed, early, gone])
    store.apply(steps_of(logs), 1)
    assert {key(fact): fact for fact in store.facts("q")} == Recount([*comparisons(2), placed, early, gone]).rows
