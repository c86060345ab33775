"""The guard: once a second, looks whether nobody else writes, the broker answers, and the worker gets on."""

import asyncio
import logging
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.engine.partition import OwnedPartition, Progress
from streams.engine.restore import Restore
from streams.kafka.group import ConsumerGroup
from streams.ledger.log import end_offsets
from streams.runtime.exit_codes import ExitCode
from streams.runtime.failures import FatalError
from streams.runtime.health import Health, StallDetector

_log = logging.getLogger(__name__)

WATCHDOG_SECONDS: Final = 1.0


@dataclass(slots=True)
class Watchdog:
    """Idle fence, broker check and watchdog. `fenced`: the broker tells exact ends, so the fence can compare them."""

    facts: str
    owned: Mapping[int, OwnedPartition]
    group: ConsumerGroup
    reader: AIOKafkaConsumer
    fenced: bool
    health: Health
    restore: Restore
    watchdog: StallDetector = field(default_factory=StallDetector)

    async def run(self, lock: asyncio.Lock) -> None:
        """Look until cancelled. Raises FatalError for what only a restart mends."""
        while True:
            await asyncio.sleep(WATCHDOG_SECONDS)
            # Ends are compared while nothing is being written. A write that waits for a broker that is away must not
            # keep the guard from seeing just that.
            if await _acquired(lock):
                try:
                    await self._look_at_broker()
                finally:
                    lock.release()
            else:
                await self._ends([])
            self._look_at_worker()

    async def _look_at_broker(self) -> None:
        """Compare the ends of both logs of every partition with what this worker wrote; the caller holds the lock."""
        logs = {log.tp: log for owned in self.owned.values() if owned.ready for log in (owned.ledger, owned.tallies)}
        ends = await self._ends(logs)
        if self.fenced and ends is not None:
            for tp, log in logs.items():
                log.expect(ends[tp])

    async def _ends(self, logs: Collection[TopicPartition]) -> Mapping[TopicPartition, int] | None:
        """End offsets, of any partition when there is none to ask for; None when the broker does not answer."""
        try:
            ends = await end_offsets(self.reader, logs or [TopicPartition(self.facts, 0)])
        except (KafkaError, TimeoutError) as error:
            if self.health.broker:
                _log.warning("the broker does not answer: %r", error)
            self.health.broker = False
            return None
        if not self.health.broker:
            _log.info("the broker answers again")
        self.health.broker = True
        return ends

    def _look_at_worker(self) -> None:
        generation, alive = self.group.membership()
        if not alive:
            raise FatalError(ExitCode.STALLED, "the task that keeps the membership has ended")
        now = time.monotonic()
        if not self.health.broker:
            # A restart would not bring it back, and a supervisor that backs off would come late.
            self.watchdog.excuse(now)
        self.health.stalled = self.watchdog.observe(
            now,
            progress=self.group.commits() + self.restore.rows,
            lag=Progress(self.owned, self.group).uncommitted(),
            member=generation >= 0,
            paused=self.health.circuit_breaker is not None,
        )
        if self.health.stalled is not None:
            raise FatalError(ExitCode.STALLED, self.health.stalled)


async def _acquired(lock: asyncio.Lock) -> bool:
    """Whether the lock was free within a second; it is then held."""
    try:
        async with asyncio.timeout(WATCHDOG_SECONDS):
            return await lock.acquire()
    except TimeoutError:
        return False
