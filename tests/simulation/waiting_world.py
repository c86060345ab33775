"""An installation whose evaluations wait on disks: items come and go, the topic forgets, disks fail, settings change.

Time runs fast: a wait of a month is `WAIT_SECONDS` here, and the week that pays for lag is `SLACK_SECONDS`.
"""

from collections.abc import Callable
from typing import ClassVar, Final

from streams.events.decoder import MetricDefaults
from tests.simulation.clock import monotonic, wall
from tests.simulation.disks import Disk, FakeStore
from tests.simulation.inputs import Event, PassingItems
from tests.simulation.lifeline import Lifeline
from tests.simulation.process import TOPICS, Process
from tests.simulation.viewer import Wrong
from tests.simulation.world import World

WAIT_SECONDS: Final = 8.0
SLACK_SECONDS: Final = 40.0
KEEP_SECONDS: Final = WAIT_SECONDS + SLACK_SECONDS
topic_keep_seconds = KEEP_SECONDS
"""retention.ms of the evaluations topic."""
store_keep_seconds = KEEP_SECONDS
"""How long a store keeps evaluations."""
THRESHOLDS: Final = (0.0, 1.0, 2.0, 3.0)
"""Values of the setting `metrics`. A score of 0, 1 or 2 passes some of them."""
_RECOVERY_SECONDS: Final = 30.0
_METRICS: Final = ("m", "n")


class WaitingWorld(World):
    """An installation in memory with disks.

    It meets the condition under which nothing is missed: lag and what is rebuilt stay below the slack together. When
    half of it is used up, everybody is left alone until nothing waits; except in a calm history, in which nothing
    breaks, and people's events may lag as long as they like.
    """

    PARTITIONS: ClassVar = (1, 1, 2)
    WORKERS: ClassVar = (1, 1, 2)

    def __init__(self, seed: int, say: Callable[[str], None] | None, plot: str = "") -> None:
        super().__init__(seed, say)
        rng = self.rng
        self.calm = plot == "calm" if plot else rng.random() < 0.05
        self.passing = PassingItems(WAIT_SECONDS + 4.0)
        self.inputs, self.repeats = self.passing, 30
        self.disks = [Disk(f"disk {index}") for index in range(len(self.wanted) + 1)]
        self.backups: list[Disk] = []
        self.faithful: set[str] = set()
        """Names that start on the same disk the next time."""
        self.threshold = 1.0
        self._disk_of: dict[str, Disk] = {}
        self._closed_at = 0.0
        self._recovering = False

    # ---- processes and their disks

    def new_process(self, instance: str, life: Lifeline, **_: object) -> Process:
        """Start a process with the settings of now, on some disk."""
        disk = self._disk_of[instance] = self._choose_disk(instance)
        life.trace(f"has {disk.name} and threshold {self.threshold:g}")
        store = FakeStore(disk, life, int(store_keep_seconds * 1000))
        metrics = {name: MetricDefaults(threshold=self.threshold) for name in _METRICS}
        return super().new_process(instance, life, metrics=metrics, store=store)

    def _choose_disk(self, instance: str) -> Disk:
        """Mostly the one from before, which another process may have locked; else an empty, a restored or any one."""
        rng, before = self.rng, self._disk_of.get(instance)
        draw = rng.random()
        if before is not None and (draw < 0.6 or self._recovering or instance in self.faithful):
            self.faithful.discard(instance)
            return before
        free = [disk for disk in self.disks if not disk.locked and disk is not before]
        if draw < 0.7 or not free:
            self.disks.append(Disk(f"disk {len(self.disks)}"))
            return self.disks[-1]
        if draw < 0.8 and self.backups:
            self.disks.append(rng.choice(self.backups).copy(f"disk {len(self.disks)}"))
            self.trace(f"{self.disks[-1].name} is restored from a backup")
            return self.disks[-1]
        return rng.choice(free)

    def aborts(self, event: Event) -> bool:
        return event.topic == TOPICS.evaluations and self.rng.random() < 0.08

    def disk_of(self, instance: str) -> Disk:
        """The disk of a process."""
        return self._disk_of[instance]

    # ---- time

    def tick(self) -> None:
        """Delete what retention allows, and see whether nothing is owed."""
        if self.rng.random() < 0.3:
            for index in range(self.partitions):
                self.broker.partitions[TOPICS.evaluations, index].retain(int((wall() - topic_keep_seconds) * 1000))
        if self.closed():
            self._closed_at = wall()

    def closed(self) -> bool:
        """Whether every partition has an owner that has nothing to rebuild, to adopt or to write."""
        owners = [worker.closed() for worker in self.running.values() if worker.life.alive and worker.group.member]
        partitions = [partition for closed in owners for partition in closed]
        return all(partitions.count(index) == 1 for index in range(self.partitions))

    def lag(self) -> float:
        """Seconds of broker time of the oldest event that is not committed, or since something is owed."""
        oldest = wall()
        for topic in TOPICS.sources:
            for index in range(self.partitions):
                start = self.broker.committed.get((topic, index), 0)
                _, records = self.broker.partitions[topic, index].read(start, 1)
                oldest = min([oldest, *(record.timestamp / 1000 for record in records)])
        return wall() - min(oldest, self._closed_at or wall())

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, and nothing break any more where the slack would not suffice."""
        until = monotonic() + seconds
        while (left := until - monotonic()) > 0:
            await super().pass_time(min(left, 2.0))
            if not self.calm and not self._recovering and self.lag() > SLACK_SECONDS / 2:
                await self._recover()

    async def _recover(self) -> None:
        self._recovering = True
        self.trace(f"---- {self.lag():.1f} s of lag: everybody is left alone for a while")
        await super().pass_time(self.leave_alone() - monotonic())
        deadline = monotonic() + _RECOVERY_SECONDS
        while not self.done():
            if monotonic() > deadline:
                raise Wrong(f"not recovered after {_RECOVERY_SECONDS:g} s: {self.unsettled()}, {self.owed()}")
            await super().pass_time(1.0)
        self.trace("---- nothing waits")
        self._recovering = False

    def leave_alone(self) -> float:
        self.broker.silent.clear()
        self.broker.unwritable.clear()
        for disk in self.disks:
            disk.away_until = disk.slow_seconds = 0.0
        for instance, worker in self.running.items():
            disk = self._disk_of[instance]
            if any(disk is other and instance != name for name, other in self._disk_of.items()):
                # Two names with one directory: an operator sets another for one of them.
                self._disk_of[instance] = Disk(f"disk {len(self.disks)}")
                self.disks.append(self._disk_of[instance])
                worker.life.kill()
        return super().leave_alone()

    def owed(self) -> dict[str, object]:
        """By process, what it still has to rebuild or to adopt."""
        return {worker.life.name: worker.owed() for worker in self.running.values() if worker.life.alive}

    def done(self) -> bool:
        return super().done() and self.closed()
