"""`python -m bench.scale`: one worker and one view with many evaluations that wait, and many annotated items.

On a real Apache Kafka with real processes. Evaluations by three metrics of each item come first, with reasons of 60 to
200 bytes; then people annotate one item of fifty, on two criteria. Measured: memory and disk, a restart after
`kill -9`, a start without the worker's disk (as after a lost machine, or a take-over by a worker that never had the
partitions), and pages of the view. Every comparison must be served in the end.
"""

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Final

from bench import load
from bench.end_to_end.report import machine, table
from bench.end_to_end.site import Row, Site, sample
from bench.reference import Event
from streams.events.decoder import Kind
from tests.support import kafka
from tests.support.kafka import Kafka
from tests.support.processes import get, resident_bytes, wait_until

METRICS: Final = 3
CRITERIA: Final = ("helpfulness", "tone")
OF_ITEMS: Final = 50
"""One item of so many is annotated."""
QUEUE: Final = "support"
_HOUR_SECONDS: Final = 3600.0
_PIECE: Final = 10_000
_DAYS_MS: Final = 2 * 86_400_000
_MIB: Final = 2**20
_TIMES: Final = 5
_WORDS: Final = "the answer names a source that contradicts the context and leaves out what the user asked about"


def _item(number: int) -> str:
    return f"trace-{number * 2_654_435_761 % 2**32:08x}-{number}"


def evaluations(items: int, now_ms: int) -> Iterator[list[Event]]:
    """Evaluations of all items in the order of time, piece by piece, over the two days before `now_ms`."""
    rng = random.Random(1)
    words = _WORDS.split()
    reasons = [" ".join(rng.choices(words, k=rng.randint(11, 34)))[:200].encode() for _ in range(5_000)]
    scores = [b"0.25", b"0.5", b"0.75", b"1"]
    for first in range(0, items, _PIECE):
        piece = []
        for number in range(first, min(items, first + _PIECE)):
            item, at = _item(number).encode(), now_ms - _DAYS_MS + number * _DAYS_MS // items
            for metric in range(METRICS):
                value = (
                    b'{"id":"%016x","at":%d,"item":"%s","level":"trace","metric":"metric %d by judge","score":%s,'
                    b'"threshold":0.5,"judge":"gpt-4o/p3","reason":"%s"}'
                    % (rng.getrandbits(64), at, item, metric, rng.choice(scores), rng.choice(reasons))
                )
                piece.append((Kind.EVALUATION, item, value))
        yield piece


def annotations(items: int, now_ms: int) -> Iterator[list[Event]]:
    """Annotations of one item of `OF_ITEMS`, one for each criterion."""
    rng = random.Random(2)
    numbers = range(0, items, OF_ITEMS)
    for first in range(0, len(numbers), _PIECE):
        piece = []
        for number in numbers[first : first + _PIECE]:
            item, at = _item(number).encode(), now_ms - _DAYS_MS + number * _DAYS_MS // items
            for criterion in CRITERIA:
                value = (
                    b'{"id":"%016x","at":%d,"queue":"%s","item":"%s","criterion":"%s","annotator":"p%d","stars":%d,'
                    b'"explanation":"Not what the customer asked for."}'
                    % (rng.getrandbits(64), at, QUEUE.encode(), item, criterion.encode(), number % 7, rng.randint(1, 5))
                )
                piece.append((Kind.ANNOTATION, item, value))
        yield piece


