"""Folding: decides of each record of a batch, and merges what is accepted into the shard."""

from collections.abc import Sequence

from aggregator.rows import Merge
from streams.engine.circuit_breaker import Fuse
from streams.engine.partition import Owned
from streams.events.decoder import Decoder, Rejection
from streams.events.reasons import Reason
from streams.kafka.batches import Record
from streams.kafka.dead_letters import DeadLetter
from streams.kafka.producer import home_partition
from streams.kafka.topics import Topics
from streams.runtime.metrics import WorkerMetrics


class Folder:
    """Decoder, fuse and counters of one worker. Synchronous; `fuse` None means that the fuse is off."""

    def __init__(
        self, topics: Topics, partitions: int, decoder: Decoder, fuse: Fuse | None, metrics: WorkerMetrics
    ) -> None:
        self._kinds = topics.sources
        self._partitions = partitions
        self._decoder = decoder
        self._fuse = fuse
        self._metrics = metrics

    @property
    def blown(self) -> str | None:
        """Why the fuse has blown, or None."""
        return None if self._fuse is None else self._fuse.blown

    def fold(self, owned: Owned, topic: str, records: Sequence[Record]) -> list[DeadLetter]:
        """Merge the accepted records into the shard; returns the rejected ones."""
        kind, shard, partition = self._kinds[topic], owned.shard, owned.partition
        decode, apply, knows = self._decoder.decode, shard.apply, shard.knows
        fuse, rejected = self._fuse, []
        outcomes = [0, 0, 0]
        accepted = 0
        for record in records:
            key = record.key
            fact = decode(kind, record.value, key, record.headers, record.timestamp)
            if type(fact) is not Rejection:
                # An accepted event has a key: the item's bytes.
                if knows(fact.item) or home_partition(key or b"", self._partitions) == partition:
                    outcomes[apply(fact)] += 1
                    accepted += 1
                    continue
                fact = _misrouted(key or b"", self._partitions, partition)
            if fuse is not None:
                fuse.accepted(topic, accepted)
                fuse.rejected(topic)
                accepted = 0
            rejected.append(DeadLetter(topic, partition, record, fact))
        if fuse is not None:
            fuse.accepted(topic, accepted)
        self._count(topic, len(records), outcomes, rejected)
        return rejected

    def _count(self, topic: str, events: int, outcomes: Sequence[int], rejected: Sequence[DeadLetter]) -> None:
        self._metrics.events.labels(topic).inc(events)
        self._metrics.stale.labels(topic).inc(outcomes[Merge.STALE])
        self._metrics.duplicate.labels(topic).inc(outcomes[Merge.DUPLICATE])
        for dead in rejected:
            reason = dead.rejection.reason
            self._metrics.rejected.labels(topic, reason.value).inc()
            if reason is Reason.MISROUTED:
                self._metrics.misrouted.labels(topic).inc()


def _misrouted(key: bytes, partitions: int, partition: int) -> Rejection:
    return Rejection(
        Reason.MISROUTED,
        f"in partition {partition}, murmur2 of the key gives {home_partition(key, partitions)}: set the producer's "
        "partitioner to Kafka's default (librdkafka: partitioner=murmur2_random)",
    )
