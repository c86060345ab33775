"""Producer and reader as the product uses aiokafka's, on the broker in memory.

Every call takes time, in which the process can be killed, paused or cut off. A write can be applied and its
acknowledgement lost, or be applied long after its process has ended.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaTimeoutError

from streams.kafka.batches import Batch
from tests.simulation.broker import TP, Broker, Row
from tests.simulation.clock import monotonic, wall
from tests.simulation.lifeline import Lifeline


@dataclass(slots=True)
class FakeBatch:
    """Up to `room` records that are written together."""

    room: int
    rows: list[Row] = field(default_factory=list)
    _relative_offset: int = 0

    def append(self, *, timestamp: None, key: Any, value: Any, headers: Any = ()) -> object | None:
        """Append a record; returns None when the batch is full."""
        return self._builder.append(len(self.rows), timestamp, key, value, headers)

    @property
    def _builder(self) -> "_FakeBuilder":
        """The private part of aiokafka's batch that the product uses."""
        return _FakeBuilder(self)

    def record_count(self) -> int:
        """Set the number of records."""
        return self._relative_offset or len(self.rows)

    def size(self) -> int:
        """So many bytes that checkpoints are delayed now and then."""
        return 16 * sum(len(key or b"") + len(value or b"") for key, value, _ in self.rows)


class _FakeBuilder:
    def __init__(self, batch: FakeBatch) -> None:
        self._batch = batch

    def append(self, offset: int, timestamp: int | None, key: Any, value: Any, headers: Any) -> object | None:
        del timestamp
        rows = self._batch.rows
        if len(rows) == self._batch.room:
            return None
        assert offset == len(rows)
        rows.append((key, value, list(headers)))
        return self


@dataclass(slots=True)
class _Queue:
    """The queue of a producer for one partition: one batch is in flight at a time, as idempotence requires."""

    waiting: deque[tuple[FakeBatch, "asyncio.Future[Any]"]] = field(default_factory=deque)
    busy: bool = False


class FakeProducer:
    """The producer of one process. A batch may be lost for good although a later one is written."""

    def __init__(self, broker: Broker, life: Lifeline) -> None:
        self._broker = broker
        self._life = life
        self._queues: dict[TP, _Queue] = {}
        self._loop = asyncio.get_running_loop()

    def create_batch(self) -> FakeBatch:
        """A small size, so that an append takes several batches."""
        return FakeBatch(self._life.rng.choice((1, 2, 3, 8)))

    async def send_batch(self, batch: FakeBatch, topic: str, *, partition: int) -> "asyncio.Future[Any]":
        """Queue a batch; returns the future of its acknowledgement."""
        self._life.point(f"send to {topic}[{partition}]")
        acknowledged: asyncio.Future[Any] = self._loop.create_future()
        queue = self._queues.setdefault((topic, partition), _Queue())
        queue.waiting.append((batch, acknowledged))
        if not queue.busy:
            self._send((topic, partition), queue)
        return acknowledged

    def _send(self, tp: TP, queue: _Queue) -> None:
        queue.busy = True
        batch, acknowledged = queue.waiting.popleft()
        self._later(self._life.latency(), self._arrive, tp, queue, batch, acknowledged)

    def _arrive(self, tp: TP, queue: _Queue, batch: FakeBatch, acknowledged: "asyncio.Future[Any]") -> None:
        """The request reaches the broker, unless its process is paused, or was killed before it left."""
        life, rng = self._life, self._life.rng
        if not life.alive:
            # Data in the kernel's buffers still arrives, sooner or later.
            if life.last_words and rng.random() < 0.5:
                life.last_words = False
                self._loop.call_later(rng.choice((0.0, 0.3, 2.0)), self._apply, tp, batch)
            return
        if not self._crossed(f"before {tp[0]}[{tp[1]}]"):
            return
        if (wait := max(life.held(), self._broker.unwritable.get(tp, 0.0) - monotonic())) > 0:
            self._later(wait, self._arrive, tp, queue, batch, acknowledged)
            return
        lost = life.lose_acknowledgement()
        # A waiter cannot tell a lost acknowledgement from a lost request.
        base = None if lost and rng.random() < 0.5 else self._apply(tp, batch)
        if not self._crossed(f"written to {tp[0]}[{tp[1]}]"):
            return
        self._later(life.latency(), self._acknowledge, tp, queue, None if lost else base, acknowledged)

    def _apply(self, tp: TP, batch: FakeBatch) -> int:
        self._life.trace(f"{len(batch.rows)} records at {self._broker.partitions[tp].end} of {tp[0]}[{tp[1]}]")
        return self._broker.partitions[tp].append(int(wall() * 1000), batch.rows, self._life.name)

    def _acknowledge(self, tp: TP, queue: _Queue, base: int | None, acknowledged: "asyncio.Future[Any]") -> None:
        life = self._life
        if not life.alive:
            return
        if (wait := life.held()) > 0:
            self._later(wait, self._acknowledge, tp, queue, base, acknowledged)
            return
        if acknowledged.done():
            life.trace(f"nothing waits for the batch at {base} of {tp[0]}[{tp[1]}]")
        elif base is None:
            acknowledged.set_exception(KafkaTimeoutError())
            # An idempotent producer leaves no gap: it drops the waiting batches as well. Another may leave one.
            if life.rng.random() < 0.5:
                for _, waiting in queue.waiting:
                    waiting.set_exception(KafkaTimeoutError())
                queue.waiting.clear()
        else:
            acknowledged.set_result(SimpleNamespace(offset=base, timestamp=int(wall() * 1000)))
        queue.busy = False
        if queue.waiting:
            self._send(tp, queue)

    def _crossed(self, place: str) -> bool:
        """Whether the process survives this point; for callbacks, where nothing catches its death."""
        self._life.point(place, quietly=True)
        return self._life.alive

    def _later(self, seconds: float, call: Callable[..., Any], *args: Any) -> None:
        self._loop.call_later(seconds, call, *args)


