"""Records that no worker writes, on ledger or tallies: a tail never raises, never shows them, and heals."""

from functools import partial
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.facts import Annotation, Evaluation, Fact, parse
from aggregator.policy import Policy
from aggregator.shard import Shard
from aggregator.tallies import MARKER_KEY, cells_group, group_key
from sinks.store.store import Store
from sinks.store.tail import Step, Tail
from streams.ledger.claim import CLAIM_KEY
from tests.support import facts as strategies
from tests.support.logs import Logs, feed
from tests.support.stores import assert_matches

FACTS: list[Fact] = [
    Annotation(at=1, id="a", queue="q", item="i", stars=5),
    Evaluation(at=1, id="e", item="i", metric="m", passed=True),
]
MORE: list[Fact] = [Annotation(at=2, id="b", queue="q", item="j", stars=1)]
CELLS = group_key(cells_group("q", "overall", "m", "1970-01-01"))
ROW = b'["a","q","i","overall",""]'
STRANGE = (
    None,
    b"x",
    b'["cells","q","1970-01-01"]',
    b'["unknown","q","1970-01-01"]',
    b'["annotations","q","c","no day"]',
)
NESTED = b'{"x":' + b"[" * 5_000 + b"]" * 5_000 + b"}"
VALUES: dict[str, bytes | None] = {
    "tombstone": None,
    "empty": b"",
    "garbage": b"\xff\x00",
    "an empty object": b"{}",
    "deep nesting": NESTED,
}


def stamped(logs: Logs, **payload: Any) -> bytes:
    """A tally with a valid stamp and this payload."""
    return orjson.dumps({**payload, **logs.stamp()})


def invalid_payloads(logs: Logs) -> dict[str, bytes]:
    """Values of CELLS with a valid stamp."""
    zeros = [0] * 14
    return {
        "no judges": stamped(logs),
        "short vector": stamped(logs, judges={"": {"current": [1], "superseded": zeros}}),
        "negative": stamped(logs, judges={"": {"current": [-50] * 14, "superseded": zeros}}),
        "huge": stamped(logs, judges={"": {"current": [2**60] * 14, "superseded": zeros}}),
    }


class Shown:
    """What the steps made visible."""

    def __init__(self, logs: Logs) -> None:
        self.logs = logs
        self.position = 0
        self.tallies: dict[Any, Any] = {}

    def apply(self, step: Step) -> None:
        if step.replaces_rows:
            self.tallies = {}
        self.tallies.update((key.group, orjson.loads(tally.payload)) for key, tally in step.tallies.items())
        self.position = step.marker["position"]

    def is_true(self) -> None:
        """The tallies are the fold of the valid rows below the position."""
        shard = Shard(0)
        for key, value in self.logs.facts[: self.position]:
            if key not in (CLAIM_KEY, None) and value is not None:
                try:
                    parse(key, value)
                except ValueError:
                    continue
                shard.replay(key, value)
        folded = dict(shard.tallies())
        assert {group_key(group): tally for group, tally in self.tallies.items() if any(tally.values())} == folded


def append(logs: Logs, log: str, key: bytes | None, value: bytes | None) -> None:
    """Somebody appends a record."""
    records: list[Any] = logs.facts if log == "ledger" else logs.tallies
    records.append((key, value))


def read(logs: Logs, tail: Tail | None = None) -> tuple[Tail, Shown]:
    """Everything is read, and what may become visible is applied."""
    tail = tail or Tail(0)
    feed(tail, logs)
    shown = Shown(logs)
    while step := tail.step():
        shown.apply(step)
        shown.is_true()
    return tail, shown


@pytest.mark.parametrize("value", VALUES, ids=str)
@pytest.mark.parametrize("key", [CELLS, *STRANGE], ids=repr)
def test_an_invalid_tally_holds_the_partition_until_its_worker_goes_on(key: bytes | None, value: str) -> None:
    logs = Logs()
    logs.write(FACTS)
    closed = len(logs.facts)
    append(logs, "tallies", key, VALUES[value])
    tail, shown = read(logs)
    assert tail.problem is not None
    assert f"offset {len(logs.tallies) - 1} of the tallies" in tail.problem
    assert shown.position == closed
    owner = logs.successor()
    owner.write(MORE)
    tail, shown = read(owner)
    assert shown.position == len(owner.facts)
    assert tail.problem is None


def test_what_is_passed_over_takes_no_memory() -> None:
    logs = Logs()
    logs.write(FACTS)
    for number in range(100):
        append(logs, "tallies", b"garbage %d" % number, b"x" * 1_000)
    append(logs, "tallies", CELLS, None)
    tail, _ = read(logs)
    assert len(tail._unread) == 101
    assert not any(value for _, value, _ in tail._unread.values()), "no value of a garbage key is kept"
    owner = logs.successor()
    owner.write(MORE)
    append(owner, "tallies", b"later", b"x")
    tail, shown = read(owner)
    assert shown.position == len(owner.facts)
    assert tail._unread.keys() == {b"later"}
    assert f"offset {len(owner.tallies) - 1} of the tallies" in (tail.problem or "")


