"""The reader against real Kafka, with topics written by hand."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from msgspec.structs import replace

from aggregator.facts import Annotation, Evaluation, Fact
from aggregator.recount import Recount
from aggregator.snapshot.inputs import CountingRules
from aggregator.tallies import cells_group, group_key
from eval_alignment.local.broker import EmbeddedBroker
from sinks.documents import Documents
from sinks.freshness import Freshness, StaleCause
from sinks.metrics import ViewMetrics
from sinks.store.reader import Reader, ReaderConfig
from sinks.store.store import Store
from streams.ledger.claim import CLAIM_KEY
from streams.runtime.exit_codes import ExitCode, codes_without_restart
from streams.runtime.failures import FatalError
from tests.support.kafka import Kafka
from tests.support.logs import Logs
from tests.support.old_stores import downgrade
from tests.support.ports import free_port
from tests.support.waiting import DEADLINE_SECONDS, eventually

CELLS = group_key(cells_group("support", "overall", "relevance", "1970-01-01"))


class Topics:
    """The two topics of a prefix, and the number of records that were copied into each."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self.client: dict[str, Any] = {"bootstrap_servers": bootstrap}
        self.facts, self.tallies = f"{prefix}facts", f"{prefix}tallies"
        self._sent: dict[tuple[str, int], int] = {}

    async def make(self, partitions: int) -> None:
        admin = AIOKafkaAdminClient(**self.client)
        await admin.start()
        settings = {"cleanup.policy": "compact"}
        missing = {self.facts, self.tallies}
        while missing:
            # A topic that was just deleted may still exist.
            topics = [NewTopic(name, partitions, 1, topic_configs=settings) for name in sorted(missing)]
            answer = await admin.create_topics(topics)
            missing = {name for name, code, _ in answer.topic_errors if code != 0}  # type: ignore[attr-defined]
        await admin.close()

    async def delete(self) -> None:
        admin = AIOKafkaAdminClient(**self.client)
        await admin.start()
        await admin.delete_topics([self.facts, self.tallies])
        while {self.facts, self.tallies} & set(await admin.list_topics()):  # noqa: ASYNC110 -- no event exists for it
            await asyncio.sleep(0.02)
        await admin.close()
        self._sent.clear()

    async def copy(self, *partitions: Logs, facts: bool = True, tallies: bool = True) -> None:
        """Append to the topics what the logs hold and the topics do not."""
        async with AIOKafkaProducer(acks="all", **self.client) as producer:
            for logs in partitions:
                for wanted, topic, records in (
                    (facts, self.facts, logs.facts),
                    (tallies, self.tallies, logs.tallies),
                ):
                    if not wanted:
                        continue
                    sent = self._sent.get((topic, logs.partition), 0)
                    for key, value in records[sent:]:
                        await producer.send(topic, key=key, value=value, partition=logs.partition)
                    self._sent[topic, logs.partition] = len(records)
            await producer.flush()


class Running:
    """A reader that runs on a store."""

    def __init__(self, topics: Topics, store: Store, spool_rows: int = 20_000) -> None:
        self.changed: set[str] = set()
        self.store = store
        self.documents = Documents(store, CountingRules(), lambda: date(1970, 1, 3))
        config = ReaderConfig(
            client=topics.client,
            facts_topic=topics.facts,
            tallies_topic=topics.tallies,
            spool_rows=spool_rows,
        )
        self.freshness = Freshness()
        self.reader = Reader(config, store, self.changed.update, ViewMetrics("0"), self.freshness)

    def position(self, partition: int) -> int | None:
        """The position of a partition that the store has reached."""
        state = self.store.partitions().get(partition)
        return None if state is None else state.position

    async def reaches(self, *partitions: Logs) -> None:
        """Wait until the store has reached the end of the logs."""

        def reached() -> bool:
            stored = self.store.partitions()
            return all(
                (state := stored.get(logs.partition)) is not None
                and (state.ledger, state.position) == (logs.ledger, len(logs.facts))
                for logs in partitions
            )

        await eventually(reached)

    def held(self, partition: int) -> str:
        """Why a partition keeps its last state; empty when it does not."""
        reason = self.reader._held.get(partition, "")
        shown = self.freshness.judge({}, 0)
        assert bool(self.reader._held) is (shown.cause is StaleCause.HELD)
        return reason

    async def becomes_ready(self) -> None:
        """Wait until the reader has caught up."""
        await eventually(lambda: self.reader.ready)

    def shows(self, facts: list[Fact]) -> None:
        """The store's rows and document are those of exactly these facts."""
        recount = Recount(facts)
        assert rows(self.store) == {repr(fact) for fact in recount.rows.values()}
        for queue in recount.queues:
            document, expected = self.documents.get(queue), recount.document(queue)
            assert document is not None
            assert (document["cards"], document["criteria"]) == (expected["cards"], expected["criteria"])


