"""Rows 27 and 28: record batches with bytes that no client should send, and one that the broker's disk has spoiled."""

import asyncio
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from aggregator.facts import Annotation, Evaluation, Fact, encode, key
from streams.kafka.producer import home_partition
from tests.faults.judging import clean
from tests.fuzz.batches import Header, RawBatch, RawRecord, bomb
from tests.fuzz.records import spoiled
from tests.integration.streams.rig import Rig, WorkerProcess, history
from tests.support.kafka import Kafka
from tests.support.raw_batches import RawSender
from tests.support.segments import frames

T0 = 1_780_000_000_000
MIB = 1 << 20
Measure = Callable[..., None]
Rejected = dict[tuple[str, int, int], str]
"""Reason by topic, partition and offset."""

# Names that are not UTF-8, and values that are read by nobody.
ODD: list[Header] = [(b"\xff\xfe", b"x"), (b"ce_\xff", b"\xff"), (b"", None), (b"trace", b"\xff"), (b"ce_source", None)]


def event(number: int, **changes: object) -> tuple[Annotation, RawRecord]:
    """An annotation, and its record."""
    fact = Annotation(T0 + number, f"a{number}", "q", f"item-{number % 97}", annotator=f"p{number}", thumbs="up")
    return fact, replace(RawRecord(fact.item.encode(), encode(fact)), **changes)  # type: ignore[arg-type]


async def found(rig: Rig) -> Rejected:
    """What the dead letters are about."""
    reasons = {}
    for letter in await rig.dead_letters():
        named = {name: (value or b"").decode() for name, value in letter.headers if name.startswith("alignment-")}
        place = named["alignment-topic"], int(named["alignment-partition"]), int(named["alignment-offset"])
        reasons[place] = named["alignment-reason"]
    return reasons


def peak_mib(worker: WorkerProcess) -> float:
    """The most memory that a worker had."""
    status = Path(f"/proc/{worker.process.pid}/status").read_text(encoding="utf-8")
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


@pytest.mark.row(27)
async def test_row_27_odd_headers_and_bombs_are_read_or_one_dead_letter_each(rig: Rig, measured: Measure) -> None:
    worker = rig.worker(circuit_breaker=False)
    topic, expected, facts = rig.topics.annotations, Rejected(), []
    await rig.produce(rows := history(seed=27, events=200))
    async with RawSender(rig.bootstrap) as sender:
        fact, odd = event(1, headers=ODD)
        partition = home_partition(odd.key or b"", rig.partitions)
        bad = replace(odd, headers=[*ODD, (b"CE_source", b"\xff")], offset_delta=1)
        first = await sender.send(topic, partition, RawBatch([odd, bad, replace(odd, value=None, offset_delta=2)]))
        facts.append(fact)
        expected[topic, partition, first + 1] = "invalid_field"
        expected[topic, partition, first + 2] = "null_value"
        for codec, size in ((1, 65 * MIB), (3, 65 * MIB), (4, 256 * MIB)):
            expected[topic, 0, await sender.send(topic, 0, bomb(codec, size))] = "oversized"
        for number in range(2, 60):
            fact, record = event(number)
            await sender.send(
                topic, home_partition(record.key or b"", rig.partitions), RawBatch([record], codec=number % 5)
            )
            facts.append(fact)
    await rig.settled()
    assert await found(rig) == expected
    await rig.verify([*rows, *facts])
    peak = peak_mib(worker)
    assert peak < 600
    clean([worker])
    measured("a batch of 256 MiB after decompression: worker at most", peak, "MiB")


@dataclass
class Hostile:
    """Random records whose fate is known when they are made."""

    rng: random.Random
    topic: str
    partitions: int
    facts: list[Fact] = field(default_factory=list)
    _number: int = 1000

    def batch(self, partition: int) -> tuple[RawBatch, dict[int, str]]:
        """A batch for a partition, and the reason by number of the record for those that are rejected."""
        records, reasons = [], {}
        for delta in range(self.rng.randint(1, 20)):
            record, reason = self._record(partition)
            records.append(replace(record, offset_delta=delta, timestamp_delta=self.rng.randint(-9, 9)))
            if reason is not None:
                reasons[delta] = reason
        # The broker takes 1 MiB at most.
        large = any(len(record.value or b"") > 100_000 for record in records)
        return RawBatch(records, codec=self.rng.randint(1 if large else 0, 4)), reasons

    def _record(self, partition: int) -> tuple[RawRecord, str | None]:
        while True:
            self._number += 1
            fact, record = event(self._number)
            if home_partition(record.key or b"", self.partitions) == partition:
                break
        headers = self.rng.sample(ODD, self.rng.randint(0, len(ODD)))
        choice = self.rng.random()
        if choice < 0.6:
            self.facts.append(fact)
            return replace(record, headers=headers), None
        return self.rng.choice(
            [
                (replace(record, headers=[*headers, (b"ce_id", b"\xff")]), "invalid_field"),
                (replace(record, headers=headers, value=None), "null_value"),
                (replace(record, headers=headers, value=b"\xff" + self.rng.randbytes(9)), "malformed"),
                (replace(record, headers=headers, key=None), "key_mismatch"),
                (replace(record, headers=headers, key=b"\xff"), "key_mismatch"),
                (replace(record, headers=headers, value=bytes(300_000)), "oversized"),
                (replace(record, headers=[(b"h", b"")] * 500, value=b"{"), "malformed"),
            ]
        )


