"""The view as a process, on real Kafka."""

import asyncio
import contextlib
import signal
import socket
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from aggregator.recount import Recount
from sinks.view import STORE_NAME
from tests.integration.sinks.test_reader import Topics
from tests.support.kafka import Kafka
from tests.support.logs import Logs
from tests.support.ports import free_port
from tests.support.sample_view import FACTS
from tests.support.waiting import eventually

PROGRAM = textwrap.dedent(
    """
    import logging, sys
    from pathlib import Path
    from sinks.config import ViewConfig
    from sinks.view import run_view
    logging.basicConfig(level=logging.INFO)
    settings = eval(sys.argv[1])
    exec(sys.argv[2])
    sys.exit(run_view(ViewConfig(**settings)))
    """
)


HANGS = textwrap.dedent(
    """
    import asyncio
    from sinks.store.reader import Reader
    async def run(self):
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.Event().wait()
    Reader.run = run
    """
)


class Process:
    """A running view and a client of it; `before` is Python that runs in it first."""

    def __init__(self, data_dir: Path, before: str = "", **settings: Any) -> None:
        self.port = settings.setdefault("port", free_port())
        self.log = data_dir.parent / "view.log"
        settings["data_dir"] = str(data_dir)
        text = repr(settings).replace(f"'data_dir': {str(data_dir)!r}", f"'data_dir': Path({str(data_dir)!r})")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([sys.executable, "-c", PROGRAM, text, before], stderr=log)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=10)

    def get(self, target: str) -> httpx.Response | None:
        """The answer, None while nobody answers."""
        try:
            return self.client.get(target)
        except httpx.TransportError:
            assert self.process.poll() is None, self.log.read_text()
            return None

    def answers(self, target: str, status: int = 200) -> bool:
        """Whether it answers like this."""
        answer = self.get(target)
        return answer is not None and answer.status_code == status

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Its exit code after a signal."""
        self.process.send_signal(number)
        return self.process.wait(20)


@contextlib.contextmanager
def view(data_dir: Path, before: str = "", **settings: Any) -> Iterator[Process]:
    process = Process(data_dir, before, **settings)
    try:
        yield process
    finally:
        process.client.close()
        if process.process.poll() is None:
            process.process.kill()
        process.process.wait()


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
        # An open stream does not hold the process up.
        with process.client.stream("GET", "/api/v1/stream?queue=support") as stream:
            lines = stream.iter_lines()
            assert next(lines) == "event: snapshot"
            started = time.monotonic()
            assert await asyncio.to_thread(process.stop, number) == 0
            assert time.monotonic() - started < 5
        assert "Traceback" not in process.log.read_text()


async def test_without_a_broker_the_last_state_is_served_as_stale(topics: Topics, tmp_path: Path) -> None:
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


async def test_a_reader_that_hangs_at_the_end_does_not_hold_the_view_up(tmp_path: Path) -> None:
    nobody = {"bootstrap_servers": f"127.0.0.1:{free_port()}"}
    with view(tmp_path / "data", HANGS, client=nobody) as process:
        await eventually(lambda: process.answers("/healthz"))
        assert await asyncio.to_thread(process.stop) == 0


async def test_a_part_that_fails_ends_the_process(topics: Topics, tmp_path: Path) -> None:
    logs = Logs()
    logs.write(FACTS)
    logs.facts.append((b"no key of ours", b"{}"))
    logs.write([])
    await topics.copy(logs)
    with view(tmp_path / "data", **settings(topics)) as process:
        assert await asyncio.to_thread(process.process.wait, 20) == 1
        assert "no key of ours" in process.log.read_text()


async def test_a_store_that_is_locked_is_served_and_heals(topics: Topics, tmp_path: Path) -> None:
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
            await eventually(lambda: 'failures_total{sink="store"} 1.0' in process.client.get("/metrics").text)
            assert process.client.get("/api/v1/queues/support").json()["cards"] == before
            other.rollback()
        expected = Recount(FACTS).document("support")["cards"]
        await eventually(lambda: process.client.get("/api/v1/queues/support").json()["cards"] == expected)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"host": "0.0.0.0"}, "token_file"),  # noqa: S104 -- is refused
        ({"port": "taken"}, "cannot listen"),
        ({"data_dir": "a file"}, "File exists"),
    ],
)
def test_what_does_not_allow_to_start_is_said(tmp_path: Path, wrong: dict[str, Any], said: str) -> None:
    data_dir = tmp_path / "data"
    if wrong.pop("data_dir", None):
        data_dir.write_text("not a directory")
    with contextlib.ExitStack() as stack:
        if wrong.get("port"):
            taken = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            wrong = {"port": taken.getsockname()[1]}
        with view(data_dir, client={"bootstrap_servers": "127.0.0.1:1"}, **wrong) as process:
            assert process.process.wait(20) == 2
            assert said in process.log.read_text()
