"""Apply batches: decide on each record, and merge the accepted events into the shard."""

from collections import Counter
from collections.abc import Sequence

from aggregator.facts import Evaluation, Fact
from aggregator.rows import Merge
from streams.engine.circuit_breaker import CircuitBreaker
from streams.engine.partition import OwnedPartition
from streams.events.decoder import Decoder, Kind, Rejection
from streams.events.reasons import WORKER_REASONS, Reason
from streams.events.rejection_log import RejectionLog
from streams.kafka.batches import Record, UnreadableRecords
from streams.kafka.dead_letters import RejectedRecord
from streams.kafka.decide import decide_all
from streams.kafka.topics import Topics
from streams.runtime.chunks import ASKED, Chunks
from streams.runtime.metrics import WorkerMetrics
from streams.waiting.waiting import WaitingEvaluations


def expect_events(metrics: WorkerMetrics, topics: Topics) -> None:
    """Make the series of events and rejections, so that `increase()` sees the first event of each."""
    for topic in topics.sources:
        metrics.events.labels(topic)
        metrics.misrouted.labels(topic)
        for reason in WORKER_REASONS:
            metrics.rejected.labels(topic, reason.value)


class BatchApplier:
    """Decoder, circuit breaker and counters of one worker. Its methods are synchronous.

    Args:
        topics: names of the source topics.
        partitions: P, the number of partitions of each.
        decoder: decides on each event.
        circuit_breaker: counts rejections; None turns it off.
        metrics: counts events by outcome.
        waiting: where evaluations of unknown items wait; None merges them, too.
    """

    def __init__(
        self,
        topics: Topics,
        partitions: int,
        decoder: Decoder,
        circuit_breaker: CircuitBreaker | None,
        metrics: WorkerMetrics,
        *,
        waiting: WaitingEvaluations | None = None,
    ) -> None:
        self._waiting = waiting
        self._kinds = topics.sources
        self._partitions = partitions
        self._decoder = decoder
        self._metrics = metrics
        self.circuit_breaker = circuit_breaker
        self.rejections = RejectionLog()
        """Logs what is rejected."""

    @property
    def paused(self) -> bool:
        """Whether the circuit breaker is open, so that nothing may be applied."""
        return self.circuit_breaker is not None and self.circuit_breaker.open_reason is not None

    def apply(
        self, owned: OwnedPartition, topic: str, records: Sequence[Record], chunks: Chunks | None = None
    ) -> list[RejectedRecord]:
        """Merge the accepted records into the shard, or let them wait; returns the rejected ones.

        Of a chunk of `chunks` that takes too long, only the first records are merged.

        The circuit breaker does not count what the process before this one had seen when it was restarted: the engine
        passes such records alone.
        """
        seen = bool(records) and records[-1].offset < owned.seen_before.get(topic, 0)
        return self._merge(owned, topic, records, None if seen else self.circuit_breaker, chunks)

    def look(
        self, owned: OwnedPartition, topic: str, records: Sequence[Record], chunks: Chunks | None = None
    ) -> list[RejectedRecord]:
        """The records that `apply` would reject. Changes nothing and counts nothing."""
        return [
            RejectedRecord(topic, owned.partition, record, decision)
            for record, decision in zip(records, self._decisions(owned, topic, records, chunks), strict=False)
            if type(decision) is Rejection
        ]

    def _decisions(
        self, owned: OwnedPartition, topic: str, records: Sequence[Record], chunks: Chunks | None
    ) -> list[Fact | Rejection]:
        return decide_all(
            self._decoder,
            self._kinds[topic],
            records,
            partition=owned.partition,
            partitions=self._partitions,
            has_item=owned.shard.has_item,
            ends_before=None if chunks is None else chunks.ends_before,
        )

    def _merge(
        self,
        owned: OwnedPartition,
        topic: str,
        records: Sequence[Record],
        circuit_breaker: CircuitBreaker | None,
        chunks: Chunks | None,
    ) -> list[RejectedRecord]:
        shard = owned.shard
        apply, has_item, part, waiting = shard.apply, shard.has_item, owned.waiting, self._waiting
        facts, evaluations = list[Evaluation](), list[Record]()
        # What a setting decided once is not decided again: see `WaitingEvaluations.receive`.
        merges_known = waiting is None or self._kinds[topic] is not Kind.EVALUATION or not self._decoder.metrics
        rejected: list[RejectedRecord] = []
        outcomes = [0, 0, 0]
        conflicts = shard.conflicts
        accepted = 0
        decisions = self._decisions(owned, topic, records, chunks)
        events = len(decisions)
        ends_before = _never if chunks is None else chunks.begin_step()
        for index, decision in enumerate(decisions):
            if not index & ASKED and ends_before(index):
                events = index
                break
            record = records[index]
            if type(decision) is not Rejection:
                accepted += 1
                known = has_item(decision.item)
                if (known and merges_known) or waiting is None or part is None:
                    outcomes[apply(decision)] += 1
                elif type(decision) is Evaluation and not known:
                    # Together, below: nothing among these records makes an item known.
                    facts.append(decision)
                    evaluations.append(record)
                elif (outcome := waiting.receive(part, decision, record)) is not None:
                    outcomes[outcome] += 1
                continue
            dead = RejectedRecord(topic, owned.partition, record, decision)
            if circuit_breaker is not None:
                _count_rejected(circuit_breaker, dead, accepted)
            accepted = 0
            rejected.append(dead)
        if waiting is not None and part is not None and facts:
            waiting.let_wait(part, facts, evaluations)
        if circuit_breaker is not None:
            circuit_breaker.accepted(topic, accepted)
        self._metrics.conflicting.labels(topic).inc(shard.conflicts - conflicts)
        self._count(topic, events, outcomes, rejected)
        return rejected

    def _count(self, topic: str, events: int, outcomes: Sequence[int], rejected: Sequence[RejectedRecord]) -> None:
        self._metrics.events.labels(topic).inc(events)
        self._metrics.superseded.labels(topic).inc(outcomes[Merge.SUPERSEDED])
        self._metrics.duplicate.labels(topic).inc(outcomes[Merge.DUPLICATE])
        for reason, count in Counter(record.rejection.reason for record in rejected).items():
            # What opens the circuit breaker stays in the topic, and its own line has it.
            if not self.paused:
                first = next(record for record in rejected if record.rejection.reason is reason)
                self.rejections.note(f"topic={topic}", count, first.example)
            self._metrics.rejected.labels(topic, reason.value).inc(count)
            if reason is Reason.MISROUTED:
                self._metrics.misrouted.labels(topic).inc(count)


def _never(_: int) -> bool:
    return False


def _count_rejected(circuit_breaker: CircuitBreaker, dead: RejectedRecord, accepted: int) -> None:
    """Count the events of a topic that were accepted before this one, and this one."""
    circuit_breaker.accepted(dead.topic, accepted)
    record = dead.record
    # A batch that is not unpacked is the broker's fault as much as the producer's, and has no cause to come again.
    if not (isinstance(record, UnreadableRecords) and record.reason is Reason.OVERSIZED):
        circuit_breaker.rejected(dead.topic, dead.example)
