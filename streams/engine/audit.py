"""The audit: once a minute, recounts one owned partition from its ledger and compares the result with the counts.

It finds a tally that differs from its rows: because of a bug in the shard, a memory fault, or a log that was changed
on the broker's disk. It reads like a restore, with a reader of its own, while events are processed; it holds the
checkpoint's lock only for the last few records, and to copy the shard's tallies. The shard is frozen meanwhile.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError

from aggregator.policy import Policy
from aggregator.shard import Shard
from streams.engine.partition import OwnedPartition, OwnedPartitions
from streams.kafka.batches import CorruptPartitionError, Record
from streams.ledger.log import Log, read_to_end
from streams.ledger.published import Published
from streams.ledger.replay import LedgerReplay
from streams.runtime.exit_codes import ExitCode
from streams.runtime.failures import FatalError
from streams.runtime.metrics import WorkerMetrics
from streams.runtime.slices import run_in_slices

_log = logging.getLogger(__name__)

_SHARE: Final = 0.05
"""Largest share of the time for audits: on a large ledger they run less often than the interval."""
_LOGGED_DIFFERENCES: Final = 3

Tallies = Mapping[bytes, Any]
"""Payload by key."""


class _Abandoned(Exception):
    """The partition was revoked, or the broker does not answer."""


@dataclass(slots=True)
class Audit:
    """Audits owned partitions in turn. The gauge is the mismatches in the last audit of each owned partition."""

    policy: Policy
    interval_s: float
    """Seconds between two audits."""
    owned: OwnedPartitions
    producer: AIOKafkaProducer
    reader: AIOKafkaConsumer
    metrics: WorkerMetrics
    _last: int = -1
    _mismatches: dict[int, int] = field(default_factory=dict)

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
                    _log.info("audit of partition %d abandoned", owned.partition)
            pause = max(self.interval_s, (time.monotonic() - started) / _SHARE)

    def _next(self) -> OwnedPartition | None:
        ready = sorted(owned.partition for owned in self.owned if owned.ready)
        if not ready:
            return None
        self._last = next((partition for partition in ready if partition > self._last), ready[0])
        return self.owned.get(self._last)

    async def _audit(self, owned: OwnedPartition, lock: asyncio.Lock) -> None:
        claim = owned.claim
        assert claim is not None, "only claimed partitions are ready"
        logs = _AuditedLogs(Shard(owned.partition, self.policy, owned.shard.record_bytes), claim.ledger)
        ledger = Log(self.producer, owned.ledger.topic, owned.partition)
        tallies = Log(self.producer, owned.tallies.topic, owned.partition)

        async def catch_up() -> None:
            await self._read(owned, ledger, owned.ledger.next, logs.replay)
            await self._read(owned, tallies, owned.tallies.next, logs.publish)

        await catch_up()
        # A second time without the lock, so that it is held for a few records only.
        await catch_up()
        async with lock:
            await catch_up()
            if not self._owns(owned):
                raise _Abandoned
            with owned.freeze():
                # Published tallies are of fewer rows then: a later audit compares them.
                ahead, dirty = owned.ahead, dict(owned.shard.dirty)
                counted: dict[bytes, Any] = {}
                await run_in_slices(_collected(owned, counted))
        differences = await asyncio.to_thread(logs.compare, dirty, counted, published=not ahead)
        known = self._mismatches.get(owned.partition, 0) if ahead else 0
        self._mismatches[owned.partition] = max(known, len(differences))
        self.metrics.audits.inc()
        self.metrics.audit_mismatches.set(sum(self._mismatches.get(each.partition, 0) for each in self.owned))
        if not differences:
            _log.info(
                "audit: partition %d matches the recount of its %d ledger rows%s",
                owned.partition,
                logs.shard.rows,
                "; its published tallies are delayed, and were not compared" if ahead else "",
            )
        else:
            _log.error(
                "audit: %d tallies of partition %d differ from the recount of its ledger: %s. Restart the worker: it "
                "counts and publishes them again",
                len(differences),
                owned.partition,
                "; ".join(differences[:_LOGGED_DIFFERENCES]),
            )

    def _owns(self, owned: OwnedPartition) -> bool:
        return owned.ready and self.owned.get(owned.partition) is owned

    async def _read(
        self, owned: OwnedPartition, log: Log, end: int, on_records: Callable[[Log, Sequence[Record]], None]
    ) -> None:
        """Read a log to offset `end`. Raises _Abandoned."""
        if log.next >= end:
            return
        try:
            if await read_to_end(
                self.reader, [log], on_records, until={log.tp: end}, abandoned=lambda: not self._owns(owned)
            ):
                return
        except CorruptPartitionError as error:
            # The counts in memory are whole. A restart would put the partition in quarantine.
            _log.error(
                "audit of partition %d: %s. Restore the broker's log before this worker ends",
                owned.partition,
                error.why,
            )
            raise _Abandoned from error
        except KafkaError as error:
            raise _Abandoned from error
        except FatalError as error:
            if error.exit_code is not ExitCode.BROKER_LOST:
                raise
            raise _Abandoned from error
        raise _Abandoned


class _AuditedLogs:
    """The two logs of one partition, counted again. Records that a restore passes over are passed over."""

    def __init__(self, shard: Shard, ledger: str) -> None:
        self.shard = shard
        self.published = Published(ledger)
        self._ledger_replay = LedgerReplay(shard)

    def replay(self, _: Log, records: Sequence[Record]) -> None:
        """Merge rows of the ledger."""
        self._ledger_replay.read(records)

    def publish(self, _: Log, records: Sequence[Record]) -> None:
        """Keep published tallies."""
        self.published.read(records)

    def compare(self, dirty: Mapping[bytes, bytes], counted: Tallies, *, published: bool = True) -> list[str]:
        """List the differences: published tallies from the rows, if `published`, and counted ones from the rows and
        the dirty rows.
        """
        differences = self._compare_published() if published else []
        for key, value in dirty.items():
            self.shard.replay(key, value)
        return differences + _differences("counted", counted, dict(self.shard.tallies()))

    def _compare_published(self) -> list[str]:
        recounted = dict(self.shard.tallies())
        policy = self.shard.policy.value
        published = {
            key: last[1] if last is not None and last[0] == policy else last
            for key, last in self.published.tallies().items()
            if last is None or key in recounted or any(last[1].values())
        }
        return _differences("published", published, recounted)


def _collected(owned: OwnedPartition, counted: dict[bytes, Any]) -> Iterator[None]:
    yield from owned.shard.settling()
    for tally in owned.shard.counts.tallying():
        if tally is not None:
            counted[tally[0]] = tally[1]
        yield


def _differences(kind: str, actual: Tallies, recounted: Tallies) -> list[str]:
    return [
        f"{key.decode(errors='replace')}: {kind} is {actual.get(key)}, recounted {recounted.get(key)}"
        for key in sorted(actual.keys() | recounted.keys())
        if actual.get(key) != recounted.get(key)
    ]