class FakeReader:
    """A consumer without a group: assigned and sought by hand. It gets aborted records unless it is `committed`."""

    def __init__(
        self, broker: Broker, life: Lifeline, *, committed: bool = False, limits: Sequence[int] = (1, 5, 100)
    ) -> None:
        self._broker = broker
        self._life = life
        self.committed = committed
        self._limits = limits
        self._positions: dict[TP, int] = {}
        self._highwaters: dict[TP, int] = {}

    def assign(self, partitions: Iterable[TopicPartition]) -> None:
        """Read these partitions from now on."""
        self._positions = dict.fromkeys(partitions, 0)
        self._highwaters = {}

    def unsubscribe(self) -> None:
        """Read no partition."""
        self.assign([])

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Continue at this offset."""
        self._positions[partition] = offset

    def highwater(self, partition: TopicPartition) -> int | None:
        """The end offset that the last fetch returned."""
        return self._highwaters.get(partition)

    async def end_offsets(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The end offsets that the broker returns."""
        await self._life.request("ends")
        ends = {tp: self._broker.partitions[tp].end for tp in partitions}
        await self._life.answer("ends")
        return ends

    async def beginning_offsets(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The oldest offsets that are left."""
        await self._life.request("starts")
        return {tp: self._broker.partitions[tp].start for tp in partitions}

    async def offsets_for_times(self, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, Any]:
        """The first record from a time on; None where all are older."""
        await self._life.request("offsets of times")
        found: dict[TopicPartition, Any] = {}
        for tp, time in times.items():
            later = [record for record in self._broker.partitions[tp].records if record.timestamp >= time]
            found[tp] = SimpleNamespace(offset=later[0].offset, timestamp=later[0].timestamp) if later else None
        return found

    async def fetch(self, wanted: Collection[TP]) -> list[Batch]:
        """One fetch: of each partition the records that the broker returns together."""
        await self._life.request("fetch of logs")
        batches = []
        for tp in wanted:
            limit = self._life.rng.choice(self._limits)
            batch = self._broker.batch(tp, self._positions[tp], limit, committed=self.committed)
            self._highwaters[tp] = self._broker.partitions[tp].end
            if batch is not None:
                batches.append(batch)
                self._positions[tp] = batch.next
        await self._life.answer("fetch of logs")
        return batches


async def fetch(consumer: Any, wanted: Collection[TP], wait_seconds: float) -> list[Batch]:
    """Replaces `streams.kafka.batches.fetch`."""
    reader: FakeReader = consumer
    batches = await reader.fetch(wanted)
    if not batches:
        await asyncio.sleep(wait_seconds)
    return batches
