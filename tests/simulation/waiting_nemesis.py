"""Faults of disks, settings, sources and time, besides those of processes."""

import random
from collections.abc import Callable
from typing import ClassVar, Final

from streams.kafka.producer import home_partition
from tests.simulation.clock import monotonic
from tests.simulation.disks import STORE_PLACES
from tests.simulation.inputs import Event
from tests.simulation.nemesis import PLACES, Action, Nemesis
from tests.simulation.process import TOPICS, Process
from tests.simulation.waiting_world import THRESHOLDS, WaitingWorld

WAITING_PLACES: Final = (*STORE_PLACES, "adopted in part", "swept", "rebuilt", "settled", "flushed")
"""Steps of store, sweep and rebuild."""

_MUTE_SECONDS: Final = 5.0


class WaitingNemesis(Nemesis):
    """Injects what the store of waiting evaluations must survive, too."""

    _COUNT: ClassVar = 4, 13
    _PAUSES: ClassVar = (0.05, 0.3, 1.0, 2.5, 5.0, 9.0)
    _PLACES: ClassVar = (*PLACES, *WAITING_PLACES, *WAITING_PLACES)

    def __init__(self, world: WaitingWorld, plot: str = "") -> None:
        super().__init__(world)
        self._waiting = world
        self._items = 0
        self._actions = [
            (self._events, 18),
            (self._kill, 2),
            (self._kill_at_a_point, 6),
            (self._restart_into_doom, 4),
            (self._lose_an_acknowledgement, 1),
            (self._pause_at_a_point, 3),
            (self._deafen, 2),
            (self._second_of_the_name, 2),
            (self._another_worker, 1),
            (self._drain, 2),
            (self._reset_the_group, 2),
            (self._change_the_setting, 3),
            (self._silence_a_source, 4),
            (self._wipe, 2),
            (self._damage, 2),
            (self._take_away, 3),
            (self._back_up, 2),
            *((plot, 2) for plot in self._plots().values()),
        ]
        if self._rng.random() < 0.5 or plot:
            # A history about one of them.
            action = self._plots().get(plot) or self._rng.choice(list(self._plots().values()))
            self._actions = [(self._events, 3), (self._kill, 1), (action, 4)]
        if world.calm:
            self._actions = [(self._events, 6), (self._people_lag, 2)]

    def _events(self) -> None:
        self._world.produce(self._rng.randint(1, 10))

    def _change_the_setting(self) -> None:
        self._waiting.threshold = self._rng.choice(THRESHOLDS)
        self._kill()

    def _silence_a_source(self) -> None:
        self._silence(self._rng.choice(list(TOPICS.sources)), self._rng.choice((1.0, 4.0, 10.0)))
        self._events()

    async def _people_lag(self) -> None:
        """For longer than the slack, while evaluations of the same partition go on: a worker that waits has commits."""
        self._item(3)
        await self._pause(1.0, 4.0)
        partition = home_partition(f"z{self._items}".encode(), self._world.partitions)
        self._world.broker.silent[TOPICS.annotations, partition] = monotonic() + 60.0
        self._say(self._waiting.passing.judgement)
        for _ in range(12):
            self._say(self._waiting.passing.evaluation)
            await self._pause(5.0)

    def _silence(self, topic: str, seconds: float) -> None:
        self._world.trace(f"{topic} has no leader for {seconds:g} s")
        for index in range(self._world.partitions):
            self._world.broker.silent[topic, index] = monotonic() + seconds

    def _wipe(self) -> None:
        disk = self._rng.choice(self._waiting.disks)
        self._world.trace(f"{disk.name} is wiped")
        disk.wipe()

    def _damage(self) -> None:
        disk = self._rng.choice(self._waiting.disks)
        if disk.rows:
            key = self._rng.choice(sorted(disk.rows))
            self._world.trace(f"{disk.name} has a damaged block with {key}")
            disk.damaged.add(key)

    def _take_away(self) -> None:
        disk = self._rng.choice(self._waiting.disks)
        seconds = self._rng.choice((0.5, 3.0, 8.0))
        self._world.trace(f"{disk.name} is away for {seconds:g} s")
        disk.away_until = monotonic() + seconds
        self._events()

    def _back_up(self) -> None:
        disk = self._rng.choice(self._waiting.disks)
        self._world.trace(f"{disk.name} is backed up")
        self._waiting.backups.append(disk.copy(f"a backup of {disk.name}"))

    # ---- plots: several things together, as chance does them too rarely

    def _plots(self) -> dict[str, Action]:
        return {
            "flush": self._die_in_a_flush,
            "wipe": self._die_after_a_wipe,
            "checkpoint": self._lose_the_store_during_a_checkpoint,
            "tear": self._tear_an_adopt,
            "away": self._away_when_it_becomes_known,
            "order": self._queue_item_before_annotation,
            "damage": self._damaged_when_it_becomes_known,
            "unacknowledged": self._flush_what_no_ledger_has,
            "other store": self._settle_coverage_of_a_lost_store,
            "late": self._cover_what_comes_during_a_flush,
        }

    def _item(self, evaluations: int) -> None:
        """Evaluations of a new item."""
        self._items += 1
        for _ in range(evaluations):
            self._say(self._waiting.passing.evaluation)

    def _say(self, kind: Callable[[random.Random, int, int, int], Event]) -> None:
        """Deliver an event of the last item of a plot."""
        world = self._waiting
        world.deliver(kind(self._rng, len(world.deliveries), world.partitions, self._items))

    def _doom(self, worker: Process, place: str) -> None:
        """Kill a process at this point; the next one has its disk."""
        worker.life.pause_at_point, worker.life.fatal_place = 0.0, place
        self._waiting.faithful.add(worker.instance)

    async def _pause(self, *seconds: float) -> None:
        await self._world.pass_time(self._rng.choice(seconds))

    async def _die_in_a_flush(self) -> None:
        """While events come, and while an adopt is owed; or the item becomes known afterwards."""
        if (worker := self._any()) is not None:
            self._item(self._rng.randint(2, 6))
            await self._pause(0.3, 1.0, 4.0)
            if owing := self._rng.random() < 0.5:
                self._say(self._waiting.passing.judgement)
                await self._pause(0.1, 0.3, 0.6)
            self._doom(worker, self._rng.choice(("positions renamed", "flushed", *STORE_PLACES)))
            worker.flush()
            await self._pause(0.1, 0.3)
            self._events()
            await self._pause(1.0)
            if not owing:
                self._say(self._waiting.passing.judgement)

    async def _die_after_a_wipe(self) -> None:
        """While the store is being rebuilt, and what was merged again is not acknowledged."""
        if (worker := self._any()) is None:
            return
        self._item(self._rng.randint(1, 4))
        await self._pause(1.0, 4.0)
        self._waiting.disk_of(worker.instance).wipe()
        self._waiting.faithful.add(worker.instance)
        worker.life.kill()
        await self._pause(1.5, 2.0, 3.0)
        if not (worker := self._world.running[worker.instance]).life.alive:
            return
        self._say(self._waiting.passing.judgement)
        self._events()
        await self._pause(0.1, 0.3, 0.6)
        if self._rng.random() < 0.5:
            self._mute_the_ledger(3.0)
        self._doom(worker, self._rng.choice(("positions renamed", "flushed", "rebuilt", "rows appended")))
        for _ in range(3):
            worker.flush()
            await self._pause(0.2, 0.6)

    def _mute_the_ledger(self, seconds: float) -> None:
        self._world.trace(f"the ledger takes no record for {seconds:g} s")
        for index in range(self._world.partitions):
            self._world.broker.unwritable[TOPICS.facts, index] = monotonic() + seconds

    async def _lose_the_store_during_a_checkpoint(self) -> None:
        if (worker := self._any()) is None:
            return
        self._item(self._rng.randint(1, 4))
        await self._pause(0.5, 2.0, 5.0)
        self._mute_the_ledger(1.0)
        # Makes rows dirty: an item of its own becomes known.
        self._world.deliver(self._waiting.passing.judgement(self._rng, self._items, self._world.partitions, 0))
        await self._pause(0.3, 0.6)
        disk = self._waiting.disk_of(worker.instance)
        self._world.trace(f"{disk.name} is lost")
        if self._rng.random() < 0.7:
            disk.wipe()
        else:
            disk.away_until = monotonic() + 0.3
        worker.flush()
        await self._pause(0.8, 1.0, 1.3)
        self._doom(worker, self._rng.choice(("positions renamed", "flushed")))
        worker.flush()
        await self._pause(1.5)
        self._say(self._waiting.passing.judgement)

    async def _until(self, worker: Process, condition: Callable[[], bool], seconds: float = _MUTE_SECONDS) -> bool:
        """Wait for something in a process; whether it happened before the process ended."""
        until = monotonic() + seconds
        while worker.life.alive and monotonic() < until:
            if condition():
                return True
            await self._world.pass_time(0.05)
        return False

    def _silence_evaluations(self) -> None:
        """Nobody reads them, neither for the first time nor again."""
        self._silence(TOPICS.evaluations, 60.0)

    def _end_silence(self, topic: str) -> None:
        """Of readers or writers of a topic."""
        for index in range(self._world.partitions):
            self._world.broker.silent.pop((topic, index), None)
            self._world.broker.unwritable.pop((topic, index), None)

    async def _flush_what_no_ledger_has(self) -> None:
        """What a rebuild merged is covered, and the process dies before the ledger has it."""
        if (worker := self._any()) is None:
            return
        self._item(self._rng.randint(1, 3))
        item = f"z{self._items}"
        await self._pause(2.0, 4.0)
        self._silence_evaluations()
        self._waiting.disk_of(worker.instance).wipe()
        self._waiting.faithful.add(worker.instance)
        worker.life.kill()
        self._say(self._waiting.passing.judgement)
        await self._pause(1.0)
        worker = self._world.running[worker.instance]
        if await self._until(worker, lambda: worker.has_written(item)):
            self._mute_the_ledger(_MUTE_SECONDS)
            self._end_silence(TOPICS.evaluations)
            if await self._until(worker, lambda: worker.owed().keys() == set()):
                self._doom(worker, "positions renamed")
                worker.flush()
                await self._pause(0.6, 1.0)
        self._end_silence(TOPICS.evaluations)
        self._end_silence(TOPICS.facts)

    async def _settle_coverage_of_a_lost_store(self) -> None:
        """A checkpoint is on its way while the store is lost, and the next flush follows before it is built again."""
        if (worker := self._any()) is None:
            return
        self._item(self._rng.randint(1, 4))
        await self._pause(2.0, 4.0)
        self._silence_evaluations()
        self._mute_the_ledger(_MUTE_SECONDS)
        # Makes rows dirty: an item of its own becomes known.
        self._world.deliver(self._waiting.passing.judgement(self._rng, self._items, self._world.partitions, 0))
        if await self._until(worker, lambda: worker.writes_a_checkpoint):
            mark = worker.mark
            self._waiting.disk_of(worker.instance).wipe()
            worker.flush()
            if await self._until(worker, lambda: worker.mark != mark):
                self._end_silence(TOPICS.facts)
                await self._until(worker, lambda: not worker.writes_a_checkpoint)
                self._doom(worker, "positions renamed")
                worker.flush()
                await self._pause(0.6, 1.0)
        self._end_silence(TOPICS.evaluations)
        self._end_silence(TOPICS.facts)
        self._say(self._waiting.passing.judgement)

    async def _cover_what_comes_during_a_flush(self) -> None:
        """The disk is slow: a checkpoint is acknowledged between the first row and the positions."""
        if (worker := self._any()) is None:
            return
        self._item(1)
        await self._pause(2.0, 4.0)
        disk = self._waiting.disk_of(worker.instance)
        self._world.trace(f"{disk.name} is slow")
        disk.slow_seconds = 1.5
        self._doom(worker, "positions renamed")
        worker.flush()
        await self._pause(0.1, 0.5)
        self._item(self._rng.randint(1, 3))
        await self._pause(8.0)
        disk.slow_seconds = 0.0
        self._say(self._waiting.passing.judgement)
        await self._pause(1.0)

    async def _tear_an_adopt(self) -> None:
        """Its evaluations are in the ledger, some of them, and its annotation is not."""
        if (worker := self._any()) is None:
            return
        self._item(self._rng.randint(2, 5))
        await self._pause(0.5, 2.0, 5.0)
        place = ("written to alignment.facts", "before alignment.facts", "drained", "looked up", "adopted in part")
        self._doom(worker, self._rng.choice((place[0], *place)))
        self._say(self._waiting.passing.judgement)
        await self._pause(0.5, 1.5)

    async def _away_when_it_becomes_known(self) -> None:
        if (worker := self._any()) is None:
            return
        self._item(self._rng.randint(1, 4))
        await self._pause(1.0, 4.0, 6.0)
        disk = self._waiting.disk_of(worker.instance)
        seconds = self._rng.choice((1.0, 2.0, 8.0))
        self._world.trace(f"{disk.name} is away for {seconds:g} s")
        disk.away_until = monotonic() + seconds
        self._say(self._waiting.passing.judgement)
        await self._pause(2.0, 4.0)

    async def _queue_item_before_annotation(self) -> None:
        """The annotation came earlier, and is read later."""
        self._item(self._rng.randint(1, 3))
        await self._pause(3.0, 6.0)
        self._silence(TOPICS.annotations, 5.0)
        self._say(self._waiting.passing.judgement)
        await self._pause(2.0, 4.0)
        self._say(self._waiting.passing.queueing)
        await self._pause(1.0)

    async def _damaged_when_it_becomes_known(self) -> None:
        if (worker := self._any()) is None:
            return
        self._item(self._rng.randint(1, 4))
        await self._pause(0.5, 1.0)
        worker.flush()
        await self._pause(1.0)
        disk = self._waiting.disk_of(worker.instance)
        if disk.rows:
            disk.damaged.add(self._rng.choice(sorted(disk.rows)))
        self._say(self._waiting.passing.judgement)
        await self._pause(1.0)
