"""One history: an installation, a supervisor that restarts what dies, a nemesis, and the verdict.

Everything follows from the seed. The nemesis acts for a while, then everybody is left alone; when nothing moves any
more, counts, ledger, offsets and dead letters must be those of a plain recount of the events.
"""

import asyncio
import contextlib
import random
import warnings
from collections.abc import Callable, Iterator
from typing import Final
from unittest.mock import patch

from aggregator.shard import Policy
from streams.failures import Failure
from tests.simulation import clients, clock, process
from tests.simulation.broker import Broker
from tests.simulation.clock import monotonic, wall
from tests.simulation.coordinator import Coordinator
from tests.simulation.inputs import Event, random_event
from tests.simulation.lifeline import Lifeline
from tests.simulation.process import Process
from tests.simulation.verdict import verify
from tests.simulation.viewer import Viewer, Wrong

LAG_SECONDS: Final = 60.0
"""min.compaction.lag.ms: longer than anything stays broken here, as a day is."""
EXPECTED_ENDS: Final = frozenset({Failure.ANOTHER_WRITER, Failure.BROKER_LOST})
"""How a worker may end by itself in these histories; every other way is a false alarm or a loss."""
_QUIET_SECONDS: Final = 7.0
_SETTLED_SECONDS: Final = 60.0


class World:
    """An installation in memory, and what happens to it."""

    def __init__(self, seed: int, say: Callable[[str], None] | None, lag: float = LAG_SECONDS) -> None:
        self.rng = random.Random(seed)
        self.partitions = self.rng.choice((1, 2, 2, 3))
        self.events: list[tuple[Event, int]] = []
        self.broker = Broker()
        self.coordinator = Coordinator(self.broker, self.partitions, self.rng)
        self.viewer = Viewer(self.broker, self.partitions)
        self.policy = self.rng.choice(list(Policy))
        self.wanted = {f"w{index}" for index in range(self.rng.choice((1, 2, 2, 3)))}
        self.running: dict[str, Process] = {}
        self._abandoned: list[Process] = []
        self._started = 0
        self._lag = lag
        self._say = say

    # ---- what goes on by itself

    def trace(self, what: str) -> None:
        """A line of the trace."""
        if self._say is not None:
            self._say(f"{monotonic():8.3f} {what}")

    def start(self, instance: str) -> None:
        """Start a process under this name; one that runs under it already is not told."""
        self._started += 1
        life = Lifeline(f"{instance}#{self._started}", self.rng, None if self._say is None else self.trace)
        if (former := self.running.get(instance)) is not None and former.life.alive:
            self._abandoned.append(former)
        self.running[instance] = Process(
            instance, life, self.broker, self.coordinator, self.partitions, self.policy
        )
        life.trace(f"starts with policy {self.policy}")

    def supervise(self) -> None:
        """Restart what should run and does not. Raises Wrong for a process that ended as none should."""
        for instance, worker in self.running.items():
            self._look_at(worker)
            if not worker.life.alive and instance in self.wanted:
                self.start(instance)
        for worker in self._abandoned:
            self._look_at(worker)

    def _look_at(self, worker: Process) -> None:
        ended = worker.life.ended
        if ended is not None and ended[0] not in EXPECTED_ENDS:
            raise Wrong(f"{worker.life.name} ended without need: {ended[0].name}: {ended[1]}")

    def produce(self, count: int) -> None:
        """Events arrive, some of them twice."""
        for _ in range(count):
            if self.events and self.rng.random() < 0.15:
                event = self.rng.choice(self.events)[0]
            else:
                event = random_event(self.rng, self.partitions)
            partition = self.broker.partitions[event.topic, event.partition]
            if self.rng.random() < 0.05:
                partition.end += 1
            offset = partition.append(int(wall() * 1000), [(event.key, event.value, [])], "producer")
            self.events.append((event, offset))

    def compact(self) -> None:
        """The log cleaner comes by."""
        older_than = int((wall() - self._lag) * 1000)
        for topic in (process.TOPICS.facts, process.TOPICS.tallies):
            for index in range(self.partitions):
                self.broker.partitions[topic, index].compact(older_than)

    # ---- the run

    async def run(self) -> None:
        """The whole history. Raises Wrong."""
        from tests.simulation.nemesis import Nemesis

        for instance in sorted(self.wanted):
            self.start(instance)
        coordinating = asyncio.create_task(self.coordinator.run())
        await Nemesis(self).act()
        self.trace("---- everybody is left alone")
        await self._settle()
        verify(self)
        coordinating.cancel()

    async def pass_time(self, seconds: float) -> None:
        """Let time go by, with supervisor and reader at work."""
        until = monotonic() + seconds
        while (left := until - monotonic()) > 0:
            await asyncio.sleep(min(left, 0.1 + 0.9 * self.rng.random()))
            self.supervise()
            if self.rng.random() < 0.7:
                self.viewer.look(self.rng.choice((0, 1, 3, 10)))

    async def _settle(self) -> None:
        """Until everything is committed and nothing moved for a while; no policy change is under way then."""
        for worker in [*self.running.values(), *self._abandoned]:
            worker.life.paused_until = worker.life.deaf_until = 0.0
            worker.life.points_left = worker.life.acknowledgements_left = -1
            if worker.policy is not self.policy:
                worker.life.kill()
        if not self.wanted:
            self.wanted.add("w0")
            self.start("w0")
        deadline = monotonic() + _SETTLED_SECONDS
        while True:
            started = self._started
            await self.pass_time(_QUIET_SECONDS)
            if self._done() and started == self._started:
                return
            if monotonic() > deadline:
                raise Wrong(f"not settled after {_SETTLED_SECONDS:g} s: {self._unsettled()}")

    def _unsettled(self) -> dict[tuple[str, int], tuple[int, int]]:
        """Committed offset and end of the source partitions where they differ."""
        sources = [(topic, index) for topic in process.TOPICS.sources for index in range(self.partitions)]
        states = {tp: (self.broker.committed.get(tp, 0), self.broker.partitions[tp].end) for tp in sources}  # type: ignore[call-overload]
        return {tp: state for tp, state in states.items() if state[0] != state[1]}

    def _done(self) -> bool:
        return not self._unsettled() and all(
            (owner := self.coordinator.owner(index)) is not None and self.running[owner].life.alive
            for index in range(self.partitions)
        )


@contextlib.contextmanager
def installed() -> Iterator[None]:
    """The product on virtual time and on the simulated broker, instead of this process' own."""
    modules = ("streams.log", "streams.restore", "streams.checkpoint", "streams.engine", "streams.guard")
    with (
        clock.virtual_clock(*modules),
        warnings.catch_warnings(),
        patch("streams.log.fetch", clients.fetch),
        patch("streams.engine.end_process", process.end_process),
        patch("streams.restore.no_collection", contextlib.nullcontext),
        patch("streams.engine.Rows", process.NoRows),
        patch("streams.restore.new_ledger_id", lambda: "ledger"),
    ):
        # A process was killed before a task of it began.
        warnings.filterwarnings("ignore", message="coroutine .* was never awaited")
        yield


def simulate(seed: int, say: Callable[[str], None] | None = None, lag: float = LAG_SECONDS) -> None:
    """One history, within `installed`. Raises Wrong when the promise was broken."""
    clock.run(lambda: World(seed, say, lag).run())