def rows(store: Store) -> set[str]:
    return {repr(fact) for fact in store.facts()}


@contextlib.asynccontextmanager
async def running(topics: Topics, store: Store, spool_rows: int = 20_000) -> AsyncIterator[Running]:
    """A reader for the length of the context, which raises the reader's exceptions."""
    view = Running(topics, store, spool_rows)
    task = asyncio.create_task(view.reader.run())
    try:
        yield view
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def topics(kafka: Kafka, prefix: str) -> Topics:
    return Topics(kafka.bootstrap, prefix)


def comparison(number: int, *, stars: int = 5, passed: bool = True) -> list[Fact]:
    """An annotation and an evaluation of one item."""
    item = f"item {number}"
    return [
        Annotation(at=number, id=f"a{number}", queue="support", item=item, stars=stars),
        Evaluation(at=number, id=f"e{number}", item=item, metric="relevance", passed=passed),
    ]


async def test_rows_and_counts_arrive_and_the_reader_becomes_ready(topics: Topics, store: Store) -> None:
    await topics.make(2)
    logs = [Logs(0, 2), Logs(1, 2)]
    facts = comparison(1), comparison(2, stars=1)
    async with running(topics, store) as view:
        for log, some in zip(logs, facts, strict=True):
            log.write(some)
        await topics.copy(*logs)
        await view.reaches(*logs)
        view.shows([*facts[0], *facts[1]])
        await view.becomes_ready()
        assert view.changed == {"support"}


