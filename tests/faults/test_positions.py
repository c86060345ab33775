"""Offsets of the group, and source topics, that change while a worker is away or at work."""

from collections.abc import Iterable
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.integration.streams.rig import Rig, history

EVENTS = history(seed=301, events=400, items=40)
UNREAD = history(seed=302, events=200, items=40)


async def _commit(rig: Rig, offsets: dict[TopicPartition, int]) -> None:
    consumer = AIOKafkaConsumer(bootstrap_servers=rig.bootstrap, group_id=rig.group, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign(list(offsets))
        await consumer.commit(offsets)
    finally:
        await consumer.stop()


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
    ends = await rig.ends(*rig.topics.sources)
    rig.group_named = f"{rig.prefix}reset"
    offsets = {
        "to latest": ends,
        "by 5": {tp: min(offset + 5, ends[tp]) for tp, offset in committed.items()},
        "by -5": {tp: max(offset - 5, 0) for tp, offset in committed.items()},
        "to earliest": dict.fromkeys(ends, 0),
        "delete": {},
    }[how]
    if offsets:
        await _commit(rig, offsets)
    worker = rig.worker()
    await rig.until("all events are counted", lambda: rig.matches([*EVENTS, *UNREAD]))
    await rig.settled()
    await rig.verify([*EVENTS, *UNREAD])
    assert ("below the committed offset" in worker.text()) is (how in {"to latest", "by 5"})
