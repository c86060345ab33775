"""The audit: once a minute, one owned partition is folded anew from its ledger and compared with what is counted.

It would find a tally that left the fold of the rows: a mistake in the shard, memory gone bad, a log changed on the
broker's disk. It reads like a restore, with a reader of its own, beside the work that goes on; only the last few
records are read under the checkpoint's lock, and only copying the shard's tallies holds up the event loop.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError

from aggregator.policy import Policy
from aggregator.shard import Shard
from streams.engine.partition import OwnedPartition
from streams.kafka.batches import Record
from streams.ledger.claim import CLAIM_KEY
from streams.ledger.log import Log, read_to_end
from streams.ledger.published import Published
from streams.runtime.exit_codes import ExitCode
from streams.runtime.failures import FatalError
from streams.runtime.metrics import WorkerMetrics

_log = logging.getLogger(__name__)

_SHARE: Final = 0.05
"""Most of the time that audits may take: on a large ledger they come less often than the interval says."""
_TOLD: Final = 3

Tallies = Mapping[bytes, Any]


class _Abandoned(Exception):
    """The partition was given away, or the broker does not answer."""


@dataclass(slots=True)
class Audit:
    """Audits owned partitions in turn, every `interval_s` seconds. The mismatches of the last audit of each owned
    partition are the gauge.
    """

    policy: Policy
    interval_s: float
    owned: Mapping[int, OwnedPartition]
    producer: AIOKafkaProducer
    reader: AIOKafkaConsumer
    metrics: WorkerMetrics
    _last: int = -1
    _found: dict[int, int] = field(default_factory=dict)

    async def run(self, lock: asyncio.Lock) -> None:
        """Audit until cancelled; `lock` is the checkpoint's. Raises FatalError for a log that cannot be read."""
        pause = self.interval_s
        while True:
            await asyncio.sleep(pause)
            started = time.monotonic()
            if (owned := self._next()) is not None:
                try:
                    await self._audit(owned, lock)
                except _Abandoned:
                    _log.info("the audit of partition %d was given up", owned.partition)
            pause = max(self.interval_s, (time.monotonic() - started) / _SHARE)

    def _next(self) -> OwnedPartition | None:
        ready = sorted(partition for partition, owned in self.owned.items() if owned.ready)
        if not ready:
            return None
        self._last = next((partition for partition in ready if partition > self._last), ready[0])
        return self.owned[self._last]

    async def _audit(self, owned: OwnedPartition, lock: asyncio.Lock) -> None:
        claim = owned.claim
        assert claim is not None, "only claimed partitions are ready"
        fold = _AuditFold(Shard(owned.partition, self.policy), Published(claim.ledger))
        ledger = Log(self.producer, owned.ledger.topic, owned.partition)
        tallies = Log(self.producer, owned.tallies.topic, owned.partition)

        async def catch_up() -> None:
            await self._read(owned, ledger, owned.ledger.next, fold.row)
            await self._read(owned, tallies, owned.tallies.next, fold.tally)

        await catch_up()
        # What was written meanwhile; the lock then waits for little.
        await catch_up()
        async with lock:
            await catch_up()
            if not self._holds(owned):
                raise _Abandoned
            dirty = dict(owned.shard.dirty)
            counted = dict(owned.shard.tallies())
        differences = await asyncio.to_thread(fold.compare, dirty, counted)
        self._found[owned.partition] = len(differences)
        self.metrics.audits.inc()
        self.metrics.audit_mismatches.set(sum(self._found.get(partition, 0) for partition in self.owned))
        if not differences:
            _log.info("audit: partition %d is the fold of its %d rows", owned.partition, fold.shard.rows)
        else:
            _log.error(
                "audit: %d tallies of partition %d differ from the fold of its ledger, restart the worker to have them "
                "counted and published anew: %s",
                len(differences),
                owned.partition,
                "; ".join(differences[:_TOLD]),
            )

    def _holds(self, owned: OwnedPartition) -> bool:
        return owned.ready and self.owned.get(owned.partition) is owned

    async def _read(
        self, owned: OwnedPartition, log: Log, end: int, fold: Callable[[Log, Sequence[Record]], None]
    ) -> None:
        if log.next >= end:
            return
        try:
            if await read_to_end(
                self.reader, [log], fold, until={log.tp: end}, abandoned=lambda: not self._holds(owned)
            ):
                return
        except KafkaError as error:
            raise _Abandoned from error
        except FatalError as error:
            if error.exit_code is not ExitCode.BROKER_LOST:
                raise
            raise _Abandoned from error
        raise _Abandoned


@dataclass(slots=True)
class _AuditFold:
    """The logs of one partition, folded anew."""

    shard: Shard
    published: Published

    def row(self, _: Log, records: Sequence[Record]) -> None:
        """Rows of the ledger."""
        replay = self.shard.replay
        for record in records:
            if record.key != CLAIM_KEY:
                replay(record.key, record.value)  # type: ignore[arg-type]

    def tally(self, log: Log, records: Sequence[Record]) -> None:
        """Published tallies."""
        self.published.fold(log, records)

    def compare(self, dirty: Mapping[bytes, bytes], counted: Tallies) -> list[str]:
        """What differs: the published tallies from the fold of the ledger, and those counted from the fold of
        the ledger and the rows that are not in it yet.
        """
        folded = dict(self.shard.tallies())
        policy = self.shard.policy.value
        published = {
            key: kept[1] if kept is not None and kept[0] == policy else kept
            for key, kept in self.published.tallies().items()
            if kept is None or key in folded or _counts(kept[1])
        }
        differences = _differences("published", published, folded)
        for key, value in dirty.items():
            self.shard.replay(key, value)
        return differences + _differences("counted", counted, dict(self.shard.tallies()))


def _counts(payload: Mapping[str, Any]) -> bool:
    """Whether a payload counts anything: an empty group may be published, and is no group."""
    return any(payload.values())


def _differences(what: str, found: Tallies, folded: Tallies) -> list[str]:
    return [
        f"{key.decode(errors='replace')}: {what} is {found.get(key)}, folded {folded.get(key)}"
        for key in sorted(found.keys() | folded.keys())
        if found.get(key) != folded.get(key)
    ]
