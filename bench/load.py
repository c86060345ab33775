"""Loads on a broker: items of a queue with one evaluation each, and the reference load, sent in whole batches."""

import itertools
import random
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

import orjson
from aiokafka import AIOKafkaProducer

from bench.reference import EVENTS_PER_ITEM, Event, events
from streams.events.decoder import Kind
from streams.kafka.producer import home_partition
from streams.kafka.topics import Topics

_PIECE: Final = 20_000
_BATCH_BYTES: Final = 128 << 10


def queued(items: int, start_ms: int) -> Iterator[list[Event]]:
    """A queue item and an evaluation per item, piece by piece, without annotations: two rows per item."""
    rng = random.Random(1)
    for first in range(0, items, _PIECE):
        numbers = range(first, min(items, first + _PIECE))
        named = [(number, f"{rng.randbytes(6).hex()}-M{number}") for number in numbers]
        yield [_queue_item(rng, number, item, start_ms) for number, item in named]
        yield [_evaluation(rng, number, item, start_ms) for number, item in named]


def _queue_item(rng: random.Random, number: int, item: str, start_ms: int) -> Event:
    value = orjson.dumps({"id": rng.randbytes(9).hex(), "at": start_ms + number, "queue": "queue-0", "item": item})
    return Kind.QUEUE_ITEM, item.encode(), value


def _evaluation(rng: random.Random, number: int, item: str, start_ms: int) -> Event:
    value = orjson.dumps(
        {
            "id": rng.randbytes(9).hex(),
            "at": start_ms + number,
            "item": item,
            "metric": "metric 0 by judge",
            "score": rng.randint(0, 4) / 4,
            "threshold": 0.5,
            "judge": "gpt-4o/p3",
        }
    )
    return Kind.EVALUATION, item.encode(), value


def reference(items: int, start_ms: int, *, queues: int = 1, seed: int = 1) -> Iterator[list[Event]]:
    """The reference load, piece by piece, each in random order. The pieces belong to the queues in turn.

    Other seeds give other items; a load uses one for each piece of 500 items, from `seed` on.
    """
    of_piece = 500
    for number, first in enumerate(range(0, items, of_piece), seed):
        yield events(min(of_piece, items - first), number, start_ms=start_ms, queue=f"queue-{number % queues}")


def timed(rate: float, seconds: float, *, seed: int, queues: int = 1) -> list[Event]:
    """The reference load for so many seconds at a rate; each event carries about the time at which it is sent."""
    count, now = int(rate * seconds), time.time_ns() // 1_000_000
    pieces = reference(count // EVENTS_PER_ITEM + 1, now, queues=queues, seed=seed)
    events = itertools.islice(itertools.chain.from_iterable(pieces), count)
    return [_at_time(event, now + int(number / rate * 1000)) for number, event in enumerate(events)]


def _at_time(event: Event, at: int) -> Event:
    kind, key, value = event
    return kind, key, orjson.dumps({**orjson.loads(value), "at": at})


async def preload(producer: AIOKafkaProducer, topics: Topics, partitions: int, pieces: Iterable[list[Event]]) -> int:
    """Send the load, and return the number of events, all acknowledged."""
    by_kind = {kind: topic for topic, kind in topics.sources.items()}
    count = 0
    for piece in pieces:
        by_place: dict[tuple[str, int], list[Event]] = defaultdict(list)
        for event in piece:
            by_place[by_kind[event[0]], home_partition(event[1], partitions)].append(event)
        for (topic, partition), of_place in by_place.items():
            await send(producer, topic, partition, of_place)
        count += len(piece)
    await producer.flush()
    return count


async def send(producer: AIOKafkaProducer, topic: str, partition: int, of_place: Iterable[Event]) -> None:
    """Hand events of one partition to the producer as whole batches."""
    batch = producer.create_batch()
    for _, key, value in of_place:
        if batch.append(timestamp=None, key=key, value=value) is None:
            await producer.send_batch(batch, topic, partition=partition)
            batch = producer.create_batch()
            batch.append(timestamp=None, key=key, value=value)
    await producer.send_batch(batch, topic, partition=partition)


def batching(bootstrap: str) -> AIOKafkaProducer:
    """A producer for `send`; use with `async with`."""
    return AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", compression_type="lz4", max_batch_size=_BATCH_BYTES
    )
