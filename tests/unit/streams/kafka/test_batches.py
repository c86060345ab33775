"""What `drain` takes out of aiokafka's fetcher: exact positions, for any bytes."""

import contextlib
from collections import OrderedDict
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher as aiokafka_fetcher
from aiokafka.consumer.fetcher import READ_COMMITTED, FetchResult, PartitionRecords

from streams.events.reasons import Reason
from streams.kafka import batches
from streams.kafka.batches import Batch, CorruptPartitionError, UnreadableRecords, drain, fetch
from streams.kafka.codecs import MAX_UNPACKED_BYTES
from streams.kafka.reading_order import LAG_RECORDS, ReadingOrder
from tests.fuzz.batches import CONTROL, TRANSACTIONAL, RawBatch, RawRecord, varint

TP = TopicPartition("t", 0)
ABORT = RawRecord(b"\0\0\0\0")


class State:
    """The position of a partition, as aiokafka keeps it."""

    paused = False

    def __init__(self, position: int = 0) -> None:
        self.position = position

    def consumed_to(self, position: int) -> None:
        self.position = position


class Fetcher:
    """The parts of aiokafka's fetcher that `drain` uses, with partitions that are fetched again and again."""

    def __init__(self, *responses: bytes, position: int = 0, aborted: list[tuple[int, int]] | None = None) -> None:
        self._records: OrderedDict[TopicPartition, FetchResult] = OrderedDict()
        self._subscriptions = self
        self._wait_consume_future = None
        self.active = True
        self.states = {TP: State(position)}
        self._responses = iter(responses)
        self._aborted = aborted

    def is_assigned(self, _: TopicPartition) -> bool:
        return True

    def state_value(self, tp: TopicPartition) -> State:
        return self.states.setdefault(tp, State())

    def _notify(self, _: Any) -> None:
        pass

    def respond(self, tp: TopicPartition, data: bytes) -> None:
        """Keep a response, as aiokafka's fetch task does."""
        records: Any = aiokafka_fetcher
        response = records.MemoryRecords(data)
        assert response.has_next()
        part = PartitionRecords(
            tp, response, self._aborted, self.state_value(tp).position, None, None, True, READ_COMMITTED
        )
        self._records[tp] = FetchResult(tp, assignment=self, partition_records=part, backoff=0)

    def take(self) -> list[Batch]:
        """Fetch once and drain."""
        self.respond(TP, next(self._responses))
        fetcher: Any = self
        return drain(fetcher, [TP], 100)


def plain(*offsets: int) -> bytes:
    return b"".join(RawBatch([RawRecord(b"k", b"%d" % offset)], base_offset=offset).encode() for offset in offsets)


def test_a_response_is_one_batch_and_the_position_moves_past_it() -> None:
    fetcher = Fetcher(plain(0, 1, 2), plain(5))
    (first,), (second,) = fetcher.take(), fetcher.take()
    assert [record.offset for record in first.records] == [0, 1, 2]
    assert (first.start, first.next, second.start, second.next) == (0, 3, 3, 6)


def test_what_is_held_back_stays_fetched_and_is_taken_once_the_others_do_not_lag() -> None:
    annotations, lags = TopicPartition("annotations", 0), [LAG_RECORDS]
    order = ReadingOrder(TP.topic, lambda _: lags[-1])
    fake = Fetcher()
    fetcher: Any = fake
    fake.respond(TP, plain(0, 1))
    fake.respond(annotations, plain(0))
    (batch,) = drain(fetcher, [TP, annotations], 100, order=order)
    assert (batch.topic, list(fake._records), fake.states[TP].position) == ("annotations", [TP], 0)
    assert drain(fetcher, [TP, annotations], 100, order=order) == []
    lags.append(0)
    fake.respond(annotations, plain(1))
    taken = drain(fetcher, [TP, annotations], 100, order=order)
    assert [(batch.topic, batch.start, batch.next) for batch in taken] == [("annotations", 1, 2), (TP.topic, 0, 2)]


def test_what_was_aborted_is_passed_over_and_control_batches_are_never_unpacked() -> None:
    aborted = RawBatch([RawRecord()], attributes=TRANSACTIONAL, producer_id=9, codec=4, packed=b"not zstd")
    again = RawBatch([RawRecord()], base_offset=1, attributes=TRANSACTIONAL, producer_id=9)
    marker = RawBatch([ABORT], base_offset=2, attributes=TRANSACTIONAL | CONTROL, producer_id=9)
    committed = RawBatch([RawRecord(b"k", b"committed")], base_offset=3, attributes=TRANSACTIONAL, producer_id=9)
    odd = RawBatch([RawRecord(None)], base_offset=4, attributes=CONTROL, payload=b"\xff" * 9)
    data = b"".join(batch.encode() for batch in (aborted, again, marker, committed, odd))
    (batch,) = Fetcher(data, aborted=[(9, 0)]).take()
    assert [record.value for record in batch.records] == [b"committed"]
    assert batch.next == 5


def test_a_start_inside_of_a_batch_that_cannot_be_read_is_where_its_record_is() -> None:
    unreadable = RawBatch([RawRecord(offset_delta=index) for index in range(10)], codec=4, packed=b"not zstd")
    (batch,) = Fetcher(unreadable.encode(), position=4).take()
    (record,) = batch.records
    assert isinstance(record, UnreadableRecords)
    assert (record.offset, batch.start, batch.next) == (4, 4, 10)


