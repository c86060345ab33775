"""Small histories of events that correct, delete, tie with and repeat each other, and some invalid events."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from aggregator.facts import Annotation, Evaluation, Fact, QueueItem, encode
from streams.kafka.producer import home_partition
from streams.kafka.topics import Topics
from tests.simulation.clock import EPOCH, monotonic

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
    undecided: bool = False
    """Whether the setting `metrics` decides the verdict, so that `fact` has none."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event that was delivered, and its place in the topic."""

    event: Event
    offset: int
    timestamp: int
    """The broker's, in milliseconds."""


Inputs = Callable[[random.Random, int, int], Event]
"""Returns an event: of a random generator, the number of events before it, and the number of partitions."""


def random_event(rng: random.Random, count: int, partitions: int) -> Event:
    """The event after `count` others: few names and few times, so that most of them concern the same row."""
    item = rng.choice(_ITEMS)
    at, id = _time(rng, count), f"e{rng.randrange(6)}"
    draw = rng.random()
    if draw < 0.45:
        fact = _annotation(rng, at, id, item)
    elif draw < 0.88:
        fact = _evaluation(rng, at, id, item)
    else:
        fact = _queue_item(rng, at, id, item)
    return _event(rng, fact, partitions)


@dataclass(slots=True)
class PassingItems:
    """Items that come and go: evaluations soon after an item's first event, people within the wait and around it.

    Args:
        seconds: how long after its first event people may still judge an item.
    """

    seconds: float
    _born: list[float] = field(default_factory=list)

    def __call__(self, rng: random.Random, count: int, partitions: int) -> Event:
        now = monotonic()
        if not self._born or rng.random() < 0.22:
            self._born.append(now)
        last = len(self._born) - 1
        young = last - min(int(rng.expovariate(0.6)), last)
        recent = [number for number, born in enumerate(self._born) if born >= now - self.seconds]
        any_age = rng.choice(recent) if recent else young
        draw = rng.random()
        number = young if draw < 0.62 and rng.random() < 0.8 else any_age
        at, id, item = _time(rng, count), f"e{rng.randrange(6)}", f"i{number}"
        if draw < 0.62:
            if rng.random() < 0.25:
                # An id of its own: of two evaluations of one time and id, either may come first.
                fact = Evaluation(at, f"s{count}", item, rng.choice(("m", "n")), score=rng.choice((0.0, 1.0, 2.0)))
                return _event(rng, fact, partitions, undecided=True)
            return _event(rng, _evaluation(rng, at, id, item), partitions)
        if draw < 0.91:
            return _event(rng, _annotation(rng, at, id, item), partitions)
        return _event(rng, _queue_item(rng, at, id, item), partitions)

    def evaluation(self, rng: random.Random, count: int, partitions: int, number: int) -> Event:
        """An evaluation of a certain item, of which nothing else comes by chance."""
        return _event(rng, _evaluation(rng, _time(rng, count), f"e{rng.randrange(6)}", f"z{number}"), partitions)

    def judgement(self, rng: random.Random, count: int, partitions: int, number: int) -> Event:
        """An annotation of such an item."""
        return _event(rng, _annotation(rng, _time(rng, count), f"e{rng.randrange(6)}", f"z{number}"), partitions)

    def queueing(self, rng: random.Random, count: int, partitions: int, number: int) -> Event:
        """A queue item of such an item."""
        return _event(rng, _queue_item(rng, _time(rng, count), f"e{rng.randrange(6)}", f"z{number}"), partitions)


def _time(rng: random.Random, count: int) -> int:
    """Mostly later than the events before, sometimes days late."""
    return _START_MS + (min(count, 100) if rng.random() < 0.6 else rng.randrange(40)) * 3_600_000


def _annotation(rng: random.Random, at: int, id: str, item: str) -> Fact:
    fact = Annotation(at, id, rng.choice(("q", "r")), item, annotator=rng.choice(("", "ann")))
    if rng.random() < 0.12:
        fact.deleted = True
    elif rng.random() < 0.6:
        fact.thumbs = rng.choice(("up", "down"))
    else:
        fact.stars = rng.randint(1, 5)
    return fact


def _evaluation(rng: random.Random, at: int, id: str, item: str) -> Fact:
    fact = Evaluation(at, id, item, rng.choice(("m", "n")), judge=rng.choice(("", "v2")))
    if rng.random() < 0.1:
        fact.deleted = True
    elif rng.random() < 0.12:
        fact.status = rng.choice(("error", "skipped"))
    else:
        fact.passed = rng.random() < 0.6
    return fact


def _queue_item(rng: random.Random, at: int, id: str, item: str) -> Fact:
    return QueueItem(at, id, rng.choice(("q", "r")), item, deleted=rng.random() < 0.3)


def _event(rng: random.Random, fact: Fact, partitions: int, *, undecided: bool = False) -> Event:
    """The event of a fact; a few are cut off, which makes them invalid."""
    topic = _TOPIC_OF[type(fact)]
    key, value = fact.item.encode(), encode(fact)
    partition = home_partition(key, partitions)
    if rng.random() < 0.03:
        return Event(topic, key, value[:-3], partition, None)
    return Event(topic, key, value, partition, fact, undecided)


_TOPIC_OF: Final = {
    Annotation: _TOPICS.annotations,
    Evaluation: _TOPICS.evaluations,
    QueueItem: _TOPICS.queue_items,
}
