"""The loads of the comparison: the reference load with corrections, its topics, and the expected counts.

A load is a number of items, in pieces of 2,000 in random order each, so a smaller load begins as a larger one does.
One event in fifty is sent again with another rating or score, half of them with an older time, which loses.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from bench.peers.job import DAY_MS, PASS_STARS, Group
from bench.reference import EVENTS_PER_ITEM, Event
from bench.reference import events as reference_events
from streams.events.decoder import Kind
from streams.kafka.producer import home_partition

PARTITIONS: Final = 8
PIECE_ITEMS: Final = 2000
_CORRECTED: Final = 50
_BATCH_BYTES: Final = 128 << 10

Cells = dict[Group, list[int]]
"""Counts by group; groups without counts are left out."""


@dataclass(frozen=True, slots=True)
class Load:
    """A load in its topics: the number of events, and the expected counts."""

    annotations: str
    evaluations: str
    events: int
    cells: Cells


def items_for(events: float) -> int:
    """Items of the smallest load with this many events: sizes double, so that contenders share loads."""
    items = 30
    while items * EVENTS_PER_ITEM < events:
        items *= 2
    return items


def pieces(items: int) -> Iterator[list[Event]]:
    """The load piece by piece."""
    for seed, start in enumerate(range(0, items, PIECE_ITEMS), 1):
        made = reference_events(min(PIECE_ITEMS, items - start), seed)
        rng = random.Random(seed)
        for event in rng.sample(made, len(made) // _CORRECTED):
            made.insert(rng.randrange(len(made) + 1), _corrected(rng, event))
        yield made


def _corrected(rng: random.Random, event: Event) -> Event:
    kind, key, value = event
    fields = orjson.loads(value)
    fields["id"] += "c"
    fields["at"] += rng.choice((-60_000, 60_000))
    if kind is Kind.ANNOTATION:
        fields["stars"] = 6 - fields["stars"]
    else:
        fields["score"] = 1 - fields["score"]
    return kind, key, orjson.dumps(fields)


def recount(events: list[Event]) -> Cells:
    """Counts of whole items by plain loops, which share no code with the contenders."""
    newest: dict[tuple[str, ...], dict[str, Any]] = {}
    for _, _, value in events:
        event = orjson.loads(value)
        names = ("item", "metric") if "metric" in event else ("item", "queue", "criterion", "annotator")
        identity = tuple(event[name] for name in names)
        rival = newest.get(identity)
        if rival is None or (event["at"], event["id"]) > (rival["at"], rival["id"]):
            newest[identity] = event
    rated: dict[str, Counter[tuple[str, str, int, bool]]] = defaultdict(Counter)
    judged: dict[str, list[tuple[str, bool]]] = defaultdict(list)
    for event in newest.values():
        if "metric" in event:
            judged[event["item"]].append((event["metric"], event["score"] >= event["threshold"]))
        else:
            passed = event["stars"] >= PASS_STARS
            rated[event["item"]][event["queue"], event["criterion"], event["at"] // DAY_MS, passed] += 1
    cells: Cells = defaultdict(lambda: [0, 0, 0, 0])
    for item, ratings in rated.items():
        for ((queue, criterion, day, human), count), (metric, verdict) in product(ratings.items(), judged[item]):
            cells[queue, criterion, metric, day][2 * human + verdict] += count
    return dict(cells)


async def preload(bootstrap: str, prefix: str, items: int) -> Load:
    """Create the two topics of a load and fill them, lz4; everything is acknowledged."""
    topics = {Kind.ANNOTATION: f"{prefix}annotations-{items}", Kind.EVALUATION: f"{prefix}evaluations-{items}"}
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics(
            [
                NewTopic(topic, PARTITIONS, 1, topic_configs={"message.timestamp.type": "LogAppendTime"})
                for topic in topics.values()
            ]
        )
    finally:
        await admin.close()
    count, cells = 0, Counter[tuple[Group, int]]()
    async with AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", compression_type="lz4", max_batch_size=_BATCH_BYTES
    ) as producer:
        for piece in pieces(items):
            by_place: dict[tuple[str, int], list[Event]] = defaultdict(list)
            for event in piece:
                by_place[topics[event[0]], home_partition(event[1], PARTITIONS)].append(event)
            for (topic, partition), events in by_place.items():
                await _send(producer, topic, partition, events)
            count += len(piece)
            for group, cell in recount(piece).items():
                for which, number in enumerate(cell):
                    cells[group, which] += number
        await producer.flush()
    counted: Cells = defaultdict(lambda: [0, 0, 0, 0])
    for (group, which), number in cells.items():
        counted[group][which] = number
    return Load(topics[Kind.ANNOTATION], topics[Kind.EVALUATION], count, dict(counted))


async def _send(producer: AIOKafkaProducer, topic: str, partition: int, events: list[Event]) -> None:
    batch = producer.create_batch()
    for _, key, value in events:
        if batch.append(timestamp=None, key=key, value=value) is None:
            await producer.send_batch(batch, topic, partition=partition)
            batch = producer.create_batch()
            batch.append(timestamp=None, key=key, value=value)
    await producer.send_batch(batch, topic, partition=partition)
