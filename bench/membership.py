"""`python -m bench.membership`: 200 partitions, and five workers that join one after another and leave again.

On a real Apache Kafka with real processes, and the reference load. At each change, events are sent; measured is the
time until the view serves every comparison of them. Every comparison must be served after each change.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from bench import load, reference
from bench.end_to_end.report import logged, machine, table
from bench.end_to_end.site import PATIENCE_SECONDS, Row, patiently
from streams.events.decoder import Kind
from streams.kafka.topics import TABLE, Topics
from tests.support import kafka
from tests.support.deployments import Cluster
from tests.support.kafka import Kafka
from tests.support.processes import resident_bytes

_MIB: Final = 2**20


class _Sent:
    """The reference load, which is sent in pieces."""

    def __init__(self, cluster: Cluster, items: int) -> None:
        self._cluster = cluster
        self._items = items
        self._topics = Topics(**{spec.role: f"{cluster.prefix}{getattr(Topics(), spec.role)}" for spec in TABLE})
        self._pieces = 0
        self.comparisons = 0

    def send(self) -> None:
        """Send the events of further items."""
        self._pieces += 1
        piece = reference.events(self._items, seed=self._pieces)
        annotations = sum(kind is Kind.ANNOTATION for kind, _, _ in piece)
        self.comparisons += annotations * (len(piece) - annotations) // self._items
        asyncio.run(self._send(piece))

    async def _send(self, piece: list[reference.Event]) -> None:
        async with load.batching(self._cluster.broker) as producer:
            await load.preload(producer, self._topics, self._cluster.partitions, [piece])

    def wait_served(self) -> None:
        """Return when every comparison is served."""
        patiently(lambda: self._served() == self.comparisons, "all comparisons are served")

    def _served(self) -> int:
        document = self._cluster.document(reference.QUEUE)
        return 0 if document is None else int(document["cards"]["comparisons"])


def rows(cluster: Cluster, items: int) -> Iterator[Row]:
    """All rows, in order."""
    sent = _Sent(cluster, items)

    def changed(what: str, change: Callable[[], object], then: Callable[[], object] = lambda: None) -> Row:
        started = time.monotonic()
        change()
        sent.send()
        then()
        there = time.monotonic() - started
        sent.wait_served()
        return Row(what, f"{there:.1f} s; all served after {time.monotonic() - started:.1f} s")

    started = time.monotonic()
    cluster.create_topics()
    yield Row(f"topics of {cluster.partitions} partitions are created", f"{time.monotonic() - started:.1f} s")
    cluster.view.start().wait_ready(cluster.url, PATIENCE_SECONDS)
    names = list(cluster.workers)
    for number, name in enumerate(names, 1):
        worker, url = cluster.workers[name], cluster.worker_urls[name]
        yield changed(
            f"worker {number} joins until it is ready",
            worker.start,
            partial(worker.wait_ready, url, PATIENCE_SECONDS),
        )
    memory = sorted(resident_bytes(worker.pid) / _MIB for worker in cluster.workers.values())
    yield Row(f"memory of each of {len(names)} workers", f"{memory[0]:.0f} to {memory[-1]:.0f} MiB")
    yield changed(f"worker {len(names)} is killed with -9", cluster.workers[names[-1]].kill)
    for name in names[-2:0:-1]:
        yield changed("a worker leaves (SIGTERM) until it has ended", cluster.workers[name].terminate)
    last = cluster.workers[names[0]]
    yield Row("memory of the worker that is left", f"{resident_bytes(last.pid) / _MIB:.0f} MiB")
    yield Row("memory of the view", f"{resident_bytes(cluster.view.pid) / _MIB:.0f} MiB")
    yield Row("comparisons served in the end, all of them", f"{sent.comparisons:,}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.membership", description=__doc__)
    parser.add_argument("--partitions", type=int, default=200)
    parser.add_argument("--workers", type=int, default=5)
    parser.add_argument("--items", type=int, default=2_000, help="items sent at each change, 33 events each")
    options = parser.parse_args()
    if reason := kafka.missing():
        raise SystemExit(f"Apache Kafka cannot run here: {reason}")
    with Kafka(heap="1g", brief=False) as broker, tempfile.TemporaryDirectory() as directory:
        names = tuple(f"w{number}" for number in range(1, options.workers + 1))
        cluster = Cluster(
            broker.bootstrap, "members.", Path(directory) / "c", workers=names, partitions=options.partitions
        )
        try:
            content = table(logged(rows(cluster, options.items)))
        finally:
            cluster.stop()
    print(f"{machine()}\n\n{content}")


if __name__ == "__main__":
    main()
