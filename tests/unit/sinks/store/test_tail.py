"""A tail releases complete checkpoints of the current ledger, in any order of reading its two logs."""

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.facts import Annotation, Evaluation, Fact
from aggregator.shard import Shard
from aggregator.tallies import MARKER_KEY, TallyKey, group_key
from sinks.store.tail import Step, Tail
from streams.ledger.claim import CLAIM_KEY
from streams.runtime.exit_codes import ExitCode
from streams.runtime.failures import FatalError
from tests.support import facts as strategies
from tests.support.logs import Logs, feed

ONE: list[Fact] = [
    Annotation(at=1, id="a", queue="q", item="i", stars=5),
    Evaluation(at=1, id="e", item="i", metric="m", passed=True),
]


class Model:
    """The content of a store after the steps: rows and tallies by key."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}
        self.tallies: dict[TallyKey, object] = {}
        self.position = 0

    def apply(self, step: Step) -> None:
        if step.replaces_rows:
            self.rows, self.tallies = {}, {}
        self.rows.update((fact.key, fact.value) for fact in step.facts)
        self.tallies.update((key, orjson.loads(tally.payload)) for key, tally in step.tallies.items())
        self.position = step.marker["position"]

    def is_the_state_at(self, logs: Logs) -> None:
        """Rows and tallies are those of the ledger up to the position."""
        shard = Shard(0)
        for key, value in logs.facts[: self.position]:
            if key != CLAIM_KEY:
                shard.replay(key, value)
        folded = dict(shard.tallies())
        assert {group_key(*key): tally for key, tally in self.tallies.items() if holds(tally)} == folded
        assert self.rows == {key: value for key, value in logs.facts[: self.position] if key != CLAIM_KEY}


def holds(tally: object) -> bool:
    assert isinstance(tally, dict)
    return any(tally.values())


checkpoints = st.lists(
    st.tuples(st.lists(strategies.facts, max_size=6), st.sampled_from(("whole", "whole", "torn", "zombie"))),
    max_size=6,
)


def history(parts: list[tuple[list[Fact], str]]) -> Logs:
    """Logs in which a crash tore some checkpoints, and some old owners continued after their successor."""
    logs = Logs()
    for facts, end in parts:
        if end == "torn":
            logs.write(facts, tallies=1)
            logs = logs.successor()
        elif end == "zombie":
            zombie, below = dict(logs.shard.tallies()), len(logs.facts)
            logs = logs.successor()
            logs.write(facts)
            for key, payload in zombie.items():
                logs.tallies.append((key, orjson.dumps({**payload, **logs.stamp(below)})))
            logs.close(below)
        else:
            logs.write(facts)
    logs.write([])
    return logs


@given(parts=checkpoints, order=st.data())
@settings(max_examples=150)
def test_every_step_gives_a_true_state(parts: list[tuple[list[Fact], str]], order: st.DataObject) -> None:
    logs = history(parts)
    tail, model = Tail(0), Model()
    facts, tallies = list(enumerate(logs.facts)), list(enumerate(logs.tallies))
    while facts or tallies:
        if facts and (not tallies or order.draw(st.booleans())):
            offset, (key, value) = facts.pop(0)
            tail.fact(offset, key, value)
        else:
            offset, (key, value) = tallies.pop(0)
            tail.tally(offset, key, value)
        if order.draw(st.booleans()) and (step := tail.step()) is not None:
            assert step.marker["position"] >= model.position
            model.apply(step)
            model.is_the_state_at(logs)
    if (step := tail.step()) is not None:
        model.apply(step)
    assert model.position == len(logs.facts)
    model.is_the_state_at(logs)


@given(parts=checkpoints, cut=st.integers(0, 30))
@settings(max_examples=100)
def test_a_resumed_tail_continues_as_if_it_had_never_stopped(parts: list[tuple[list[Fact], str]], cut: int) -> None:
    logs = history(parts)
    model, first = Model(), Tail(0)
    for offset, (key, value) in enumerate(logs.facts):
        first.fact(offset, key, value)
    for offset, (key, value) in list(enumerate(logs.tallies))[:cut]:
        first.tally(offset, key, value)
    step = first.step()
    if step is None:
        return
    model.apply(step)
    second = Tail(0, step.marker["ledger"], model.position, model.position)
    feed(second, logs, model.position, step.tallies_next)
    if (step := second.step()) is not None:
        model.apply(step)
    assert not second.restart
    model.is_the_state_at(logs)


def test_no_row_becomes_visible_before_its_checkpoint_marker() -> None:
    logs = Logs()
    logs.write(ONE, close=False)
    tail = Tail(0)
    feed(tail, logs)
    assert tail.step() is None


def test_facts_after_the_position_wait_for_their_own_marker() -> None:
    logs = Logs()
    logs.write(ONE[:1])
    position = len(logs.facts)
    logs.write(ONE[1:], close=False)
    tail = Tail(0)
    feed(tail, logs)
    step = tail.step()
    assert step is not None
    assert [fact.position for fact in step.facts] == list(range(1, position))
    assert tail.waiting == 1


def test_offsets_without_records_count_as_read() -> None:
    logs = Logs()
    logs.write(ONE)
    logs.close(position=9)
    tail = Tail(0)
    feed(tail, logs)
    first = tail.step()
    assert first is not None
    assert first.marker["position"] == len(logs.facts)
    tail.skip_to(9)
    second = tail.step()
    assert second is not None
    assert second.marker["position"] == 9


@pytest.mark.parametrize("record", ["a claim", "a tally"])
def test_a_resumed_tail_that_meets_another_ledger_asks_for_a_restart(record: str) -> None:
    other = Logs(ledger="second")
    other.write(ONE)
    tail = Tail(0, "first", 5, 5)
    if record == "a claim":
        tail.fact(5, *other.facts[0])
    else:
        tail.tally(5, *other.tallies[0])
    assert tail.restart
    assert tail.step() is None


def test_records_of_a_former_ledger_are_ignored_when_read_from_the_beginning() -> None:
    logs = Logs()
    logs.write(ONE)
    logs.tallies.append(
        (MARKER_KEY, orjson.dumps({"ledger": "dead", "position": 3, "policy": "each", "at": 1, "sources": {}}))
    )
    tail = Tail(0, "first", 0, None)
    feed(tail, logs)
    step = tail.step()
    assert step is not None
    assert (step.marker["ledger"], step.replaces_rows, tail.restart) == ("first", False, False)


def test_recreated_logs_are_read_from_their_beginning() -> None:
    """The new logs are as long as the old ones: no offset differs, and the claim was never read."""
    old, new = Logs(), Logs(ledger="second")
    old.write(ONE)
    new.write(ONE)
    end = len(new.facts), len(new.tallies)
    tail = Tail(0)
    feed(tail, old)
    assert tail.step() is not None
    new.write([])
    feed(tail, new, *end)
    assert tail.step() is None
    assert tail.restart
    again = Tail(0, "first", end[0], None, tail.unclaimed)
    feed(again, new)
    step = again.step()
    assert step is not None
    assert (step.marker["ledger"], step.replaces_rows) == ("second", True)


def test_a_ledger_whose_claim_is_lost_asks_for_one_restart() -> None:
    logs = Logs()
    logs.tallies.append((MARKER_KEY, orjson.dumps({**Logs(ledger="dead").stamp(), "at": 1, "sources": {}})))
    tail = Tail(0)
    feed(tail, logs)
    assert tail.step() is None
    assert tail.restart
    again = Tail(0, unclaimed=tail.unclaimed)
    feed(again, logs)
    assert again.step() is None
    assert not again.restart


def test_applied_steps_are_not_applied_again_when_read_from_the_beginning() -> None:
    logs = Logs()
    logs.write(ONE)
    position = len(logs.facts)
    logs.write([ONE[1]])
    tail = Tail(0, "first", position + 1, None)
    feed(tail, logs)
    assert tail.step() is None
    logs.write([Evaluation(at=9, id="e", item="i", metric="m", passed=False)])
    feed(tail, logs, position, len(logs.tallies) - 2)
    step = tail.step()
    assert step is not None
    assert (step.marker["position"], len(step.facts), step.replaces_rows) == (position + 1, len(logs.facts) - 1, False)


def test_the_first_step_of_another_ledger_drops_the_old_rows() -> None:
    logs = Logs(ledger="second")
    logs.write(ONE)
    tail = Tail(0, "first", 99, None)
    feed(tail, logs)
    step = tail.step()
    assert step is not None
    assert step.replaces_rows
    logs.write([])
    feed(tail, logs, len(logs.facts), len(logs.tallies) - 1)
    step = tail.step()
    assert step is not None
    assert not step.replaces_rows


def test_a_claim_of_a_later_release_is_refused() -> None:
    claim = {"ledger": "x", "partitions": 1, "policy": "each", "schema": 99, "owner": "o", "at": 1}
    with pytest.raises(FatalError, match="schema 99") as refused:
        Tail(0).fact(0, CLAIM_KEY, orjson.dumps(claim))
    assert refused.value.exit_code is ExitCode.NEWER_SCHEMA


def test_a_zombie_cannot_close_a_checkpoint_of_its_successor() -> None:
    logs = Logs()
    logs.write(ONE)
    zombie = logs.stamp()
    successor = logs.successor()
    successor.write([Annotation(at=2, id="b", queue="q", item="i", stars=1)], tallies=1)
    logs.tallies.append((MARKER_KEY, orjson.dumps({**zombie, "at": 9, "sources": {}})))
    tail = Tail(0)
    feed(tail, logs)
    step = tail.step()
    assert step is not None
    model = Model()
    model.apply(step)
    assert step.marker["at"] != 9
    model.is_the_state_at(logs)


def test_a_tally_of_another_policy_is_not_closed_with_those_of_its_successor() -> None:
    logs = Logs()
    group = ("annotations", "q", "overall", "2026-11-23")
    late = {"annotations": 9, "contributing": 9, **logs.stamp(), "policy": "latest"}
    successor = logs.successor()
    logs.tallies.append((group_key(group), orjson.dumps(late)))
    successor.write(ONE)
    tail = Tail(0)
    feed(tail, logs)
    step = tail.step()
    assert step is not None and TallyKey(group) not in step.tallies


@pytest.mark.parametrize("fault", ["a zombie's record in between", "a lost record"])
def test_a_misplaced_checkpoint_marker_closes_nothing(fault: str) -> None:
    logs = Logs()
    logs.write(ONE)
    closed = len(logs.tallies)
    logs.write([Annotation(at=2, id="b", queue="q", item="i", annotator="other", stars=1)])
    if fault == "a lost record":
        del logs.tallies[closed]
    else:
        logs.tallies.insert(closed, logs.tallies[0])
    tail = Tail(0)
    feed(tail, logs)
    step = tail.step()
    assert step is not None
    assert step.tallies_next == closed
    model = Model()
    model.apply(step)
    read = len(logs.facts), len(logs.tallies)
    logs.successor().write([])
    feed(tail, logs, *read)
    mended = tail.step()
    assert mended is not None
    model.apply(mended)
    model.is_the_state_at(logs)
