"""Freshness while events flow: from producing an annotation until its comparison can be read, as a tally or a gauge.

Probes are annotations of items that one metric has judged, in a queue of their own, one every 25 ms. Each adds one
comparison, so the n-th of a partition has arrived when its tallies count n. A gauge sums over partitions: the n-th
probe of all has arrived when it shows n.
"""

import asyncio
import re
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from statistics import quantiles
from typing import Final

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from bench.end_to_end.site import PATIENCE_SECONDS, Cores, Site
from streams.kafka.client import KafkaClient
from streams.kafka.producer import home_partition, producer

_ROOT: Final = Path(__file__).resolve().parents[2]
PROBES_A_SECOND: Final = 40
WARM_UP_SECONDS: Final = 3.0
_SCRAPE_PAUSE_SECONDS: Final = 0.02
_ITEMS: Final = tuple(f"probe-item-{number}" for number in range(64))
_METRIC: Final = "probe metric"


@dataclass(frozen=True, slots=True)
class Freshness:
    """Milliseconds of each probe, and cores used meanwhile."""

    ms: list[float]
    cores: Cores


def percentile(numbers: list[float], which: int) -> float:
    """The percentile `which`; the median is the 50th."""
    return quantiles(numbers, n=100, method="inclusive")[which - 1]


async def prepare(site: Site) -> None:
    """One evaluation of each probe item."""
    async with producer(KafkaClient([site.kafka.bootstrap])) as out:
        for item in _ITEMS:
            event = {"id": f"e-{item}", "at": _now(), "item": item, "metric": _METRIC, "passed": True}
            await out.send(site.topics.evaluations, orjson.dumps(event), key=item.encode())
        await out.flush()


@asynccontextmanager
async def flowing(site: Site, rate: float, seconds: float, *, seed: int, queues: int) -> AsyncIterator[None]:
    """Send the reference load at a rate within the context, for so many seconds. The real rate is asserted."""
    if not rate:
        yield
        return
    options = {
        "partitions": site.cluster.partitions,
        "rate": rate,
        "seconds": seconds + WARM_UP_SECONDS,
        "seed": seed,
        "queues": queues,
    }
    arguments = [f"--{name}={value}" for name, value in options.items()]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.end_to_end.paced", site.kafka.bootstrap, site.prefix, *arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=_ROOT,
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        process.stdin.write(b"\n")
        await process.stdin.drain()
        await asyncio.sleep(WARM_UP_SECONDS)
        yield
        took = float(await process.stdout.readline())
        wanted = options["seconds"]
        assert took < float(wanted) * 1.05 + 1, f"the load took {took:.1f} s instead of {wanted} s"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def to_tally(site: Site, rate: float, seconds: float, run: int) -> Freshness:
    """Freshness of tallies: read by a consumer that does nothing else."""
    queue = f"probe-tally-{run}"
    mark = b'["cells","' + queue.encode()
    sent: dict[int, list[float]] = defaultdict(list)
    seen: dict[int, list[float]] = defaultdict(list)
    consumer = AIOKafkaConsumer(bootstrap_servers=site.kafka.bootstrap, enable_auto_commit=False)
    await consumer.start()
    rules = asyncio.create_task(_read_tallies(consumer, site, mark, seen))
    try:
        async with flowing(site, rate, seconds, seed=1_000 * run, queues=1):
            with site.cores() as cores:
                await _probe(site, queue, seconds, lambda partition, at: sent[partition].append(at))
            await _until(lambda: all(len(seen[place]) == len(times) for place, times in sent.items()))
    finally:
        rules.cancel()
        await asyncio.gather(rules, return_exceptions=True)
        await consumer.stop()
    pairs = ((at, found) for place, times in sent.items() for at, found in zip(times, seen[place], strict=True))
    return Freshness([(found - at) * 1000 for at, found in pairs], cores)


async def _read_tallies(consumer: AIOKafkaConsumer, site: Site, mark: bytes, seen: dict[int, list[float]]) -> None:
    places = [TopicPartition(site.topics.tallies, number) for number in range(site.cluster.partitions)]
    consumer.assign(places)
    await consumer.seek_to_end(*places)
    counted: Counter[int] = Counter()
    while True:
        for place, records in (await consumer.getmany(timeout_ms=1000)).items():
            now = time.monotonic()
            for record in records:
                if (record.key or b"").startswith(mark):
                    judges = orjson.loads(record.value or b"")["judges"].values()
                    found = sum(sum(vectors["current"]) for vectors in judges)
                    seen[place.partition] += [now] * (found - counted[place.partition])
                    counted[place.partition] = found


async def to_gauge(site: Site, rate: float, seconds: float, run: int, *, queues: int) -> Freshness:
    """Freshness of gauges, scraped repeatedly with a pause of 20 ms."""
    queue = f"probe-gauge-{run}"
    sent: list[float] = []
    seen: list[float] = []
    ended = threading.Event()
    async with flowing(site, rate, seconds, seed=1_000 * run + 500, queues=queues):
        scraping = asyncio.create_task(asyncio.to_thread(_scrape, site, queue, seen, ended))
        try:
            with site.cores() as cores:
                await _probe(site, queue, seconds, lambda _, at: sent.append(at))
            await _until(lambda: scraping.done() or len(seen) == len(sent))
        finally:
            ended.set()
            await scraping
    return Freshness([(found - at) * 1000 for at, found in zip(sent, seen, strict=True)], cores)


def _scrape(site: Site, queue: str, seen: list[float], ended: threading.Event) -> None:
    line = re.compile(rb'^eval_alignment_comparisons\{queue="' + queue.encode() + rb'".*\} (\S+)$', re.MULTILINE)
    connection = HTTPConnection(site.cluster.http, timeout=60)
    while not ended.is_set():
        connection.request("GET", "/metrics")
        body = connection.getresponse().read()
        now = time.monotonic()
        found = int(sum(map(float, line.findall(body))))
        seen += [now] * (found - len(seen))
        time.sleep(_SCRAPE_PAUSE_SECONDS)
    connection.close()


async def _probe(site: Site, queue: str, seconds: float, sent: Callable[[int, float], None]) -> None:
    """Send probes; `sent` is called with the partition and the time of each."""
    async with AIOKafkaProducer(bootstrap_servers=site.kafka.bootstrap, acks="all") as out:
        started = time.monotonic()
        for number in range(int(seconds * PROBES_A_SECOND)):
            await asyncio.sleep(max(0.0, started + number / PROBES_A_SECOND - time.monotonic()))
            item = _ITEMS[number % len(_ITEMS)].encode()
            partition = home_partition(item, site.cluster.partitions)
            event = {
                "id": f"{queue}-{number}",
                "at": _now(),
                "queue": queue,
                "item": item.decode(),
                "criterion": "probe",
                "annotator": f"a{number}",
                "thumbs": "up",
            }
            sent(partition, time.monotonic())
            await out.send(site.topics.annotations, orjson.dumps(event), key=item, partition=partition)
        await out.flush()


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 what is counted is counted in a thread too
            await asyncio.sleep(0.02)


def _now() -> int:
    return time.time_ns() // 1_000_000
