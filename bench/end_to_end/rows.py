"""The rows of the table, one function for each part of the run."""

import asyncio
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import load
from bench.end_to_end import flow
from bench.end_to_end.flow import Freshness, percentile
from bench.end_to_end.memory import ONE_EVALUATION, REFERENCE, coefficients, held
from bench.end_to_end.scrapes import Scrapes, scrapes, series_shown
from bench.end_to_end.site import Row, Site, patiently
from bench.end_to_end.store import making, own_rate
from bench.reference import EVENTS_PER_ITEM, Event
from tests.support.kafka import Kafka
from tests.support.processes import get_json, resident_bytes

COMPARISONS_PER_ITEM: Final = 24 * 9
_QUEUES: Final = 7
"""Of 48 pairs with up to 36 series each: more than 10,000 series, and the cap is set higher."""
_MIB: Final = 2**20


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes of a run: items of a queue, items of the reference load, seconds of each flow, rates."""

    queued: int = 500_000
    reference: int = 30_304
    seconds: float = 20
    rates: tuple[int, ...] = (1_000, 10_000)
    known: int = 1_000
    own: int = 6_000
    shard: int = 4_096


SMALL: Final = Sizes(queued=2_500, reference=700, seconds=3, rates=(200,), known=100, own=200, shard=256)


def shard_memory(sizes: Sizes) -> Iterator[Row]:
    """Bytes per row and item, in process, and the formula's coefficients."""
    known = coefficients(sizes.shard)
    yield Row(
        "memory of a shard: coefficients",
        f"{known.annotation:.0f} bytes an annotation, {known.evaluation:.0f} an evaluation, {known.item:.0f} an item, "
        f"{known.tally:.0f} a tally",
    )
    for name, shape, items in (
        ("one evaluation an item", ONE_EVALUATION, 4 * sizes.shard),
        ("24 annotations and 9 evaluations an item", REFERENCE, sizes.shard // 2),
    ):
        of = held(shape, items, seed=2)
        rows = of.size.annotations + of.size.evaluations
        yield Row(
            f"memory of a shard: {name}, {items:,} items",
            f"{of.bytes / items:,.0f} bytes an item, {of.bytes / rows:,.0f} a row; by the formula "
            f"{known.bytes(of.size) / of.bytes:.0%} of it",
        )


def worker(site: Site, what: str, pieces: Iterable[list[Event]]) -> Iterator[Row]:
    """Memory of a real worker, and the time of a restart. The worker runs afterwards."""
    site.start_worker()
    idle = resident_bytes(site.worker.pid)
    count = asyncio.run(_preload(site, pieces))
    site.wait_for_metric("eval_alignment_facts_written_total", count)
    site.wait_for_metric("eval_alignment_uncommitted_events", 0)
    loaded = resident_bytes(site.worker.pid)
    ledger = site.log_bytes("facts")
    site.worker.kill()
    seconds = site.start_worker()
    rows, replaying = site.replayed()
    assert rows >= count, f"{rows} rows were replayed, the load has {count}"
    restored = resident_bytes(site.worker.pid)
    yield Row(
        f"memory of a worker, {what}",
        f"{loaded / _MIB:,.0f} MiB ({(loaded - idle) / count:,.0f} bytes a row over the {idle / _MIB:.0f} MiB of an "
        f"idle one), {restored / _MIB:,.0f} MiB after a restart",
    )
    yield Row(
        f"restore, {what}",
        f"{rows / replaying:,.0f} rows/s; ready {seconds:.1f} s after `kill -9` and start, with {rows:,} rows",
    )
    yield Row(f"ledger on the broker's disk, {what}", f"{ledger / count:,.0f} bytes a row")


async def _preload(site: Site, pieces: Iterable[list[Event]]) -> int:
    async with load.batching(site.kafka.bootstrap) as producer:
        return await load.preload(producer, site.topics, site.cluster.partitions, pieces)


def catch_up(site: Site, facts: int) -> Iterator[Row]:
    """A view from nothing; every comparison of the load must be served."""
    seconds = site.start_view()
    expected = facts // EVENTS_PER_ITEM * COMPARISONS_PER_ITEM
    first = time.monotonic()
    queues = get_json(f"{site.cluster.url}/api/v1/queues")["queues"]
    first = time.monotonic() - first
    served = sum(queue["cards"]["comparisons"] for queue in queues)
    assert served == expected, f"{served} comparisons are served, the load has {expected}"
    yield Row(
        f"view from nothing, {facts:,} facts",
        f"{seconds:.0f} s, {facts / seconds:,.0f} facts/s; {resident_bytes(site.cluster.view.pid) / _MIB:,.0f} MiB; "
        f"store {site.store.stat().st_size / facts:,.0f} bytes a fact; then {len(queues)} documents in {first:.1f} s",
    )
    made = making(site.store, queues[0]["queue"])
    times = ", ".join(f"{window} {taken * 1000:,.0f} ms" for window, taken in made.seconds.items())
    yield Row(f"making a document of {made.items:,} items and {made.pairs} pairs", times)


def view_rate(sizes: Sizes) -> Iterator[Row]:
    """The view's own rate, without a broker."""
    with tempfile.TemporaryDirectory() as directory:
        own = own_rate(load.reference(sizes.own, _start_ms()), Path(directory))
    yield Row(
        "into SQLite, each alone",
        f"{own.facts:,.0f} facts/s of {own.fact_bytes:,.0f} bytes, {own.tallies:,.0f} tallies/s of "
        f"{own.tally_bytes:,.0f} bytes",
    )


def freshness(site: Site, sizes: Sizes) -> Iterator[Row]:
    """Produce to tally with the worker alone, then produce to gauge with the view, at each rate."""
    site.start_worker()
    asyncio.run(_preload(site, load.reference(sizes.known, _start_ms(), seed=900)))
    asyncio.run(flow.prepare(site))
    for run, rate in enumerate(sizes.rates, 1):
        before = {role: site.log_bytes(role) for role in ("facts", "tallies")}
        measured = asyncio.run(flow.to_tally(site, rate, sizes.seconds, run))
        written = {role: site.log_bytes(role) - size for role, size in before.items()}
        events = (rate + flow.PROBES_A_SECOND) * sizes.seconds + rate * flow.WARM_UP_SECONDS
        limit = 0.2 if rate <= 1_000 else 0.35
        cores = measured.cores.used["worker"]
        yield _fresh(f"produce to tally, {rate:,} events/s", measured, 150)
        yield Row(f"cores of the worker, {rate:,} events/s", f"{cores:.2f}", f"<= {limit:g}", cores <= limit)
        yield Row(
            f"broker's disk, {rate:,} events/s",
            f"ledger {written['facts'] / events:,.0f} and tallies {written['tallies'] / events:,.0f} bytes an event",
        )
    site.start_view()
    for run, rate in enumerate(sizes.rates, len(sizes.rates) + 1):
        measured = asyncio.run(flow.to_gauge(site, rate, sizes.seconds, run, queues=1))
        series = series_shown(site.cluster.url)
        yield _fresh(f"produce to gauge, {rate:,} events/s, {series:,} series", measured, 500)
        yield Row(f"cores meanwhile, {rate:,} events/s", _cores(measured))


def scraping(site: Site, sizes: Sizes) -> Iterator[Row]:
    """Scrapes of 10,000 series of a large store while events flow, and freshness at the same time."""
    asyncio.run(flow.prepare(site))
    patiently(lambda: series_shown(site.cluster.url) > 0, "the view exports gauges")
    rate = min(sizes.rates)
    shown = series_shown(site.cluster.url)

    async def meanwhile(seed: int, pause: float, parallel: int, unread: int) -> Scrapes:
        async with flow.flowing(site, rate, sizes.seconds, seed=seed, queues=_QUEUES):
            return await asyncio.to_thread(
                scrapes, site.cluster.http, sizes.seconds, parallel=parallel, unread=unread, pause=pause
            )

    one = asyncio.run(meanwhile(20_000, 0.1, 1, 0))
    what = f"{shown:,} series, {rate:,} events/s"
    yield _scrape(f"one scraper, {what} ({one.bytes / _MIB:.1f} MiB)", one)
    fresh = asyncio.run(flow.to_gauge(site, rate, sizes.seconds, 40, queues=_QUEUES))
    yield _fresh(f"produce to gauge, {what}", fresh, 500)
    yield Row(f"cores meanwhile, {what}", _cores(fresh))
    many = asyncio.run(meanwhile(30_000, 0.0, 20, 1))
    yield _scrape(f"20 scrapers without a pause and one that does not read, {what}", many)


def _scrape(what: str, measured: Scrapes) -> Row:
    slowest = percentile(measured.ms, 99)
    return Row(
        f"scrape: {what}",
        f"p50 {percentile(measured.ms, 50):.0f} ms, p99 {slowest:.0f} ms, {measured.rate:.0f} a second",
        "p99 <= 250 ms",
        slowest <= 250,
    )


def _fresh(what: str, measured: Freshness, limit_ms: float) -> Row:
    slowest = percentile(measured.ms, 99)
    return Row(
        what,
        f"p50 {percentile(measured.ms, 50):.0f} ms, p99 {slowest:.0f} ms",
        f"p99 <= {limit_ms:g} ms",
        slowest <= limit_ms,
    )


def _cores(measured: Freshness) -> str:
    return ", ".join(f"{name} {cores:.2f}" for name, cores in measured.cores.used.items())


def _start_ms() -> int:
    """Two days ago, so that the days of the load are in every window."""
    return time.time_ns() // 1_000_000 - 2 * 86_400_000


def parts(kafka: Kafka, directory: Path, sizes: Sizes) -> Iterator[Row]:
    """All rows, in order."""
    yield from shard_memory(sizes)
    yield from view_rate(sizes)
    with Site(kafka, "queued.", directory) as site:
        what = f"{2 * sizes.queued:,} rows of {sizes.queued:,} items of a queue"
        yield from worker(site, what, load.queued(sizes.queued, _start_ms()))
    with Site(kafka, "fresh.", directory) as site:
        yield from freshness(site, sizes)
    with Site(kafka, "reference.", directory, {"EVAL_ALIGNMENT_SERIES_LIMIT": "20000"}) as site:
        facts = sizes.reference * EVENTS_PER_ITEM
        pieces = load.reference(sizes.reference, _start_ms(), queues=_QUEUES)
        yield from worker(site, f"{facts:,} rows of {sizes.reference:,} items", pieces)
        yield from catch_up(site, facts)
        yield from scraping(site, sizes)
