"""When events count as acknowledged, when the producer is replaced, and when the process ends."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    KafkaError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    RequestTimedOutError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
)
from aiokafka.structs import RecordMetadata

from ingest.config import IngestConfig, Limits
from ingest.publish import AWAY_SECONDS, NotAcknowledgedError, Publisher, TooLargeForBrokerError
from streams.kafka.client import KAFKA, Capabilities, KafkaClient
from streams.kafka.producer import Outgoing

RECORDS = [Outgoing("t", b"{}", b"i1"), Outgoing("t", b"{}", b"i2")]


def acknowledged(timestamp: int = 1_000, timestamp_type: int = 1) -> RecordMetadata:
    return RecordMetadata("t", 0, TopicPartition("t", 0), 0, timestamp, timestamp_type, 0)


class Producer:
    """Yields these outcomes for the records, one each: metadata, an error of the record, or None for no answer."""

    def __init__(self, outcomes: Sequence[Any], refuses: Exception | None = None) -> None:
        self._outcomes = iter(outcomes)
        self._refuses = refuses
        self.futures: list[asyncio.Future[Any]] = []

    async def send(self, *_: object, **__: object) -> "asyncio.Future[Any]":
        outcome = next(self._outcomes, None)
        if outcome is None and self._refuses is not None:
            raise self._refuses
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.futures.append(future)
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        elif outcome is not None:
            future.set_result(outcome)
        return future


def publisher_with(producer: Producer | None, seconds: float = 10.0) -> Publisher:
    limits = Limits(acknowledge_seconds=seconds)
    publisher = Publisher(IngestConfig(kafka=KafkaClient(["127.0.0.1:1"]), limits=limits))
    publisher._producer = cast("AIOKafkaProducer | None", producer)
    publisher._ended = asyncio.get_running_loop().create_future()
    return publisher


async def test_it_returns_when_all_are_acknowledged_and_learns_the_clock_of_the_broker() -> None:
    publisher = publisher_with(Producer([acknowledged(5_000), acknowledged(7_000)]))
    assert publisher.away, "nothing has answered yet"
    await publisher.publish(RECORDS)
    assert not publisher.away
    assert 7_000 <= publisher.clock.now() < 60_000


async def test_a_topic_with_the_times_of_its_producers_says_nothing_about_the_clock_of_the_broker() -> None:
    publisher = publisher_with(Producer([acknowledged(5_000, timestamp_type=0)] * 2))
    publisher.clock.wall = lambda: 42_000
    await publisher.publish(RECORDS)
    assert publisher.clock.now() == 42_000


async def test_one_record_without_an_acknowledgement_is_none_at_all() -> None:
    producer = Producer([acknowledged(), None])
    publisher = publisher_with(producer, seconds=0.01)
    with pytest.raises(NotAcknowledgedError, match="in time") as error:
        await publisher.publish(RECORDS)
    assert list(error.value.pending) == producer.futures
    assert not producer.futures[1].cancelled(), "the record may still arrive"
    assert not publisher._ended.done()  # type: ignore[union-attr]


@pytest.mark.parametrize("error", [RequestTimedOutError(), OutOfOrderSequenceNumber(), KafkaError()])
async def test_one_record_that_fails_is_none_at_all_and_its_producer_is_replaced(
    error: KafkaError, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = publisher_with(Producer([acknowledged(), error]))
    with pytest.raises(NotAcknowledgedError, match=type(error).__name__):
        await publisher.publish(RECORDS)
    assert publisher._ended is not None
    assert publisher._ended.result() is None, "an idempotent producer has a gap in its sequence"
    assert publisher.away is None, "requests wait for the next producer"
    until = publisher._replaced_until
    monkeypatch.setattr("ingest.publish.time.monotonic", lambda: until)
    assert publisher.away is not None, "it takes too long"


async def test_a_record_that_the_broker_refuses_as_too_large_is_told_apart() -> None:
    publisher = publisher_with(Producer([acknowledged(), MessageSizeTooLargeError()]))
    with pytest.raises(TooLargeForBrokerError, match=r"max\.message\.bytes"):
        await publisher.publish(RECORDS)


async def test_a_record_that_the_producer_refuses_as_too_large_leaves_the_producer() -> None:
    publisher = publisher_with(Producer([acknowledged()], refuses=MessageSizeTooLargeError()))
    with pytest.raises(TooLargeForBrokerError) as error:
        await publisher.publish(RECORDS)
    assert len(error.value.pending) == 1
    assert publisher._ended is not None
    assert not publisher._ended.done()


async def test_a_producer_that_takes_no_records_is_replaced() -> None:
    publisher = publisher_with(Producer([acknowledged()], refuses=OutOfOrderSequenceNumber()))
    with pytest.raises(NotAcknowledgedError) as error:
        await publisher.publish(RECORDS)
    assert len(error.value.pending) == 1
    assert publisher._ended is not None
    assert publisher._ended.result() is None


SOURCE = IngestConfig(kafka=KafkaClient(["127.0.0.1:1"])).topics.annotations


@pytest.mark.parametrize("refuses", [True, False])
async def test_a_right_that_is_taken_away_is_waited_for_and_named(refuses: bool) -> None:
    error = TopicAuthorizationFailedError(SOURCE)
    publisher = publisher_with(Producer([], refuses=error) if refuses else Producer([error, error]))
    with pytest.raises(NotAcknowledgedError):
        await publisher.publish(RECORDS)
    assert publisher._ended is not None
    assert publisher._ended.result() is None, "the process goes on"
    assert SOURCE in (publisher.away or ""), "requests do not wait for the next producer"
    with pytest.raises(NotAcknowledgedError, match=SOURCE):
        await publisher.publish(RECORDS)


async def test_a_right_that_only_some_sources_need_stops_no_other_events() -> None:
    publisher = publisher_with(Producer([TopicAuthorizationFailedError("alignment.dead-letters.v1")] * 2))
    with pytest.raises(NotAcknowledgedError, match="dead-letters"):
        await publisher.publish(RECORDS)
    assert publisher.away is None


class Connecting:
    """A broker that returns these answers when it is connected to, one each time: None, or how it refuses."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answers: Sequence[KafkaError | None]) -> None:
        self._answers = iter(answers)
        self.reasons: list[str | None] = []
        """Why the publisher was away at each attempt."""
        for name in ("require_sources", "connect"):
            monkeypatch.setattr(f"ingest.publish.{name}", self._nothing)
        monkeypatch.setattr(KafkaClient, "probe", self._probe)
        monkeypatch.setattr("ingest.publish.require_writing", self._require_writing)
        monkeypatch.setattr("ingest.publish.producer", self._producer)
        monkeypatch.setattr("streams.runtime.retries.FIRST_SECONDS", 0.0)
        monkeypatch.setattr("streams.runtime.retries._JITTER_SECONDS", 0.0)
        self.publisher = Publisher(IngestConfig(kafka=KafkaClient(["127.0.0.1:1"])))

    async def _nothing(self, *_: object) -> None:
        """Succeed."""

    async def _probe(self) -> Capabilities:
        return KAFKA

    async def _require_writing(self, *_: object) -> None:
        self.reasons.append(self.publisher.away)
        if (answer := next(self._answers)) is not None:
            raise answer

    def _producer(self, *_: object, **__: object) -> Any:
        client = SimpleNamespace(
            set_topics=self._nothing,
            force_metadata_update=self._answered,
            cluster=SimpleNamespace(topics=lambda: set(self.publisher._config.topics.sources)),
        )
        return SimpleNamespace(client=client, stop=self._nothing)

    async def _answered(self) -> bool:
        return True


