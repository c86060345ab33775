"""The loads of the comparison: two shapes with corrections, their topics, and the expected counts.

A load is a number of items of one shape, in pieces of whole items. Corrections are events that are sent again with
another rating or score, half of them with an older time, which loses.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

import orjson
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from bench import production, reference
from bench.load import batching, send
from bench.peers.job import DAY_MS, PASS_STARS, Group
from bench.reference import Event
from streams.events.decoder import Kind
from streams.kafka.producer import home_partition

PARTITIONS: Final = 8

Cells = dict[Group, list[int]]
"""Counts by group; groups without counts are left out."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a load looks like.

    `made` returns the events of `count` items from `first` on, of a load of `total` items, by a seed. One event in
    `corrected` is sent again, at most `within` events later.
    """

    name: str
    title: str
    events_per_item: float
    piece_items: int
    made: Callable[[int, int, int, int], list[Event]]
    corrected: int
    within: int

    def items(self, events: float) -> int:
        """Items of the smallest load with this many events: sizes double, so that contenders share loads."""
        items = 30
        while items * self.events_per_item < events:
            items *= 2
        return items

    def pieces(self, items: int) -> Iterator[list[Event]]:
        """The load piece by piece."""
        for seed, first in enumerate(range(0, items, self.piece_items), 1):
            made = self.made(first, min(self.piece_items, items - first), items, seed)
            rng = random.Random(seed)
            for place in sorted(rng.sample(range(len(made)), len(made) // self.corrected), reverse=True):
                after = rng.randint(place + 1, min(place + self.within, len(made)))
                made.insert(after, _corrected(rng, made[place]))
            yield made


DENSE: Final = Shape(
    "dense",
    "Dense load: all items annotated, 33 events an item",
    reference.EVENTS_PER_ITEM,
    2_000,
    lambda _first, count, _total, seed: reference.events(count, seed),
    corrected=50,
    within=60_000,
)
PRODUCTION: Final = Shape(
    "production",
    "Production load: 2 % of the items annotated, three evaluations with reasons an item",
    production.EVENTS_PER_ITEM,
    production.PIECE_ITEMS,
    production.events,
    corrected=100,
    within=5_000,
)
SHAPES: Final = (DENSE, PRODUCTION)


@dataclass(frozen=True, slots=True)
class Load:
    """A load in its topics: the number of events, the ends of its partitions, and the expected counts."""

    annotations: str
    evaluations: str
    events: int
    ends: dict[TopicPartition, int]
    cells: Cells


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


async def preload(bootstrap: str, prefix: str, shape: Shape, items: int) -> Load:
    """Create the two topics of a load and fill them, lz4; everything is acknowledged."""
    suffix = f"{shape.name}-{items}"
    topics = {Kind.ANNOTATION: f"{prefix}annotations-{suffix}", Kind.EVALUATION: f"{prefix}evaluations-{suffix}"}
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
    ends, cells = Counter[TopicPartition](), Counter[tuple[Group, int]]()
    async with batching(bootstrap) as producer:
        for piece in shape.pieces(items):
            by_place: dict[TopicPartition, list[Event]] = defaultdict(list)
            for event in piece:
                by_place[TopicPartition(topics[event[0]], home_partition(event[1], PARTITIONS))].append(event)
            for place, events in by_place.items():
                await send(producer, *place, events)
                ends[place] += len(events)
            for group, cell in recount(piece).items():
                for which, number in enumerate(cell):
                    cells[group, which] += number
        await producer.flush()
    counted: Cells = defaultdict(lambda: [0, 0, 0, 0])
    for (group, which), number in cells.items():
        counted[group][which] = number
    annotations, evaluations = topics.values()
    return Load(annotations, evaluations, ends.total(), dict(ends), dict(counted))
