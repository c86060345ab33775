"""Batches and logs on a real Apache Kafka: offsets, gaps, transactions, continuity."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from streams.kafka.batches import Batch, Record, fetch
from streams.kafka.client import KAFKA, KafkaClient
from streams.kafka.record_limits import BATCH_BYTES
from streams.ledger.log import Log, new_producer, new_reader, read_to_end
from streams.runtime.exit_codes import ExitCode
from streams.runtime.failures import FatalError
from tests.integration.streams.rig import Rig
from tests.support.waiting import eventually


@contextlib.asynccontextmanager
async def _consumer(rig: Rig, topic: str, start: int = 0) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=rig.bootstrap, auto_offset_reset="earliest", isolation_level="read_committed"
    )
    async with consumer:
        consumer.assign([TopicPartition(topic, 0)])
        consumer.seek(TopicPartition(topic, 0), start)
        yield consumer


async def _batches(rig: Rig, topic: str, start: int = 0) -> list[Batch]:
    """Everything of partition 0 from an offset on."""
    batches: list[Batch] = []
    end = (await rig.ends(topic))[TopicPartition(topic, 0)]
    async with _consumer(rig, topic, start) as consumer, asyncio.timeout(20):
        while not batches or batches[-1].next < end:
            batches += await fetch(consumer, [(topic, 0)], 0.05)
    return batches


async def _transact(rig: Rig, topic: str, value: bytes, *, abort: bool = False) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=rig.bootstrap, transactional_id=f"{rig.prefix}t")
    async with producer:
        await producer.begin_transaction()
        await producer.send_and_wait(topic, value, key=b"k", partition=0)
        await (producer.abort_transaction() if abort else producer.commit_transaction())


async def test_batches_follow_each_other_and_skip_what_was_aborted(rig: Rig) -> None:
    topic = rig.topics.annotations
    await rig.send([(topic, b"k", b"plain")], partition=0)
    await _transact(rig, topic, b"aborted", abort=True)
    await _transact(rig, topic, b"committed")
    batches = await _batches(rig, topic)
    assert [record.value for batch in batches for record in batch.records] == [b"plain", b"committed"]
    assert batches[0].start == 0
    # One plain record, and two transactions of one record and one marker each.
    assert batches[-1].next == 5
    assert all(left.next == right.start for left, right in itertools.pairwise(batches))


async def test_a_batch_that_starts_inside_a_record_batch_has_the_rest_of_it(rig: Rig) -> None:
    topic = rig.topics.annotations
    await rig.send([(topic, b"k", str(index).encode()) for index in range(10)], partition=0)
    batches = await _batches(rig, topic, start=7)
    assert batches[0].start == 7
    assert [record.offset for batch in batches for record in batch.records] == [7, 8, 9]


@contextlib.asynccontextmanager
async def _log(rig: Rig) -> AsyncIterator[tuple[Log, AIOKafkaConsumer]]:
    client = KafkaClient([rig.bootstrap])
    producer, reader = new_producer(client, KAFKA), new_reader(client)
    async with producer, reader:
        yield Log(producer, rig.topics.facts, 0), reader
        # aiokafka hangs when it is closed while it still waits for abandoned fetches, where it swallows its own
        # cancellation.
        fetcher: Any = reader._fetcher
        await eventually(lambda: not fetcher._pending_tasks)


async def test_rows_are_appended_in_order_and_read_back(rig: Rig) -> None:
    rows = [(f"k{index}".encode(), bytes(1000)) for index in range(3 * BATCH_BYTES // 1000)]
    read: list[bytes | None] = []

    def collect(log: Log, records: Sequence[Record]) -> None:
        assert log.next == len(read)
        read.extend(record.key for record in records)

    async with _log(rig) as (log, reader):
        await log.append(rows)
        assert log.next == len(rows)
        await log.append([])
        log.rewind()
        assert await read_to_end(reader, [log], collect)
        assert log.next == len(rows)
    assert read == [key for key, _ in rows]


async def test_an_append_after_another_writer_fails(rig: Rig) -> None:
    async with _log(rig) as (log, _):
        await log.append([(b"a", b"1")])
        await rig.send([(rig.topics.facts, b"b", b"2")], partition=0)
        with pytest.raises(FatalError, match="expected offset 1, the broker reports 2") as broken:
            await log.append([(b"c", b"3")])
        assert broken.value.exit_code is ExitCode.ANOTHER_WRITER
        log.rewind()
        assert await log.append_blindly((b"d", b"4")) == 3


async def test_reading_ends_on_a_log_whose_last_offset_is_a_transaction_marker(rig: Rig) -> None:
    await _transact(rig, rig.topics.facts, b"value")
    # The broker writes the marker after it has answered the commit.
    while (await rig.ends(rig.topics.facts))[TopicPartition(rig.topics.facts, 0)] < 2:  # noqa: ASYNC110 -- a broker has no event
        await asyncio.sleep(0.01)
    async with _log(rig) as (log, reader), asyncio.timeout(10):
        assert await read_to_end(reader, [log], lambda _, __: None)
        assert log.next == 2


async def test_an_abandoned_reading_can_be_repeated_immediately(rig: Rig) -> None:
    async with _log(rig) as (log, reader), asyncio.timeout(20):
        await log.append([(b"k", b"v")])
        for _ in range(3):
            log.rewind()
            # Given up before the reader's tasks take note of the assignment, which they do in the sleep.
            assert not await read_to_end(reader, [log], lambda _, __: None, abandoned=lambda: True)
            await asyncio.sleep(0.01)
            assert await read_to_end(reader, [log], lambda _, __: None)
            assert log.next == 1


async def test_a_reading_can_be_abandoned(rig: Rig) -> None:
    answers = iter([False, True])
    async with _log(rig) as (log, reader), asyncio.timeout(10):
        far = {log.tp: 1}
        assert not await read_to_end(reader, [log], lambda _, __: None, until=far, abandoned=lambda: next(answers))
