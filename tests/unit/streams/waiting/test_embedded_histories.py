"""On the embedded broker, whose topics, offsets and ledger id start again with every start, nothing that waits is lost.

Histories of several starts: a worker adopts in pieces, is killed under a running broker, or dies with it. What a view
had of the last checkpoint is the ledger of the next start.
"""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aggregator.facts import Annotation, Evaluation, Fact, encode, identity, key
from aggregator.shard import Shard
from streams.events.decoder import Decoder
from streams.kafka.batches import Batch
from streams.kafka.record_batches import ParsedRecord
from streams.runtime.metrics import WorkerMetrics
from streams.waiting import waiting as module
from streams.waiting.partition import Continuation, WaitingPartition
from streams.waiting.positions import PartitionPositions, StorePositions
from streams.waiting.waiting import WaitingEvaluations
from tests.support.rocks_stores import KEEP_MS, TOPIC, new_store

AT = 1_780_000_000_000
ITEMS = 3
STARTS = 4
SEEDS = range(8)
METRICS = WorkerMetrics("0", list)


class History:
    """An installation with one partition."""

    def __init__(self, seed: int, directory: Path) -> None:
        self.rng = random.Random(seed)
        self.directory = directory
        self.accepted: list[Fact] = []
        """Those of acknowledged checkpoints."""
        self.rows: dict[bytes, bytes] = {}
        """The ledger, as the view has it."""
        self.topic: list[Fact] = []
        """Evaluations of this start of the broker, by offset."""
        self.position = 0
        """The next one to process, as of the last checkpoint."""
        self.ledger = ""
        self.evaluations = 0

    async def play(self) -> None:
        for start in range(STARTS):
            self.ledger, self.topic, self.position = f"ledger {start}", [], 0
            for life in range(self.rng.randint(1, 2)):
                await self.live(anew=life == 0, last=False)
        await self.live(anew=False, last=True)
        known = {fact.item for fact in self.accepted if isinstance(fact, Annotation)}
        missing = {key(fact) for fact in self.accepted if fact.item in known} - self.rows.keys()
        assert not missing
        items = {name[1] if name[0] == "e" else name[2] for name in map(identity, self.rows)}
        assert items <= known

    async def live(self, *, anew: bool, last: bool) -> None:
        """One life of the worker. What it does after its last checkpoint is lost with its process.

        The topic of evaluations lives as long as its broker. Annotations that are in no checkpoint are not sent again.
        """
        store = new_store(self.directory, partition_count=1, wal=True)
        store.open()
        waiting = WaitingEvaluations(store, TOPIC, Decoder(), KEEP_MS, METRICS, 1_000, embedded=True)
        shard = Shard(0)
        part = waiting.assigned(0, shard)
        ledger = [ParsedRecord(offset, AT, name, row, []) for offset, (name, row) in enumerate(self.rows.items())]
        for name, row in self.rows.items():
            shard.replay(name, row)
        part.replayed(ledger)
        end, position = len(self.topic), self.position
        waiting.restored(part, Continuation(self.ledger, len(ledger), position, end, None, old=False, anew=anew))
        pending: list[Fact] = []
        for _ in range(self.rng.randint(2, 8)):
            action = self.rng.random()
            if action < 0.6 and not last:
                self.topic.append(self.evaluation())
            elif action < 0.8:
                annotation = Annotation(AT, f"a{len(self.accepted)}", "q", self.item(), thumbs="up")
                waiting.receive(part, annotation, record(annotation, 0))
                pending.append(annotation)
            position, processed = self.process(waiting, part, position)
            pending += processed
            if self.rng.random() < 0.3:
                waiting.work_off(part)
            if self.rng.random() < 0.6:
                self.checkpoint(waiting, part, pending)
                self.position, pending = position, []
            if self.rng.random() < 0.3:
                await waiting.flush()
        if last or self.rng.random() < 0.3:
            while waiting.work_off(part):
                pass
            self.checkpoint(waiting, part, pending)
            self.position, pending = position, []
        await waiting.close()

    def item(self) -> str:
        return f"i{self.rng.randrange(ITEMS)}"

    def evaluation(self) -> Fact:
        self.evaluations += 1
        return Evaluation(AT, f"e{self.evaluations}", self.item(), f"m{self.evaluations}", passed=True)

    def process(self, waiting: WaitingEvaluations, part: WaitingPartition, position: int) -> tuple[int, list[Fact]]:
        """Process the evaluations of the topic from a position on."""
        facts = self.topic[position:]
        records = [record(fact, position + index) for index, fact in enumerate(facts)]
        mark = waiting.mark
        for fact, each in zip(facts, records, strict=True):
            waiting.receive(part, fact, each)
        waiting.processed(part, Batch(TOPIC, 0, position, position + len(facts), list(records)), mark)
        return position + len(facts), facts

    def checkpoint(self, waiting: WaitingEvaluations, part: WaitingPartition, pending: list[Fact]) -> None:
        noted = waiting.note(part, {})
        self.rows.update(part.shard.drain().rows)
        waiting.secure()
        waiting.settle(part, noted, len(self.rows))
        self.accepted += pending


def record(fact: Fact, offset: int) -> ParsedRecord:
    return ParsedRecord(offset, AT, fact.item.encode(), encode(fact), [])


def first_broken(tmp_path: Path) -> int | None:
    """The first seed whose history loses something."""
    for seed in SEEDS:
        try:
            asyncio.run(History(seed, tmp_path / str(seed)).play())
        except AssertionError:
            return seed
    return None


pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Adopts are owed most of the time."""
    monkeypatch.setattr(module, "ADOPT_RECORDS", 1)
    monkeypatch.setattr(module, "WORK_OFF_RECORDS", 1)


@pytest.mark.row(54)
def test_nothing_that_waits_is_lost_when_topics_start_again(tmp_path: Path) -> None:
    assert first_broken(tmp_path) is None


def no_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of the offsets of an earlier start are overwritten by those of this one."""

    def same(self: StorePositions, partition: int, *, keep_rows: bool = False) -> PartitionPositions:
        del keep_rows
        self.partitions[partition] = PartitionPositions(partition)
        return self.partitions[partition]

    monkeypatch.setattr(StorePositions, "renew", same)


def no_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was adopted up to an offset of an earlier ledger counts for this one."""
    restored = WaitingEvaluations.restored

    def of_any_ledger(self: WaitingEvaluations, part: WaitingPartition, place: Continuation, *last: Any) -> None:
        if part.kept is not None:
            self.store.forget(part.partition)
        restored(self, part, place, *last)

    monkeypatch.setattr(WaitingEvaluations, "restored", of_any_ledger)
    monkeypatch.setattr(Continuation, "accepts", lambda *_: True)


@pytest.mark.parametrize("removal", [no_epoch, no_tag], ids=lambda removal: removal.__name__)
def test_something_is_lost_without_the_protection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, removal: Callable[[pytest.MonkeyPatch], None]
) -> None:
    removal(monkeypatch)
    assert first_broken(tmp_path) is not None