def test_what_may_be_of_a_ledger_that_has_closed_nothing_is_kept() -> None:
    logs = Logs()
    logs.write(FACTS)
    append(logs, "tallies", CELLS, stamped(Logs(ledger="other"), judges={}))
    append(logs, "tallies", b"x", b"y")
    owner = logs.successor()
    owner.write(MORE)
    tail, shown = read(owner)
    assert shown.position == len(owner.facts)
    assert tail._unread.keys() == {b"x"}
    assert tail.problem is None


@pytest.mark.parametrize("kind", ["no judges", "short vector", "negative", "huge"])
def test_a_tally_with_an_invalid_payload_never_becomes_visible(kind: str) -> None:
    """A forged marker closes it; the worker then publishes the right one."""
    logs = Logs()
    logs.write(FACTS)
    closed = len(logs.facts)
    append(logs, "tallies", CELLS, invalid_payloads(logs)[kind])
    logs.close()
    logs.close()
    tail, shown = read(logs)
    assert shown.position == closed
    assert tail.problem is not None and "invalid tally" in tail.problem and CELLS.decode() in tail.problem
    owner = logs.successor()
    owner.write(MORE)
    tail, shown = read(owner)
    assert shown.position == len(owner.facts)
    assert tail.problem is None


def test_a_marker_that_does_not_state_its_offset_passes_nothing_over() -> None:
    """Anybody can write one; a worker states the offset, so it has read what is before."""
    logs = Logs()
    logs.write(FACTS)
    for key, value in ((b"x", stamped(logs)), (CELLS, None)):
        forged = Logs()
        forged.__dict__.update(logs.__dict__)
        forged.tallies = [*logs.tallies]
        append(forged, "tallies", key, value)
        append(forged, "tallies", MARKER_KEY, stamped(logs, at=9, sources={}))
        tail, shown = read(forged)
        assert tail.problem is not None
        assert shown.tallies[cells_group("q", "overall", "m", "1970-01-01")]["judges"]


@pytest.mark.parametrize("value", VALUES, ids=str)
def test_an_invalid_marker_closes_nothing_and_the_next_one_does(value: str) -> None:
    logs = Logs()
    logs.write(FACTS)
    append(logs, "tallies", MARKER_KEY, VALUES[value])
    tail, shown = read(logs)
    assert tail.problem is not None and shown.position == len(logs.facts)
    owner = logs.successor()
    owner.write([])
    tail, shown = read(owner)
    assert tail.problem is None and shown.position == len(owner.facts)


@pytest.mark.parametrize("value", VALUES, ids=str)
@pytest.mark.parametrize("key", [ROW, b"x", None, CLAIM_KEY], ids=repr)
def test_an_invalid_ledger_record_is_named_and_passed_over_when_its_worker_goes_on(
    key: bytes | None, value: str, store: Store
) -> None:
    logs = Logs()
    logs.write(FACTS)
    append(logs, "ledger", key, VALUES[value])
    tail, shown = read(logs)
    tail.inspect()
    assert tail.problem is not None
    assert f"offset {len(logs.facts) - 1} of the ledger" in tail.problem
    assert shown.position == len(logs.facts) - 1
    owner = logs.successor()
    owner.write(MORE)
    for inspected in (True, False):
        tail = Tail(0)
        feed(tail, owner)
        if inspected:
            tail.inspect()
        step = tail.step()
        assert step is not None and tail.problem is None
        merged: list[bytes] = []
        store.apply([step], 1, partial(note, merged))
        assert len(merged) + len(step.passed_over) == 1
        assert_matches(store, [*FACTS, *MORE], Policy.EACH)


def note(keys: list[bytes], key: bytes, _: ValueError) -> None:
    keys.append(key)


checkpoints = st.lists(
    st.tuples(
        st.lists(strategies.facts, max_size=4),
        st.sampled_from(("ledger", "tallies", "tallies", "nothing")),
        st.integers(0, 30),
        st.sampled_from((*VALUES.values(), "payload")),
        st.booleans(),
    ),
    max_size=5,
)


@given(parts=checkpoints, order=st.data())
@settings(max_examples=100)
def test_whatever_is_appended_every_step_is_true_and_the_end_is_reached(parts: Any, order: st.DataObject) -> None:
    logs = Logs()
    for facts, where, number, value, closes in parts:
        logs.write(facts)
        if where != "nothing":
            keys = [*STRANGE, *(key for key, _ in (logs.facts if where == "ledger" else logs.tallies))]
            append(logs, where, keys[number % len(keys)], stamped(logs) if value == "payload" else value)
            if closes:
                append(logs, "tallies", MARKER_KEY, stamped(logs, at=9, sources={}))
            logs = logs.successor()
    logs.successor().write([])
    tail, shown = Tail(0), Shown(logs)
    records = {"fact": list(enumerate(logs.facts)), "tally": list(enumerate(logs.tallies))}
    while any(records.values()):
        name = order.draw(st.sampled_from([name for name, left in records.items() if left]))
        offset, (key, raw) = records[name].pop(0)
        getattr(tail, name)(offset, key, raw)
        if order.draw(st.booleans()) and (step := tail.step()) is not None:
            assert step.marker["position"] >= shown.position
            shown.apply(step)
            shown.is_true()
    while (step := tail.step()) is not None:
        shown.apply(step)
    assert tail.problem is None
    assert shown.position == len(logs.facts)
    shown.is_true()
