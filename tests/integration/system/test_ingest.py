"""`ingest`: every event that it answers with 200 is counted, with the broker killed; bad clients are bounded."""

import asyncio
import contextlib
import gzip
import json
import shutil
import signal
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import cramjam
import httpx
import pytest

from tests.support.deployments import Cluster, Installation
from tests.support.exposition import series, value
from tests.support.kafka import Kafka
from tests.support.ports import free_port
from tests.support.processes import LOOPBACK, Command, get, wait_until
from tests.support.requirements import Requirements
from tests.support.waiting import eventually
from tests.support.wire import Wire
from tools.reference.ingest import BASE, REQUESTS, IngestRequest

DEADLINE = 60.0
AT = "2026-05-28T20:26:40Z"
_MIB = 1 << 20


class Ingest:
    """A process of `ingest`; a context manager that waits until it is ready."""

    def __init__(self, deployment: Cluster | Installation, directory: Path, **settings: object) -> None:
        self.url = f"http://{LOOPBACK}:{free_port()}"
        self.port = int(self.url.rpartition(":")[2])
        named = {f"EVAL_ALIGNMENT_INGEST_{name.upper()}": str(value) for name, value in settings.items()}
        self.command = Command(
            *("ingest", "--broker", deployment.broker, "--http", self.url.removeprefix("http://")),
            log=directory / "ingest.log",
            environment={**deployment.environment, **named},
        )

    def __enter__(self) -> Self:
        self.command.start().wait_ready(self.url)
        return self

    def __exit__(self, *_: object) -> None:
        self.command.close()

    def post(self, body: bytes | str, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.post(f"{self.url}/api/v1/events", content=body, headers=named, timeout=60)

    def in_flight_bytes(self) -> float:
        """Bytes of requests that it reads or has not answered."""
        return value(series(get(f"{self.url}/metrics").body.decode()), "eval_alignment_ingest_in_flight_bytes") or 0

    def peak_bytes(self) -> int:
        """Most resident memory so far."""
        status = Path(f"/proc/{self.command.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def pair(queue: str, item: str) -> list[dict[str, Any]]:
    """An annotation and an evaluation of one item."""
    return [
        {"id": f"a-{item}", "at": AT, "queue": queue, "item": item, "thumbs": "up"},
        {"id": f"e-{item}", "at": AT, "item": item, "metric": "relevance", "passed": True},
    ]


def compared(deployment: Cluster | Installation, queue: str) -> int:
    """Comparisons of a queue."""
    document = deployment.document(queue)
    return 0 if document is None else int(document["cards"]["comparisons"])


@pytest.fixture(scope="module")
def door(embedded: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ingest]:
    """`ingest` on the embedded broker."""
    with Ingest(embedded, tmp_path_factory.mktemp("ingest")) as ingest:
        yield ingest


def test_events_in_every_format_are_counted(door: Ingest, embedded: Installation) -> None:
    queue = "ingest formats"
    single = [door.post(json.dumps(event)) for event in pair(queue, "f1")]
    array = json.dumps(pair(queue, "f2"))
    lines = "\r\n".join(json.dumps(event) for event in pair(queue, "f3"))
    packed = gzip.compress(json.dumps(pair(queue, "f4")).encode())
    zstd = bytes(cramjam.zstd.compress("\n".join(json.dumps(event) for event in pair(queue, "f5")).encode()))
    batch = [{"specversion": "1.0", "id": "c", "type": "t", "source": "s", "data": data} for data in pair(queue, "f6")]
    answers = [
        *single,
        door.post(array, content_type="application/json; charset=utf-8"),
        door.post(lines, content_type="application/x-ndjson"),
        door.post(packed, content_encoding="gzip"),
        door.post(zstd, content_encoding="zstd"),
        door.post(json.dumps(batch), content_type="application/cloudevents-batch+json"),
        *(door.post(json.dumps(event), ce_specversion="1.0", ce_id="x") for event in pair(queue, "f7")),
    ]
    assert [(answer.status_code, answer.json()["rejected"]) for answer in answers] == [(200, [])] * len(answers)
    wait_until(lambda: compared(embedded, queue) == 7, DEADLINE, "every event is counted")


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: request.title)
def test_the_commands_of_the_page_work_as_they_are(
    request_: IngestRequest, door: Ingest, requirements: Requirements
) -> None:
    requirements.provide("curl", None if shutil.which("curl") else "not found on PATH")
    page = (Path(__file__).resolve().parents[3] / "docs" / "ingest.md").read_text()
    assert request_.command in page
    command = request_.command.replace(BASE, door.url).replace("curl ", "curl --silent --show-error ", 1)
    done = subprocess.run(["bash", "-c", command], capture_output=True, check=True, timeout=60)
    shown = page.partition(request_.command)[2].partition("```json\n")[2].partition("```")[0]
    assert json.loads(done.stdout) == json.loads(shown)


def test_without_a_broker_it_starts_refuses_events_and_ends_in_order(tmp_path: Path) -> None:
    port, address = free_port(), f"{LOOPBACK}:{free_port()}"
    command = Command("ingest", "--broker", f"{LOOPBACK}:{port}", "--http", address, log=tmp_path / "ingest.log")
    with command:
        wait_until(lambda: "serving" in command.text(), DEADLINE, "it serves")
        answer = httpx.post(f"http://{address}/api/v1/events", content="[]")
        assert (answer.status_code, int(answer.headers["retry-after"]) > 0) == (503, True)
        assert httpx.get(f"http://{address}/readyz").status_code == 503
        assert httpx.get(f"http://{address}/healthz", headers={"Host": "10.1.2.3"}).status_code == 200
        assert command.terminate() == 0


@contextlib.asynccontextmanager
async def _connection(ingest: Ingest) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(LOOPBACK, ingest.port)
    try:
        yield reader, writer
    finally:
        writer.close()


def _head(length: int, encoding: str = "") -> bytes:
    more = f"Content-Encoding: {encoding}\r\n" if encoding else ""
    return f"POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\n{more}Content-Length: {length}\r\n\r\n".encode()


async def test_slow_clients_and_bombs_leave_memory_bounded_and_the_others_served(
    embedded: Installation, tmp_path: Path
) -> None:
    bombs = {
        "gzip": gzip.compress(b" " * (256 * _MIB), compresslevel=1),
        "zstd": bytes(cramjam.zstd.compress(b" " * (256 * _MIB))),
    }
    with Ingest(embedded, tmp_path, in_flight_bytes=16 * _MIB, source_body_bytes=16 * _MIB) as ingest:
        before = await asyncio.to_thread(ingest.peak_bytes)
        async with contextlib.AsyncExitStack() as stack:
            for number in range(300):
                _, writer = await stack.enter_async_context(_connection(ingest))
                writer.write(_head(8 * _MIB) + b"[" * (number % 3) * 1000)
            for encoding, bomb in bombs.items():
                for _ in range(5):
                    answer = await asyncio.to_thread(ingest.post, bomb, content_encoding=encoding)
                    assert answer.status_code == 413
            many = "[" + "1," * (2 * _MIB) + "1]"
            assert (await asyncio.to_thread(ingest.post, many)).status_code == 413
            answer = await asyncio.to_thread(ingest.post, json.dumps(pair("ingest slow", "s1")))
            assert answer.status_code == 200
        assert await asyncio.to_thread(ingest.peak_bytes) < before + 120 * _MIB


async def test_a_stop_answers_the_requests_that_are_complete(embedded: Installation, tmp_path: Path) -> None:
    with Ingest(embedded, tmp_path) as ingest:
        async with _connection(ingest) as (idle, writer), _connection(ingest) as (running, other):
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await idle.readuntil(b'"ok"}')
            body = json.dumps(pair("ingest stop", "z1")).encode()
            other.write(_head(len(body)) + body[:10])
            await eventually(lambda: ingest.in_flight_bytes() > 0)
            ingest.command.send(signal.SIGTERM)
            assert await idle.read() == b""
            other.write(body[10:])
            assert b'"accepted":2' in await running.read()
        assert await asyncio.to_thread(ingest.command.wait) == 0


class Senders:
    """Threads that send pairs of events and repeat each request until it is answered with 200."""

    def __init__(self, ingest: Sequence[Ingest], queue: str, threads: int = 4) -> None:
        self.acknowledged = 0
        self.refused = 0
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._send, args=(ingest[number % len(ingest)], queue, number))
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def _send(self, ingest: Ingest, queue: str, number: int) -> None:
        sent = 0
        while not self._stop.is_set():
            body = json.dumps([event for n in range(20) for event in pair(queue, f"{number}-{sent + n}")])
            while True:
                try:
                    status = ingest.post(body).status_code
                except httpx.TransportError:
                    status = 0
                assert status in {0, 200, 429, 503}, status
                if status == 200:
                    break
                with self._lock:
                    self.refused += 1
                self._stop.wait(0.2)
                if self._stop.is_set():
                    return
            sent += 20
            with self._lock:
                self.acknowledged += 20

    def wait_acknowledged(self, pairs: int) -> None:
        """Return when so many more pairs are acknowledged."""
        goal = self.acknowledged + pairs
        wait_until(lambda: self.acknowledged >= goal, DEADLINE, "events are acknowledged")

    def wait_refused(self) -> None:
        """Return when one more request is refused, or has no answer."""
        refused = self.refused
        wait_until(lambda: self.refused > refused, DEADLINE, "a request is refused")

    def finish(self) -> int:
        """Stop; the number of pairs that were acknowledged."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        return self.acknowledged


def acknowledged_in_topic(cluster: Cluster) -> int:
    """Distinct annotations in the source topic."""
    with Wire(cluster.broker) as wire:
        return len({record.key for record in wire.read(cluster.topic("annotations"))})


@pytest.mark.slow
def test_every_event_that_was_acknowledged_is_counted_when_broker_and_ingest_are_killed(
    own_kafka: Kafka, prefix: str, tmp_path: Path
) -> None:
    queue = "ingest kill"
    with (
        Cluster(own_kafka.bootstrap, prefix, tmp_path) as cluster,
        Ingest(cluster, tmp_path / "i1", acknowledge_timeout_s=3) as first,
        Ingest(cluster, tmp_path / "i2", acknowledge_timeout_s=3) as second,
    ):
        senders = Senders([first, second], queue)
        try:
            senders.wait_acknowledged(200)
            own_kafka.kill()
            senders.wait_refused()
            own_kafka.start()
            senders.wait_acknowledged(200)
            first.command.kill()
            senders.wait_refused()
            first.__enter__()
            senders.wait_acknowledged(200)
            own_kafka.pause()
            try:
                senders.wait_refused()
            finally:
                own_kafka.resume()
            senders.wait_acknowledged(200)
        finally:
            acknowledged = senders.finish()
        # Requests that were not acknowledged may have arrived too.
        expected = acknowledged_in_topic(cluster)
        assert expected >= acknowledged
        wait_until(lambda: compared(cluster, queue) >= acknowledged, DEADLINE, "what was acknowledged is counted")
        wait_until(lambda: compared(cluster, queue) == expected, DEADLINE, "what is in the topics is counted")
        with Wire(cluster.broker) as wire:
            assert wire.read(cluster.topic("dead-letters")) == []
        log = first.command.text() + second.command.text()
        assert "Traceback" not in log
        assert "never retrieved" not in log
