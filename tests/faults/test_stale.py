"""Rows 35 to 38: what a view calls live is complete. A fault that keeps events waiting is stale, with its reason."""

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from aggregator.facts import Annotation, Fact
from tests.faults.judging import rig_of
from tests.integration.streams.rig import Rig
from tests.support.deployments import Cluster
from tests.support.kafka import Kafka
from tests.support.kafka_cluster import KafkaCluster
from tests.support.processes import get, wait_until
from tests.support.view_process import Process, view
from tests.support.wire import Wire

AT = 1_780_000_000_000
SOON_SECONDS = 30.0
# 15 s are promised; the marker before the fault may be 5 s old, and one more is for the poll.
STALE_SECONDS = 16.0

_WRONG_CLOCK = """
import time
from sinks.api.services import Services
Services.__init__.__kwdefaults__["now"] = lambda: time.time() + {seconds}
"""

Measure = Callable[..., None]


def annotation(number: int) -> Annotation:
    return Annotation(AT + number, f"a{number}", "q", f"i{number}", thumbs="up")


def readyz(url: str) -> Any:
    """The answer of a process's `/readyz`."""
    return get(f"{url}/readyz").json()


@contextlib.contextmanager
def view_of(rig: Rig, before: str = "") -> Iterator[Process]:
    """A view of the rig's topics; `before` is Python that runs in it first."""
    settings = {
        "client": {"bootstrap_servers": rig.bootstrap},
        "facts_topic": rig.topics.facts,
        "tallies_topic": rig.topics.tallies,
        "snapshots_topic": rig.topics.snapshots,
    }
    with view(rig.directory / "view", before, **settings) as process:
        yield process


async def state(process: Process) -> Any:
    """The answer of `/readyz`, null while nothing listens."""
    reply = await asyncio.to_thread(process.get, "/readyz")
    return None if reply is None else reply.json()


async def until(process: Process, sought: Callable[[Any], bool], seconds: float, what: str) -> float:
    """Wait for a state of the view; returns the seconds that it took."""
    started, last = time.monotonic(), None
    while (last := await state(process)) is None or not sought(last):
        assert time.monotonic() - started < seconds, f"not within {seconds:g} s: {what}; the last was {last}"
        await asyncio.sleep(0.1)
    return time.monotonic() - started


def is_live(found: Any) -> bool:
    return bool(found["ready"] and not found["stale"])


async def send(rig: Rig, *facts: Fact) -> None:
    await rig.send([rig.event(fact) for fact in facts])


