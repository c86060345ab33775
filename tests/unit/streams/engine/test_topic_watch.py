"""The topic watch when partitions are added, when a source is created again, and when the broker does not answer."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError
from faust.types import TP

from aggregator.shard import Shard
from streams.engine import topic_watch
from streams.engine.partition import OwnedPartition, OwnedPartitions
from streams.engine.start import Start
from streams.engine.topic_watch import TopicWatch
from streams.kafka.topic_metadata import TopicMetadata
from streams.kafka.topics import Topics
from streams.runtime.exit_codes import ExitCode
from streams.runtime.failures import FatalError

UNUSED: Any = None
TOPICS = Topics()
SOURCE = TOPICS.annotations
Reply = Mapping[str, TopicMetadata] | Exception
UNCHANGED: Mapping[str, TopicMetadata] = {name: TopicMetadata(f"id of {name}", 4) for name in TOPICS.copartitioned}


def owned_partitions() -> OwnedPartitions:
    owned = OwnedPartitions()
    owned.assign({1}, lambda number: OwnedPartition(number, Shard(number), UNUSED, UNUSED))
    for each in owned:
        each.restored({TP(SOURCE, 1): Start(7)}, {SOURCE: f"id of {SOURCE}"})
    owned.begin_generation(3)
    return owned


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FatalError | None]:
    """Run a watch on these replies of the broker, until it raises or the replies are used up."""
    monkeypatch.setattr(topic_watch, "WATCH_SECONDS", 0.0)
    monkeypatch.setattr(topic_watch, "_SECOND_LOOK_SECONDS", 0.0)

    def run(*replies: Reply) -> FatalError | None:
        left = list(replies)

        async def describe(names: Collection[str]) -> Mapping[str, TopicMetadata]:
            assert set(names) == set(TOPICS.copartitioned)
            if not left:
                raise asyncio.CancelledError
            reply = left.pop(0)
            if isinstance(reply, Exception):
                raise reply
            return reply

        async def play() -> FatalError | None:
            try:
                await TopicWatch(TOPICS, 4, owned_partitions(), describe).run()
            except FatalError as error:
                return error
            except asyncio.CancelledError:
                pass
            return None

        return asyncio.run(play())

    return run


Watch = Callable[..., FatalError | None]


@pytest.mark.parametrize("name", TOPICS.copartitioned)
def test_added_partitions_end_the_worker(watch: Watch, name: str) -> None:
    wider = {**UNCHANGED, name: TopicMetadata(f"id of {name}", 6)}
    ended = watch(UNCHANGED, wider, wider)
    assert ended is not None
    assert ended.exit_code is ExitCode.PARTITIONS_CHANGED
    assert f"{name} has 6, the ledger has 4" in str(ended)


def test_a_source_that_is_created_again_ends_the_worker(watch: Watch) -> None:
    other = {**UNCHANGED, SOURCE: TopicMetadata("another", 4)}
    ended = watch(UNCHANGED, other, other)
    assert ended is not None
    assert ended.exit_code is ExitCode.INPUT_LOST
    assert f"{SOURCE} (id id of {SOURCE}, now another)" in str(ended)


@pytest.mark.parametrize(
    "replies",
    [
        pytest.param([UNCHANGED] * 3, id="nothing changes"),
        pytest.param([{**UNCHANGED, SOURCE: TopicMetadata("older", 4)}, UNCHANGED], id="one of the brokers is late"),
        pytest.param([KafkaConnectionError(), TimeoutError(), UNCHANGED], id="the broker is away"),
        pytest.param([{}, {}], id="the broker does not know the topics"),
        pytest.param([{SOURCE: TopicMetadata(None, 4)}] * 2, id="the broker has no ids"),
    ],
)
def test_the_worker_goes_on(watch: Watch, replies: list[Reply]) -> None:
    assert watch(*replies) is None
