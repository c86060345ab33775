"""The watchdog: once a second, checks for other writers, for the broker, and for progress."""

import asyncio
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.engine.partition import OwnedPartitions
from streams.engine.progress import Progress
from streams.kafka.group import ConsumerGroup
from streams.ledger.log import end_offsets
from streams.runtime.exit_codes import ExitCode
from streams.runtime.failures import FatalError
from streams.runtime.health import Health, StallDetector
from streams.runtime.outage import BrokerOutage

WATCHDOG_SECONDS: Final = 1.0
"""Time between two checks."""


@dataclass(slots=True)
class Watchdog:
    """Idle fence, broker check and stall detection of one worker."""

    facts: str
    """Name of the ledger's topic."""
    owned: OwnedPartitions
    group: ConsumerGroup
    reader: AIOKafkaConsumer
    fenced: bool
    """Whether the broker reports exact end offsets, which the fence compares."""
    health: Health
    stall_detector: StallDetector = field(default_factory=StallDetector)
    outage: BrokerOutage = field(default_factory=BrokerOutage)

    async def run(self, lock: asyncio.Lock) -> None:
        """Check until cancelled; `lock` is the checkpoint's. Raises FatalError for what only a restart repairs."""
        while True:
            await asyncio.sleep(WATCHDOG_SECONDS)
            # End offsets are compared while nobody writes. A write that waits for an unavailable broker holds the
            # lock, and must not keep the watchdog from reporting that broker.
            if await _acquire_within(lock, WATCHDOG_SECONDS):
                try:
                    await self._check_logs()
                finally:
                    lock.release()
            else:
                await self._ends([])
            self._check_progress()

    async def _check_logs(self) -> None:
        """Compare the ends of both logs of every partition with what this worker wrote; the caller holds the lock."""
        logs = {log.tp: log for owned in self.owned if owned.ready for log in (owned.ledger, owned.tallies)}
        ends = await self._ends(logs)
        if self.fenced and ends is not None:
            for tp, log in logs.items():
                log.expect(ends[tp])

    async def _ends(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int] | None:
        """End offsets, of an arbitrary partition if `partitions` is empty; None if the broker does not answer."""
        try:
            ends = await end_offsets(self.reader, partitions or [TopicPartition(self.facts, 0)])
        except (KafkaError, TimeoutError) as error:
            self.health.broker = False
            self.outage.failed(error)
            return None
        self.health.broker = True
        self.outage.answered()
        return ends

    def _check_progress(self) -> None:
        generation, alive = self.group.membership()
        if not alive:
            raise FatalError(ExitCode.STALLED, "the task that keeps the group membership has ended")
        now = time.monotonic()
        if not self.health.broker:
            # A restart does not bring the broker back, and a supervisor that backs off restarts the worker late.
            self.stall_detector.excuse(now)
        self.health.stalled = self.stall_detector.observe(
            now,
            progress=self.group.commits() + self.owned.replayed_rows,
            lag=Progress(self.owned, self.group).uncommitted(),
            member=generation >= 0,
            paused=self.health.circuit_breaker is not None or bool(self.health.delayed()),
        )
        if self.health.stalled is not None:
            raise FatalError(ExitCode.STALLED, self.health.stalled)


async def _acquire_within(lock: asyncio.Lock, seconds: float) -> bool:
    """Whether the lock was acquired in time."""
    try:
        async with asyncio.timeout(seconds):
            return await lock.acquire()
    except TimeoutError:
        return False
