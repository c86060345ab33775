"""A real worker and a real view on a real Apache Kafka, seen from outside: memory, CPU, metrics, log."""

import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from bench.comparison.processes import cpu_seconds
from sinks.view import STORE_NAME
from streams.kafka.topics import TABLE, Topics
from tests.support.deployments import Cluster
from tests.support.kafka import Kafka
from tests.support.processes import Command, get, wait_until

PATIENCE_SECONDS: Final = 600.0
_REPLAYED: Final = re.compile(r"replayed (\d+) ledger rows of \d+ partitions in ([\d.]+) s")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table. `met` is None without a target."""

    what: str
    measured: str
    target: str = ""
    met: bool | None = None


@dataclass(slots=True)
class Cores:
    """CPU cores used during a period, by process."""

    used: Mapping[str, float]


class Site:
    """Topics of a prefix, and the processes that use them."""

    def __init__(
        self, kafka: Kafka, prefix: str, directory: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.kafka = kafka
        self.cluster = Cluster(kafka.bootstrap, prefix, directory / prefix.rstrip("."), environment=environment)
        self.topics = Topics(**{spec.role: f"{prefix}{getattr(Topics(), spec.role)}" for spec in TABLE})
        self.prefix = prefix

    def __enter__(self) -> Self:
        self.cluster.create_topics()
        return self

    def __exit__(self, *_: object) -> None:
        self.cluster.stop()

    @property
    def worker(self) -> Command:
        """The worker."""
        (worker,) = self.cluster.workers.values()
        return worker

    @property
    def worker_url(self) -> str:
        """The address of the worker."""
        (url,) = self.cluster.worker_urls.values()
        return url

    @property
    def store(self) -> Path:
        """The view's store."""
        return self.cluster.data / STORE_NAME

    def start_worker(self) -> float:
        """Start the worker, and return the seconds until it was ready."""
        started = time.monotonic()
        self.worker.start().wait_ready(self.worker_url, PATIENCE_SECONDS)
        return time.monotonic() - started

    def start_view(self) -> float:
        """Start the view, and return the seconds until it had caught up."""
        started = time.monotonic()
        self.cluster.view.start().wait_ready(self.cluster.url, PATIENCE_SECONDS)
        return time.monotonic() - started

    def wait_for_metric(self, name: str, value: float) -> None:
        """Return when a metric of the worker, summed over its labels, has this value."""
        patiently(lambda: sample(self.worker_url, name) == value, f"{name} is {value:,.0f}")

    def wait_settled(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Return when the worker has read everything again that waits and that its disk lacked."""

        def is_settled() -> bool:
            # A worker that has just started has no series.
            left = samples(self.worker_url, "eval_alignment_waiting_rebuild_events")
            return len(left) == self.cluster.partitions and not any(left)

        wait_until(is_settled, seconds, "nothing is read again")

    def lose_disk(self) -> None:
        """Delete what waits on the disk of the worker, which must not run."""
        for name in self.cluster.workers:
            shutil.rmtree(self.cluster.waiting(name))

    def replayed(self) -> tuple[int, float]:
        """Rows of the last restore, and the seconds that their replay took, as the worker logs them."""
        rows, seconds = _REPLAYED.findall(self.worker.text())[-1]
        return int(rows), float(seconds)

    def log_bytes(self, role: str) -> int:
        """The bytes of a topic on the broker's disk, compressed as it was sent."""
        logs = (self.kafka.directory / "data").glob(f"{getattr(self.topics, role)}-*/*.log")
        return sum(log.stat().st_size for log in logs)

    @contextmanager
    def cores(self, **others: int) -> Iterator[Cores]:
        """CPU cores used by worker, view, broker and `others` (process ids by name) within the context; known when it
        ends.
        """
        pids = {**others, "worker": self.worker.pid, "broker": self.kafka.pid or 0}
        if self.cluster.view.running:
            pids["view"] = self.cluster.view.pid
        before = {name: cpu_seconds(pid) for name, pid in pids.items()}
        started = time.monotonic()
        cores = Cores({})
        yield cores
        seconds = time.monotonic() - started
        cores.used = {name: (cpu_seconds(pid) - before[name]) / seconds for name, pid in pids.items()}


def sample(url: str, name: str) -> float:
    """Sum of the samples of a metric on a worker's or view's `/metrics`."""
    return sum(samples(url, name))


def samples(url: str, name: str) -> list[float]:
    """The sample of each series of a metric; none before the metric has labels."""
    lines = get(f"{url}/metrics").body.decode().splitlines()
    return [float(line.rsplit(" ", 1)[1]) for line in lines if re.match(rf"{name}(\{{|\s)", line)]


def patiently(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition, up to `PATIENCE_SECONDS`."""
    wait_until(condition, PATIENCE_SECONDS, what)
