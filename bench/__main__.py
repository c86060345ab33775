"""`python -m bench`: throughput, recovery, catch-up of the view and freshness, as a Markdown table.

Every row is asserted exact: the comparisons that the API serves are those of the load.
"""

import argparse
import asyncio
import os
import platform
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import orjson

from bench.load import QUEUE, preload
from streams.client import Client
from streams.producing import producer
from streams.topics import TABLE, Topics
from tests.support.deployments import Cluster
from tests.support.kafka import Kafka
from tests.support.processes import get, wait_until

PREFIX = "bench."
MINUTES = 600.0
_CPU_TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used. Needs /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _CPU_TICK


def memory_mib(pid: int) -> float:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def sample(url: str, name: str, **labels: str) -> float:
    """Sum of the samples of a metric on a worker's or view's `/metrics` whose labels match."""
    total = 0.0
    for line in get(f"{url}/metrics").body.decode().splitlines():
        if re.match(rf"{name}(\{{|\s)", line) and all(f'{k}="{v}"' in line for k, v in labels.items()):
            total += float(line.rsplit(" ", 1)[1])
    return total


def measure(items: int, kafka: Kafka, directory: Path) -> Iterator[tuple[str, str]]:
    """Rows of the table: what, and how much."""
    cluster = Cluster(kafka.bootstrap, PREFIX, directory)
    topics = Topics(**{spec.role: f"{PREFIX}{getattr(Topics(), spec.role)}" for spec in TABLE})
    client = Client([kafka.bootstrap])
    cluster.create_topics()
    count = asyncio.run(preload(client, topics, items))
    (worker,) = cluster.workers.values()
    (url,) = cluster.worker_urls.values()

    with worker:
        worker.wait_ready(url)
        started, cpu = time.monotonic(), cpu_seconds(worker.pid)
        _until(lambda: sample(url, "eval_alignment_facts_written_total") == count, "every row is in the ledger")
        seconds, cpu = time.monotonic() - started, cpu_seconds(worker.pid) - cpu
        yield "one worker, full checkpoint", f"{count / seconds:,.0f} events/s, {cpu / count * 1e6:.1f} us CPU an event"
        yield "memory of the worker", f"{memory_mib(worker.pid):,.0f} MiB for {items:,} items"
        _until(lambda: sample(url, "eval_alignment_uncommitted_events") == 0, "everything is committed")

        worker.kill()
        killed = time.monotonic()
        worker.start()
        worker.wait_ready(url, MINUTES)
        replayed = re.findall(r"replayed (\d+) ledger rows of \d+ partitions in ([\d.]+) s", worker.text())
        rows, took = int(replayed[-1][0]), float(replayed[-1][1])
        yield "replay of the ledger", f"{rows / took:,.0f} rows/s"
        yield "kill -9 to ready again", f"{time.monotonic() - killed:.1f} s with {rows:,} rows"

        started = time.monotonic()
        with cluster.view:
            cluster.view.wait_ready(cluster.url, MINUTES)
            _until(partial(_serves, cluster, items), "the view serves every comparison")
            seconds = time.monotonic() - started
            yield "view from nothing to everything served", f"{seconds:.1f} s, {count / seconds:,.0f} rows/s"
            times = asyncio.run(_freshness(cluster, items))
            yield "produce to API", f"median {times[10] * 1000:.0f} ms, slowest of 20 {times[-1] * 1000:.0f} ms"


async def _freshness(cluster: Cluster, items: int) -> list[float]:
    """Seconds from producing one annotation to finding it in the API, sorted; one after the other."""
    times = []
    async with producer(Client([cluster.broker])) as out:
        for number in range(20):
            sent = time.monotonic()
            event = {
                "id": f"late{number}",
                "at": int(time.time() * 1000),
                "queue": QUEUE,
                "item": "trace-00000000",
                "criterion": "criterion-0",
                "annotator": f"late-{number}",
                "thumbs": "up",
            }
            await out.send_and_wait(cluster.topic("annotations"), orjson.dumps(event), key=b"trace-00000000")
            expected = items + number + 1
            await asyncio.to_thread(
                wait_until, partial(_serves, cluster, expected), MINUTES, "the annotation is served"
            )
            times.append(time.monotonic() - sent)
    return sorted(times)


def _serves(cluster: Cluster, comparisons: int) -> bool:
    return _compared(cluster) == comparisons


def _compared(cluster: Cluster) -> int:
    document = cluster.document(QUEUE)
    return 0 if document is None else int(document["cards"]["comparisons"])


def _until(condition: Callable[[], bool], what: str) -> None:
    wait_until(condition, MINUTES, what)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=250_000, help="items of the load, two events each")
    items = parser.parse_args().items
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {2 * items:,} events\n")
    print("| what | measured |\n| --- | --- |")
    with Kafka(heap="1g") as kafka, tempfile.TemporaryDirectory() as directory:
        for what, much in measure(items, kafka, Path(directory)):
            print(f"| {what} | {much} |")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
