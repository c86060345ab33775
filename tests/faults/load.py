"""A steady load on a rig: events that correct, delete and repeat each other, until it is stopped."""

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Final, Self

from aiokafka import AIOKafkaProducer
from msgspec.structs import replace

from aggregator.facts import Annotation, Evaluation, Fact
from tests.integration.streams.rig import Event, Rig, history

_TICK_SECONDS: Final = 0.02
_CHUNK: Final = 5_000
_WAITING_EVERY: Final = 400
"""Events between two items whose evaluations wait."""
_ANNOTATED: Final = 0.05
_PASSED: Final = 0.7
_LATER: Final = 10_000
"""Events, on average, until one of the annotations that are due is sent."""


def endless(seed: int = 1, items: int = 400, *, advance_ms: int = 0) -> Iterator[Fact]:
    """Endless histories of the same items, each `advance_ms` later than the one before, so that events keep winning.

    No two events have the same time and id and different contents.
    """
    for number in itertools.count():
        for fact in history(seed=seed + number, events=_CHUNK, items=items):
            yield replace(fact, id=f"{number}-{fact.id}", at=fact.at + number * advance_ms)


def with_waiting(facts: Iterable[Fact], rng: random.Random) -> Iterator[Fact]:
    """Add evaluations of items that nobody else names: few, so that the memory of a worker stays. One item in twenty is
    annotated, some time later.
    """
    later: list[Fact] = []
    for number, fact in enumerate(facts):
        yield fact
        if number % _WAITING_EVERY == 0:
            item = f"seldom-{number}"
            for metric in ("relevance", "safe", "tone"):
                yield Evaluation(fact.at, f"w{number}", item, metric, judge="v1", passed=rng.random() < _PASSED)
            if rng.random() < _ANNOTATED:
                later.append(Annotation(fact.at, f"w{number}", "support", item, thumbs=rng.choice(("up", "down"))))
        if later and rng.random() < 1 / _LATER:
            yield later.pop(rng.randrange(len(later)))


class Load:
    """Sends in a task from entering the context to leaving it, when every event is acknowledged; `sent` counts.

    Continues through every fault of the broker: an event that is not acknowledged is sent again.
    """

    def __init__(
        self, rig: Rig, per_second: int = 500, *, items: int = 400, facts: Iterator[Fact] | None = None
    ) -> None:
        self.sent = 0
        self._rig = rig
        self._per_second = per_second
        self._facts = facts or endless(items=items)
        self._stopping = asyncio.Event()
        self._producer: AIOKafkaProducer | None = None

    async def __aenter__(self) -> Self:
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self._rig.bootstrap,
            acks="all",
            enable_idempotence=True,
            request_timeout_ms=90_000,
            # Room for the events of a time without a broker.
            max_batch_size=1 << 19,
        )
        await self._producer.start()
        self._task = asyncio.create_task(self._run(self._producer))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._producer is not None
        self._stopping.set()
        if error is not None:
            # Do not wait for acknowledgements of a broker that stays down.
            self._task.cancel()
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        finally:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(self._producer.stop(), 10)

    async def send(self, events: Iterable[Event]) -> None:
        """Send events in addition to the load; all are acknowledged when this returns."""
        assert self._producer is not None
        flying = [await self._producer.send(topic, value, key=key) for topic, key, value in events]
        await asyncio.gather(*flying)

    async def _run(self, producer: AIOKafkaProducer) -> None:
        began = time.monotonic()
        flying: list[asyncio.Future[Any]] = []
        while not self._stopping.is_set():
            due = int((time.monotonic() - began) * self._per_second) - self.sent
            for fact in itertools.islice(self._facts, due):
                topic, key, value = self._rig.event(fact)
                flying.append(await producer.send(topic, value, key=key))
                self.sent += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), _TICK_SECONDS)
        await asyncio.gather(*flying)