@contextlib.asynccontextmanager
async def transaction(bootstrap: str, topic: str, key: bytes, value: bytes) -> AsyncIterator[None]:
    """A producer that leaves a transaction open with one record of it sent; aborted at the end."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, transactional_id=uuid.uuid4().hex, transaction_timeout_ms=300_000
    )
    await producer.start()
    try:
        await producer.begin_transaction()
        await producer.send_and_wait(topic, value, key=key)
        yield
        await producer.abort_transaction()
    finally:
        await producer.stop()


@pytest.mark.row(35)
@pytest.mark.slow
async def test_row_35_a_worker_that_ends_at_each_start_is_stale(rig: Rig, measured: Measure) -> None:
    worker = rig.worker()
    await send(rig, annotation(1))
    with view_of(rig) as process:
        await until(process, is_live, SOON_SECONDS, "the view is live")
        before = (await state(process))["as_of"]
        worker.kill()
        await send(rig, annotation(2))
        sent_at = time.time()
        stop = asyncio.Event()

        async def supervise() -> None:
            while not stop.is_set():
                await rig.worker(inject="events_end_it").ended(60)

        supervisor = asyncio.create_task(supervise())
        try:
            measured("stale after", await until(process, lambda now: now["stale"], STALE_SECONDS + 5, "it is stale"))
            waited = time.monotonic()
            # Two more restarts, each with a checkpoint of its restore: none makes it fresh.
            restarts, found = len(rig.workers), await state(process)
            while len(rig.workers) < restarts + 2:
                found = await state(process)
                assert found["stale"], f"fresh again after {time.monotonic() - waited:.1f} s: {found}"
                await asyncio.sleep(0.1)
            assert before <= found["as_of"] <= time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(sent_at + 1))
            assert "partition" in found["stale_reason"]
        finally:
            stop.set()
            for each in rig.workers:
                each.kill()
            await supervisor
        rig.worker()
        measured("live after the cause is gone", await until(process, is_live, SOON_SECONDS, "it is live again"))


@pytest.mark.row(12)
@pytest.mark.slow
async def test_row_12_a_worker_with_an_open_circuit_breaker_is_stale(rig: Rig, measured: Measure) -> None:
    rig.worker()
    await send(rig, annotation(1))
    with view_of(rig) as process:
        await until(process, is_live, SOON_SECONDS, "the view is live")
        bad = [(rig.topics.annotations, b"i1", b"{") for _ in range(25)]
        await rig.send([*bad, rig.event(annotation(2))])
        paused = lambda now: "the circuit breaker of its worker is open" in (now["stale_reason"] or "")  # noqa: E731
        measured("stale after", await until(process, paused, STALE_SECONDS + 5, "it is stale"))


@pytest.mark.row(36)
@pytest.mark.slow
async def test_row_36_an_open_transaction_of_a_producer_is_stale(
    kafka: Kafka, tmp_path: Path, measured: Measure
) -> None:
    cluster = Cluster(kafka.bootstrap, f"t{uuid.uuid4().hex[:8]}.", tmp_path, partitions=2)
    await asyncio.to_thread(cluster.start)
    try:
        rig, worker = rig_of(cluster), cluster.worker_urls["w1"]
        await send(rig, *map(annotation, range(4)))
        await asyncio.to_thread(wait_until, lambda: is_live(readyz(cluster.url)), SOON_SECONDS, "the view is live")
        topic, key, value = rig.event(annotation(10))
        assert key is not None and value is not None
        async with transaction(kafka.bootstrap, topic, key, value):
            began = time.monotonic()
            await send(rig, *map(annotation, range(20, 30)))
            await asyncio.to_thread(
                wait_until, lambda: readyz(cluster.url)["stale"], STALE_SECONDS, "the view is stale"
            )
            measured("view stale after", time.monotonic() - began)
            await asyncio.to_thread(
                wait_until, lambda: not readyz(worker)["ready"], STALE_SECONDS, "the worker is not ready"
            )
            found = await asyncio.to_thread(readyz, cluster.url)
            assert "a producer's transaction is open since" in found["stale_reason"]
            assert "a producer's transaction is open since" in (await asyncio.to_thread(readyz, worker))["reasons"][0]
            page = (await asyncio.to_thread(get, f"{cluster.url}/")).body.decode()
            assert "transaction is open since" in page
            options = ("--broker", cluster.broker, "--view-url", cluster.url, "--worker-url", worker, "--json")
            doctor = await asyncio.to_thread(cluster.run, "doctor", *options, expect=2)
            names = {finding["name"]: finding["observed"] for finding in json.loads(doctor.stdout)}
            assert topic in names["transaction_open"]
            assert "a producer's transaction is open since" in names["events_wait"]
            assert "a producer's transaction is open since" in names["view_stale"]
            metrics = (await asyncio.to_thread(get, f"{worker}/metrics")).body.decode()
            lags = [float(line.split()[-1]) for line in metrics.splitlines() if line.startswith("eval_alignment_lag_")]
            assert sum(lags) >= 2, "events of the transaction, and after it, wait"
        await asyncio.to_thread(wait_until, lambda: is_live(readyz(cluster.url)), SOON_SECONDS, "the view is live")
    finally:
        await asyncio.to_thread(cluster.stop)


@pytest.mark.row(37)
@pytest.mark.slow
async def test_row_37_a_worker_whose_clock_is_ahead_is_stale_and_its_end_is_seen(rig: Rig, measured: Measure) -> None:
    worker = rig.worker(inject="its_clock_is_ahead")
    await send(rig, annotation(1))
    with view_of(rig) as process:
        await until(process, lambda now: now["ready"], SOON_SECONDS, "the view is ready")
        wrong = lambda now: "a clock is wrong: the worker of" in (now["stale_reason"] or "")  # noqa: E731
        measured("stale after", await until(process, wrong, STALE_SECONDS, "a clock is wrong"))
        assert (await state(process))["as_of"] < time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 5))
        worker.kill()
        await asyncio.sleep(STALE_SECONDS)
        assert (await state(process))["stale"], "its markers of the future do not hide that none arrives"
        rig.worker()
        measured("live with a right clock after", await until(process, is_live, SOON_SECONDS, "it is live"))


@pytest.mark.row(37)
@pytest.mark.slow
@pytest.mark.parametrize("seconds", [3600, -3600])
async def test_row_37_a_view_whose_clock_is_wrong_is_stale(rig: Rig, seconds: int, measured: Measure) -> None:
    rig.worker()
    await send(rig, annotation(1))
    with view_of(rig, _WRONG_CLOCK.format(seconds=seconds)) as process:
        wrong = lambda now: "a clock is wrong" in (now["stale_reason"] or "")  # noqa: E731
        measured("stale after", await until(process, wrong, SOON_SECONDS, "a clock is wrong"))


@pytest.mark.row(38)
@pytest.mark.faults
async def test_row_38_a_broker_that_refuses_writes_is_stale_and_the_worker_is_not_ready(
    tmp_path: Path, measured: Measure
) -> None:
    with KafkaCluster() as brokers:
        cluster = Cluster(
            brokers.bootstrap,
            "isr.",
            tmp_path,
            partitions=2,
            environment={"EVAL_ALIGNMENT_REPLICATION_FACTOR": "3"},
        )
        await asyncio.to_thread(cluster.start)
        try:
            rig, worker = rig_of(cluster), cluster.worker_urls["w1"]
            await send(rig, annotation(1))
            await asyncio.to_thread(wait_until, lambda: is_live(readyz(cluster.url)), SOON_SECONDS, "the view is live")
            with Wire(brokers.bootstrap) as wire:
                needs = {"min_insync_replicas": "3", "cleanup_policy": "compact"}
                await asyncio.to_thread(
                    lambda: wire.configure(rig.topics.facts, **needs, message_timestamp_type="LogAppendTime")
                )
            await asyncio.to_thread(brokers.brokers[2].kill)
            # The replica must have left the set in sync: then an append is refused.
            await asyncio.sleep(12)
            began = time.monotonic()
            await send(rig, annotation(2))
            await asyncio.to_thread(
                wait_until, lambda: not readyz(worker)["ready"], STALE_SECONDS + 4, "the worker is not ready"
            )
            measured("worker not ready after", time.monotonic() - began)
            assert any("not acknowledged a checkpoint" in why for why in readyz(worker)["reasons"])
            await asyncio.to_thread(
                wait_until, lambda: readyz(cluster.url)["stale"], STALE_SECONDS, "the view is stale"
            )
            await asyncio.to_thread(brokers.brokers[2].start)
        finally:
            await asyncio.to_thread(cluster.stop)
