"""Whole installations for tests: `up` on the embedded broker, or workers and a view on an existing Kafka.

Every process carries a token in its environment, so the processes that it started are found even when their parent has
ended: the end of a context kills those that are left, and fails.
"""

import contextlib
import json
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import httpx

from tests.support.ports import free_port
from tests.support.processes import LOOPBACK, READY_SECONDS, STOP_SECONDS, TOKEN, Command, get, marked, run, wait_until

_BATCH: Final = 500


class _Deployment:
    """What an installation and a cluster have in common: addresses, settings, and commands that use them."""

    def __init__(self, directory: Path, broker: str, environment: Mapping[str, str]) -> None:
        self.directory = directory
        self.broker = broker
        self.token = uuid.uuid4().hex
        self.environment = {**environment, TOKEN: self.token}
        self.http = f"{LOOPBACK}:{free_port()}"
        self.url = f"http://{self.http}"
        directory.mkdir(parents=True, exist_ok=True)

    def run(self, *arguments: str, stdin: bytes = b"", expect: int = 0) -> subprocess.CompletedProcess[bytes]:
        """Run a command with this deployment's settings; the caller passes `--broker`."""
        return run(*arguments, home=self.directory, environment=self.environment, stdin=stdin, expect=expect)

    def load(self, *files: Path) -> str:
        """`load` of these files; its output."""
        return self.run("load", "--broker", self.broker, *map(str, files)).stdout.decode()

    def document(self, queue: str, window: str = "all") -> Any:
        """The API's document of a queue; None while the view does not have the queue."""
        answer = get(f"{self.url}/api/v1/queues/{quote(queue, safe='')}?window={window}")
        assert answer.status in (200, 404), answer
        return answer.json() if answer.status == 200 else None

    def metrics(self) -> str:
        """The view's `/metrics` in the text format."""
        answer = get(f"{self.url}/metrics")
        assert answer.status == 200, answer
        return answer.body.decode()

    def processes(self) -> dict[int, str]:
        """Every process of this deployment that runs, by id, with its command line."""
        return marked(self.token, self.broker)

    @contextlib.contextmanager
    def _nothing_left(self) -> Iterator[None]:
        try:
            yield
        finally:
            # Children of a killed parent end by themselves, a moment later.
            end = time.monotonic() + STOP_SECONDS
            while (left := self.processes()) and time.monotonic() < end:
                time.sleep(0.05)
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        assert not left, f"still running: {left}"


class Installation(_Deployment):
    """`up` on the embedded broker, or on `broker`; context manager that starts it and waits until it is ready."""

    def __init__(
        self,
        directory: Path,
        *,
        broker: str | None = None,
        environment: Mapping[str, str] | None = None,
        command: str = "up",
    ) -> None:
        port = free_port()
        super().__init__(directory, broker or f"{LOOPBACK}:{port}", environment or {})
        self.worker_http = f"{LOOPBACK}:{free_port()}"
        self.ingest_http = f"{LOOPBACK}:{free_port()}"
        self.environment["EVAL_ALIGNMENT_WORKER_HTTP"] = self.worker_http
        self.environment["EVAL_ALIGNMENT_INGEST_HTTP"] = self.ingest_http
        self.data = directory / "data"
        where = ("--embedded-broker-port", str(port)) if broker is None else ("--broker", broker)
        self.up = Command(
            command,
            *("--data-dir", str(self.data), "--http", self.http, *where),
            log=directory / f"{command}.log",
            environment=self.environment,
        )

    def scrape_targets(self) -> dict[str, str]:
        """The addresses that Prometheus scrapes, by the names of the jobs in prometheus.yml."""
        return {
            "eval-alignment-view": self.http,
            "eval-alignment-worker": self.worker_http,
            "eval-alignment-ingest": self.ingest_http,
        }

    def send(self, *events: Mapping[str, Any]) -> None:
        """Send these events to `ingest`, at the latest when it is back; returns when they are acknowledged.

        The command `load` does the same, and takes a second to start.
        """
        for first in range(0, len(events), _BATCH):
            batch = events[first : first + _BATCH]
            wait_until(partial(self._accepted, batch), READY_SECONDS, "`ingest` accepts events")

    def _accepted(self, events: Sequence[Mapping[str, Any]]) -> bool:
        try:
            answer = httpx.post(f"http://{self.ingest_http}/api/v1/events", content=json.dumps(events), timeout=60)
        except httpx.TransportError:
            return False
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            return False
        assert (answer.status_code, answer.json()["rejected"]) == (200, []), answer.text
        return True

    def start(self) -> Self:
        """Start or restart it, and wait until `up` reports that it is ready."""
        reports = self.up.text().count("is ready")
        self.up.start()
        self.up.wait_ready(self.url).wait_ready(f"http://{self.worker_http}")
        wait_until(lambda: self.up.text().count("is ready") > reports, READY_SECONDS, "`up` reports that it is ready")
        return self

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        return self.up.terminate()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._nothing_left():
            self.up.close()


