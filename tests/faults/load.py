"""A steady load on a rig: events that correct, delete and repeat each other, until it is told to stop."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Final, Self

from aiokafka import AIOKafkaProducer
from msgspec.structs import replace

from aggregator.facts import Fact
from tests.integration.streams.rig import Event, Rig, history

_TICK_SECONDS: Final = 0.02
_CHUNK: Final = 5_000


def endless(seed: int = 1, items: int = 400, *, advance_ms: int = 0) -> Iterator[Fact]:
    """One history after the other, of the same items; each is `advance_ms` later than the one before, so that events
    that win never end. No two events have one time and id and different contents.
    """
    for number in itertools.count():
        for fact in history(seed=seed + number, events=_CHUNK, items=items):
            yield replace(fact, id=f"{number}-{fact.id}", at=fact.at + number * advance_ms)


class Load:
    """Sends in a task of its own from entering to leaving, where everything is acknowledged; `sent` counts.

    Goes on whatever the broker does: what is not acknowledged is sent again.
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
            # Room for what comes while no broker is there.
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
            # What a broker that stays away does not acknowledge is not waited for.
            self._task.cancel()
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        finally:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(self._producer.stop(), 10)

    async def send(self, events: Iterable[Event]) -> None:
        """Events beside the others; all are acknowledged when this returns."""
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
