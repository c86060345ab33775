"""Restores on a real Apache Kafka after a loss, a change of settings, or another writer."""

import asyncio
import contextlib
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from functools import partial
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from faust.types import TP

from aggregator.policy import Policy
from aggregator.tallies import MARKER_KEY
from streams.engine.partition import OwnedPartitions
from streams.engine.restore import Restore
from streams.kafka import topics as topic_table
from streams.kafka.client import KAFKA, KafkaClient
from streams.kafka.topic_metadata import describe_topics
from streams.ledger.claim import CLAIM_KEY, SCHEMA, Claim, parse_claim
from streams.ledger.log import new_producer, new_reader
from streams.runtime.exit_codes import ExitCode
from streams.runtime.failures import FatalError
from tests.integration.streams.rig import Rig, history
from tests.support.waiting import eventually


async def _ends_with(rig: Rig, ending: ExitCode, **how: object) -> str:
    worker = rig.worker(**how)  # type: ignore[arg-type]
    assert await worker.ended() == ending.code, worker.text()
    assert f"worker ends: {ending.name.lower()} " in worker.text()
    return worker.text()


@pytest.mark.row(17)
async def test_a_lost_ledger_is_named_and_rebuilt_only_when_that_is_accepted(rig: Rig) -> None:
    facts = history(seed=17, events=1_000, items=50)
    await rig.produce(facts)
    worker = rig.worker()
    await rig.settled()
    worker.kill()
    await rig.delete_topics(rig.topics.facts)
    await topic_table.apply({"bootstrap_servers": rig.bootstrap}, rig.topics, rig.partitions)
    await _ends_with(rig, ExitCode.LEDGER_LOST)
    await _ends_with(rig, ExitCode.LEDGER_LOST)
    rebuilding = rig.worker(accept_loss=True)
    await rig.restored(rebuilding)
    await rig.settled()
    await rig.verify_current_ledger(facts)


@pytest.mark.row(17)
async def test_a_ledger_shorter_than_its_tallies_is_named_and_outgrown_when_that_is_accepted(rig: Rig) -> None:
    facts = history(seed=19, events=1_000, items=50)
    await rig.produce(facts)
    worker = rig.worker()
    await rig.settled()
    worker.kill()
    (claim, *_) = [parse_claim(row.value or b"") for row in await rig.read(rig.topics.facts) if row.key == CLAIM_KEY]
    stale = b'["annotations","support","overall","2026-05-28"]'
    tally = {"annotations": 9, "contributing": 9, "ledger": claim.ledger, "position": 5_000, "policy": "each"}
    await rig.send([(rig.topics.tallies, stale, orjson.dumps(tally))], partition=2)
    quarantining = rig.worker()
    await rig.restored(quarantining)
    assert "partition 2 is in quarantine" in quarantining.text()
    assert "tallies were published for 5000" in quarantining.text()
    quarantining.kill()
    rig.worker(accept_loss=True)

    async def outgrown() -> bool:
        return (await rig.ends(rig.topics.facts))[TopicPartition(rig.topics.facts, 2)] > 5_000

    await rig.until("outgrown", outgrown)
    await rig.produce(facts[:1])
    await rig.settled()
    await rig.verify(facts)


async def test_a_ledger_that_lost_its_beginning_is_named_and_continued_only_when_that_is_accepted(rig: Rig) -> None:
    """Its topic may delete, by age or by hand, as that of every other kind of topic does."""
    facts = history(seed=29, events=1_000, items=50)
    await rig.produce(facts)
    for _ in range(2):
        worker = rig.worker()
        await rig.restored(worker)
        await rig.settled()
        worker.kill()
    cut = TopicPartition(rig.topics.facts, 2)
    policy = {"cleanup.policy": "compact,delete"}
    await rig.administer(
        lambda admin: admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, rig.topics.facts, policy)])
    )
    await rig.administer(lambda admin: admin.delete_records({cut: RecordsToDelete(50)}))
    quarantining = rig.worker()
    await rig.restored(quarantining)
    assert "partition 2 is in quarantine" in quarantining.text()
    assert "begins at offset 50, it began at 0" in quarantining.text()
    quarantining.kill()
    for accept_loss in (True, False):
        continuing = rig.worker(accept_loss=accept_loss)
        await rig.restored(continuing)
        assert "in quarantine" not in continuing.text()
        if accept_loss:
            continuing.kill()
    # A backup has the rows that are lost; all others are duplicates.
    await rig.produce(facts)
    await rig.settled()
    await rig.verify(facts)


