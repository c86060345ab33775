"""The load: one annotation and one evaluation an item, in a queue with a few criteria and metrics."""

import time
from collections.abc import Iterator

import orjson

from streams.client import Client
from streams.events import Kind
from streams.producing import producer
from streams.topics import Topics

QUEUE = "bench"


def events(items: int) -> Iterator[tuple[Kind, str, bytes]]:
    """Kind, item and value of two events an item, spread over 30 days before now."""
    start = time.time_ns() // 1_000_000 - 31 * 86_400_000
    for number in range(items):
        item = f"trace-{number:08d}"
        at = start + number * (30 * 86_400_000 // items)
        yield (
            Kind.EVALUATION,
            item,
            orjson.dumps(
                {
                    "id": f"e{number}",
                    "at": at,
                    "item": item,
                    "metric": f"metric-{number % 3}",
                    "score": (number * 7 % 100) / 100,
                    "threshold": 0.5,
                    "judge": "gpt-4o/p3",
                }
            ),
        )
        yield (
            Kind.ANNOTATION,
            item,
            orjson.dumps(
                {
                    "id": f"a{number}",
                    "at": at + 1000,
                    "queue": QUEUE,
                    "item": item,
                    "criterion": f"criterion-{number % 2}",
                    "annotator": f"annotator-{number % 9}",
                    "stars": 1 + number % 5,
                }
            ),
        )


async def preload(client: Client, topics: Topics, items: int) -> int:
    """Send the load; gives the number of events, all acknowledged."""
    by_kind = {kind: topic for topic, kind in topics.sources.items()}
    count = 0
    async with producer(client) as out:
        for kind, item, value in events(items):
            await out.send(by_kind[kind], value, key=item.encode())
            count += 1
        await out.flush()
    return count
