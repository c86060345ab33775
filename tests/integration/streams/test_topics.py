"""The table of topics on a real Apache Kafka and on the embedded broker."""

import asyncio
import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from click.testing import CliRunner

from aggregator.days import DAY_MS
from eval_alignment.commands.topics import topics as topics_command
from eval_alignment.local.broker import EmbeddedBroker
from streams.kafka import topics as topic_table
from streams.kafka.record_limits import read_record_limits
from streams.kafka.topics import (
    TABLE,
    Topics,
    TopicsDiff,
    TopicsError,
    TopicSpec,
    apply,
    check,
    diff,
    partition_counts,
)
from tests.support.ports import free_port

CONFIGS = {spec.role: spec.configs for spec in TABLE}


@pytest.fixture(params=["kafka", "embedded"])
def client(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """Settings of an aiokafka client, for both brokers."""
    if request.param == "kafka":
        yield {"bootstrap_servers": request.getfixturevalue("kafka").bootstrap}
    else:
        with EmbeddedBroker(free_port()) as embedded:
            yield {"bootstrap_servers": embedded.bootstrap}


@pytest.fixture
def topics(prefix: str) -> Topics:
    return Topics(**{field.name: f"{prefix}{field.name}" for field in dataclasses.fields(Topics)})


async def test_topics_are_created_as_the_table_says(client: dict[str, Any], topics: Topics) -> None:
    assert [difference.actual for difference in (await diff(client, topics)).differences] == ["missing"] * len(TABLE)
    created = await apply(client, topics, 3)
    assert set(created) == set(dataclasses.astuple(topics))
    assert await apply(client, topics) == []
    assert await diff(client, topics) == TopicsDiff([], [])
    assert check(topics, await partition_counts(client)) == 3


async def test_topics_can_be_created_by_several_processes_together(client: dict[str, Any], topics: Topics) -> None:
    created = await asyncio.gather(*(apply(client, topics, 2) for _ in range(3)))
    assert sorted(name for names in created for name in names) == sorted(dataclasses.astuple(topics))
    assert await diff(client, topics, 2) == TopicsDiff([], [])


async def test_topics_of_two_numbers_of_partitions_at_the_same_time_are_an_error(
    client: dict[str, Any], topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = topic_table._create

    async def after_another(admin: Any, name: str, spec: TopicSpec, partitions: int, replication: int) -> bool:
        if name == topics.facts:
            await create(admin, name, spec, 4, replication)
        return await create(admin, name, spec, partitions, replication)

    monkeypatch.setattr(topic_table, "_create", after_another)
    with pytest.raises(TopicsError, match=rf"cannot change: {topics.facts} has 4, requested 2"):
        await apply(client, topics, 2)


async def test_the_number_of_partitions_never_changes(client: dict[str, Any], topics: Topics) -> None:
    await _create(client, topics.facts, 2, {"cleanup.policy": "delete"})
    with pytest.raises(TopicsError, match=rf"cannot change: {topics.facts} has 2, requested 4"):
        await apply(client, topics, 4)
    assert set(await partition_counts(client)) & set(dataclasses.astuple(topics)) == {topics.facts}
    created = await apply(client, topics)
    assert topics.facts not in created
    assert check(topics, await partition_counts(client)) == 2
    differences = [str(difference) for difference in (await diff(client, topics)).differences]
    assert f"{topics.facts}: cleanup.policy is delete, expected compact" in differences
    assert {difference.topic for difference in (await diff(client, topics)).differences} == {topics.facts}


async def test_a_topic_that_takes_only_small_records_differs(client: dict[str, Any], topics: Topics) -> None:
    await _create(client, topics.facts, 2, {**CONFIGS["facts"], "max.message.bytes": "200000"})
    await apply(client, topics)
    (difference,) = (await diff(client, topics)).differences
    assert str(difference) == f"{topics.facts}: max.message.bytes is 200000, expected 1000000"
    limits = await read_record_limits(client, topics)
    assert limits.facts == 200_000
    assert limits.tallies == int(CONFIGS["tallies"]["max.message.bytes"])


async def test_evaluations_are_kept_as_long_as_they_may_wait(client: dict[str, Any], topics: Topics) -> None:
    short = {"retention.ms": str(36 * DAY_MS), "retention.bytes": "1000000"}
    await _create(client, topics.evaluations, 2, {**CONFIGS["evaluations"], **short})
    await apply(client, topics)
    expected = {"retention.ms": str(37 * DAY_MS), "retention.bytes": "-1"}
    assert (await diff(client, topics)).settings == {topics.evaluations: expected}
    assert (await diff(client, topics, wait_days=30)).settings == {topics.evaluations: expected}
    only_bytes = {topics.evaluations: {"retention.bytes": "-1"}}
    assert (await diff(client, topics, wait_days=29)).settings == only_bytes


async def test_a_topic_is_created_for_the_wait(client: dict[str, Any], topics: Topics) -> None:
    await apply(client, topics, 2, wait_days=60)
    assert (await diff(client, topics, wait_days=60)).differences == []
    (difference,) = (await diff(client, topics, wait_days=61)).differences
    assert (difference.what, difference.actual) == ("retention.ms", str(67 * DAY_MS))


def test_the_command_prints_how_to_correct_a_topic(client: dict[str, Any], topics: Topics, prefix: str) -> None:
    asyncio.run(_create(client, topics.evaluations, 2, {**CONFIGS["evaluations"], "retention.ms": "5"}))
    names = {f"EVAL_ALIGNMENT_TOPIC_{role.upper()}": role for role in dataclasses.asdict(topics)}
    environment = {"EVAL_ALIGNMENT_TOPIC_PREFIX": prefix, **names}
    broker = client["bootstrap_servers"]
    result = CliRunner().invoke(topics_command, ["apply", "--broker", broker], env=environment)
    assert result.exit_code == 0, result.output
    alter = f"kafka-configs.sh --bootstrap-server {broker} --alter --topic {topics.evaluations}"
    assert result.output.splitlines()[-2:] == [
        f"settings of {topics.evaluations} differ; to correct them:",
        f"  {alter} --add-config retention.ms={37 * DAY_MS}",
    ]
    again = CliRunner().invoke(topics_command, ["diff", "--broker", broker], env=environment)
    assert (again.exit_code, "retention.ms is 5, expected" in again.output) == (1, True)


async def _create(client: dict[str, Any], name: str, partitions: int, configs: dict[str, Any]) -> None:
    admin = AIOKafkaAdminClient(**client)
    await admin.start()
    await admin.create_topics([NewTopic(name, partitions, 1, topic_configs=configs)])
    await admin.close()