@pytest.mark.row(17)
async def test_deleted_input_is_named_and_skipped_only_when_that_is_accepted(rig: Rig) -> None:
    facts = history(seed=23, events=1_000, items=50)
    await rig.produce(facts)
    worker = rig.worker()
    await rig.settled()
    worker.kill()
    unread = history(seed=24, events=300, items=50)
    await rig.produce(unread)
    ends = await rig.ends(*rig.topics.sources)
    await rig.administer(lambda admin: admin.delete_records({tp: RecordsToDelete(end) for tp, end in ends.items()}))
    assert "left are" in await _ends_with(rig, ExitCode.INPUT_LOST)
    rig.worker(accept_loss=True)
    later = history(seed=25, events=300, items=50)
    await rig.produce(later)
    await rig.settled()
    await rig.verify([*facts, *later])


async def test_a_changed_policy_is_published_as_a_whole(rig: Rig) -> None:
    facts = history(seed=29, events=2_000, items=50)
    await rig.produce(facts)
    for policy in ("each", "latest", "majority", "each"):
        worker = rig.worker(policy=policy)
        await rig.restored(worker)
        await rig.settled()
        await rig.verify(facts, policy)
        worker.kill()
    policies = {
        parse_claim(row.value or b"").policy for row in await rig.read(rig.topics.facts) if row.key == CLAIM_KEY
    }
    assert policies == set(Policy)


@pytest.mark.row(17)
async def test_a_worker_refuses_ledgers_that_are_not_for_it(rig: Rig) -> None:
    def claim(partitions: int, schema: int) -> bytes:
        return Claim("5f0c", partitions, Policy.EACH, schema, "other", 1).encode()

    await rig.send([(rig.topics.facts, CLAIM_KEY, claim(rig.partitions, SCHEMA + 1))], partition=1)
    await _ends_with(rig, ExitCode.NEWER_SCHEMA)
    await rig.send([(rig.topics.facts, CLAIM_KEY, claim(rig.partitions + 1, SCHEMA))], partition=1)
    await _ends_with(rig, ExitCode.PARTITIONS_CHANGED)
    await rig.delete_topics(rig.topics.queue_items)
    assert f"missing topics: {rig.topics.queue_items}" in await _ends_with(rig, ExitCode.TOPICS_WRONG)


@contextlib.asynccontextmanager
async def _paused_in_restore(rig: Rig) -> AsyncIterator[Restore]:
    """A restore that has only read its partitions, whose ledgers have no claim."""
    client = KafkaClient([rig.bootstrap])
    producer, reader = new_producer(client, KAFKA), new_reader(client)
    sources = [TP(topic, partition) for topic in rig.topics.sources for partition in range(rig.partitions)]

    async def starts(partitions: Iterable[TP]) -> dict[TP, int]:
        return dict.fromkeys(partitions, 0)

    async def committed(partitions: Iterable[TP]) -> dict[TP, None]:
        return dict.fromkeys(partitions)

    group: Any = SimpleNamespace(assigned=lambda: set(sources), starts=starts, committed=committed, ends=starts)
    metrics: Any = SimpleNamespace(recovery_rows=SimpleNamespace(inc=lambda _: None))
    restore = Restore(
        name="paused",
        topics=rig.topics,
        partitions=rig.partitions,
        policy=Policy.EACH,
        accept_loss=False,
        capabilities=KAFKA,
        group=group,
        producer=producer,
        reader=reader,
        describe=partial(describe_topics, reader),
        checkpoint=group,
        metrics=metrics,
        on_step=lambda _: None,
        owned=OwnedPartitions(),
    )
    async with producer, reader:
        restore._assign()
        await restore._replay(list(restore.owned))
        yield restore
        fetcher: Any = reader._fetcher
        await eventually(lambda: not fetcher._pending_tasks)