async def test_a_reader_waits_for_missing_topics_and_names_them(
    topics: Topics, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    log = Logs()
    log.write(comparison(1))
    async with running(topics, store) as view:
        await eventually(lambda: topics.facts in caplog.text and topics.tallies in caplog.text)
        assert not view.reader.ready
        await topics.make(1)
        await topics.copy(log)
        await view.reaches(log)
        view.shows(comparison(1))


async def test_a_torn_checkpoint_stays_invisible_until_the_successor_closes_it(topics: Topics, store: Store) -> None:
    await topics.make(2)
    log, sentinel = Logs(0, 2), Logs(1, 2)
    log.write(comparison(1))
    async with running(topics, store) as view:
        await topics.copy(log)
        await view.reaches(log)
        log.write(comparison(2, stars=1), tallies=1)
        await topics.copy(log)
        next_owner = log.successor()
        await topics.copy(next_owner)
        # The reader applies all partitions together: what it shows of one includes all it read of the other.
        sentinel.write(comparison(3))
        await topics.copy(sentinel)
        await view.reaches(sentinel)
        view.shows(comparison(1) + comparison(3))
        next_owner.write([])
        await topics.copy(next_owner)
        await view.reaches(next_owner)
        view.shows(comparison(1) + comparison(2, stars=1) + comparison(3))


async def test_tallies_that_arrive_before_their_facts_wait_for_them(topics: Topics, store: Store) -> None:
    await topics.make(2)
    log, sentinel = Logs(0, 2), Logs(1, 2)
    log.write(comparison(1))
    async with running(topics, store) as view:
        await topics.copy(log)
        await view.reaches(log)
        position = view.position(0)
        log.write(comparison(2))
        await topics.copy(log, facts=False)
        sentinel.write(comparison(3))
        await topics.copy(sentinel)
        await view.reaches(sentinel)
        assert view.position(0) == position
        view.shows(comparison(1) + comparison(3))
        await topics.copy(log)
        await view.reaches(log)
        view.shows(comparison(1) + comparison(2) + comparison(3))


async def test_the_tallies_of_a_zombie_never_win(topics: Topics, store: Store) -> None:
    await topics.make(1)
    zombie = Logs()
    zombie.write(comparison(1))
    async with running(topics, store) as view:
        await topics.copy(zombie)
        await view.reaches(zombie)
        below = len(zombie.facts)
        owner = zombie.successor()
        owner.write(comparison(2))
        # The zombie continues to publish its tallies, with its own positions, and closes.
        for key, payload in zombie.shard.tallies():
            owner.tallies.append((key, orjson.dumps({**payload, **owner.stamp(below)})))
        owner.close(below)
        await topics.copy(owner)
        await view.reaches(owner)
        owner.write(comparison(3, passed=False))
        await topics.copy(owner)
        await view.reaches(owner)
        view.shows(comparison(1) + comparison(2) + comparison(3, passed=False))


async def test_a_restarted_reader_resumes_at_the_position_of_the_store(topics: Topics, store: Store) -> None:
    await topics.make(1)
    log = Logs()
    log.write(comparison(1))
    await topics.copy(log)
    async with running(topics, store) as view:
        await view.reaches(log)
    log.write(comparison(2))
    await topics.copy(log)
    async with running(topics, store) as view:
        await view.reaches(log)
        view.shows(comparison(1) + comparison(2))
        await view.becomes_ready()


async def test_waiting_facts_are_kept_in_the_store_and_survive_a_restart(topics: Topics, store: Store) -> None:
    await topics.make(1)
    log = Logs()
    log.write(comparison(1))
    await topics.copy(log)
    async with running(topics, store) as view:
        await view.reaches(log)
    facts = [fact for number in range(2, 12) for fact in comparison(number)]
    log.write(facts, tallies=0)
    await topics.copy(log)

    def waiting() -> int:
        with store.read() as connection:
            return int(connection.execute("SELECT count(*) FROM pending").fetchone()[0])

    async with running(topics, store, spool_rows=5) as view:
        await eventually(lambda: waiting() == len(facts))
        view.shows(comparison(1))
    owner = log.successor()
    owner.write([])
    await topics.copy(owner)
    async with running(topics, store, spool_rows=5) as view:
        await view.reaches(owner)
        view.shows(comparison(1) + facts)
        assert waiting() == 0


@pytest.mark.parametrize("running_meanwhile", [True, False])
async def test_a_new_ledger_replaces_all_rows_of_the_old_one(
    topics: Topics, store: Store, running_meanwhile: bool
) -> None:
    await topics.make(1)
    old = Logs()
    old.write([*comparison(1), *comparison(2)])
    await topics.copy(old)
    new = Logs(ledger="second")
    new.write(comparison(2, stars=1))
    new.write(comparison(3))
    async with contextlib.AsyncExitStack() as stack:
        view = await stack.enter_async_context(running(topics, store))
        await view.reaches(old)
        if not running_meanwhile:
            await stack.aclose()
        await topics.delete()
        await topics.make(1)
        await topics.copy(new)
        if not running_meanwhile:
            view = await stack.enter_async_context(running(topics, store))
        await view.reaches(new)
        view.shows(comparison(2, stars=1) + comparison(3))


@pytest.mark.parametrize("spool_rows", [1, 20_000])
async def test_a_store_of_an_earlier_release_is_made_again(topics: Topics, tmp_path: Path, spool_rows: int) -> None:
    await topics.make(2)
    logs = [Logs(0, 2), Logs(1, 2)]
    facts = [[replace(fact, input="?", tags={"plan": "free"}) for fact in comparison(number)] for number in (1, 2)]
    for log, some in zip(logs, facts, strict=True):
        log.write(some)
    await topics.copy(*logs)
    path = tmp_path / "store"
    with contextlib.closing(Store(path)) as store:
        async with running(topics, store) as view:
            await view.reaches(*logs)
    downgrade(path)
    with contextlib.closing(Store(path)) as store:
        assert rows(store) == {repr(fact) for number in (1, 2) for fact in comparison(number)}
        async with running(topics, store, spool_rows) as view:
            await view.reaches(*logs)
            view.shows([*facts[0], *facts[1]])
            await view.becomes_ready()


async def test_an_invalid_record_holds_its_partition_until_the_worker_goes_on(topics: Topics, store: Store) -> None:
    """Ledger and tallies; other partitions are read on, and the view is ready."""
    await topics.make(3)
    logs = [Logs(number, 3) for number in range(3)]
    for number, log in enumerate(logs):
        log.write(comparison(number))
    async with running(topics, store) as view:
        await topics.copy(*logs)
        await view.reaches(*logs)
        strays: list[Any] = [(b"x", None), (CELLS, b"{}")]
        logs[0].facts.append(strays[0])
        logs[1].tallies.append(strays[1])
        logs[2].write(comparison(9))
        await topics.copy(*logs)
        await view.reaches(logs[2])
        await eventually(lambda: "invalid record at offset 3 of the ledger" in view.held(0))
        await eventually(lambda: "invalid record at offset 3 of the tallies" in view.held(1))
        view.shows([*comparison(0), *comparison(1), *comparison(2), *comparison(9)])
        await view.becomes_ready()
        owners = [log.successor() for log in logs]
        for number, log in enumerate(owners):
            log.write(comparison(20 + number))
        await topics.copy(*owners)
        await view.reaches(*owners)
        await eventually(lambda: not view.held(0) and not view.held(1))
        view.shows([fact for number in (0, 1, 2, 9, 20, 21, 22) for fact in comparison(number)])


async def test_a_ledger_of_a_newer_release_ends_the_view_for_good(topics: Topics, store: Store) -> None:
    """What it would show could be wrong; no supervisor restarts a view after this exit code."""
    await topics.make(1)
    log = Logs()
    log.write(comparison(1))
    async with running(topics, store) as view:
        await topics.copy(log)
        await view.reaches(log)
    log.facts.append((CLAIM_KEY, orjson.dumps({**orjson.loads(log.facts[0][1]), "schema": 99})))
    await topics.copy(log)
    reader = Running(topics, store).reader
    with pytest.raises(FatalError, match="schema 99") as ended:
        await asyncio.wait_for(asyncio.create_task(reader.run()), DEADLINE_SECONDS)
    assert ended.value.exit_code is ExitCode.NEWER_SCHEMA
    assert ended.value.exit_code.code in codes_without_restart("view")


async def test_an_invalid_tally_that_a_marker_closes_is_never_shown_and_heals(topics: Topics, store: Store) -> None:
    await topics.make(1)
    log = Logs()
    log.write(comparison(1))
    async with running(topics, store) as view:
        await topics.copy(log)
        await view.reaches(log)
        shorter = {"judges": {"": {"current": [-1], "superseded": []}}}
        log.tallies.append((CELLS, orjson.dumps({**shorter, **log.stamp()})))
        log.close()
        await topics.copy(log)
        await eventually(lambda: "invalid tally" in view.held(0))
    # A view that starts meanwhile serves the same; then the worker publishes it again.
    async with running(topics, store) as view:
        await view.becomes_ready()
        assert "invalid tally" in view.held(0)
        view.shows(comparison(1))
        owner = log.successor()
        owner.write(comparison(2))
        await topics.copy(owner)
        await view.reaches(owner)
        await eventually(lambda: not view.held(0))
        view.shows(comparison(1) + comparison(2))


async def test_an_embedded_broker_that_starts_empty_is_read_from_its_beginning(store: Store, tmp_path: Path) -> None:
    """Its topics are lost with it: offsets of the old ones lie beyond the end of the new ones."""
    port = free_port()
    old, new = Logs(), Logs(ledger="second")
    facts = [fact for number in range(50) for fact in comparison(number)]
    old.write(facts)
    new.write(comparison(3, stars=1))
    for log in (old, new):
        broker = EmbeddedBroker(port, log=tmp_path / "broker.log")
        await asyncio.to_thread(broker.start)
        try:
            topics = Topics(f"127.0.0.1:{port}", "embedded.")
            await topics.make(1)
            await topics.copy(log)
            async with running(topics, store) as view:
                await view.reaches(log)
                await view.becomes_ready()
                view.shows(comparison(3, stars=1) if log is new else facts)
        finally:
            await asyncio.to_thread(broker.stop)