@pytest.mark.parametrize("codec", [0, 4])
def test_a_record_before_its_batch_is_not_passed_over(codec: int) -> None:
    records = [RawRecord(offset_delta=-4), RawRecord(offset_delta=1)]
    (batch,) = Fetcher(plain(0) + RawBatch(records, base_offset=1, codec=codec).encode()).take()
    assert [record.offset for record in batch.records] == [0, 1, 2]
    assert [isinstance(record, UnreadableRecords) for record in batch.records] == [False, True, False]
    assert batch.next == 3


def test_a_wrong_checksum_is_fetched_again_three_times_and_then_reported() -> None:
    corrupt = RawBatch([RawRecord()], base_offset=2, broken_checksum=True).encode()
    fetcher = Fetcher(plain(0, 1) + corrupt, *[corrupt] * 8)
    (before,) = fetcher.take()
    assert ([record.offset for record in before.records], before.corrupt) == ([0, 1], None)
    for _ in range(2):
        assert [fetcher.take() for _ in range(3)] == [[], [], []]
        (batch,) = fetcher.take()
        assert (batch.start, batch.next, batch.records) == (2, 2, [])
        assert batch.corrupt == "t[0]: wrong checksum of the record batch at offset 2, fetched 4 times from 2"


def test_a_checksum_that_is_right_the_next_time_is_forgotten() -> None:
    corrupt = RawBatch([RawRecord()], broken_checksum=True).encode()
    fetcher = Fetcher(corrupt, corrupt, corrupt, plain(0), plain(1))
    assert [fetcher.take() for _ in range(3)] == [[], [], []]
    assert fetcher.take()[0].next == 1
    assert fetcher.take()[0].next == 2


@pytest.mark.parametrize("data", [b"\xff" * 70, b"\0" * 70, b"x", plain(0)[:-1]])
def test_bytes_without_a_frame_are_corrupt_too(data: bytes) -> None:
    fetcher = Fetcher(*[data] * 4)
    assert [fetcher.take() for _ in range(3)] == [[], [], []]
    assert fetcher.take()[0].corrupt


def test_a_response_is_unpacked_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "_ENOUGH_BYTES", 1000)
    large = [RawBatch([RawRecord(value=bytes(600))], base_offset=offset, codec=4).encode() for offset in range(3)]
    fetcher = Fetcher(b"".join(large), large[2])
    assert fetcher.take()[0].next == 2
    assert fetcher.take()[0].next == 3


@pytest.mark.parametrize(
    "hostile",
    [
        RawBatch([RawRecord(value=bytes(MAX_UNPACKED_BYTES))], codec=4),
        RawBatch([RawRecord()], codec=4, packed=b"no codec made this"),
    ],
)
def test_each_batch_that_cannot_be_unpacked_ends_its_part(hostile: RawBatch) -> None:
    """Hundreds fit into one response, and each takes as long to unpack as 64 MiB."""
    data = [replace(hostile, base_offset=offset).encode() for offset in range(3)]
    fetcher = Fetcher(*(b"".join(data[offset:]) for offset in range(3)))
    assert [fetcher.take()[0].next for _ in range(3)] == [1, 2, 3]


def _headers_alone(records: int, base_offset: int) -> RawBatch:
    """Half a million headers in each record. A header of two bytes needs thirty times as many in memory."""
    heads = [RawRecord(offset_delta=delta).encode()[1:-1] + varint(500_000) for delta in range(records)]
    payload = b"".join(varint(len(head) + 1_000_000) + head + b"\0\1" * 500_000 for head in heads)
    return RawBatch([RawRecord()] * records, base_offset=base_offset, codec=4, payload=payload)


def test_a_batch_of_headers_alone_ends_its_part() -> None:
    data = [_headers_alone(1, offset).encode() for offset in range(3)]
    fetcher = Fetcher(*(b"".join(data[offset:]) for offset in range(3)))
    taken = [fetcher.take()[0] for _ in range(3)]
    assert [batch.next for batch in taken] == [1, 2, 3]
    assert [len(record.headers) for batch in taken for record in batch.records] == [500_000] * 3


def test_a_batch_of_more_headers_than_fit_into_memory_is_one_unreadable_record() -> None:
    ((unreadable,),) = [batch.records for batch in Fetcher(_headers_alone(3, 0).encode()).take()]
    assert isinstance(unreadable, UnreadableRecords)
    assert (unreadable.count, unreadable.reason) == (3, Reason.OVERSIZED)


def test_a_response_is_read_in_parts_of_a_number_of_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "_ENOUGH_RECORDS", 2)
    fetcher = Fetcher(plain(0, 1, 2), plain(2))
    assert fetcher.take()[0].next == 2
    assert fetcher.take()[0].next == 3


async def test_a_corrupt_partition_costs_nothing_of_another() -> None:
    other, corrupt = TopicPartition("t", 1), RawBatch([RawRecord()], broken_checksum=True).encode()
    fetcher = Fetcher()
    consumer: Any = SimpleNamespace(_fetcher=fetcher, _coordinator=SimpleNamespace(check_errors=lambda: None))
    read: list[Any] = []
    # An empty batch of another partition stands before the corrupt one, and a full one after it.
    empty = RawBatch([], last_offset_delta=4).encode()
    for _ in range(8):
        fetcher.states.clear()
        for tp, data in ((other, empty), (TP, corrupt)):
            fetcher.respond(tp, data)
        fetcher.respond(TopicPartition("t", 2), plain(0))
        while fetcher._records:
            with contextlib.suppress(CorruptPartitionError):
                read += await fetch(consumer, [TP, other, TopicPartition("t", 2)], 0)
    assert [(batch.partition, batch.next) for batch in read] == [(1, 5), (2, 1)] * 8