class Cluster(_Deployment):
    """Workers and a view on an existing Kafka; context manager that creates topics, starts all, and waits for them.

    Topics and group carry `prefix`. `workers` are stable names; processes are in `workers` by name, and `view`, which
    may have settings of its own, such as another address of the broker.
    """

    def __init__(
        self,
        bootstrap: str,
        prefix: str,
        directory: Path,
        *,
        workers: tuple[str, ...] = ("w1",),
        partitions: int = 8,
        environment: Mapping[str, str] | None = None,
        view: Mapping[str, str] | None = None,
    ) -> None:
        own = {"EVAL_ALIGNMENT_TOPIC_PREFIX": prefix, "EVAL_ALIGNMENT_GROUP": f"{prefix}workers"}
        super().__init__(directory, bootstrap, {**own, **(environment or {})})
        self.prefix = prefix
        self.group = f"{prefix}workers"
        self.partitions = partitions
        self.data = directory / "view"
        self.worker_urls = {name: f"http://{LOOPBACK}:{free_port()}" for name in workers}
        self.workers = {name: self._worker(name, url) for name, url in self.worker_urls.items()}
        self.view = Command(
            *("view", "--data-dir", str(self.data), "--http", self.http),
            log=directory / "view.log",
            environment={**self.environment, "EVAL_ALIGNMENT_BROKERS": bootstrap, **(view or {})},
        )

    def topic(self, role: str) -> str:
        """The full name of a topic by its role, such as `queue-items` or `dead-letters`."""
        return f"{self.prefix}alignment.{role}.v1"

    def waiting(self, worker: str) -> Path:
        """The directory of a worker's waiting evaluations."""
        return self.directory / "eval-alignment-data" / "waiting" / worker

    def send(self, *events: Mapping[str, Any]) -> None:
        """`load` of these events from standard input."""
        lines = b"".join(json.dumps(event).encode() + b"\n" for event in events)
        self.run("load", "--broker", self.broker, "-", stdin=lines)

    def create_topics(self) -> None:
        """`topics apply`."""
        self.run("topics", "apply", "--broker", self.broker, "--partitions", str(self.partitions))

    def wait_ready(self) -> Self:
        """Return when view and workers are ready."""
        self.view.wait_ready(self.url)
        for name, worker in self.workers.items():
            worker.wait_ready(self.worker_urls[name])
        return self

    def start(self) -> Self:
        """Create topics, start all, and wait for them."""
        try:
            self.create_topics()
            for process in (self.view, *self.workers.values()):
                process.start()
            return self.wait_ready()
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """SIGTERM to all; kills those that do not end; fails when a process is still running."""
        with self._nothing_left(), contextlib.ExitStack() as closing:
            for process in (self.view, *self.workers.values()):
                closing.callback(process.close)
                if process.running:
                    process.send(signal.SIGTERM)

    def _worker(self, name: str, url: str) -> Command:
        return Command(
            *("worker", "--broker", self.broker, "--name", name, "--http", url.removeprefix("http://")),
            log=self.directory / f"{name}.log",
            environment=self.environment,
        )
