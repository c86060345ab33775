"""Rows 6 and 7: brokers that die and come back, alone and as one of three; and requests that fail meanwhile."""

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from tests.faults.judging import judged, rig_of
from tests.faults.load import Load
from tests.faults.supervising import Supervisor
from tests.faults.test_kills import caught_up
from tests.integration.streams.rig import Rig
from tests.support import kafka as apache
from tests.support.deployments import Cluster
from tests.support.kafka import Kafka
from tests.support.kafka_cluster import KafkaCluster
from tests.support.processes import get, get_json, ready, wait_until
from tests.support.requirements import Requirements

DOWN_SECONDS = 30.0
AGAIN_SECONDS = 15.0
UNREADY_SECONDS = 20.0
# 15 s are promised; one more is for the poll.
STALE_SECONDS = 16.0
# Time for a broker to start on a busy machine, and for replicas to catch up.
IN_SYNC_SECONDS = 90.0

Measure = Callable[..., None]


@pytest.mark.row(6)
@pytest.mark.faults
@pytest.mark.parametrize("end", [Kafka.kill, Kafka.stop], ids=["killed", "stopped in good order"])
async def test_row_06_a_broker_that_goes_and_comes_back_loses_nothing(
    end: Callable[[Kafka], None], own_kafka: Kafka, tmp_path: Path, measured: Measure
) -> None:
    cluster = Cluster(own_kafka.bootstrap, f"t{uuid.uuid4().hex[:8]}.", tmp_path)
    await asyncio.to_thread(cluster.start)
    try:
        rig, worker = rig_of(cluster), cluster.workers["w1"]
        url = cluster.worker_urls["w1"]
        async with Load(rig, per_second=300) as load:
            await caught_up(rig, time.monotonic())
            await asyncio.to_thread(end, own_kafka)
            died_at = time.monotonic()
            listing = f"{cluster.url}/api/v1/queues"
            marked = lambda: get_json(listing)["stale"]  # noqa: E731
            unready, stale = await asyncio.gather(
                after(died_at, lambda: not ready(url), UNREADY_SECONDS, "the worker is not ready"),
                after(died_at, marked, STALE_SECONDS, "the view is stale"),
            )
            measured("worker not ready after", unready)
            measured("view marked stale after", stale)
            reply = await asyncio.to_thread(get, f"{url}/readyz")
            assert reply.status == 503
            assert "the broker does not answer" in reply.json()["reasons"]
            # The row fixes the duration: no event ends it.
            await asyncio.sleep(max(0.0, died_at + DOWN_SECONDS - time.monotonic()))
            seen = await asyncio.to_thread(get_json, listing)
            assert seen["stale"] and seen["queues"], "the last good state is served"
            page = await asyncio.to_thread(get, f"{cluster.url}/")
            assert page.status == 200
            assert b">Stale</b>" in page.body
            await asyncio.to_thread(own_kafka.start)
            back_at = time.monotonic()
            measured("all that waited committed, after the broker's return, within", await caught_up(rig, back_at))
            fresh = await after(back_at, lambda: not get_json(listing)["stale"], UNREADY_SECONDS, "the view is fresh")
            measured("view fresh again after", fresh)
            assert worker.running, f"the same worker goes on:\n{worker.text()[-3000:]}"
        verdict = await judged(rig)
        assert verdict.events >= load.sent
        measured(f"{verdict.events} events, {verdict.states} published states counted")
    finally:
        await asyncio.to_thread(cluster.stop)


async def after(since: float, condition: Callable[[], object], seconds: float, what: str) -> float:
    """Seconds after `since` until the condition holds."""
    await asyncio.to_thread(wait_until, condition, since + seconds - time.monotonic(), what)
    return time.monotonic() - since


@pytest.fixture
def three(requirements: Requirements) -> Iterator[KafkaCluster]:
    """Three brokers for one test."""
    requirements.provide("kafka", apache.missing())
    with KafkaCluster() as cluster:
        yield cluster


async def replicas(rig: Rig, topics: tuple[str, ...]) -> list[Any]:
    """Every partition of these topics as the brokers describe it: leader, isr."""
    admin = AIOKafkaAdminClient(bootstrap_servers=rig.bootstrap)
    await admin.start()
    try:
        return [part for topic in await admin.describe_topics(list(topics)) for part in topic["partitions"]]
    finally:
        await admin.close()


@pytest.mark.row(6, 7)
@pytest.mark.faults
@pytest.mark.timeout(600)
async def test_row_07_leaders_and_coordinators_move_over_three_brokers(
    three: KafkaCluster, tmp_path: Path, measured: Measure
) -> None:
    prefix = f"t{uuid.uuid4().hex[:8]}."
    took: list[float] = []
    moved = 0
    async with Rig(three.bootstrap, prefix, tmp_path) as rig:
        topics = (*rig.topics.copartitioned, "__consumer_offsets")

        async def in_sync() -> bool:
            return all(len(part["isr"]) == 3 for part in await replicas(rig, topics))

        async with Supervisor(rig.worker, ("a", "b")) as supervisor:
            for worker in supervisor.workers.values():
                await rig.restored(worker)
            async with Load(rig, per_second=200) as load:
                for broker in three.brokers:
                    await rig.until("every replica in sync", in_sync, IN_SYNC_SECONDS)
                    before = [part["leader"] for part in await replicas(rig, topics)]
                    await asyncio.to_thread(broker.kill)
                    died_at = time.monotonic()
                    # Each broker leads partitions, and one is the group's coordinator. The committed offsets are
                    # read from the new coordinator, the ends from the new leaders.
                    took.append(await caught_up(rig, died_at, 60.0))
                    after = [part["leader"] for part in await replicas(rig, topics)]
                    moved += sum(old != new for old, new in zip(before, after, strict=True))
                    await asyncio.to_thread(broker.start)
            verdict = await judged(rig)
            endings = supervisor.endings
        assert verdict.events >= load.sent
        await rig.until("every replica in sync", in_sync, IN_SYNC_SECONDS)
    assert moved >= len(three.brokers), "leaders moved"
    for worker in rig.workers:
        assert "latest" not in worker.text()
    measured(f"three brokers, each killed and restarted: {moved} leaders moved, workers ended {endings}")
    measured("all that waited at a kill committed after at most", max(took))
    measured(f"{verdict.events} events, {verdict.states} published states counted")
