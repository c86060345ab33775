"""Offsets of the group, and source topics, that change while a worker is away or at work."""

import signal
from collections.abc import Iterable
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import NewPartitions

from streams.kafka import topics as topic_table
from streams.runtime.exit_codes import ExitCode
from tests.integration.streams.rig import Rig, history

EVENTS = history(seed=301, events=400, items=40)
MORE = history(seed=303, events=1_200, items=40)
UNREAD = history(seed=302, events=200, items=40)


async def _processed(rig: Rig, events: Iterable[Any]) -> dict[TopicPartition, int]:
    """Process events with a worker that is killed then; returns the committed offsets."""
    await rig.produce(events)
    worker = rig.worker()
    await rig.settled()
    worker.kill()
    return await rig.committed()


@pytest.mark.row(43)
@pytest.mark.parametrize(
    "how",
    [
        "to latest",
        "delete",
        *(pytest.param(how, marks=pytest.mark.faults) for how in ("by 5", "by -5", "to earliest")),
    ],
)
async def test_a_reset_of_the_group_passes_over_no_event(rig: Rig, how: str) -> None:
    """A group of another name, which has no member yet, has the offsets that an operator's reset leaves."""
    committed = await _processed(rig, EVENTS)
    await rig.produce(UNREAD)
    rig.group_named = f"{rig.prefix}reset"
    if how != "delete":
        await rig.commit(committed)
        direction, _, number = how.rpartition(" ")
        await rig.reset_group(*(("by", int(number)) if direction == "by" else (how, 0)))
    worker = rig.worker()
    await rig.until("all events are counted", lambda: rig.matches([*EVENTS, *UNREAD]))
    await rig.settled()
    await rig.verify([*EVENTS, *UNREAD])
    assert ("below the committed offset" in worker.text()) is (how in {"to latest", "by 5"})


async def _recreate(rig: Rig, topic: str) -> None:
    await rig.delete_topics(topic)
    await topic_table.apply({"bootstrap_servers": rig.bootstrap}, rig.topics, rig.partitions)


@pytest.mark.faults
@pytest.mark.row(44)
async def test_a_source_created_again_while_the_worker_was_paused_is_read_from_its_start(rig: Rig) -> None:
    """It has more events than the old one, so the old positions are valid in it."""
    worker = rig.worker(inject="topics_are_watched_often")
    await rig.produce(EVENTS)
    await rig.settled()
    worker.signal(signal.SIGSTOP)
    await _recreate(rig, rig.topics.annotations)
    await rig.produce(MORE)
    worker.signal(signal.SIGCONT)
    assert await worker.ended() == ExitCode.INPUT_LOST.code
    assert f"deleted and created again: {rig.topics.annotations} (id " in worker.text()
    again = rig.worker()
    await rig.until("all events are counted", lambda: rig.matches([*EVENTS, *MORE]))
    assert "the topic was deleted and created again" in again.text()
    await rig.settled()
    await rig.verify([*EVENTS, *MORE])


@pytest.mark.row(44)
async def test_a_source_created_again_while_no_worker_ran_is_read_from_its_start(rig: Rig) -> None:
    await _processed(rig, EVENTS)
    await _recreate(rig, rig.topics.annotations)
    await rig.produce(MORE)
    again = rig.worker()
    await rig.until("all events are counted", lambda: rig.matches([*EVENTS, *MORE]))
    assert "the topic was deleted and created again" in again.text()


@pytest.mark.faults
@pytest.mark.row(44)
async def test_partitions_added_to_a_source_end_the_worker_and_their_events_can_be_counted(rig: Rig) -> None:
    """As docs/operations.md describes it: the topic is created again, and its events are sent again."""
    worker = rig.worker(inject="topics_are_watched_often")
    await rig.produce(EVENTS)
    await rig.settled()
    topic, wider = rig.topics.annotations, NewPartitions(total_count=rig.partitions + 2)
    await rig.administer(lambda admin: admin.create_partitions({topic: wider}))
    assert await worker.ended() == ExitCode.PARTITIONS_CHANGED.code
    assert f"{topic} has {rig.partitions + 2}, the ledger has {rig.partitions}" in worker.text()
    again = rig.worker()
    assert await again.ended() == ExitCode.TOPICS_WRONG.code
    assert f"{topic} has {rig.partitions + 2}" in again.text()
    await _recreate(rig, topic)
    await rig.produce([*MORE, *EVENTS])
    rig.worker()
    await rig.until("all events are counted", lambda: rig.matches([*EVENTS, *MORE]))