@pytest.mark.row(27)
@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_row_27_thousands_of_hostile_batches_are_read_exactly(rig: Rig, measured: Measure) -> None:
    rng = random.Random(27)
    topic, expected = rig.topics.annotations, Rejected()
    hostile = Hostile(rng, topic, rig.partitions)
    foreign = 0
    async with RawSender(rig.bootstrap) as sender:
        expected[topic, 0, await sender.send(topic, 0, bomb(4, 1024 * MIB))] = "oversized"
        empty = [RawRecord(None, None, (), index) for index in range(500_001)]
        expected[topic, 0, await sender.send(topic, 0, RawBatch(empty, codec=4))] = "oversized"
        for _ in range(1500):
            partition = rng.randrange(rig.partitions)
            batch, reasons = hostile.batch(partition)
            first = await sender.send(topic, partition, batch)
            expected |= {(topic, partition, first + delta): reason for delta, reason in reasons.items()}
        facts = list(hostile.facts)
        # Of spoiled ones, the broker refuses most. What it takes is read, to no known effect.
        for _ in range(1500):
            batch, _ = hostile.batch(0)
            foreign += await sender.try_send(rig.topics.queue_items, 0, spoiled(batch, rng)) is not None
    worker = rig.worker(circuit_breaker=False)
    await rig.settled(120)
    rejected = {place: reason for place, reason in (await found(rig)).items() if place[0] == topic}
    assert rejected == expected
    keys = [record.key or b"" for record in await rig.read(rig.topics.facts)]
    assert sorted(row for row in keys if row.startswith(b'["a",')) == sorted(key(fact) for fact in facts)
    # On a busy machine, a flood may be slow enough for a line about it.
    assert worker.process.poll() is None and "Traceback" not in worker.text()
    measured(f"{len(expected)} of {len(facts) + len(expected)} records rejected, {foreign} spoiled batches")


def flip(log: Path, offset: int) -> None:
    """Change one bit of the batch at an offset, or change it back."""
    ((_, position, length),) = [frame for frame in frames(log.read_bytes()) if frame.offset == offset]
    with log.open("r+b") as file:
        file.seek(position + length - 1)
        (last,) = file.read(1)
        file.seek(position + length - 1)
        file.write(bytes([last ^ 1]))


@pytest.mark.row(28)
@pytest.mark.faults
@pytest.mark.timeout(300)
async def test_row_28_a_wrong_checksum_puts_one_partition_in_quarantine_and_the_others_go_on(
    own_kafka: Kafka, tmp_path: Path, measured: Measure
) -> None:
    prefix = f"t{uuid.uuid4().hex[:8]}."
    async with Rig(own_kafka.bootstrap, prefix, tmp_path, partitions=2) as rig:
        topic = rig.topics.annotations
        by_partition: dict[int, list[Fact]] = {0: [], 1: []}
        for number in range(400):
            fact, record = event(number)
            by_partition[home_partition(record.key or b"", 2)].append(fact)
        for facts in by_partition.values():
            await rig.produce(facts[:50])
            await rig.produce(facts[50:100])
        items = sorted({fact.item for facts in by_partition.values() for fact in facts})
        judged = [Evaluation(T0, f"e{item}", item, "m", passed=True) for item in items]
        await rig.produce(judged)
        await asyncio.to_thread(own_kafka.stop)
        segment = own_kafka.directory / "data" / f"{topic}-0" / f"{0:020}.log"
        flip(segment, 50)
        await asyncio.to_thread(own_kafka.start)
        worker = rig.worker()

        async def processed(first: int, second: int) -> bool:
            offsets = await rig.committed()
            return [offset for tp, offset in sorted(offsets.items()) if tp.topic == topic] == [first, second]

        await rig.until("partition 1 is processed, and partition 0 up to the spoiled batch", lambda: processed(50, 100))

        async def quarantined() -> bool:
            return "partition 0 is in quarantine" in worker.text()

        await rig.until("partition 0 is in quarantine", quarantined)
        wrong = f"{topic}[0]: wrong checksum of the record batch at offset 50, fetched 4 times from 50"
        assert wrong in worker.text()
        await rig.produce(by_partition[1][100:])
        await rig.until("partition 1 goes on", lambda: processed(50, len(by_partition[1])))
        assert worker.process.poll() is None
        assert await found(rig) == {}
        # The operator mends the disk and restarts.
        worker.kill()
        await asyncio.to_thread(own_kafka.stop)
        flip(segment, 50)
        await asyncio.to_thread(own_kafka.start)
        rig.worker("w2")
        await rig.settled()
        await rig.verify([*by_partition[0][:100], *by_partition[1], *judged])
        measured("50 events before it and all of the other partition counted; after the repair, all")
