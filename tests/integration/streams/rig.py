"""Topics on a broker, worker processes on them, and the comparison of their output with a recount."""

import asyncio
import contextlib
import json
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.structs import ConsumerRecord

from aggregator.facts import Annotation, Evaluation, Fact, QueueItem, encode, key, parse
from aggregator.ledger_ids import common_id
from aggregator.recount import Recount, winners
from aggregator.tallies import MARKER_KEY, parse_key
from streams.kafka import topics as topic_table
from streams.kafka.topics import Topics
from streams.ledger.claim import CLAIM_KEY, parse_claim

ROOT = Path(__file__).resolve().parents[3]
SETTLED_SECONDS = 60.0

Stored = ConsumerRecord[Any, Any]
Event = tuple[str, bytes | None, bytes | None]
"""Topic, key, value."""


@dataclass
class WorkerProcess:
    """One worker process and its log."""

    process: subprocess.Popen[bytes]
    log: Path

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.process.kill()
        self.process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    async def ended(self, seconds: float = 30.0) -> int:
        """Wait for the end; the exit code (negative: signal number)."""
        try:
            return await asyncio.to_thread(self.process.wait, seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"not ended within {seconds:g} s:\n{self.text()[-3000:]}") from None

    def text(self) -> str:
        """The log so far."""
        return self.log.read_text()

    def processed(self) -> int:
        """Number of processed events of a worker that ended cleanly."""
        return self.counters()["eval_alignment_events"]

    def counters(self) -> dict[str, int]:
        """Its counters by name, summed over labels, when it ended cleanly."""
        (counted,) = re.findall(r"^counted (.*)$", self.text(), re.MULTILINE)
        return dict(json.loads(counted))


