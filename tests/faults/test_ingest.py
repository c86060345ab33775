"""Rows 21 to 23: ingest and its broker are killed and stopped under load, and nothing acknowledged is lost."""

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.faults.judging import judged, rig_of
from tests.faults.senders import QUEUE, Senders
from tests.integration.streams.rig import Rig
from tests.support.deployments import Cluster
from tests.support.ingest_process import IngestProcess
from tests.support.kafka import Kafka
from tests.support.processes import get, get_json, ready, wait_until

Measure = Callable[..., None]

DOWN_SECONDS = 30.0
# 15 s are promised; the rest is for the question that waits for an answer, and the poll.
UNREADY_SECONDS = 15.0 + 5.0
AGAIN_SECONDS = 15.0
SETTLED_SECONDS = 90.0
"""With the start of a worker."""


class Arrivals:
    """The ids in the source topics, read on from where the last reading ended."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._since: dict[Any, int] = {}
        self.ids: set[str] = set()

    async def read(self) -> set[str]:
        """All ids so far."""
        topics = self._rig.topics
        for topic in (topics.annotations, topics.evaluations):
            records = await self._rig.read(topic, since=self._since)
            self.ids.update(orjson.loads(record.value or b"")["id"] for record in records)
        return self.ids


@asynccontextmanager
async def running(cluster: Cluster, directory: Path, **settings: Any) -> AsyncIterator[tuple[Rig, IngestProcess]]:
    """The topics of a cluster, and `ingest` on them."""
    await asyncio.to_thread(cluster.create_topics)
    ingest = IngestProcess(cluster, directory, **settings)
    try:
        await asyncio.to_thread(ingest.start_ready)
        yield rig_of(cluster), ingest
    finally:
        await asyncio.to_thread(ingest.close)
        await asyncio.to_thread(cluster.stop)


async def counted(cluster: Cluster, rig: Rig, senders: Senders) -> str:
    """Everything that was sent is counted, once; the numbers for the table."""
    worker = cluster.workers["w1"]
    if not worker.running:
        worker.start()
    verdict = await judged(rig, settled=SETTLED_SECONDS)
    assert verdict.rows == len(senders.sent)
    assert verdict.annotations == {QUEUE: senders.annotations}
    assert verdict.comparisons == {QUEUE: senders.comparisons}
    return (
        f"{len(senders.exchanges)} requests, {len(senders.acknowledged)} events acknowledged, 0 lost; with all "
        f"repetitions {verdict.events} records, each event counted once"
    )


@pytest.mark.row(21)
@pytest.mark.parametrize("seeds", [range(3), pytest.param(range(50), marks=pytest.mark.faults)], ids=["few", "many"])
async def test_row_21_what_a_killed_ingest_has_acknowledged_is_counted(
    seeds: range, kafka: Kafka, prefix: str, tmp_path: Path, measured: Measure
) -> None:
    cluster = Cluster(kafka.bootstrap, prefix, tmp_path)
    async with running(cluster, tmp_path) as (rig, ingest):
        cluster.workers["w1"].start()
        arrivals, cut = Arrivals(rig), 0
        senders = Senders(ingest.url, random.Random(0))
        for seed in seeds:
            rng = senders.rng = random.Random(seed)
            senders.number = rng.randint(1, 16)
            if not ingest.running:
                await asyncio.to_thread(ingest.start_ready)
            async with senders:
                await senders.acknowledges(rng.choice((1, 50, 500)))
                await asyncio.sleep(rng.uniform(0, 0.2))
                killed_at = time.monotonic()
                await asyncio.to_thread(ingest.kill)
            cut += sum(each.status == 0 and each.began < killed_at < each.ended for each in senders.exchanges)
            assert senders.acknowledged <= await arrivals.read(), f"seed {seed}: acknowledged events are lost"
        await asyncio.to_thread(ingest.start_ready)
        await senders.finish()
        measured(f"{len(seeds)} kills with {cut} requests in flight: {await counted(cluster, rig, senders)}")


@pytest.mark.row(22)
@pytest.mark.parametrize(
    "seeds",
    [
        pytest.param(range(2), marks=pytest.mark.slow),
        *(pytest.param(range(first, first + 10), marks=pytest.mark.faults) for first in range(0, 50, 10)),
    ],
    ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}",
)
async def test_row_22_what_a_killed_broker_has_acknowledged_is_counted(
    seeds: range, own_kafka: Kafka, prefix: str, tmp_path: Path, measured: Measure
) -> None:
    cluster = Cluster(own_kafka.bootstrap, prefix, tmp_path)
    async with running(cluster, tmp_path, acknowledge_timeout_s=1) as (rig, ingest):
        arrivals, refused = Arrivals(rig), 0
        senders = Senders(ingest.url, random.Random(0))
        pid = ingest.pid
        for seed in seeds:
            rng = senders.rng = random.Random(seed)
            senders.number = rng.randint(1, 16)
            end = rng.choice((own_kafka.kill, own_kafka.kill, own_kafka.stop))
            async with senders:
                await senders.acknowledges(rng.choice((1, 50, 500)))
                await asyncio.sleep(rng.uniform(0, 0.2))
                await asyncio.to_thread(end)
                refused += await refusals(senders, rng.uniform(0, 2))
                await asyncio.to_thread(own_kafka.start)
                await senders.acknowledges(1)
            assert senders.acknowledged <= await arrivals.read(), f"seed {seed}: acknowledged events are lost"
        await senders.finish()
        assert ingest.pid == pid, "the same process goes on"
        # After a kill the coordinator of groups may be stuck, see docs/operations.md.
        await asyncio.to_thread(own_kafka.stop)
        await asyncio.to_thread(own_kafka.start)
        measured(f"{len(seeds)} outages with {refused} refusals: {await counted(cluster, rig, senders)}")


async def refusals(senders: Senders, seconds: float) -> int:
    """Wait so long without a broker, and for a refusal; the number of refusals. Nothing is acknowledged meanwhile."""
    down_at = time.monotonic()

    def since() -> list[int]:
        return [each.status for each in senders.exchanges if each.began >= down_at]

    await asyncio.sleep(seconds)
    await senders.until(since, "a request is answered without a broker")
    statuses = since()
    # 422: all events of a request may be invalid.
    assert set(statuses) <= {422, 429, 503}, "nothing is acknowledged without a broker"
    return statuses.count(503)


@pytest.mark.row(22)
@pytest.mark.faults
@pytest.mark.parametrize("end", [Kafka.kill, Kafka.stop], ids=["killed", "stopped in good order"])
async def test_row_22_a_long_outage_of_the_broker_is_reported_and_ends_without_a_restart(
    end: Callable[[Kafka], None], own_kafka: Kafka, prefix: str, tmp_path: Path, measured: Measure
) -> None:
    cluster = Cluster(own_kafka.bootstrap, prefix, tmp_path)
    async with running(cluster, tmp_path) as (rig, ingest):
        await asyncio.to_thread(cluster.start)
        pid = ingest.pid
        async with Senders(ingest.url, random.Random(1)) as senders:
            await senders.acknowledges(500)
            await asyncio.to_thread(end, own_kafka)
            down_at = time.monotonic()
            await asyncio.to_thread(wait_until, lambda: not ready(ingest.url), UNREADY_SECONDS, "ingest is not ready")
            measured("ingest not ready after", time.monotonic() - down_at)
            reply = await asyncio.to_thread(get, f"{ingest.url}/readyz")
            assert (reply.status, reply.json()["ready"]) == (503, False)
            assert (await asyncio.to_thread(get, f"{ingest.url}/healthz")).status == 200
            refused = await refusals(senders, down_at + DOWN_SECONDS - time.monotonic())
            assert refused
            await asyncio.to_thread(own_kafka.start)
            back_at = time.monotonic()
            await senders.acknowledges(1, AGAIN_SECONDS)
            measured("events acknowledged again, after the broker's return, within", time.monotonic() - back_at)
        await senders.finish()
        assert ingest.pid == pid, "the same process goes on"
        measured(f"{refused} refusals: {await counted(cluster, rig, senders)}")
        listing = f"{cluster.url}/api/v1/queues"
        shown: Callable[[], Any] = lambda: (  # noqa: E731
            get_json(listing)["queues"][0]["cards"]["comparisons"] == senders.comparisons
        )
        await asyncio.to_thread(wait_until, shown, AGAIN_SECONDS, "the view shows every comparison")


@pytest.mark.row(23)
async def test_row_23_requests_that_wait_for_the_broker_are_answered_after_sigterm(
    own_kafka: Kafka, prefix: str, tmp_path: Path, measured: Measure
) -> None:
    cluster = Cluster(own_kafka.bootstrap, prefix, tmp_path)
    async with running(cluster, tmp_path) as (rig, ingest):
        async with Senders(ingest.url, random.Random(2), number=16) as senders:
            await senders.acknowledges(500)
            await asyncio.to_thread(own_kafka.pause)
            try:
                arrived = lambda: ingest.metric("in_flight_bytes") == senders.waiting_bytes > 0  # noqa: E731
                await senders.until(lambda: senders.waiting == senders.number, "every sender waits")
                await asyncio.to_thread(wait_until, arrived, AGAIN_SECONDS, "every request has arrived")
                stopped_at = time.monotonic()
                ingest.send(signal.SIGTERM)
                await asyncio.to_thread(wait_until, lambda: not ready(ingest.url), AGAIN_SECONDS, "ingest stops")
            finally:
                await asyncio.to_thread(own_kafka.resume)
            assert await asyncio.to_thread(ingest.wait) == 0
            measured("ended in", time.monotonic() - stopped_at)
        waited = [each.status for each in senders.exchanges if each.began < stopped_at < each.ended]
        assert len(waited) == senders.number
        assert set(waited) <= {200, 207}, "all are answered, and acknowledged"
        assert senders.acknowledged <= await Arrivals(rig).read()
        measured(f"{len(waited)} requests in flight, all answered")


@pytest.mark.slow
@pytest.mark.row(23)
async def test_row_23_a_terminated_ingest_loses_nothing(
    kafka: Kafka, prefix: str, tmp_path: Path, measured: Measure
) -> None:
    cluster = Cluster(kafka.bootstrap, prefix, tmp_path)
    async with running(cluster, tmp_path) as (rig, ingest):
        arrivals, senders, longest = Arrivals(rig), Senders(ingest.url, random.Random(0)), 0.0
        for seed in range(3):
            rng = senders.rng = random.Random(seed)
            if not ingest.running:
                await asyncio.to_thread(ingest.start_ready)
            async with senders:
                await senders.acknowledges(500)
                await asyncio.sleep(rng.uniform(0, 0.2))
                began = time.monotonic()
                assert await asyncio.to_thread(ingest.terminate) == 0
                longest = max(longest, time.monotonic() - began)
            assert senders.acknowledged <= await arrivals.read(), f"seed {seed}: acknowledged events are lost"
        await asyncio.to_thread(ingest.start_ready)
        await senders.finish()
        measured("ended in at most", longest)
        measured(await counted(cluster, rig, senders))
