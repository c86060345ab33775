"""Rows 14 and 15: a hundred thousand queues, and readers that are many, slow, or never read."""

import asyncio
import http.client
import itertools
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from statistics import quantiles
from urllib.parse import quote

import orjson
import pytest

from sinks.view import STORE_NAME
from tests.faults.judging import rig_of
from tests.integration.streams.rig import Event, Rig
from tests.support.deployments import Cluster
from tests.support.exposition import Series, series, value
from tests.support.kafka import Kafka
from tests.support.processes import LOOPBACK, get, wait_until

QUEUES = 100_000
SENT_SECONDS = 60.0
COUNTED_SECONDS = 240.0
SERIES = 10_000
MEGABYTES = 1_500
SCRAPE_MS = 250.0
CLIENTS = 20
SCRAPES = 200
DROPPED_SECONDS = 60.0
T0 = 1_780_000_000_000
BIG = "big"
BIG_METRICS = 200

Measure = Callable[..., None]


@pytest.fixture(scope="module")
def cluster(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster that counts many queues."""
    with Cluster(kafka.bootstrap, "series.", tmp_path_factory.mktemp("series"), partitions=4) as running:
        yield running


@pytest.fixture
def rig(cluster: Cluster) -> Rig:
    """A rig on the cluster's topics."""
    return rig_of(cluster)


def annotation(rig: Rig, queue: str, item: str, at: int = T0) -> Event:
    """A thumb up, as an event."""
    event = {"id": f"a{at}", "at": at, "queue": queue, "item": item, "thumbs": "up"}
    return rig.topics.annotations, item.encode(), orjson.dumps(event)


def evaluation(rig: Rig, item: str, metric: str = "relevance", at: int = T0) -> Event:
    """A pass, as an event."""
    event = {"id": f"e{at}", "at": at, "item": item, "metric": metric, "passed": at % 2 == 0}
    return rig.topics.evaluations, item.encode(), orjson.dumps(event)


def megabytes(pid: int) -> float:
    """The peak memory of a process."""
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines() if "VmHWM" in line)
    return int(line.split()[1]) / 1024


def queues_in_store(cluster: Cluster) -> int:
    """The number of queues in the view."""
    with closing(sqlite3.connect(f"{(cluster.data / STORE_NAME).as_uri()}?mode=ro", uri=True)) as store:
        (count,) = store.execute("SELECT count(*) FROM queues").fetchone()
        return int(count)


def scraped(cluster: Cluster) -> Series:
    """A scrape of the view."""
    return series(cluster.metrics())


@pytest.mark.row(14)
@pytest.mark.faults
@pytest.mark.timeout(600)
async def test_row_14_a_hundred_thousand_queues_are_capped_and_counted(
    cluster: Cluster, rig: Rig, measured: Measure
) -> None:
    began = time.monotonic()
    for start in range(0, QUEUES, 10_000):
        names = [f"queue-{number}" for number in range(start, start + 10_000)]
        await rig.send(itertools.chain.from_iterable((annotation(rig, n, n), evaluation(rig, n)) for n in names))
    sent = time.monotonic() - began
    assert sent < SENT_SECONDS
    await rig.settled(COUNTED_SECONDS)
    measured(f"{QUEUES} queues sent in {sent:.0f} s, committed after", time.monotonic() - began)
    await asyncio.to_thread(
        wait_until, lambda: queues_in_store(cluster) == QUEUES, COUNTED_SECONDS, "the view knows every queue"
    )
    measured("in the view after", time.monotonic() - began)

    def capped() -> bool:
        samples = scraped(cluster)
        product = [name for name, labels in samples if any(label == "queue" for label, _ in labels)]
        suppressed = value(samples, "eval_alignment_series_suppressed_total") or 0
        assert len(product) <= SERIES
        return len(product) > SERIES * 0.95 and suppressed > QUEUES

    await asyncio.to_thread(wait_until, capped, COUNTED_SECONDS, "the gauges are capped, the rest is counted")
    # Queues that the cap keeps out of the gauges are on the API.
    await asyncio.to_thread(
        wait_until,
        lambda: cluster.document(f"queue-{QUEUES - 1}")["cards"]["comparisons"] == 1,
        COUNTED_SECONDS,
        "the last queue is compared",
    )
    worker, view = megabytes(cluster.workers["w1"].pid), megabytes(cluster.view.pid)
    assert max(worker, view) < MEGABYTES
    measured(f"at most {SERIES} series; worker {worker:.0f} MB, view {view:.0f} MB at most")


