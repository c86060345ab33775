"""The verdict on a rig or a cluster: everything is committed, and every count equals the recount by plain loops."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

from aiokafka import TopicPartition

from streams.kafka.topics import Topics as Names
from tests.integration.streams.rig import Rig, WorkerProcess
from tests.support import segments
from tests.support.deployments import Cluster
from tests.support.verdict import Topics, Verdict, judge
from tests.support.wire import Stored

SETTLED_SECONDS = 30.0
_BROKEN = (" ERROR ", " CRITICAL ", "Traceback")
# It logs requests that it retries as errors.
_CLIENT = " ERROR aiokafka."


async def judged(
    rig: Rig, *, rejected: int = 0, settled: float = SETTLED_SECONDS, compacted: bool = False, policy: str = "each"
) -> Verdict:
    """Wait until committed == end on every source partition, then judge all records of the rig's topics."""
    await rig.settled(settled)
    verdict = judge(await records(rig), policy=policy, compacted=compacted)
    assert verdict.rejected == rejected
    return verdict


async def records(rig: Rig, since: dict[TopicPartition, int] | None = None, data: Path | None = None) -> Topics:
    """All records of the rig's topics, or those from `since` on, which is moved to the ends.

    With the broker's data directory, sources are read from its disk: they may have records that no client reads.
    """
    topics = rig.topics

    async def source(topic: str) -> list[Stored]:
        if data is None:
            return await rig.read(topic, since=since)
        partitions = [TopicPartition(topic, index) for index in range(rig.partitions)]
        return [record for tp in partitions for record in await asyncio.to_thread(segments.read, data, tp, since)]

    return Topics(
        annotations=await source(topics.annotations),
        evaluations=await source(topics.evaluations),
        queue_items=await source(topics.queue_items),
        dead_letters=await rig.read(topics.dead_letters, 1, since=since),
        facts=await rig.read(topics.facts, since=since),
        tallies=await rig.read(topics.tallies, since=since),
    )


def rig_of(cluster: Cluster) -> Rig:
    """A rig on a cluster's topics, for load and verdict; it starts no workers."""
    named = Names(
        *(cluster.topic(role) for role in ("annotations", "evaluations", "queue-items", "facts", "tallies")),
        *(cluster.topic(role) for role in ("snapshots", "dead-letters")),
    )
    return Rig(cluster.broker, cluster.prefix, cluster.directory, cluster.partitions, named, cluster.group)


def clean(workers: Iterable[WorkerProcess]) -> None:
    """Fails when a log has a line that an operator would have to look at."""
    for worker in workers:
        lines = [
            line for line in worker.text().splitlines() if any(mark in line for mark in _BROKEN) and _CLIENT not in line
        ]
        assert not lines, f"{worker.log.name}: {lines[:5]}"
