"""`python -m bench.scale`: one worker and one view with many evaluations that wait, or many annotated items.

On a real Apache Kafka with real processes, and the production load (`bench.production`), or with `--dense` the
reference load, whose items are all annotated (`bench.reference`). Measured: memory and disk, a
restart after `kill -9`, a start without the worker's disk (as after a lost machine, or a take-over by a worker that
never had the partitions), and pages of the view. Every comparison must be served in the end.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Final

from bench import load, production, reference
from bench.end_to_end.report import logged, machine, table
from bench.end_to_end.site import Row, Site, sample
from bench.reference import Event
from streams.events.decoder import Kind
from tests.support import kafka
from tests.support.kafka import Kafka
from tests.support.processes import get, resident_bytes, wait_until

_HOUR_SECONDS: Final = 3600.0
_MIB: Final = 2**20
_TIMES: Final = 5


class _Load:
    """A load that is counted while it is sent, piece by piece: in order of time, unless it is dense."""

    def __init__(self, items: int, *, dense: bool) -> None:
        self._items = items
        self._dense = dense
        self.queue = reference.QUEUE if dense else "support"
        self.of_item = reference.EVALUATIONS_OF_ITEM if dense else production.OF_ITEM
        """Evaluations of each item."""
        self.evaluations = 0
        self.annotations = 0
        self.annotated: set[bytes] = set()

    def pieces(self) -> Iterator[list[Event]]:
        """All events."""
        for first in range(0, self._items, production.PIECE_ITEMS):
            count = min(production.PIECE_ITEMS, self._items - first)
            if self._dense:
                piece = reference.events(count, seed=first)
            else:
                piece = production.events(first, count, self._items, seed=first)
            rated = [item for kind, item, _ in piece if kind is Kind.ANNOTATION]
            self.annotations += len(rated)
            self.evaluations += len(piece) - len(rated)
            self.annotated.update(rated)
            yield piece

    @property
    def comparisons(self) -> int:
        """What they must come to."""
        return self.annotations * self.of_item


def rows(site: Site, items: int, *, dense: bool) -> Iterator[Row]:
    """All rows, in order."""
    sent = _Load(items, dense=dense)
    site.start_worker()
    site.start_view()
    idle = resident_bytes(site.worker.pid)
    with site.cores() as cores:
        started = time.monotonic()
        asyncio.run(_send(site, sent.pieces()))
        sending = time.monotonic() - started
        _wait_served(site, sent)
        seconds = time.monotonic() - started
    events, annotated = sent.evaluations + sent.annotations, len(sent.annotated)
    waiting = sent.evaluations - sent.of_item * annotated
    yield Row(
        f"{sent.evaluations:,} evaluations and {sent.annotations:,} annotations of {annotated:,} items, until every "
        "comparison is served",
        f"{seconds:.0f} s, {events / seconds:,.0f} events/s; sending them took {sending:.0f} s of it",
    )
    yield Row("cores meanwhile, without the load's", ", ".join(f"{name} {of:.2f}" for name, of in cores.used.items()))
    if waiting:
        on_disk = sample(site.worker_url, "eval_alignment_waiting_bytes")
        topic = site.log_bytes("evaluations")
        yield Row(
            f"{waiting:,} evaluations wait: disk of each",
            f"{on_disk / waiting:.0f} bytes; in the topic (lz4) {topic / sent.evaluations:.0f}",
        )
    yield _memory(site, "memory of the worker", idle)
    yield Row(
        "view",
        f"{resident_bytes(site.cluster.view.pid) / _MIB:,.0f} MiB of memory, store of "
        f"{sum(part.stat().st_size for part in site.store.parent.glob(f'{site.store.name}*')) / _MIB:,.0f} MiB",
    )
    site.worker.kill()
    seconds = site.start_worker()
    site.wait_settled(_HOUR_SECONDS)
    yield Row(
        "restart after `kill -9`", f"ready in {seconds:.1f} s, of which the group waits up to 10 for the killed worker"
    )
    yield _memory(site, "memory of the worker, restarted", idle)
    if waiting:
        yield from _without_disk(site, waiting)
        yield _memory(site, "memory of the worker, rebuilt", idle)
    _wait_served(site, sent)
    for what, path in {
        "start page": "/",
        "page of the queue": f"/queues/{sent.queue}",
        "its details": f"/queues/{sent.queue}?more=1",
        "list of items": f"/queues/{sent.queue}/items",
        "search for an item": f"/queues/{sent.queue}/items?search={min(sent.annotated).decode()}",
    }.items():
        try:
            first, *later = (_timed(site, path) for _ in range(1 + _TIMES))
        except TimeoutError:
            taken = "no answer in time"
        else:
            taken = f"first {first:.0f} ms, then {median(later):.0f} ms"
        yield Row(f"{what}, {annotated:,} annotated items", taken)


def _without_disk(site: Site, waiting: int) -> Iterator[Row]:
    """A start without what waits on the worker's disk."""
    site.worker.kill()
    site.lose_disk()
    started = time.monotonic()
    seconds = site.start_worker()
    site.wait_settled(_HOUR_SECONDS)
    rebuilt = time.monotonic() - started
    yield Row(
        "start without the disk of before",
        f"ready in {seconds:.1f} s; all read again after {rebuilt:.0f} s, {waiting / rebuilt:,.0f} a second",
    )


async def _send(site: Site, pieces: Iterator[list[Event]]) -> int:
    async with load.batching(site.kafka.bootstrap) as producer:
        return await load.preload(producer, site.topics, site.cluster.partitions, pieces)


def _wait(condition: Callable[[], bool], what: str) -> None:
    wait_until(condition, _HOUR_SECONDS, what)


def _wait_served(site: Site, sent: _Load) -> None:
    _wait(lambda: _served(site, sent.queue) == sent.comparisons, "all comparisons of the load are served")


def _served(site: Site, queue: str) -> int:
    document = site.cluster.document(queue)
    return 0 if document is None else int(document["cards"]["comparisons"])


def _memory(site: Site, what: str, idle: int) -> Row:
    now = resident_bytes(site.worker.pid)
    return Row(what, f"{now / _MIB:,.0f} MiB, {(now - idle) / _MIB:,.0f} over an idle one")


def _timed(site: Site, path: str) -> float:
    started = time.perf_counter()
    answer = get(site.cluster.url + path)
    assert answer.status == 200, answer
    return 1000 * (time.perf_counter() - started)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000, help="10,000,000 for 30 million evaluations")
    parser.add_argument("--dense", action="store_true", help="annotate all items: 303,031 for 10 million rows")
    options = parser.parse_args()
    if reason := kafka.missing():
        raise SystemExit(f"Apache Kafka cannot run here: {reason}")
    with (
        Kafka(heap="1g", brief=False) as broker,
        tempfile.TemporaryDirectory() as directory,
        Site(broker, "scale.", Path(directory)) as site,
    ):
        content = table(logged(rows(site, options.items, dense=options.dense)))
    print(f"{machine()}\n\n{content}")


if __name__ == "__main__":
    main()
