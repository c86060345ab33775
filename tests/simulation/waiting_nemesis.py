"""Faults of disks, settings, sources and time, besides those of processes."""

from typing import ClassVar, Final

from tests.simulation.clock import monotonic
from tests.simulation.disks import STORE_PLACES
from tests.simulation.nemesis import PLACES, Nemesis
from tests.simulation.process import TOPICS
from tests.simulation.waiting_world import THRESHOLDS, WaitingWorld

WAITING_PLACES: Final = (*STORE_PLACES, "adopted in part", "swept", "rebuilt", "settled")
"""Steps of store, sweep and rebuild."""


class WaitingNemesis(Nemesis):
    """Injects what the store of waiting evaluations must survive, too."""

    _COUNT: ClassVar = 5, 18
    _PAUSES: ClassVar = (0.05, 0.3, 1.0, 2.5, 5.0, 9.0)
    _PLACES: ClassVar = (*PLACES, *WAITING_PLACES, *WAITING_PLACES)

    def __init__(self, world: WaitingWorld) -> None:
        super().__init__(world)
        self._waiting = world
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
        ]
        if world.calm:
            self._actions = [(self._events, 6), (self._silence_people, 1)]

    def _events(self) -> None:
        self._world.produce(self._rng.randint(1, 10))

    def _change_the_setting(self) -> None:
        self._waiting.threshold = self._rng.choice(THRESHOLDS)
        self._kill()

    def _silence_a_source(self) -> None:
        self._silence(self._rng.choice(list(TOPICS.sources)), self._rng.choice((1.0, 4.0, 10.0)))
        self._events()

    def _silence_people(self) -> None:
        """For longer than the slack, now and then, and shorter than the time after which a worker counts as stalled."""
        topic = self._rng.choice((TOPICS.annotations, TOPICS.queue_items))
        if monotonic() > self._world.broker.silent.get((topic, 0), 0.0):
            self._silence(topic, self._rng.choice((10.0, 42.0, 44.0)))
        self._events()

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
        self._waiting.backups.append(disk.copy(f"a backup of {disk.name}"))
