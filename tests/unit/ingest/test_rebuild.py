"""What the keeper of the owner indexes survives."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import GroupAuthorizationFailedError, TopicAuthorizationFailedError
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from aggregator import facts
from aggregator.facts import Annotation
from ingest.config import IngestConfig
from ingest.metrics import IngestMetrics
from ingest.rebuild import IndexKeeper, SourceTopics, _Reading
from sources.intake.intake import Delivery, SourceIntake
from sources.intake.store import IndexStore, IndexUnusableError
from streams.events.decoder import Decoder, Kind
from streams.events.pseudonyms import Pseudonyms
from streams.kafka.batches import CorruptPartitionError
from streams.kafka.client import KafkaClient
from streams.kafka.topics import Topics
from tests.support.sources import tool_source


async def _deliver(_: Delivery) -> None:
    """Take nothing."""


@pytest.fixture
def intake(tmp_path: Path) -> Iterator[SourceIntake]:
    store = IndexStore(tmp_path)
    yield SourceIntake(tool_source("langfuse", queue="q"), _deliver, store.index("langfuse"))
    store.close()


def keeper_of(intake: SourceIntake, metrics: IngestMetrics | None = None) -> IndexKeeper:
    config = IngestConfig(kafka=KafkaClient(["127.0.0.1:1"]), decoder=Decoder())
    return IndexKeeper(config, [intake], metrics or IngestMetrics("1"))


@pytest.mark.parametrize(
    "error",
    [
        IndexUnusableError("cannot use the index: database or disk is full"),
        TopicAuthorizationFailedError("t"),
        GroupAuthorizationFailedError("g"),
    ],
)
async def test_neither_a_full_disk_nor_a_right_that_is_taken_away_ends_the_keeper(
    error: Exception, intake: SourceIntake, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper, calls, kept = keeper_of(intake), 0, asyncio.Event()

    async def make(_: IndexKeeper) -> None:
        intake.not_made = None

    async def keep(_: IndexKeeper) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise error
        kept.set()

    monkeypatch.setattr(IndexKeeper, "_make", make)
    monkeypatch.setattr(IndexKeeper, "keep", keep)
    monkeypatch.setattr("ingest.rebuild.KEEP_SECONDS", 0)
    running = asyncio.create_task(keeper.run())
    ended = asyncio.create_task(kept.wait())
    await asyncio.wait([running, ended], return_when=asyncio.FIRST_COMPLETED)
    assert not running.done()
    running.cancel()


async def test_a_stop_does_not_fail_because_the_disk_of_the_indexes_is_full(
    intake: SourceIntake, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[IndexKeeper] = []

    async def keep(keeper: IndexKeeper) -> None:
        tried.append(keeper)
        raise IndexUnusableError("cannot use the index: database or disk is full")

    monkeypatch.setattr(IndexKeeper, "keep", keep)
    keeper = keeper_of(intake)
    intake.not_made = None
    await keeper.close()
    assert tried == [keeper]


async def test_a_broker_that_refuses_before_the_index_is_made_ends_the_keeper(
    intake: SourceIntake, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def catch_up(*_: object) -> int:
        raise TopicAuthorizationFailedError("t")

    monkeypatch.setattr(SourceTopics, "catch_up", catch_up)
    with pytest.raises(TopicAuthorizationFailedError):
        await keeper_of(intake).run()


async def reasons_until_made(
    keeper: IndexKeeper, failures: list[Exception], monkeypatch: pytest.MonkeyPatch
) -> list[str | None]:
    """The reason of a keeper at each attempt: these fail, and the next one makes the index."""
    reasons: list[str | None] = []
    made = asyncio.Event()

    async def catch_up(*_: object) -> int:
        reasons.append(keeper.reason)
        if len(reasons) <= len(failures):
            raise failures[len(reasons) - 1]
        made.set()
        return 0

    monkeypatch.setattr(SourceTopics, "catch_up", catch_up)
    running, ended = asyncio.create_task(keeper.run()), asyncio.create_task(made.wait())
    await asyncio.wait([running, ended], return_when=asyncio.FIRST_COMPLETED)
    assert not running.done()
    running.cancel()
    return reasons


async def test_an_index_that_cannot_be_used_is_named_and_waited_for(
    intake: SourceIntake, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    why = "cannot use sources.sqlite: it is damaged"
    keeper = keeper_of(intake)
    reasons = await reasons_until_made(keeper, [IndexUnusableError(why)] * 2, monkeypatch)
    assert [reason is not None and "cannot be used" in reason for reason in reasons] == [False, True, True]
    assert not any("sources.sqlite" in (reason or "") for reason in reasons), "strangers may read it"
    assert keeper.reason is None
    assert [record.levelname for record in caplog.records if f"{why}. Records" in record.message] == ["ERROR"]


async def test_a_corrupt_partition_is_named_and_waited_for(
    intake: SourceIntake, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    why = "alignment.facts.v1[3]: wrong checksum, fetched 4 times from 17"
    corrupt = CorruptPartitionError(why, TopicPartition("alignment.facts.v1", 3))
    monkeypatch.setattr("ingest.rebuild._CORRUPT_SECONDS", 0)
    metrics = IngestMetrics("1")
    keeper = keeper_of(intake, metrics)
    reasons = await reasons_until_made(keeper, [corrupt] * 2, monkeypatch)
    assert reasons[0] is not None
    assert why not in reasons[0]
    assert all(why in (reason or "") for reason in reasons[1:]), "sources are not ready meanwhile"
    assert keeper.reason is None
    assert [record.levelname for record in caplog.records if "cannot be made" in record.message] == ["ERROR"]


_PREFIX = b'"langfuse:'
_DEEP = b"[" * 100_000 + _PREFIX
_garbage = st.one_of(st.none(), st.binary(max_size=60), st.binary(max_size=30).map(lambda end: _PREFIX + end))


def _record(key: bytes | None, value: bytes | None) -> Any:
    return SimpleNamespace(key=key, value=value, timestamp=0, headers=())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(records=st.lists(st.tuples(_garbage, _garbage), max_size=8))
@example(records=[(None, None), (None, _PREFIX), (b"\xff", _DEEP), (b'["a","q"]', _DEEP)])
@example(records=[(b'["annotation","q","c","i","a"]', b'{"id":"langfuse:"}'), (b'["v', b'{"id":"langfuse:x@9"}' * 2)])
def test_garbage_in_the_logs_is_passed_over(
    records: list[tuple[bytes | None, bytes | None]], intake: SourceIntake
) -> None:
    where = SourceTopics(KafkaClient(["127.0.0.1:1"]), Topics(), "g", Decoder(), ["langfuse"])
    reading = _Reading(where, [intake], {"langfuse"})
    read = [_record(key, value) for key, value in records]
    reading.ledger(0, read)
    for kind in Kind:
        reading.events(kind)(0, read)
    assert reading.records == len(records) * (1 + len(Kind))
    reading.sources["langfuse"].changes()


def test_an_event_between_garbage_is_read(intake: SourceIntake) -> None:
    where = SourceTopics(KafkaClient(["127.0.0.1:1"]), Topics(), "g", Decoder(), ["langfuse"])
    reading = _Reading(where, [intake], {"langfuse"})
    fact = Annotation(5, "langfuse:1/tone@5", "q", "i", criterion="tone", annotator="a", stars=4)
    row = _record(facts.key(fact), facts.encode(fact))
    reading.ledger(0, [_record(None, _DEEP), _record(facts.key(fact), _DEEP), row, _record(row.key, None)])
    assert len(reading.sources["langfuse"].changes()[0].records) == 1


def test_rows_of_pseudonyms_are_no_rows_that_a_source_states(intake: SourceIntake) -> None:
    """It states them under names, so each would count as one that the record no longer states, and be deleted."""
    named = Annotation(5, "langfuse:1/tone@5", "q", "i", criterion="tone", annotator="ann", stars=4)
    hidden = msgspec.structs.replace(named, annotator=Pseudonyms(b"k" * 16).of("ann"))
    where = SourceTopics(KafkaClient(["127.0.0.1:1"]), Topics(), "g", Decoder(), ["langfuse"])
    reading = _Reading(where, [intake], {"langfuse"})
    reading.ledger(0, [_record(facts.key(fact), facts.encode(fact)) for fact in (named, hidden)])
    (record,) = reading.sources["langfuse"].changes()[0].records.values()
    assert [row.fact for row in record.rows] == [named]