@pytest.mark.parametrize(
    "refusal",
    [
        TopicAuthorizationFailedError(SOURCE),
        ClusterAuthorizationFailedError(),
        SaslAuthenticationFailed("wrong password"),
    ],
)
async def test_only_a_broker_that_refuses_at_the_start_ends_the_process(
    refusal: KafkaError, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(type(refusal)):
        await Connecting(monkeypatch, [refusal]).publisher.run()


async def test_a_user_without_rights_is_tried_again_until_they_are_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    refusals = [TopicAuthorizationFailedError(SOURCE), ClusterAuthorizationFailedError(), SaslAuthenticationFailed("p")]
    broker = Connecting(monkeypatch, [None, *refusals, None])
    publisher = broker.publisher
    running = asyncio.create_task(publisher.run())
    await publisher._connected.wait()
    assert publisher._ended is not None
    publisher._replace(publisher._ended, TopicAuthorizationFailedError(SOURCE))
    assert SOURCE in (publisher.away or "")
    back = asyncio.create_task(publisher._connected.wait())
    await asyncio.wait([running, back], return_when=asyncio.FIRST_COMPLETED)
    assert not running.done()
    assert len(broker.reasons) == 5
    assert all(SOURCE in (reason or "") for reason in broker.reasons[1:]), "the reason stays while it is tried again"
    assert publisher.away is None
    running.cancel()


async def test_without_a_connection_nothing_is_sent() -> None:
    publisher = publisher_with(None)
    with pytest.raises(NotAcknowledgedError, match="not connected"):
        await publisher.publish(RECORDS)


async def test_a_broker_that_has_not_answered_for_long_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    publisher = publisher_with(Producer([acknowledged()] * 2))
    await publisher.publish(RECORDS)
    now = publisher._answered
    monkeypatch.setattr("ingest.publish.time.monotonic", lambda: now + AWAY_SECONDS - 0.1)
    assert publisher.away is None
    monkeypatch.setattr("ingest.publish.time.monotonic", lambda: now + AWAY_SECONDS)
    assert publisher.away == "the broker has not answered for 15 s"
