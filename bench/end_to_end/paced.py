"""A process that sends the reference load at a steady rate, in small batches every 20 ms.

Events carry approximately the time at which they are sent. The process generates the load, prints `ready`, sends when
it reads a line, and finally prints the seconds that sending took.
"""

import argparse
import asyncio
import itertools
import sys
import time
from collections import defaultdict
from typing import Final

from bench.load import batching, send, timed
from bench.reference import Event
from streams.kafka.producer import home_partition
from streams.kafka.topics import TABLE, Topics

_TICK_SECONDS: Final = 0.02


async def paced(bootstrap: str, topics: Topics, partitions: int, load: list[Event], rate: float) -> float:
    """Send the load, and return the seconds until all events were acknowledged."""
    by_kind = {kind: topic for topic, kind in topics.sources.items()}
    async with batching(bootstrap) as producer:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        started = time.monotonic()
        sent = 0
        for tick in itertools.count(1):
            due = min(len(load), int(rate * (time.monotonic() - started)))
            by_place: dict[tuple[str, int], list[Event]] = defaultdict(list)
            for event in load[sent:due]:
                by_place[by_kind[event[0]], home_partition(event[1], partitions)].append(event)
            for (topic, partition), events in by_place.items():
                await send(producer, topic, partition, events)
            sent = due
            if sent == len(load):
                break
            await asyncio.sleep(max(0.0, started + tick * _TICK_SECONDS - time.monotonic()))
        await producer.flush()
        return time.monotonic() - started


def main() -> None:
    """Generate the load and send it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bootstrap")
    parser.add_argument("prefix")
    parser.add_argument("--partitions", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True, help="events a second")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--queues", type=int, required=True)
    options = parser.parse_args()
    topics = Topics(**{spec.role: f"{options.prefix}{getattr(Topics(), spec.role)}" for spec in TABLE})
    load = timed(options.rate, options.seconds, seed=options.seed, queues=options.queues)
    print(asyncio.run(paced(options.bootstrap, topics, options.partitions, load, options.rate)), flush=True)


if __name__ == "__main__":
    main()