@dataclass
class Rig:
    """One installation: seven topics, a group, producers and workers.

    Topics and group carry the prefix, unless `named` and `group_named` name those of an existing installation.
    """

    bootstrap: str
    prefix: str
    directory: Path
    partitions: int = 4
    named: Topics | None = None
    group_named: str = ""
    workers: list[WorkerProcess] = field(default_factory=list)

    @property
    def topics(self) -> Topics:
        return self.named or Topics(**{each.name: f"{self.prefix}{each.name}" for each in fields(Topics)})

    @property
    def group(self) -> str:
        return self.group_named or f"{self.prefix}group"

    async def __aenter__(self) -> Self:
        await topic_table.apply({"bootstrap_servers": self.bootstrap}, self.topics, self.partitions)
        return self

    async def __aexit__(self, *unused: object) -> None:
        for worker in self.workers:
            worker.kill()

    def worker(
        self,
        name: str = "w1",
        *,
        kill_at: tuple[str, int] | None = None,
        circuit_breaker: bool = True,
        accept_loss: bool = False,
        policy: str = "each",
        url: str | None = None,
        inject: str | None = None,
        audit: float = 60.0,
        log_level: str = "INFO",
        waiting: str | None = None,
    ) -> WorkerProcess:
        """Start a worker.

        `inject` names a fault of tests/integration/streams/injections.py. Evaluations wait in the directory `waiting`
        of this rig, by default in one of this name.
        """
        settings = {
            "brokers": self.bootstrap.split(","),
            "name": f"{self.prefix}{name}",
            "group": self.group,
            "topics": asdict(self.topics),
            "policy": policy,
            "accept_loss": accept_loss,
            "circuit_breaker": circuit_breaker,
            "kill_at": kill_at,
            "url": url,
            "inject": inject,
            "audit": audit,
            "log_level": log_level,
            "waiting": str(self.directory / (waiting or f"waiting-{name}")),
        }
        log = self.directory / f"{name}-{len(self.workers)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.integration.streams.worker_process", json.dumps(settings)],
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        worker = WorkerProcess(process, log)
        self.workers.append(worker)
        return worker

    # ---- input

    def event(self, fact: Fact) -> Event:
        """A fact as a producer sends it."""
        topics = self.topics
        topic = {Annotation: topics.annotations, Evaluation: topics.evaluations, QueueItem: topics.queue_items}
        return topic[type(fact)], fact.item.encode(), encode(fact)

    async def produce(self, facts: Iterable[Fact]) -> None:
        """Send facts as events."""
        await self.send(self.event(fact) for fact in facts)

    async def send(self, events: Iterable[Event], *, partition: int | None = None, headers: Sequence[Any] = ()) -> None:
        """Send records, each to the partition of its key (or `partition`), in big batches; all are acknowledged."""
        choose, everything = DefaultPartitioner(), list(range(self.partitions))
        batches: dict[tuple[str, int], Any] = {}
        acknowledgements = []
        async with AIOKafkaProducer(
            bootstrap_servers=self.bootstrap, acks="all", max_batch_size=200_000, max_request_size=4 << 20
        ) as producer:
            for topic, event_key, value in events:
                place = topic, partition if partition is not None else choose(event_key, everything, everything)
                batch = batches.setdefault(place, producer.create_batch())
                if batch.append(timestamp=None, key=event_key, value=value, headers=list(headers)) is None:
                    acknowledgements.append(await producer.send_batch(batch, place[0], partition=place[1]))
                    batch = batches[place] = producer.create_batch()
                    batch.append(timestamp=None, key=event_key, value=value, headers=list(headers))
            for place, batch in batches.items():
                acknowledgements.append(await producer.send_batch(batch, place[0], partition=place[1]))
            await asyncio.gather(*acknowledgements)

    # ---- content of the topics

    async def ends(self, *names: str) -> dict[TopicPartition, int]:
        """End offsets."""
        async with self._consumer() as consumer:
            return dict(await consumer.end_offsets([tp for name in names for tp in self._tps(name)]))

    async def committed(self) -> dict[TopicPartition, int]:
        """Committed offsets of the sources; 0 for a partition without one."""
        async with self._consumer(self.group) as consumer:
            tps = [tp for name in self.topics.sources for tp in self._tps(name)]
            consumer.assign(tps)
            return {tp: await consumer.committed(tp) or 0 for tp in tps}

    async def read(
        self, topic: str, partitions: int | None = None, since: dict[TopicPartition, int] | None = None
    ) -> list[Stored]:
        """Every record of a topic, in offset order per partition; aborted ones are left out. `since` has the offsets
        to begin with, and is moved to the ends.
        """
        tps = [TopicPartition(topic, index) for index in range(partitions or self.partitions)]
        async with self._consumer(isolation_level="read_committed") as consumer:
            consumer.assign(tps)
            ends = await consumer.end_offsets(tps)
            records: list[Stored] = []
            for tp in tps:
                consumer.seek(tp, (since or {}).get(tp, 0))
            while any([await consumer.position(tp) < ends[tp] for tp in tps]):
                for batch in (await consumer.getmany(timeout_ms=200)).values():
                    records.extend(batch)
            if since is not None:
                since.update(ends)
            return records

    async def dead_letters(self) -> list[Stored]:
        """Dead letters, one per identity."""
        unique: dict[Any, Stored] = {}
        for record in await self.read(self.topics.dead_letters, 1):
            headers = dict(record.headers)
            identity = tuple(headers[f"alignment-{name}"] for name in ("topic", "partition", "offset"))
            unique.setdefault(identity, record)
        return list(unique.values())

    @contextlib.asynccontextmanager
    async def _consumer(self, group: str | None = None, **settings: Any) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            **settings,
        )
        await consumer.start()
        try:
            yield consumer
        finally:
            await consumer.stop()

    def _tps(self, topic: str) -> list[TopicPartition]:
        return [TopicPartition(topic, index) for index in range(self.partitions)]

    async def administer(self, work: Callable[[AIOKafkaAdminClient], Awaitable[object]]) -> None:
        """Do something with an admin client."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            await work(admin)
        finally:
            await admin.close()

    async def delete_topics(self, *names: str) -> None:
        """Delete topics, and wait until they are gone."""
        await self.administer(lambda admin: admin.delete_topics(list(names)))

        async def gone() -> bool:
            counts = await topic_table.partition_counts({"bootstrap_servers": self.bootstrap})
            return not set(names) & set(counts)

        await self.until("topics deleted", gone)

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        """Commit offsets of the group, as a tool does. Raises KafkaError while the group has members."""
        async with self._consumer(self.group) as consumer:
            consumer.assign(list(offsets))
            await consumer.commit(offsets)

    async def reset_group(self, how: str, by: int) -> None:
        """Move the offsets of the group: to latest, to earliest, or by a number. Raises KafkaError as `commit`."""
        ends, committed = await self.ends(*self.topics.sources), await self.committed()
        match how:
            case "to latest":
                offsets = ends
            case "to earliest":
                offsets = dict.fromkeys(ends, 0)
            case "by":
                offsets = {tp: min(end, max(0, committed.get(tp, 0) + by)) for tp, end in ends.items()}
            case _:
                raise ValueError(how)
        await self.commit(offsets)

    # ---- waiting

    async def until(
        self, what: str, condition: Callable[[], Awaitable[bool]], seconds: float = SETTLED_SECONDS
    ) -> None:
        """Poll until a condition holds; fails with the workers' logs."""
        deadline = time.monotonic() + seconds
        while not await condition():
            if time.monotonic() > deadline:
                logs = "\n".join(f"--- {worker.log.name}\n{worker.text()[-3000:]}" for worker in self.workers)
                raise AssertionError(f"not within {seconds:g} s: {what}\n{logs}")
            await asyncio.sleep(0.05)

    async def restored(self, worker: WorkerProcess, seconds: float = SETTLED_SECONDS) -> None:
        """Wait until a worker processes events."""

        async def done() -> bool:
            assert worker.process.poll() is None, worker.text()[-3000:]
            return "partitions restored" in worker.text()

        await self.until("restored", done, seconds)

    async def settled(self, seconds: float = SETTLED_SECONDS) -> None:
        """Wait until everything is committed."""
        ends = await self.ends(*self.topics.sources)
        async with self._consumer(self.group) as consumer:
            consumer.assign(list(ends))

            async def done() -> bool:
                for tp, end in ends.items():
                    if (await consumer.committed(tp) or 0) != end:
                        return False
                return True

            await self.until("committed == end on every source partition", done, seconds)

    async def writing(self) -> None:
        """Wait until the ledger has rows: a worker is in the middle of its work."""

        async def done() -> bool:
            return sum((await self.ends(self.topics.facts)).values()) > self.partitions

        await self.until("rows in the ledger", done)

    # ---- the verdict

    async def verify(self, facts: Sequence[Fact], policy: Any = "each") -> None:
        """The tallies equal a recount of all facts, and the ledger's rows are the winners of known items."""
        recount = Recount(facts, policy)
        published = await self.tallies()
        expected = {orjson.dumps(group): payload for group, payload in recount.tallies().items()}
        assert published == expected
        ledger: dict[bytes, bytes] = {}
        for record in await self.read(self.topics.facts):
            if record.key is not None and record.key != CLAIM_KEY:
                ledger[record.key] = record.value or b""
        known = {fact.item for fact in facts if not isinstance(fact, Evaluation)}
        rows = {key(fact): fact for fact in winners(facts).values() if fact.item in known}
        assert {k: parse(k, v) for k, v in ledger.items()} == rows

    async def matches(self, facts: Sequence[Fact]) -> bool:
        """Whether the tallies already equal a recount."""
        expected = {orjson.dumps(group): payload for group, payload in Recount(facts).tallies().items()}
        return await self.tallies() == expected

    async def verify_current_ledger(self, facts: Sequence[Fact]) -> None:
        """As `verify`, for topics with tallies of an older ledger id, which readers of the current one ignore."""
        claims = [parse_claim(row.value or b"") for row in await self.read(self.topics.facts) if row.key == CLAIM_KEY]
        published = await self.tallies(claims[-1].ledger)
        assert published == {orjson.dumps(group): payload for group, payload in Recount(facts).tallies().items()}

    async def tallies(self, only: str | None = None) -> dict[bytes, dict[str, Any]]:
        """Sums over partitions, as a reader must take them: per key the later record of the higher position.

        Of the ledger id of each partition's last marker, or of `only`. What is no tally of a worker is passed over.
        """
        kept: dict[tuple[int, str, bytes], tuple[int, dict[str, Any]]] = {}
        ledgers: dict[int, str] = {}
        for record in await self.read(self.topics.tallies):
            try:
                payload = orjson.loads(record.value or b"")
                ledger, position, _ = (payload.pop(name) for name in ("ledger", "position", "policy"))
                if record.key == MARKER_KEY:
                    ledgers[record.partition] = ledger
                    continue
                parse_key(record.key or b"")
            except (ValueError, KeyError):
                continue
            place = record.partition, ledger, record.key or b""
            if position >= kept.get(place, (0, {}))[0]:
                kept[place] = position, payload
        assert len({common_id(ledger) for ledger in ledgers.values() if only in (None, ledger)}) <= 1
        current = {(partition, only or ledger) for partition, ledger in ledgers.items()}
        sums: dict[bytes, dict[str, Any]] = {}
        for (partition, ledger, tally_key), (_, payload) in kept.items():
            if (partition, ledger) in current:
                sums[tally_key] = _sum(sums[tally_key], payload) if tally_key in sums else payload
        return {tally_key: payload for tally_key, payload in sums.items() if _counts_something(payload)}


