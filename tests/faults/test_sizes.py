"""Rows 39 and 40: tallies of many judges, and topics that take only small records."""

import asyncio
import random
import signal
from base64 import b64encode
from collections.abc import Callable, Mapping
from itertools import count, islice

import orjson
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from aggregator.facts import Annotation, Evaluation, Fact
from aggregator.parts import RECORD_BYTES
from streams.kafka.producer import home_partition
from streams.runtime.exit_codes import ExitCode
from tests.faults.judging import clean, judged
from tests.integration.streams.rig import Rig, WorkerProcess

Measure = Callable[..., None]

T0 = 1_780_000_000_000
JUDGES = 3_000
SETTLED_SECONDS = 120.0


async def limit(rig: Rig, limits: Mapping[str, int]) -> None:
    """Set `max.message.bytes` of topics."""
    admin = AIOKafkaAdminClient(bootstrap_servers=rig.bootstrap)
    await admin.start()
    try:
        for topic, size in limits.items():
            await admin.alter_configs(
                [ConfigResource(ConfigResourceType.TOPIC, topic, configs={"max.message.bytes": str(size)})]
            )
    finally:
        await admin.close()


async def stopped(worker: WorkerProcess) -> None:
    worker.signal(signal.SIGTERM)
    assert await worker.ended() == 0, worker.text()


async def cells(rig: Rig) -> list[tuple[bytes, bytes]]:
    """Records of cells, in the order of the topic."""
    return [
        (record.key, record.value)
        for record in await rig.read(rig.topics.tallies)
        if record.key is not None and record.value is not None and record.key.startswith(b'["cells"')
    ]


@pytest.mark.slow
@pytest.mark.row(39)
async def test_row_39_judges_that_do_not_fit_into_one_record_stand_in_several(rig: Rig, measured: Measure) -> None:
    rng = random.Random(39)
    names = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=128)) for _ in range(JUDGES)]
    of_one_partition = (item for item in map(str, count()) if home_partition(item.encode(), rig.partitions) == 0)
    items = list(islice(of_one_partition, 50))
    judges: list[Fact] = [
        Evaluation(T0 + number, f"e{number}", items[number % 50], "m", judge=name, passed=number % 2 == 0)
        for number, name in enumerate(names)
    ]
    worker = rig.worker(audit=0.5)
    await rig.produce([*(Annotation(T0, "a", "q", item, thumbs="up") for item in items), *judges])
    await judged(rig, settled=SETTLED_SECONDS)
    records = await cells(rig)
    assert max(len(value) for _, value in records) < RECORD_BYTES + 1_000
    parts = {key for key, value in records if orjson.loads(value)["judges"]}
    assert len(parts) > 5

    # An older verdict of one judge more: no other judge changes.
    await rig.produce([Evaluation(T0 - 1, "late", items[0], "m", judge="late", passed=True)])
    await judged(rig, settled=SETTLED_SECONDS)
    after = await cells(rig)
    assert 1 <= len(after) - len(records) <= 3
    await rig.until("audited", lambda: _logged(worker, "matches the recount"))
    await stopped(worker)
    assert "differ from the recount" not in worker.text()

    again = rig.worker()
    await rig.restored(again)
    assert len(await cells(rig)) == len(after), "what is published is not published again"
    # All but two are taken back: their parts are published empty.
    await rig.produce(
        Evaluation(T0 + JUDGES, f"d{number}", items[number % 50], "m", judge=name, deleted=True)
        for number, name in enumerate(names)
        if number > 1
    )
    verdict = await judged(rig, settled=SETTLED_SECONDS)
    await stopped(again)
    clean([worker, again])
    largest = max(len(value) for _, value in after) // 1024
    measured(f"{JUDGES} judges in {len(parts)} parts of at most {largest} KiB; {verdict.states} states counted")


async def _logged(worker: WorkerProcess, text: str) -> bool:
    await asyncio.sleep(0)
    return text in worker.text()


@pytest.mark.slow
@pytest.mark.row(40)
async def test_row_40_a_worker_keeps_to_topics_that_take_only_small_records(rig: Rig, measured: Measure) -> None:
    topics = rig.topics
    await limit(rig, {topics.facts: 20_000, topics.tallies: 20_000, topics.dead_letters: 2_000})
    rng = random.Random(40)

    def annotation(number: int, size: int, queue: str = "q") -> Fact:
        one, two, three, four = (b64encode(rng.randbytes(size * 3 // 16)).decode() for _ in range(4))
        return Annotation(
            T0, "a", queue, f"i{number}", stars=5, explanation=one, expected=two, input=three, output=four
        )

    judges: list[Fact] = [
        Evaluation(T0 + number, "e", "i1", "m", judge=f"v{number}", passed=True) for number in range(200)
    ]
    worker = rig.worker(circuit_breaker=False)
    await rig.produce([*(annotation(number, 4_000) for number in range(300)), *judges])
    poison = [(topics.annotations, b"i1", b"{" + rng.randbytes(size)) for size in (10, 5_000, 100_000)]
    await rig.send(poison)
    await judged(rig, rejected=len(poison), settled=SETTLED_SECONDS)
    letters = [(record.value, dict(record.headers)) for record in await rig.dead_letters()]
    whole = [value for value, _ in letters if value is not None]
    assert whole == [poison[0][2]]
    hashed = [headers["alignment-value-bytes"] for value, headers in letters if value is None]
    assert sorted(hashed) == [b"100001", b"5001"]
    assert f"{topics.facts} takes records of 20000 bytes" in worker.text()

    # A row that no batch can carry.
    await rig.produce([annotation(1_000, 32_000, "large")])
    assert await worker.ended() == ExitCode.RECORD_TOO_LARGE.code
    (line,) = [line for line in worker.text().splitlines() if "CRITICAL" in line]
    assert topics.facts in line
    assert '["a","large","i1000","overall",""]' in line
    assert "max.message.bytes" in line

    await limit(rig, {topics.facts: 1_000_000})
    again = rig.worker(circuit_breaker=False)
    verdict = await judged(rig, rejected=len(poison), settled=SETTLED_SECONDS)
    await stopped(again)
    clean([again])
    measured(f"{verdict.rows} rows of 4 KB in batches of 20,000 bytes; the row of 32 KB named once, exit code 89")
