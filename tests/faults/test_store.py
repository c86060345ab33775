"""Row 16: the view's disk is full, refuses writes, or its store is locked: it serves the last state and recovers."""

import asyncio
import contextlib
import resource
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from sinks.view import STORE_NAME
from tests.faults.judging import judged, rig_of
from tests.faults.load import Load
from tests.faults.test_kills import caught_up
from tests.support.deployments import Cluster
from tests.support.exposition import series, value
from tests.support.kafka import Kafka
from tests.support.processes import get_json, wait_until
from tests.support.requirements import Requirements
from tests.support.small_disks import fill, mounted

DISK = "32m"
FAILING_SECONDS = 10.0
LOCKED_SECONDS = 60.0
DEADLINE = 60.0

Measure = Callable[..., None]


def disk_full(cluster: Cluster) -> AbstractContextManager[None]:
    """No block of the disk is free."""
    return fill(cluster.data)


@contextlib.contextmanager
def writes_refused(cluster: Cluster) -> Iterator[None]:
    """The kernel limits the size of the view's files, and every write beyond fails."""
    before = resource.prlimit(cluster.view.pid, resource.RLIMIT_FSIZE)
    # Room for its log.
    resource.prlimit(cluster.view.pid, resource.RLIMIT_FSIZE, (64 << 10, before[1]))
    try:
        yield
    finally:
        resource.prlimit(cluster.view.pid, resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def locked(cluster: Cluster) -> Iterator[None]:
    """Another process holds the store's lock."""
    with contextlib.closing(sqlite3.connect(cluster.data / STORE_NAME, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


Trouble = Callable[[Cluster], AbstractContextManager[None]]


def failures(cluster: Cluster) -> float:
    """Number of failed writes of the store."""
    return value(series(cluster.metrics()), "eval_alignment_snapshot_failures_total", sink="store") or 0


@pytest.mark.row(16)
@pytest.mark.faults
@pytest.mark.parametrize(
    ("trouble", "seconds"), [(disk_full, FAILING_SECONDS), (writes_refused, FAILING_SECONDS), (locked, LOCKED_SECONDS)]
)
async def test_row_16_a_view_recovers_from_a_store_that_cannot_be_written(
    kafka: Kafka,
    prefix: str,
    tmp_path: Path,
    requirements: Requirements,
    measured: Measure,
    *,
    trouble: Trouble,
    seconds: float,
) -> None:
    cluster = Cluster(kafka.bootstrap, prefix, tmp_path, partitions=4)
    needs_disk = mounted(cluster.data, DISK, requirements) if trouble is disk_full else contextlib.nullcontext()
    with needs_disk:
        await asyncio.to_thread(cluster.start)
        try:
            await troubled(cluster, trouble, seconds, measured)
        finally:
            await asyncio.to_thread(cluster.stop)


async def troubled(cluster: Cluster, trouble: Trouble, seconds: float, measured: Measure) -> None:
    """Trouble under load, and the checks meanwhile and afterwards."""
    rig = rig_of(cluster)
    view, worker = cluster.view.pid, cluster.workers["w1"].pid
    async with Load(rig, per_second=300, items=100):
        await asyncio.to_thread(wait_until, lambda: cluster.document("support"), DEADLINE, "a document")
        with trouble(cluster):
            began, failed = time.monotonic(), await asyncio.to_thread(failures, cluster)
            await asyncio.to_thread(wait_until, lambda: failures(cluster) > failed, DEADLINE, "the store fails")
            last = await asyncio.to_thread(cluster.document, "support")
            while time.monotonic() < began + seconds:
                served = await asyncio.to_thread(cluster.document, "support")
                assert served["revision"] == last["revision"], "the last good revision is served"
                # Processing continues: it does not depend on the view.
                await caught_up(rig, time.monotonic())
            listed = await asyncio.to_thread(get_json, f"{cluster.url}/api/v1/queues")
            assert listed["stale"] or seconds < LOCKED_SECONDS
        over_at = time.monotonic()
        await asyncio.to_thread(wait_until, lambda: newer(cluster, last), DEADLINE, "it heals by itself")
        measured(f"{trouble.__name__.replace('_', ' ')} {seconds:g} s, healed after", time.monotonic() - over_at)
    verdict = await judged(rig)
    for queue in verdict.annotations:
        shown = lambda queue=queue: cards(cluster.document(queue))  # noqa: E731
        wanted = verdict.annotations[queue], verdict.comparisons[queue]
        await asyncio.to_thread(wait_until, lambda shown=shown, wanted=wanted: shown() == wanted, DEADLINE, f"{wanted}")
    assert (cluster.view.pid, cluster.workers["w1"].pid) == (view, worker), "neither ended"


def newer(cluster: Cluster, than: Mapping[str, Any]) -> bool:
    """Whether a newer revision is served."""
    return bool(cluster.document("support")["revision"] > than["revision"])


def cards(document: Mapping[str, Any]) -> tuple[int, int]:
    """Numbers of annotations and comparisons."""
    return document["cards"]["annotations"], document["cards"]["comparisons"]