def rows(site: Site, items: int) -> Iterator[Row]:
    """All rows, in order."""
    now_ms = time.time_ns() // 1_000_000
    annotated = len(range(0, items, OF_ITEMS))
    site.start_worker()
    site.start_view()
    idle = resident_bytes(site.worker.pid)
    with site.cores() as cores:
        started = time.monotonic()
        waiting = asyncio.run(_send(site, evaluations(items, now_ms)))
        _wait(lambda: sample(site.worker_url, "eval_alignment_waiting_evaluations") >= waiting, "all evaluations wait")
        seconds = time.monotonic() - started
    yield Row(f"{waiting:,} evaluations sent and put to wait", f"{seconds:.0f} s, {waiting / seconds:,.0f} a second")
    used = ", ".join(f"{name} {of:.2f}" for name, of in cores.used.items())
    yield Row("cores meanwhile, without the load's", used)
    on_disk = sample(site.worker_url, "eval_alignment_waiting_bytes")
    topic = site.log_bytes("evaluations")
    yield Row(
        "disk of an evaluation that waits", f"{on_disk / waiting:.0f} bytes; in the topic (lz4) {topic / waiting:.0f}"
    )
    yield _memory(site, "memory of the worker, all waiting", idle)
    started = time.monotonic()
    asyncio.run(_send(site, annotations(items, now_ms)))
    _wait_served(site, annotated)
    seconds = time.monotonic() - started
    adopted = annotated * METRICS
    yield Row(
        f"{annotated:,} items annotated, until every comparison is served",
        f"{seconds:.0f} s, {adopted / seconds:,.0f} adopted evaluations a second",
    )
    yield _memory(site, "memory of the worker, with the rows of annotated items", idle)
    yield Row(
        "view",
        f"{resident_bytes(site.cluster.view.pid) / _MIB:,.0f} MiB of memory, store of "
        f"{sum(part.stat().st_size for part in site.store.parent.glob(f'{site.store.name}*')) / _MIB:,.0f} MiB",
    )
    site.worker.kill()
    seconds = site.start_worker()
    _settled(site)
    yield Row(
        "restart after `kill -9`", f"ready in {seconds:.1f} s, of which the group waits up to 10 for the killed worker"
    )
    yield _memory(site, "memory of the worker, restarted", idle)
    site.worker.kill()
    for directory in site.cluster.directory.glob("**/waiting-*"):
        shutil.rmtree(directory)
    started = time.monotonic()
    seconds = site.start_worker()
    _settled(site)
    rebuilt = time.monotonic() - started
    yield Row(
        "start without the disk of before",
        f"ready in {seconds:.1f} s; all read again after {rebuilt:.0f} s, {waiting / rebuilt:,.0f} a second",
    )
    yield _memory(site, "memory of the worker, rebuilt", idle)
    _wait_served(site, annotated)
    for what, path in {
        "start page": "/",
        "page of the queue": f"/queues/{QUEUE}",
        "its details": f"/queues/{QUEUE}?more=1",
        "list of items": f"/queues/{QUEUE}/items",
        "search": f"/queues/{QUEUE}/items?search={_item(OF_ITEMS)}",
    }.items():
        first, *later = (_timed(site, path) for _ in range(1 + _TIMES))
        yield Row(f"{what}, {annotated:,} annotated items", f"first {first:.0f} ms, then {median(later):.0f} ms")


async def _send(site: Site, pieces: Iterator[list[Event]]) -> int:
    async with load.batching(site.kafka.bootstrap) as producer:
        return await load.preload(producer, site.topics, site.cluster.partitions, pieces)


def _wait(condition: Callable[[], bool], what: str) -> None:
    wait_until(condition, _HOUR_SECONDS, what)


def _settled(site: Site) -> None:
    _wait(lambda: sample(site.worker_url, "eval_alignment_waiting_rebuild_events") == 0, "nothing is read again")


def _wait_served(site: Site, annotated: int) -> None:
    expected = annotated * METRICS * len(CRITERIA)
    _wait(lambda: _served(site) == expected, f"{expected:,} comparisons are served")


def _served(site: Site) -> int:
    document = site.cluster.document(QUEUE)
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
    options = parser.parse_args()
    if reason := kafka.missing():
        raise SystemExit(f"Apache Kafka cannot run here: {reason}")
    measured = []
    with (
        Kafka(heap="1g", brief=False) as broker,
        tempfile.TemporaryDirectory() as directory,
        Site(broker, "scale.", Path(directory)) as site,
    ):
        for row in rows(site, options.items):
            print(f"{row.what}: {row.measured}", file=sys.stderr, flush=True)
            measured.append(row)
    print(f"{machine()}\n\n{table(measured)}")


if __name__ == "__main__":
    main()
