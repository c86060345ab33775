"""The order of an intake: acknowledged by the broker, then remembered; repeated after an error between them."""

import asyncio
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from aggregator.facts import Annotation, Fact, version
from sources.intake.changes import PendingBatch
from sources.intake.intake import Delivery, SourceIntake
from sources.intake.store import IndexStore, StoredIndex
from sources.records import SourceRecord, UnknownShapeError
from sources.source import ToolSource
from tests.support.sources import RECEIVED, tool_source

CONFIG: dict[str, Any] = {"queue": "support", "item": "trace", "criteria": {"resolved": {"rating": "thumbs"}}}


class Broker:
    """Takes what is delivered, unless it is away."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []
        self.deliveries: list[Delivery] = []
        self.away = False

    async def __call__(self, delivery: Delivery) -> None:
        if self.away:
            raise ConnectionError
        self.deliveries.append(delivery)
        self.facts += delivery.facts


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def intake(tmp_path: Path, broker: Broker) -> SourceIntake:
    return _intake(tmp_path, broker)


def _intake(path: Path, broker: Broker) -> SourceIntake:
    source = tool_source("json", **CONFIG, columns=COLUMNS)
    return SourceIntake(source, broker, IndexStore(path).index("json"))


COLUMNS = {"id": "id", "item": "item", "criterion": "name", "rating": "value", "at": "at", "annotator": "by"}


def rows(*natives: str, value: int = 1, at: str = "2026-11-24T10:00:00Z", name: str = "resolved") -> bytes:
    return json.dumps(
        [{"id": n, "item": f"i-{n}", "name": name, "value": value, "at": at, "by": "p"} for n in natives]
    ).encode()


async def test_a_payload_that_comes_twice_says_nothing_the_second_time(intake: SourceIntake, broker: Broker) -> None:
    first = await intake.take(rows("a", "b"), RECEIVED)
    again = await intake.take(rows("a", "b"), RECEIVED)
    assert (first.events, first.unchanged, first.records) == (2, 0, 2)
    assert (again.events, again.unchanged, again.records) == (0, 2, 2)
    assert first.natives == {"a", "b"}
    assert len(broker.facts) == 2


async def test_what_was_not_acknowledged_is_not_remembered(intake: SourceIntake, broker: Broker) -> None:
    broker.away = True
    with pytest.raises(ConnectionError):
        await intake.take(rows("a"), RECEIVED)
    assert intake.index is not None and intake.index.get("a") is None
    broker.away = False
    assert (await intake.take(rows("a"), RECEIVED)).events == 1


async def test_what_the_broker_refuses_for_good_is_not_remembered_and_sent_once_for_each_process(
    tmp_path: Path, broker: Broker
) -> None:
    async def refuse(delivery: Delivery) -> list[Fact]:
        await broker(delivery)
        return [fact for fact in delivery.facts if fact.item == "i-b"]

    store = IndexStore(tmp_path)
    source = tool_source("json", **CONFIG, columns=COLUMNS)
    intake = SourceIntake(source, refuse, store.index("json"))
    taken = [await intake.take(rows("a", "b"), RECEIVED, stream="rows") for _ in range(3)]
    assert [(each.events, each.rejected) for each in taken] == [(1, 1), (0, 0), (0, 0)]
    assert len(broker.facts) == 2
    assert intake.index is not None
    owned = [intake.index.get(native) for native in ("a", "b")]
    assert [len(each.rows) for each in owned if each is not None] == [1, 0]
    assert intake.index.totals() == {"events": 1, "rejected": 1}
    store.close()

    again = _intake(tmp_path, broker)
    assert (await again.take(rows("a", "b"), RECEIVED, stream="rows")).events == 1
    assert (await again.take(rows("a", "b"), RECEIVED, stream="rows")).events == 0
    await again.retract_missing(set(), RECEIVED, stream="rows")
    assert {fact.item for fact in broker.facts if fact.deleted} == {"i-a", "i-b"}


async def test_what_is_sent_again_and_refused_for_good_is_not_remembered(intake: SourceIntake, broker: Broker) -> None:
    async def lose(delivery: Delivery) -> None:
        await broker(delivery)
        raise ConnectionError

    async def refuse(delivery: Delivery) -> list[Fact]:
        return list(delivery.facts)

    intake._deliver = lose
    with pytest.raises(ConnectionError):
        await intake.take(rows("a"), RECEIVED)
    intake._deliver = refuse
    settled = await intake.settle()
    assert (settled.events, settled.rejected) == (0, 1)
    intake._deliver = broker
    assert (await intake.take(rows("a"), RECEIVED)).events == 1


async def test_what_arrived_without_an_acknowledgement_can_be_taken_back(intake: SourceIntake, broker: Broker) -> None:
    async def lose(delivery: Delivery) -> None:
        await broker(delivery)
        raise ConnectionError

    intake._deliver = lose
    with pytest.raises(ConnectionError):
        await intake.take(rows("a"), RECEIVED, stream="rows")
    # The tool deletes the record, and never mentions it again.
    intake._deliver = broker
    assert (await intake.settle()).events == 1
    assert (await intake.settle()).events == 0
    await intake.retract_missing(set(), RECEIVED, stream="rows")
    first, again, deletion = broker.facts
    assert first == again
    assert deletion.deleted


async def test_an_edit_after_a_lost_acknowledgement_wins_over_what_arrived(
    intake: SourceIntake, broker: Broker
) -> None:
    async def lose(delivery: Delivery) -> None:
        await broker(delivery)
        raise ConnectionError

    intake._deliver = lose
    with pytest.raises(ConnectionError):
        await intake.take(rows("a", value=1), RECEIVED)
    intake._deliver = broker
    # Without a new time.
    await intake.take(rows("a", value=0), RECEIVED)
    assert [getattr(fact, "thumbs", None) for fact in sorted(broker.facts, key=version)] == ["up", "up", "down"]


@pytest.mark.parametrize("step", ["prepare", "commit"])
async def test_the_next_payload_waits_for_the_change_of_one_that_was_cancelled(
    intake: SourceIntake, broker: Broker, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    change, reached, go_on = getattr(StoredIndex, step), asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def slow(index: StoredIndex, batch: PendingBatch) -> None:
        monkeypatch.undo()
        loop.call_soon_threadsafe(reached.set)
        assert go_on.wait(60)
        change(index, batch)

    monkeypatch.setattr(StoredIndex, step, slow)
    cancelled = asyncio.create_task(intake.take(rows("a", value=1), RECEIVED))
    await reached.wait()
    cancelled.cancel()
    following = asyncio.create_task(intake.take(rows("a", value=0), RECEIVED))
    done, _ = await asyncio.wait([following], timeout=0.2)
    assert not done
    go_on.set()
    await following
    assert cancelled.cancelled()
    assert intake.index is not None and intake.index.pending() is None
    assert [getattr(fact, "thumbs", None) for fact in sorted(broker.facts, key=version)] == ["up", "down"]


async def test_a_payload_is_not_read_before_its_turn(
    intake: SourceIntake, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, count, waiting, gate = ToolSource.read, 0, asyncio.Event(), asyncio.Event()

    def counted(source: ToolSource, content: bytes) -> list[SourceRecord]:
        nonlocal count
        count += 1
        return read(source, content)

    async def wait(delivery: Delivery) -> None:
        waiting.set()
        await gate.wait()
        await broker(delivery)

    monkeypatch.setattr(ToolSource, "read", counted)
    intake._deliver = wait
    takes = [asyncio.create_task(intake.take(rows(name), RECEIVED)) for name in "abc"]
    await waiting.wait()
    await asyncio.wait(takes, timeout=0.2)
    assert count == 1
    gate.set()
    await asyncio.gather(*takes)
    assert (count, len(broker.facts)) == (3, 3)


async def test_the_batches_that_were_acknowledged_before_an_error_are_remembered(
    intake: SourceIntake, broker: Broker
) -> None:
    natives = [str(number) for number in range(700)]

    async def once(delivery: Delivery) -> None:
        await broker(delivery)
        broker.away = True

    intake._deliver = once
    with pytest.raises(ConnectionError):
        await intake.take(rows(*natives), RECEIVED)
    assert intake.index is not None
    assert len(intake.index.natives()) == len(broker.facts) == 500
    broker.away = False
    intake._deliver = broker
    taken = await intake.take(rows(*natives), RECEIVED)
    assert (taken.events, taken.unchanged) == (200, 500)


async def test_a_record_that_is_missing_in_what_was_read_to_its_end_is_retracted(
    intake: SourceIntake, broker: Broker
) -> None:
    await intake.take(rows("old"), RECEIVED, stream="rows", listed=100)
    await intake.take(rows("a", "b"), RECEIVED, stream="rows", listed=200)
    await intake.take(rows("pushed"), RECEIVED)
    broker.facts.clear()
    taken = await intake.retract_missing({"a"}, RECEIVED, stream="rows", since=150)
    assert taken.events == 1
    assert _deleted(broker.facts) == ["i-b"]
    assert (await intake.retract_missing({"a"}, RECEIVED, stream="rows")).events == 1
    assert _deleted(broker.facts) == ["i-b", "i-old"]
    assert (await intake.retract_missing(set(), RECEIVED, stream="other")).events == 0


async def test_everything_that_a_source_said_is_taken_back(intake: SourceIntake, broker: Broker) -> None:
    await intake.take(rows("a", "b"), RECEIVED)
    broker.facts.clear()
    assert (await intake.retract_all(RECEIVED)).events == 2
    assert _deleted(broker.facts) == ["i-a", "i-b"]
    assert (await intake.retract_all(RECEIVED)).events == 0


async def test_totals_are_kept(intake: SourceIntake) -> None:
    await intake.take(rows("a"), RECEIVED)
    await intake.take(rows("b", value=7), RECEIVED)
    assert intake.index is not None
    assert intake.index.totals() == {"events": 1, "off_scale": 1}


async def test_a_time_ahead_of_the_clock_is_rejected_and_not_remembered(intake: SourceIntake, broker: Broker) -> None:
    ahead = rows("a", at="2026-11-26T10:00:00Z")
    taken = await intake.take(ahead, RECEIVED, RECEIVED)
    assert (taken.events, taken.rejected) == (0, 1)
    [outcome] = broker.deliveries[0].rejected
    assert outcome.result.rejection.reason == "future_timestamp"  # type: ignore[union-attr]
    assert (await intake.take(rows("a"), RECEIVED, RECEIVED)).events == 1


async def test_a_payload_of_another_tool_is_refused(intake: SourceIntake) -> None:
    with pytest.raises(UnknownShapeError):
        await intake.take(b'"text"', RECEIVED)


def _deleted(facts: Sequence[Fact]) -> list[str]:
    return [fact.item for fact in facts if isinstance(fact, Annotation) and fact.deleted]


async def test_a_rejection_in_a_list_becomes_one_dead_letter_however_often_it_is_read(
    intake: SourceIntake, broker: Broker
) -> None:
    bad = rows("a" * 300)
    broker.away = True
    with pytest.raises(ConnectionError):
        await intake.take(bad, RECEIVED, stream="rows")
    broker.away = False
    rejected = [(await intake.take(bad, RECEIVED, stream="rows")).rejected for _ in range(3)]
    assert rejected == [1, 1, 1]
    assert [len(delivery.rejected) for delivery in broker.deliveries] == [1]
    # One that is pushed comes once.
    for _ in range(2):
        await intake.take(bad, RECEIVED)
    assert len(broker.deliveries) == 3


async def test_names_without_a_rule_are_kept_with_their_values(intake: SourceIntake) -> None:
    assert intake.index is not None
    await intake.take(rows("a", name="style", value=3), RECEIVED)
    await intake.take(rows("b", name="style", value=4), RECEIVED + 5)
    await intake.take(rows("b", name="style", value=4, at="2026-11-24T11:00:00Z"), RECEIVED + 9)
    seen = [(tuple(each.unruled), each.times, each.seen) for each in intake.index.names()]
    assert seen == [(("human", "style", "3"), 1, RECEIVED), (("human", "style", "4"), 2, RECEIVED + 9)]
    assert intake.index.taken_at() == RECEIVED + 9


async def test_a_name_keeps_a_few_values(intake: SourceIntake) -> None:
    for number in range(30):
        await intake.take(rows(str(number), name="style", value=number), RECEIVED)
    assert intake.index is not None
    assert len(intake.index.names()) == 20


async def test_a_skip_in_a_list_is_counted_once_however_often_it_is_read(intake: SourceIntake) -> None:
    skipped = rows("a", "b", name="unknown")
    taken = [await intake.take(skipped, RECEIVED, stream="rows") for _ in range(3)]
    assert [each.skipped.total() for each in taken] == [2, 2, 2]
    assert [each.counted.total() for each in taken] == [2, 0, 0]
    assert intake.index is not None and sum(intake.index.totals().values()) == 2
    await intake.take(skipped, RECEIVED)
    assert sum(intake.index.totals().values()) == 4


async def test_a_batch_has_few_records_when_each_has_many_results(tmp_path: Path, broker: Broker) -> None:
    """Each result becomes an event with the texts of the item, and a batch is in memory as a whole."""
    rated = {"ok": {"rating": {"up": ["y"], "down": ["n"]}}}
    source = tool_source("labelstudio", queue="support", item="id", criteria=rated)
    answer = {"type": "choices", "from_name": "ok", "value": {"choices": ["y"]}}
    annotations = [
        {"id": number, "updated_at": "2026-11-24T10:00:00Z", "completed_by": number, "result": [answer] * results}
        for number, results in enumerate((300, 300, 600, 1, 1, 0))
    ]
    content = json.dumps([{"id": 1, "data": {"id": "t"}, "annotations": annotations}]).encode()
    await SourceIntake(source, broker, IndexStore(tmp_path).index("labelstudio")).take(content, RECEIVED)
    assert [len(delivery.facts) for delivery in broker.deliveries] == [1, 1, 1, 2]
