"""`python -m bench.waiting_site`: what readers notice of evaluations that wait, with real processes on a real Kafka.

How much longer a worker needs to be ready after `kill -9` because of them, and how much later counts are published
while all of them are read again. Both sides in turn, in one run. The group has forgotten the killed worker before it
starts again, so its session timeout is not measured.
"""

import argparse
import asyncio
import re
import sys
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient

from bench import load, production
from bench.end_to_end import flow
from bench.end_to_end.flow import percentile
from bench.end_to_end.report import logged, machine, table
from bench.end_to_end.site import Row, Site, sample
from bench.reference import Event
from streams.events.decoder import Kind
from tests.support import kafka
from tests.support.kafka import Kafka

_ROUNDS: Final = 3
_STARTS: Final = re.compile(r"^(\S+) .*: worker starts", re.MULTILINE)
_RESTORED: Final = re.compile(r"^(\S+) .*: generation \d+: \d+ partitions restored", re.MULTILINE)
_RATE: Final = 1_000
"""Live events a second."""


def rows(site: Site, count: int, seconds: float) -> Iterator[Row]:
    """Both rows: of about so many evaluations, and of so many seconds of live events in each round."""
    site.start_worker()
    without = [_restart(site) for _ in range(_ROUNDS)]
    sent = asyncio.run(_send(site, count))
    site.wait_for_metric("eval_alignment_waiting_evaluations", sent)
    waiting = [_restart(site) for _ in range(_ROUNDS)]
    longer = median(waiting) - median(without)
    times = [", ".join(f"{each:.2f}" for each in of) for of in (waiting, without)]
    yield Row(
        f"ready after `kill -9` with {sent:,} waiting - with none",
        f"{longer:.2f} s (medians of {times[0]} and {times[1]} s)",
        "<= 0.5 s",
        longer <= 0.5,
    )
    asyncio.run(flow.prepare(site))
    quiet: list[float] = []
    rebuilding: list[float] = []
    for number in range(1, 2 * _ROUNDS, 2):
        site.wait_settled()
        quiet += asyncio.run(flow.to_tally(site, _RATE, seconds, number)).ms
        _restart(site, lose_disk=True)
        rebuilding += asyncio.run(flow.to_tally(site, _RATE, seconds, number + 1)).ms
        if not sample(site.worker_url, "eval_alignment_waiting_rebuild_events"):
            sys.exit("everything was read again before the measurement ended: measure with more --evaluations")
    slow, usual = percentile(rebuilding, 99), percentile(quiet, 99)
    medians = f"p50 {percentile(rebuilding, 50):.0f} and {percentile(quiet, 50):.0f} ms"
    yield Row(
        f"produce to tally p99 while a rebuild runs / without, {_RATE:,} events/s",
        f"{slow / usual:.2f} ({slow:.0f} / {usual:.0f} ms; {medians})",
        "<= 1.5",
        slow <= 1.5 * usual,
    )


def _evaluations(count: int) -> Iterator[list[Event]]:
    """The production load without its annotations."""
    items = count // production.OF_ITEM
    for first in range(0, items, production.PIECE_ITEMS):
        piece = production.events(first, min(production.PIECE_ITEMS, items - first), items, seed=first)
        yield [event for event in piece if event[0] is Kind.EVALUATION]


async def _send(site: Site, count: int) -> int:
    async with load.batching(site.kafka.bootstrap) as producer:
        return await load.preload(producer, site.topics, site.cluster.partitions, _evaluations(count))


def _restart(site: Site, *, lose_disk: bool = False) -> float:
    """Kill the worker with -9 and start it; returns the seconds from its first line in the log until it can process.

    What an interpreter needs before that has nothing to do with what waits.
    """
    site.worker.kill()
    asyncio.run(_forgotten(site))
    if lose_disk:
        site.lose_disk()
    site.start_worker()
    first, last = (datetime.fromisoformat(pattern.findall(site.worker.text())[-1]) for pattern in (_STARTS, _RESTORED))
    return (last - first).total_seconds()


async def _forgotten(site: Site) -> None:
    """Wait until the group has no member."""
    admin = AIOKafkaAdminClient(bootstrap_servers=site.kafka.bootstrap)
    await admin.start()
    try:
        state = ""
        while state != "Empty":
            answers: list[Any] = await admin.describe_consumer_groups([site.cluster.group])
            state = answers[0].groups[0][2]
            await asyncio.sleep(0.2)
    finally:
        await admin.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.waiting_site", description=__doc__)
    parser.add_argument("--evaluations", type=int, default=3_000_000)
    parser.add_argument("--seconds", type=float, default=5.0, help="of live events in each round")
    options = parser.parse_args()
    if reason := kafka.missing():
        raise SystemExit(f"Apache Kafka cannot run here: {reason}")
    with (
        Kafka(heap="1g", brief=False) as broker,
        tempfile.TemporaryDirectory() as directory,
        Site(broker, "waiting.", Path(directory)) as site,
    ):
        content = table(logged(rows(site, options.evaluations, options.seconds)))
    print(f"{machine()}\n\n{content}")


if __name__ == "__main__":
    main()
