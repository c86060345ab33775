"""What becomes of the records of a batch: facts, rejections, and what the circuit breaker counts."""

from types import SimpleNamespace
from typing import Any

from faust.types import TP
from prometheus_client import generate_latest

from aggregator.facts import Fact
from aggregator.rows import Merge
from aggregator.shard import Shard
from streams.engine.apply import BatchApplier, expect_events
from streams.engine.circuit_breaker import CircuitBreaker, CircuitBreakerPolicy
from streams.engine.partition import OwnedPartition
from streams.engine.start import Start
from streams.events.decoder import Decoder
from streams.events.reasons import WORKER_REASONS, Reason
from streams.kafka.batches import Record, UnreadableRecords
from streams.kafka.record_batches import ParsedRecord
from streams.kafka.topics import Topics
from streams.runtime.chunks import CHUNK_SECONDS, Chunks
from streams.runtime.metrics import WorkerMetrics
from tests.unit.streams.runtime.test_chunks import Clock

UNUSED: Any = SimpleNamespace()
TOPIC = Topics().annotations
AT = 1_700_000_000_000
VALUE = b'{"id":"a1","at":1700000000000,"queue":"support","item":"t1","thumbs":"up"}'


class Applied:
    """A worker of one partition, and what it rejected."""

    def __init__(self, in_a_row: int = 3) -> None:
        self.metrics = WorkerMetrics("0", list)
        circuit_breaker = CircuitBreaker(CircuitBreakerPolicy(in_a_row=in_a_row))
        self.applier = BatchApplier(Topics(), 1, Decoder(), circuit_breaker, self.metrics)
        self.owned = OwnedPartition(0, Shard(0), UNUSED, UNUSED)
        self.owned.restored({TP(TOPIC, 0): Start(0)})

    def reasons(self, *records: Record) -> list[tuple[int, Reason, str]]:
        rejected = self.applier.apply(self.owned, TOPIC, records)
        return [(each.record.offset, each.rejection.reason, each.rejection.detail) for each in rejected]

    @property
    def rejected(self) -> dict[str, float]:
        return {
            sample.labels["reason"]: sample.value
            for family in self.metrics.rejected.collect()
            for sample in family.samples
            if sample.name.endswith("_total") and sample.value
        }


def event(offset: int, headers: list[tuple[str, bytes | None]] | None = None) -> ParsedRecord:
    return ParsedRecord(offset, AT, b"t1", VALUE, headers or [])


def unreadable(offset: int, reason: Reason) -> UnreadableRecords:
    return UnreadableRecords(offset, AT, 9, reason, "a record batch of 9 records ...")


def test_records_that_cannot_be_read_are_rejected_with_their_own_reason() -> None:
    applied = Applied()
    found = applied.reasons(event(0), unreadable(1, Reason.OVERSIZED), event(10), unreadable(11, Reason.MALFORMED))
    assert found == [
        (1, Reason.OVERSIZED, "a record batch of 9 records ..."),
        (11, Reason.MALFORMED, "a record batch of 9 records ..."),
    ]
    assert applied.owned.shard.rows == 1
    assert applied.rejected == {"oversized": 1, "malformed": 1}


def test_batches_that_are_too_large_to_unpack_do_not_open_the_circuit_breaker() -> None:
    applied = Applied(in_a_row=3)
    applied.reasons(*[unreadable(offset, Reason.OVERSIZED) for offset in range(50)])
    assert not applied.applier.paused
    applied.reasons(*[unreadable(offset, Reason.MALFORMED) for offset in range(4)])
    assert applied.applier.paused


def test_headers_that_are_not_text_are_passed_over_unless_cloudevents_needs_them() -> None:
    applied = Applied()
    odd: list[tuple[str, bytes | None]] = [("\udcff", b"x"), ("ce_\udcff", b"\xff"), ("x", b"\xff"), ("ce_id", b"c1")]
    assert applied.reasons(event(0, odd)) == []
    assert applied.reasons(event(1, [*odd, ("ce_source", b"\xff")])) == [
        (1, Reason.INVALID_FIELD, "not UTF-8 - at header `ce_source`")
    ]


def test_every_topic_and_reason_has_a_series_before_the_first_event() -> None:
    metrics = WorkerMetrics("1", list)
    expect_events(metrics, Topics())
    scraped = generate_latest(metrics.registry).decode()
    for topic in Topics().sources:
        assert f'eval_alignment_events_total{{topic="{topic}"}} 0.0' in scraped
        for reason in WORKER_REASONS:
            assert f'events_rejected_total{{reason="{reason.value}",topic="{topic}"}} 0.0' in scraped
    assert "unknown_shape" not in scraped


def test_records_after_the_end_of_a_chunk_are_left_for_the_next() -> None:
    applied, clock = Applied(), Clock()
    chunks = Chunks(clock)
    apply = applied.owned.shard.apply

    def slowly(fact: Fact) -> Merge:
        clock.now += CHUNK_SECONDS / 2
        return apply(fact)

    applied.owned.shard.apply = slowly  # type: ignore[method-assign]
    records = [event(offset) for offset in range(50)]
    lengths = []
    for chunk in chunks.of(records):
        before = clock.now
        assert applied.applier.apply(applied.owned, TOPIC, chunk, chunks) == []
        chunks.handled()
        lengths.append(round((clock.now - before) / (CHUNK_SECONDS / 2)))
    assert sum(lengths) == len(records)
    assert max(lengths) == 8, "not all fifty of the first chunk"
    assert b'eval_alignment_events_total{topic="alignment.annotations.v1"} 50.0' in generate_latest(
        applied.metrics.registry
    )
