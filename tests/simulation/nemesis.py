"""Faults, chosen by the seed."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, ClassVar, Final

from aggregator.policy import Policy
from tests.simulation.clock import monotonic
from tests.simulation.process import Process
from tests.simulation.world import World

Action = Callable[[], Coroutine[Any, Any, None] | None]
PLACES: Final = (
    "assigned", "ledger read", "claimed", "compared", "drained", "rows appended", "tallies published",
    "positions released", "restored", "send to alignment.facts", "before alignment.facts", "written to alignment.facts",
    "send to alignment.tallies", "before alignment.tallies", "written to alignment.tallies",
)  # fmt: skip
"""Steps of restore and checkpoint, and the way of a write: prefixes of the names of points."""

RESETS: Final = ("to earliest", "to latest", "shift by", "delete")
"""What an operator can do to the offsets of a group."""


class Nemesis:
    """Produces events, and injects every fault that the installation must survive."""

    _COUNT: ClassVar[tuple[int, int]] = 3, 14
    _PAUSES: ClassVar[Sequence[float]] = (0.05, 0.3, 1.0, 2.5, 5.0)
    _PLACES: ClassVar[Sequence[str]] = PLACES

    def __init__(self, world: World) -> None:
        self._world = world
        self._rng = world.rng
        self._actions: list[tuple[Action, int]] = [
            (self._events, 10),
            (self._kill, 2),
            (self._kill_at_a_point, 6),
            (self._restart_into_doom, 3),
            (self._lose_an_acknowledgement, 4),
            (self._pause_at_a_point, 6),
            (self._deafen, 4),
            (self._second_of_the_name, 2),
            (self._another_worker, 2),
            (self._drain, 2),
            (self._change_policy, 2),
            (self._restart_the_reader, 1),
            (self._reset_the_group, 3),
        ]

    async def act(self) -> None:
        """Run some actions, with pauses of any length between them."""
        actions, weights = zip(*self._actions, strict=True)
        self._events()
        if self._rng.random() < 0.05:
            self._pause_before_the_first_message()
        for _ in range(self._rng.randint(*self._COUNT)):
            await self._world.pass_time(self._rng.choice(self._PAUSES))
            (action,) = self._rng.choices(actions, weights)
            if (plot := action()) is not None:
                await plot
            if self._rng.random() < 0.01:
                await self._world.pass_time(65.0)
                self._world.compact()
        self._events()
        await self._world.pass_time(1.0)

    def _any(self) -> Process | None:
        alive = [worker for worker in self._world.running.values() if worker.life.alive]
        return self._rng.choice(alive) if alive else None

    def _events(self) -> None:
        self._world.produce(self._rng.randint(1, 8))

    def _kill(self) -> None:
        if (worker := self._any()) is not None:
            worker.life.trace("killed")
            worker.life.kill()

    def _kill_at_a_point(self) -> None:
        if (worker := self._any()) is not None:
            worker.life.pause_at_point = 0.0
            self._aim(worker)
            self._events()

    def _aim(self, worker: Process) -> None:
        """Choose the point of a fault."""
        if self._rng.random() < 0.4:
            worker.life.fatal_place = self._rng.choice(self._PLACES)
        else:
            worker.life.points_left = self._rng.choice((0, 2, 5, 10, 20, 40)) + self._rng.randrange(10)

    def _restart_into_doom(self) -> None:
        self._world.doom = self._rng.choice(self._PLACES)
        self._kill()

    def _lose_an_acknowledgement(self) -> None:
        if (worker := self._any()) is not None:
            worker.life.acknowledgements_left = self._rng.randrange(6)
            self._events()

    def _pause_at_a_point(self) -> None:
        if (worker := self._any()) is not None:
            worker.life.pause_at_point = self._rng.choice((0.5, 4.0, 5.0, 8.0))
            self._aim(worker)
            self._events()
            # For the owner of its partitions by then.
            asyncio.get_running_loop().call_later(self._rng.choice((1.0, 4.0, 5.0)), self._events)

    def _pause_before_the_first_message(self) -> None:
        """Before the first commit; fetched events may be dropped with the generation."""
        for worker in self._world.running.values():
            worker.life.fatal_place, worker.life.pause_at_point = "message", 8.0

    def _deafen(self) -> None:
        if (worker := self._any()) is not None:
            worker.life.trace("cut off from its group")
            worker.life.deaf_until = monotonic() + self._rng.choice((2.0, 6.0, 12.0))
            self._events()
            asyncio.get_running_loop().call_later(self._rng.choice((1.0, 4.0, 5.0)), self._events)

    def _second_of_the_name(self) -> None:
        if (worker := self._any()) is not None:
            if self._rng.random() < 0.5:
                worker.life.deaf_until = monotonic() + 6.0
            self._world.start(worker.instance)

    def _another_worker(self) -> None:
        instance = f"w{len(self._world.running)}"
        if len(self._world.running) < 4:
            self._world.wanted.add(instance)
            self._world.start(instance)

    def _drain(self) -> None:
        worker = self._any()
        if worker is not None and not worker.draining:
            worker.life.trace("draining")
            worker.drain()
            if self._rng.random() < 0.5:
                self._world.wanted.discard(worker.instance)

    def _change_policy(self) -> None:
        world = self._world
        world.policy = self._rng.choice([policy for policy in Policy if policy is not world.policy])
        for instance, worker in list(world.running.items()):
            draw = self._rng.random()
            if draw < 0.4:
                worker.life.kill()
            elif draw < 0.8 and worker.life.alive:
                # A rolling restart that does not wait for the former process.
                worker.life.deaf_until = monotonic() + 6.0
                worker.life.fatal_place = self._rng.choice(self._PLACES)
                worker.life.pause_at_point = self._rng.choice((0.5, 2.0, 5.0))
                world.start(instance)
        self._events()

    def _restart_the_reader(self) -> None:
        self._world.viewer.restart()

    def _reset_the_group(self) -> None:
        """A broker allows it for an empty group: its members are dead, or cut off for longer than their session."""
        if not self._world.started():
            # Offsets of a group that never worked look like a lost ledger.
            return
        self._events()
        for worker in self._world.running.values():
            if self._rng.random() < 0.3:
                worker.life.deaf_until = monotonic() + 2.0
            else:
                worker.life.kill()
        self._world.coordinator.forget_members()
        self._world.reset_group(self._rng.choice(RESETS), self._rng.choice((-5, -2, 2, 5)))