@pytest.mark.row(4, 17)
async def test_a_worker_paused_in_its_restore_sees_the_rows_of_its_successor_as_another_writers(rig: Rig) -> None:
    """It has read an empty ledger, and finds tallies when it resumes. No ledger is lost: its successor wrote both."""
    async with _paused_in_restore(rig) as restore:
        facts = history(seed=37, events=500, items=50)
        await rig.produce(facts)
        heir = rig.worker("heir")
        await rig.settled()
        with pytest.raises(FatalError, match="grew from 0 to") as broken:
            await restore._look_for_lost_ledgers(list(restore.owned))
        assert broken.value.exit_code is ExitCode.ANOTHER_WRITER
        assert heir.process.poll() is None


@pytest.mark.row(17)
async def test_tallies_without_a_ledger_mean_a_lost_ledger(rig: Rig) -> None:
    async with _paused_in_restore(rig) as restore:
        tally = {"annotations": 1, "contributing": 0, "ledger": "gone", "position": 5, "policy": "each"}
        key = b'["annotations","support","overall","2026-05-28"]'
        await rig.send([(rig.topics.tallies, key, orjson.dumps(tally))], partition=2)
        with pytest.raises(FatalError, match=r"no claim in partitions \[2\]") as broken:
            await restore._look_for_lost_ledgers(list(restore.owned))
        assert broken.value.exit_code is ExitCode.LEDGER_LOST


@pytest.mark.row(4)
async def test_the_late_tally_of_a_zombie_is_overwritten(rig: Rig) -> None:
    """Readers ignore it while earlier records are in the log; after compaction it would be the only one."""
    facts = history(seed=41, events=1_000, items=50)
    await rig.produce(facts)
    worker = rig.worker()
    await rig.settled()
    worker.kill()
    right = await rig.tallies()
    last = {(record.partition, record.key): record for record in await rig.read(rig.topics.tallies)}
    (partition, key), record = next(
        (place, record) for place, record in last.items() if (place[1] or b"").startswith(b'["annotations"')
    )
    # A tally that an owner before all claims had in flight.
    late = {**orjson.loads(record.value or b""), "annotations": 99, "position": 0}
    await rig.send([(rig.topics.tallies, key, orjson.dumps(late))], partition=partition)
    again = rig.worker()
    await rig.restored(again)
    (*_, newest) = (
        each for each in await rig.read(rig.topics.tallies) if (each.partition, each.key) == (partition, key)
    )
    # The key's last record is what compaction leaves.
    tally, was = orjson.loads(newest.value or b""), orjson.loads(record.value or b"")
    assert tally["annotations"] == was["annotations"]
    assert tally["position"] > was["position"]
    assert await rig.tallies() == right


async def test_workers_that_start_together_agree_on_one_ledger_id(rig: Rig) -> None:
    workers = [rig.worker(name) for name in ("a", "b", "c")]
    await asyncio.gather(*(rig.restored(worker) for worker in workers))
    facts = history(seed=31, events=1_000, items=50)
    await rig.produce(facts)
    await rig.settled()
    await rig.verify(facts)
    claims = [parse_claim(row.value or b"") for row in await rig.read(rig.topics.facts) if row.key == CLAIM_KEY]
    assert len({claim.ledger for claim in claims}) == 1


async def test_a_restart_publishes_nothing_that_is_published_already(rig: Rig) -> None:
    facts = history(seed=43, events=1_000, items=50)
    await rig.produce(facts)
    worker = rig.worker()
    await rig.settled()
    worker.kill()
    before = [record.key for record in await rig.read(rig.topics.tallies)]
    again = rig.worker()
    await rig.restored(again)
    again.signal(signal.SIGTERM)
    assert await again.ended() == 0
    after = [record.key for record in await rig.read(rig.topics.tallies)]
    assert set(Counter(after) - Counter(before)) == {MARKER_KEY}