def _sum(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    """Add nested counts."""
    merged = dict(left)
    for name, value in right.items():
        if name not in merged:
            merged[name] = value
        elif isinstance(value, dict):
            merged[name] = _sum(merged[name], value)
        elif isinstance(value, list):
            merged[name] = [a + b for a, b in zip(merged[name], value, strict=True)]
        else:
            merged[name] += value
    return merged


def _counts_something(payload: Any) -> bool:
    if isinstance(payload, dict):
        return any(_counts_something(value) for value in payload.values())
    return any(payload) if isinstance(payload, list) else payload != 0


def history(seed: int, events: int, items: int = 500) -> list[Fact]:
    """A random history of events that correct, delete, tie with and repeat each other, in random order."""
    rng = random.Random(seed)
    start = 1_780_000_000_000
    facts: list[Fact] = []
    while len(facts) < events:
        at = start + rng.randrange(3 * 86_400_000) // 1000 * 1000
        id, item = f"e{rng.randrange(events)}", f"item-{rng.randrange(items)}"
        deleted = rng.random() < 0.05
        kind = rng.random()
        if kind < 0.45:
            facts.append(_annotation(rng, at, id, item, deleted))
        elif kind < 0.9:
            facts.append(_evaluation(rng, at, id, item, deleted))
        else:
            facts.append(QueueItem(at, id, rng.choice(("support", "sales/ü")), item, deleted=rng.random() < 0.3))
    facts += rng.choices(facts, k=events // 10)
    rng.shuffle(facts)
    return facts


def _annotation(rng: random.Random, at: int, id: str, item: str, deleted: bool) -> Annotation:
    fact = Annotation(at, id, rng.choice(("support", "sales/ü", 'q"3')), item)
    fact.criterion = rng.choice(("overall", "tone"))
    fact.annotator = rng.choice(("", "ann", "bob"))
    if deleted:
        fact.deleted = True
    elif rng.random() < 0.5:
        fact.thumbs = rng.choice(("up", "down"))
    else:
        fact.stars = rng.randint(1, 5)
        fact.explanation = rng.choice((None, "because"))
    return fact


def _evaluation(rng: random.Random, at: int, id: str, item: str, deleted: bool) -> Evaluation:
    fact = Evaluation(at, id, item, rng.choice(("relevance", "tone", "safe")), judge=rng.choice(("", "v1", "v2")))
    if deleted:
        fact.deleted = True
    elif rng.random() < 0.1:
        fact.status = rng.choice(("error", "skipped"))
    else:
        fact.passed = rng.random() < 0.6
    return fact
