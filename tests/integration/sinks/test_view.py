"""The view as a process, on real Kafka."""

import asyncio
import contextlib
import signal
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from aggregator.facts import Fact
from aggregator.recount import Recount
from sinks.store.store import Store
from sinks.view import STORE_NAME
from streams.runtime.directory_lock import LOCK_NAME
from tests.integration.sinks.test_reader import Topics, comparison, rows
from tests.support.kafka import Kafka
from tests.support.logs import Logs
from tests.support.ports import free_port
from tests.support.sample_view import FACTS
from tests.support.view_process import Process, view
from tests.support.waiting import eventually


@pytest.fixture
async def topics(kafka: Kafka, prefix: str) -> Topics:
    """Facts, tallies and snapshots."""
    topics = Topics(kafka.bootstrap, prefix)
    await topics.make(1)
    admin = AIOKafkaAdminClient(**topics.client)
    await admin.start()
    await admin.create_topics([NewTopic(f"{prefix}snapshots", 1, 1)])
    await admin.close()
    return topics


def settings(topics: Topics) -> dict[str, Any]:
    return {
        "client": topics.client,
        "facts_topic": topics.facts,
        "tallies_topic": topics.tallies,
        "snapshots_topic": topics.facts.replace("facts", "snapshots"),
    }


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_view_serves_what_the_topics_hold_and_ends_cleanly(
    topics: Topics, tmp_path: Path, number: signal.Signals
) -> None:
    logs = Logs(at=int(time.time() * 1000))
    logs.write(FACTS)
    await topics.copy(logs)
    with view(tmp_path / "data", **settings(topics)) as process:
        await eventually(lambda: process.answers("/readyz"))
        body = process.client.get("/api/v1/queues/support").json()
        expected = Recount(FACTS).document("support")
        assert (body["cards"], body["criteria"]) == (expected["cards"], expected["criteria"])
        await eventually(
            lambda: 'eval_alignment_agreement_ratio{queue="support"' in process.client.get("/metrics").text
        )
        await eventually(lambda: process.client.get("/api/v1/queues/support/history").json()["snapshots"])
        # An open stream does not delay the end of the process.
        with process.client.stream("GET", "/api/v1/stream?queue=support") as stream:
            lines = stream.iter_lines()
            assert next(lines) == "event: snapshot"
            started = time.monotonic()
            assert await asyncio.to_thread(process.stop, number) == 0
            assert time.monotonic() - started < 5
        assert "Traceback" not in process.log.read_text()


async def test_a_view_without_a_broker_serves_its_last_state_as_stale(topics: Topics, tmp_path: Path) -> None:
    logs = Logs()
    logs.write(FACTS)
    await topics.copy(logs)
    with view(tmp_path / "data", **settings(topics)) as process:
        await eventually(lambda: process.answers("/readyz"))
        before = process.client.get("/api/v1/queues/support").json()
        assert await asyncio.to_thread(process.stop) == 0
    nobody = {**settings(topics), "client": {"bootstrap_servers": f"127.0.0.1:{free_port()}"}}
    with view(tmp_path / "data", **nobody) as process:
        await eventually(lambda: process.answers("/healthz"))
        assert process.client.get("/api/v1/queues/support").json() == before
        ready = process.client.get("/readyz")
        assert (ready.status_code, ready.json()["stale"]) == (503, True)
        await eventually(lambda: 'sink="topic"' in process.client.get("/metrics").text)
        assert await asyncio.to_thread(process.stop) == 0


async def test_an_invalid_record_of_the_ledger_does_not_end_the_view(topics: Topics, tmp_path: Path) -> None:
    logs = Logs()
    logs.write(FACTS)
    logs.facts.append((b"no key of a fact", b"{}"))
    logs.write([])
    await topics.copy(logs)
    with view(tmp_path / "data", **settings(topics)) as process:
        await eventually(lambda: "no key of a fact" in process.log.read_text())
        assert process.process.poll() is None
        assert await asyncio.to_thread(process.stop) == 0


async def test_a_view_with_a_locked_store_serves_its_last_state_and_recovers(topics: Topics, tmp_path: Path) -> None:
    logs = Logs()
    logs.write(FACTS[:5])
    await topics.copy(logs)
    with view(tmp_path / "data", **settings(topics)) as process:
        await eventually(lambda: process.answers("/readyz"))
        before = process.client.get("/api/v1/queues/support").json()["cards"]
        with contextlib.closing(sqlite3.connect(tmp_path / "data" / STORE_NAME, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            logs.write(FACTS)
            await topics.copy(logs)
            await eventually(lambda: 'failures_total{sink="store"} 0.0' not in process.client.get("/metrics").text)
            assert process.client.get("/api/v1/queues/support").json()["cards"] == before
            other.rollback()
        expected = Recount(FACTS).document("support")["cards"]
        await eventually(lambda: process.client.get("/api/v1/queues/support").json()["cards"] == expected)


@pytest.mark.slow
@pytest.mark.row(31)
async def test_row_31_a_view_that_writes_a_store_of_another_one_never_replaces_newer_counts(
    topics: Topics, tmp_path: Path
) -> None:
    """The lock's file is deleted, so both write. Each in turn is stopped with old counts in its memory."""
    data, link = tmp_path / "data", tmp_path / "second" / "data"
    link.parent.mkdir()
    link.symlink_to(data)
    logs, facts = Logs(), list[Fact]()
    number = 0

    async def write() -> None:
        nonlocal number
        number += 1
        facts.extend(comparison(number, stars=number % 5 + 1, passed=number % 2 == 0))
        logs.write(facts)
        await topics.copy(logs)

    def shown(process: Process) -> object:
        answer = process.get("/api/v1/queues/support")
        return None if answer is None or answer.status_code != 200 else answer.json()["cards"]["comparisons"]

    await write()
    with view(data, **settings(topics)) as first:
        await eventually(lambda: shown(first) == number)
        (data / LOCK_NAME).unlink()
        with view(link, **settings(topics)) as second:
            await eventually(lambda: shown(second) == number)
            for slow, other in ((first, second), (second, first)):
                slow.process.send_signal(signal.SIGSTOP)
                try:
                    for _ in range(3):
                        await write()
                        await eventually(lambda other=other: shown(other) == number)  # type: ignore[misc]
                finally:
                    slow.process.send_signal(signal.SIGCONT)
                await eventually(
                    lambda slow=slow: "another process has written partitions [0]" in slow.log.read_text()  # type: ignore[misc]
                )
                await write()
                for process in (slow, other):
                    await eventually(lambda process=process: shown(process) == number)  # type: ignore[misc]
            document = second.client.get("/api/v1/queues/support").json()
            assert await asyncio.to_thread(second.stop) == 0
        assert await asyncio.to_thread(first.stop) == 0
    expected = Recount(facts).document("support")
    assert (document["cards"], document["criteria"]) == (expected["cards"], expected["criteria"])
    with contextlib.closing(Store(data / STORE_NAME, readonly=True)) as store:
        assert rows(store) == {repr(fact) for fact in Recount(facts).rows.values()}
