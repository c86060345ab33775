"""Small histories of events that correct, delete, tie with and repeat each other, and some invalid events."""

import random
from dataclasses import dataclass
from typing import Final

from aggregator.facts import Annotation, Evaluation, Fact, QueueItem, encode
from streams.kafka.producer import home_partition
from streams.kafka.topics import Topics
from tests.simulation.clock import EPOCH

_TOPICS: Final = Topics()
_START_MS: Final = int(EPOCH * 1000) - 5 * 86_400_000
_ITEMS: Final = ("a", "b", "c", "d")


@dataclass(frozen=True, slots=True)
class Event:
    """A record for a source topic; `fact` is None when it must become a dead letter."""

    topic: str
    key: bytes
    value: bytes
    partition: int
    fact: Fact | None


def random_event(rng: random.Random, count: int, partitions: int) -> Event:
    """The event after `count` others: few names and few times, so that most of them concern the same row."""
    item = rng.choice(_ITEMS)
    # Mostly later than the events before, sometimes days late.
    at = _START_MS + (min(count, 100) if rng.random() < 0.6 else rng.randrange(40)) * 3_600_000
    id = f"e{rng.randrange(6)}"
    draw = rng.random()
    fact: Fact
    if draw < 0.45:
        fact = Annotation(at, id, rng.choice(("q", "r")), item, annotator=rng.choice(("", "ann")))
        if rng.random() < 0.12:
            fact.deleted = True
        elif rng.random() < 0.6:
            fact.thumbs = rng.choice(("up", "down"))
        else:
            fact.stars = rng.randint(1, 5)
        topic = _TOPICS.annotations
    elif draw < 0.88:
        fact = Evaluation(at, id, item, rng.choice(("m", "n")), judge=rng.choice(("", "v2")))
        if rng.random() < 0.1:
            fact.deleted = True
        elif rng.random() < 0.12:
            fact.status = rng.choice(("error", "skipped"))
        else:
            fact.passed = rng.random() < 0.6
        topic = _TOPICS.evaluations
    else:
        fact = QueueItem(at, id, rng.choice(("q", "r")), item, deleted=rng.random() < 0.3)
        topic = _TOPICS.queue_items
    key = item.encode()
    partition = home_partition(key, partitions)
    if rng.random() < 0.03:
        return Event(topic, key, encode(fact)[:-3], partition, None)
    return Event(topic, key, encode(fact), partition, fact)
