"""An installation in memory: broker, group, processes, a supervisor that restarts what dies, and a reader."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Final

from aggregator.policy import Policy
from streams.events.decoder import MetricDefaults
from streams.kafka.record_limits import RecordLimits
from streams.runtime.exit_codes import ExitCode
from tests.simulation.broker import Broker
from tests.simulation.clock import monotonic, wall
from tests.simulation.coordinator import Coordinator
from tests.simulation.disks import FakeStore
from tests.simulation.inputs import Delivery, Event, Inputs, random_event
from tests.simulation.lifeline import Lifeline
from tests.simulation.process import TOPICS, Process
from tests.simulation.viewer import NeedlessEnd, Viewer, Wrong

LAG_SECONDS = 60.0
"""min.compaction.lag.ms: longer than any fault lasts here, as a day is in production."""
EXPECTED_ENDS: Final = frozenset({ExitCode.ANOTHER_WRITER, ExitCode.BROKER_LOST})
"""How a worker may end by itself in these histories; every other way is a false alarm or a loss."""
_QUIET_SECONDS: Final = 7.0
_SETTLED_SECONDS: Final = 60.0


class World:
    """An installation in memory, and its faults."""

    PARTITIONS: ClassVar[Sequence[int]] = (1, 2, 2, 3)
    WORKERS: ClassVar[Sequence[int]] = (1, 2, 2, 3)

    def __init__(self, seed: int, say: Callable[[str], None] | None) -> None:
        self.rng = random.Random(seed)
        self.partitions = self.rng.choice(self.PARTITIONS)
        self.deliveries: list[Delivery] = []
        self.inputs: Inputs = random_event
        self.repeats = 0
        """Of how many of the last deliveries one may be repeated; 0 for all."""
        self.broker = Broker()
        self.coordinator = Coordinator(self.broker, self.partitions, self.rng)
        self.viewer = Viewer(self.broker, self.partitions)
        self.policy = self.rng.choice(list(Policy))
        self.wanted = {f"w{index}" for index in range(self.rng.choice(self.WORKERS))}
        self.running: dict[str, Process] = {}
        self._abandoned: list[Process] = []
        self.doom: str | None = None
        """The point at which the next process to start is killed or paused."""
        self._lives: list[Lifeline] = []
        self._say = say

    # ---- background work

    def trace(self, what: str) -> None:
        """Add a line to the trace."""
        if self._say is not None:
            self._say(f"{monotonic():8.3f} {what}")

    def start(self, instance: str) -> None:
        """Start a process under this name; one that already runs under it is not stopped."""
        life = Lifeline(f"{instance}#{len(self._lives) + 1}", self.rng, None if self._say is None else self.trace)
        self._lives.append(life)
        life.fatal_place, self.doom = self.doom, None
        life.pause_at_point = self.rng.choice((0.0, 5.0))
        if (former := self.running.get(instance)) is not None and former.life.alive:
            self._abandoned.append(former)
        self.running[instance] = self.new_process(instance, life)
        life.trace(f"starts with policy {self.policy}")

    def new_process(
        self,
        instance: str,
        life: Lifeline,
        *,
        metrics: Mapping[str, MetricDefaults] = {},
        store: FakeStore | None = None,
    ) -> Process:
        """Start a process with the settings of now."""
        return Process(
            instance,
            life,
            broker=self.broker,
            coordinator=self.coordinator,
            partitions=self.partitions,
            policy=self.policy,
            metrics=metrics,
            store=store,
            # Most processes divide the cells of two judges, which those of others have in one record.
            limits=RecordLimits() if len(self._lives) % 3 == 0 else RecordLimits(tallies=1),
        )

    def supervise(self) -> None:
        """Restart processes that ended. Raises NeedlessEnd for an end, or a quarantine, that should not happen."""
        for instance, worker in self.running.items():
            self._look_at(worker)
            if not worker.life.alive and instance in self.wanted:
                self.start(instance)
        for worker in self._abandoned:
            self._look_at(worker)

    def _look_at(self, worker: Process) -> None:
        ended = worker.life.ended
        if ended is not None and ended[0] not in EXPECTED_ENDS:
            raise NeedlessEnd(f"{worker.life.name} ended without need: {ended[0].name}: {ended[1]}")
        if worker.life.alive:
            for partition, reason in worker.owned.quarantined().items():
                if reason is not None:
                    raise NeedlessEnd(f"{worker.life.name} has partition {partition} in quarantine: {reason}")

    def produce(self, count: int) -> None:
        """Deliver events, some of them twice."""
        for _ in range(count):
            if self.deliveries and self.rng.random() < 0.15:
                event = self.rng.choice(self.deliveries[-self.repeats :]).event
            else:
                event = self.inputs(self.rng, len(self.deliveries), self.partitions)
            self.deliver(event)

    def deliver(self, event: Event) -> None:
        """Deliver an event, sometimes after an offset without a record."""
        partition = self.broker.partitions[event.topic, event.partition]
        if self.rng.random() < 0.05:
            partition.end += 1
        now, aborted = int(wall() * 1000), self.aborts(event)
        offset = partition.append(now, [(event.key, event.value, [])], "producer", aborted=aborted)
        if not aborted:
            self.deliveries.append(Delivery(event, offset, now))

    def aborts(self, event: Event) -> bool:
        """Whether the transaction of this event is aborted."""
        del event
        return False

    def started(self) -> bool:
        """Whether a worker has claimed every partition."""
        return all(self.broker.partitions[TOPICS.facts, index].end for index in range(self.partitions))

    def reset_group(self, how: str, by: int) -> None:
        """Change the committed offsets of one source, or of all."""
        topics = self.rng.choice((tuple(TOPICS.sources), (self.rng.choice(list(TOPICS.sources)),)))
        self.trace(f"the group's offsets of {', '.join(topics)} are reset: {how} {by}")
        for topic in topics:
            for partition in range(self.partitions):
                self.broker.reset_group((topic, partition), how, by)

    def compact(self) -> None:
        """Run the log cleaner."""
        older_than = int((wall() - LAG_SECONDS) * 1000)
        for topic in (TOPICS.facts, TOPICS.tallies):
            for index in range(self.partitions):
                self.broker.partitions[topic, index].compact(older_than)

    # ---- the run

    def begin(self) -> None:
        """Start the first processes."""
        asyncio.get_running_loop().create_task(self.coordinator.run())
        for instance in sorted(self.wanted):
            self.start(instance)

    async def pass_time(self, seconds: float) -> None:
        """Let time pass while supervisor and reader run."""
        until = monotonic() + seconds
        while (left := until - monotonic()) > 0:
            await asyncio.sleep(min(left, 0.1 + 0.9 * self.rng.random()))
            self.supervise()
            self.tick()
            if self.rng.random() < 0.2:
                self.compact()
            if self.rng.random() < 0.7:
                self.viewer.look(self.rng.choice((0, 1, 3, 10)))

    def tick(self) -> None:
        """What happens by itself while time passes."""

    async def settle(self) -> None:
        """Run until everything is committed and nothing has changed for a while, with no policy change under way."""
        self.trace("---- everybody is left alone")
        # A process that stands still continues in the end, and must be detected then.
        await self.pass_time(self.leave_alone() - monotonic())
        deadline = monotonic() + _SETTLED_SECONDS
        while True:
            started = len(self._lives)
            await self.pass_time(_QUIET_SECONDS)
            if self.done() and started == len(self._lives):
                return
            if monotonic() > deadline:
                raise Wrong(f"not settled after {_SETTLED_SECONDS:g} s: {self.unsettled()}")

    def leave_alone(self) -> float:
        """Let nothing happen to a process any more; returns when the last one continues, in virtual seconds."""
        recovered = monotonic()
        for life in self._lives:
            recovered = max(recovered, life.paused_until, life.deaf_until)
            life.points_left = life.acknowledgements_left = -1
            life.fatal_place = self.doom = None
            life.last_words = life.last_words and life.alive
        for worker in [*self.running.values(), *self._abandoned]:
            if worker.policy is not self.policy:
                worker.life.kill()
        if not self.wanted:
            self.wanted.add("w0")
            self.start("w0")
        return recovered

    def unsettled(self) -> dict[tuple[str, int], tuple[int, int]]:
        """Committed offset and end of the source partitions where they differ."""
        sources = [(topic, index) for topic in TOPICS.sources for index in range(self.partitions)]
        states = {tp: (self.broker.committed.get(tp, 0), self.broker.partitions[tp].end) for tp in sources}
        return {tp: state for tp, state in states.items() if state[0] != state[1]}

    def done(self) -> bool:
        """Whether everything is committed, and live processes own all partitions."""
        return not self.unsettled() and all(self.coordinator.owned(index) for index in range(self.partitions))