@contextmanager
def unread(cluster: Cluster, path: str) -> Iterator[socket.socket]:
    """A request whose reply is never read."""
    with closing(socket.socket()) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        host, _, port = cluster.http.partition(":")
        connection.connect((host, int(port)))
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {LOOPBACK}\r\n\r\n".encode())
        yield connection


def scrape_ms(cluster: Cluster, times: int) -> list[float]:
    """Durations of scrapes, one after the other on one connection."""
    took = []
    with closing(http.client.HTTPConnection(cluster.http, timeout=30)) as connection:
        for _ in range(times):
            began = time.monotonic()
            connection.request("GET", "/metrics")
            answer = connection.getresponse()
            body = answer.read()
            took.append((time.monotonic() - began) * 1000)
            assert answer.status == 200
            assert body.endswith(b"\n")
    return took


def p99(took: list[float]) -> float:
    """The 99th percentile."""
    return quantiles(took, n=100)[98]


@pytest.mark.row(15)
@pytest.mark.faults
async def test_row_15_slow_scrapers_hold_nobody_up(cluster: Cluster, measured: Measure) -> None:
    """After row 14: the scrape has 10,000 series."""
    size = len((await asyncio.to_thread(get, f"{cluster.url}/metrics")).body)
    with ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(unread(cluster, "/metrics"))
        alone = await asyncio.to_thread(scrape_ms, cluster, SCRAPES)
        with ThreadPoolExecutor(CLIENTS) as threads:
            began = time.monotonic()
            together = list(threads.map(lambda _: scrape_ms(cluster, SCRAPES // CLIENTS), range(CLIENTS)))
            rate = SCRAPES / (time.monotonic() - began)
    parallel = [took for of_one in together for took in of_one]
    measured(f"scrape of {size // 1000} kB while 5 others do not read: p99", p99(alone), "ms")
    measured(f"{CLIENTS} in parallel, {rate:.0f} scrapes a second: p99", p99(parallel), "ms")
    assert max(p99(alone), p99(parallel)) <= SCRAPE_MS


@pytest.mark.row(15)
@pytest.mark.faults
async def test_row_15_a_reader_that_never_reads_is_dropped(cluster: Cluster, rig: Rig, measured: Measure) -> None:
    metrics = [f"metric-{number}" for number in range(BIG_METRICS)]
    await rig.send([annotation(rig, BIG, BIG), *(evaluation(rig, BIG, metric) for metric in metrics)])

    def shown() -> bool:
        document = cluster.document(BIG)
        return document is not None and document["cards"]["metrics"] == BIG_METRICS

    await asyncio.to_thread(wait_until, shown, COUNTED_SECONDS, "the big document")

    def open_streams() -> float | None:
        return value(scraped(cluster), "eval_alignment_stream_clients")

    with unread(cluster, f"/api/v1/stream?queue={quote(BIG)}"):
        began = time.monotonic()
        await asyncio.to_thread(wait_until, lambda: open_streams() == 1, DROPPED_SECONDS, "the stream is open")
        dropped = asyncio.create_task(
            asyncio.to_thread(wait_until, lambda: open_streams() == 0, DROPPED_SECONDS, "the stream is dropped")
        )
        for at in itertools.count(T0 + 1):
            # The document changes all the time.
            await rig.send([annotation(rig, BIG, BIG, at), evaluation(rig, BIG, metrics[0], at)])
            done, _ = await asyncio.wait([dropped], timeout=0.5)
            if done:
                break
        await dropped
    measured("a stream that nobody reads was dropped after", time.monotonic() - began)
