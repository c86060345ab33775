"""The group coordinator, and the group as one member sees it.

Generations, sessions, rebalances, static members and fenced commits as Kafka has them. A member that lost its
partitions learns of it late: from its next heartbeat that succeeds.
"""

import asyncio
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from faust.types import TP

from streams.kafka.group import ConsumerGroup
from streams.kafka.watermarks import Watermarks
from tests.simulation.broker import Broker
from tests.simulation.clock import monotonic, wall
from tests.simulation.lifeline import Lifeline

SESSION_SECONDS = 3.0
REBALANCE_SECONDS = 4.0
TICK_SECONDS = 0.5


class News(Enum):
    """The reply to a heartbeat."""

    STABLE = auto()
    REBALANCE = auto()
    UNKNOWN = auto()
    FENCED = auto()


@dataclass(slots=True)
class Assignment:
    """The result of a rebalance for a member."""

    generation: int
    partitions: frozenset[int]


@dataclass(slots=True)
class _Member:
    life: Lifeline
    heard_at: float
    partitions: frozenset[int] = frozenset()
    joining: "asyncio.Future[Assignment | None] | None" = None


@dataclass(slots=True)
class Coordinator:
    """One consumer group. Members are static: they are known by the name of their instance."""

    broker: Broker
    partitions: int
    rng: random.Random
    generation: int = 0
    _members: dict[str, _Member] = field(default_factory=dict)
    _rebalance_until: float | None = None

    def join(self, instance: str, life: Lifeline) -> "asyncio.Future[Assignment | None]":
        """Join the next generation; None for a member that was fenced meanwhile.

        The new process of a known instance replaces the old one, which is fenced.
        """
        answer: asyncio.Future[Assignment | None] = asyncio.get_running_loop().create_future()
        known = self._members.get(instance)
        if known is None or known.life is life:
            member = self._members.setdefault(instance, _Member(life, monotonic()))
            member.joining = answer
            if self._rebalance_until is None:
                self._rebalance_until = monotonic() + REBALANCE_SECONDS
        else:
            known.life = life
            if known.joining is not None and not known.joining.done():
                known.joining.set_result(None)
            if self._rebalance_until is None:
                # The group does not change: same generation, same partitions.
                answer.set_result(Assignment(self.generation, known.partitions))
            else:
                known.joining = answer
        self._members[instance].heard_at = monotonic()
        self._complete()
        return answer

    def heartbeat(self, instance: str, life: Lifeline) -> News:
        """Receive a heartbeat of a member."""
        member = self._members.get(instance)
        if member is None:
            return News.UNKNOWN
        if member.life is not life:
            return News.FENCED
        member.heard_at = monotonic()
        return News.STABLE if self._rebalance_until is None else News.REBALANCE

    def commit(self, instance: str, life: Lifeline, generation: int, offsets: Mapping[TP, int]) -> bool:
        """Commit offsets; returns False for a process that is no member of this generation."""
        member = self._members.get(instance)
        if member is None or member.life is not life or generation != self.generation or member.joining is not None:
            return False
        self.broker.committed.update(offsets.items())
        return True

    def owned(self, partition: int) -> bool:
        """Whether the group is stable, and a live process owns this partition."""
        return self._rebalance_until is None and any(
            partition in member.partitions and member.life.alive for member in self._members.values()
        )

    def forget_members(self) -> None:
        """End all sessions, as when nobody was heard of for their length: the group is empty."""
        for member in self._members.values():
            if member.joining is not None and not member.joining.done():
                member.joining.set_result(None)
        self._members.clear()
        self._rebalance_until = None
        self.generation += 1

    async def run(self) -> None:
        """End sessions and rebalances that are due."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            late = monotonic() - SESSION_SECONDS
            for name, member in list(self._members.items()):
                if member.heard_at < late and (member.joining is None or not member.life.alive):
                    del self._members[name]
                    if self._rebalance_until is None:
                        self._rebalance_until = monotonic() + REBALANCE_SECONDS
            self._complete()

    def _complete(self) -> None:
        if self._rebalance_until is None:
            return
        if monotonic() < self._rebalance_until and any(m.joining is None for m in self._members.values()):
            return
        self._rebalance_until = None
        self._members = {name: member for name, member in self._members.items() if member.joining is not None}
        self.generation += 1
        names = list(self._members)
        self.rng.shuffle(names)
        for index, name in enumerate(names):
            member = self._members[name]
            member.partitions = frozenset(range(index, self.partitions, len(names)))
            assert member.joining is not None
            if not member.joining.done():
                member.joining.set_result(Assignment(self.generation, member.partitions))
            member.joining, member.heard_at = None, monotonic()


class MemberGroup(ConsumerGroup):
    """The group as one process sees it: `streams.kafka.group.Group` without Faust."""

    def __init__(
        self, instance: str, life: Lifeline, coordinator: Coordinator, broker: Broker, topics: Iterable[str]
    ) -> None:
        self.instance = instance
        self.life = life
        self.seen = 0
        """Generation of the assignment that this process knows."""
        self.member = True
        self.partitions: frozenset[int] = frozenset()
        self.positions: dict[TP, int] = {}
        """The offset at which the consumer fetches next."""
        self._topics = tuple(topics)
        self._coordinator = coordinator
        self._broker = broker
        self._released: dict[TP, int] = {}
        self._committed: dict[TP, int] = {}
        self._ends: dict[TP, Watermarks] = {}
        self._commits = 0
        self._committing = asyncio.Lock()

    # ---- what the driver does

    def assign(self, assignment: Assignment) -> None:
        """Take the result of a rebalance. A kept partition without a commit continues at its position."""
        before, self.positions = self.positions, {}
        self.seen, self.partitions, self.member = assignment.generation, assignment.partitions, True
        self._committed.clear()
        self._ends.clear()
        for tp in sorted(self.assigned()):
            self.positions[tp] = self._broker.committed.get(tp, before.get(tp, 0))

    def fetched(self, tp: TP, end: int) -> None:
        """Note the end of a partition that a fetch returned."""
        self._ends[tp] = Watermarks(end, end, int(wall() * 1000))

    # ---- what the engine asks

    def generation(self) -> int:
        return self.seen

    def membership(self) -> tuple[int, bool]:
        return (self.seen if self.member else -1), True

    def commits(self) -> int:
        return self._commits

    def assigned(self) -> set[TP]:
        return {TP(topic, partition) for topic in self._topics for partition in self.partitions}

    async def committed(self, partitions: Iterable[TP]) -> Mapping[TP, int | None]:
        await self.life.request("committed offsets")
        offsets = {tp: self._broker.committed.get(tp) for tp in partitions}
        await self.life.answer("committed offsets")
        return offsets

    async def starts(self, partitions: Iterable[TP]) -> Mapping[TP, int]:
        return {tp: self._broker.partitions[tp].start for tp in partitions}

    async def ends(self, partitions: Iterable[TP]) -> Mapping[TP, int]:
        await self.life.request("source ends")
        return {tp: self._broker.partitions[tp].end for tp in partitions}

    async def seek(self, positions: Mapping[TP, int]) -> None:
        await asyncio.sleep(0)
        self.positions.update(positions)

    async def commit(self, positions: Mapping[TP, int]) -> bool:
        return not positions or await self._commit(positions)

    def release(self, positions: Mapping[TP, int]) -> None:
        self._released.update(positions)

    async def commit_pending(self) -> bool:
        async with self._committing:
            while pending := self._pending():
                if not await self._commit(pending):
                    return False
        return True

    def forget(self) -> None:
        self._released.clear()

    def watermarks(self, partition: TP) -> Watermarks | None:
        return self._ends.get(partition)

    def committed_offset(self, partition: TP) -> int | None:
        return self._committed.get(partition)

    def _pending(self) -> dict[TP, int]:
        return {tp: offset for tp, offset in self._released.items() if offset > self._committed.get(tp, -1)}

    async def _commit(self, positions: Mapping[TP, int]) -> bool:
        generation = self.seen
        await self.life.request("commit")
        if self.life.deaf_for() > 0 or not self._coordinator.commit(self.instance, self.life, generation, positions):
            return False
        await self.life.answer("commit")
        self._commits += 1
        self._committed.update(positions)
        return True
