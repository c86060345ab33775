"""Taking partitions over on a real Apache Kafka when something is not as it was left."""

import asyncio
import signal
from collections import Counter
from collections.abc import Awaitable, Callable

import orjson
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from aggregator.shard import Policy
from aggregator.tallies import CLOSED_KEY
from streams import topics as topic_table
from streams.claims import CLAIM_KEY, SCHEMA, Claim, parse_claim
from streams.failures import Failure
from tests.streams.rig import Rig, history


async def _admin(rig: Rig, work: Callable[[AIOKafkaAdminClient], Awaitable[object]]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=rig.bootstrap)
    await admin.start()
    try:
        await work(admin)
    finally:
        await admin.close()


async def _delete(rig: Rig, *names: str) -> None:
    await _admin(rig, lambda admin: admin.delete_topics(list(names)))

    async def gone() -> bool:
        counts = await topic_table.partition_counts({"bootstrap_servers": rig.bootstrap})
        return not set(names) & set(counts)

    await rig.until("topics deleted", gone)


async def _ends_with(rig: Rig, failure: Failure, **how: object) -> str:
    worker = rig.worker(**how)  # type: ignore[arg-type]
    assert await worker.ended() == failure.value.code, worker.text()
    assert f"worker ends: {failure.name.lower()} " in worker.text()
    return worker.text()


@pytest.mark.row(17)
async def test_a_lost_ledger_is_named_and_rebuilt_only_when_that_is_accepted(rig: Rig) -> None:
    facts = history(seed=17, events=1_000, items=50)
    await rig.produce(facts)
    worker = rig.worker()
    await rig.settled()
    worker.kill()
    await _delete(rig, rig.topics.facts)
    await topic_table.apply({"bootstrap_servers": rig.bootstrap}, rig.topics, rig.partitions)
    await _ends_with(rig, Failure.LEDGER_LOST)
    await _ends_with(rig, Failure.LEDGER_LOST)
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
    told = {"annotations": 9, "contributing": 9, "ledger": claim.ledger, "position": 5_000, "policy": "each"}
    await rig.send([(rig.topics.tallies, stale, orjson.dumps(told))], partition=2)
    assert "tallies were published for 5000" in await _ends_with(rig, Failure.LEDGER_LOST)
    rig.worker(accept_loss=True)

    async def outgrown() -> bool:
        return (await rig.ends(rig.topics.facts))[TopicPartition(rig.topics.facts, 2)] > 5_000

    await rig.until("outgrown", outgrown)
    await rig.produce(facts[:1])
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
    await _admin(rig, lambda admin: admin.delete_records({tp: RecordsToDelete(end) for tp, end in ends.items()}))
    assert "left are" in await _ends_with(rig, Failure.INPUT_LOST)
    rig.worker(accept_loss=True)
    later = history(seed=25, events=300, items=50)
    await rig.produce(later)
    await rig.settled()
    await rig.verify([*facts, *later])


async def test_a_changed_policy_is_published_as_a_whole(rig: Rig) -> None:
    facts = history(seed=29, events=2_000, items=50)
    await rig.produce(facts)
    for policy in ("each", "latest", "each"):
        worker = rig.worker(policy=policy)
        await rig.restored(worker)
        await rig.settled()
        await rig.verify(facts, policy)
        worker.kill()
    policies = {
        parse_claim(row.value or b"").policy for row in await rig.read(rig.topics.facts) if row.key == CLAIM_KEY
    }
    assert policies == {Policy.EACH, Policy.LATEST}


@pytest.mark.row(17)
async def test_a_worker_refuses_ledgers_that_are_not_for_it(rig: Rig) -> None:
    def claim(partitions: int, schema: int) -> bytes:
        return Claim("5f0c", partitions, Policy.EACH, schema, "other", 1).encode()

    await rig.send([(rig.topics.facts, CLAIM_KEY, claim(rig.partitions, SCHEMA + 1))], partition=1)
    await _ends_with(rig, Failure.NEWER_SCHEMA)
    await rig.send([(rig.topics.facts, CLAIM_KEY, claim(rig.partitions + 1, SCHEMA))], partition=1)
    await _ends_with(rig, Failure.PARTITIONS_CHANGED)
    await rig.send([(rig.topics.facts, b"not ours", b"{}")], partition=1)
    assert f"{rig.topics.facts}[1] offset 2" in await _ends_with(rig, Failure.LEDGER_UNREADABLE)
    await _delete(rig, rig.topics.queue_items)
    assert f"missing: {rig.topics.queue_items}" in await _ends_with(rig, Failure.TOPICS_WRONG)


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
    assert set(Counter(after) - Counter(before)) == {CLOSED_KEY}
