"""The faults of one process: it is slow, paused, cut off from its group, or killed at a chosen point."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from streams.runtime.exit_codes import ExitCode
from tests.simulation.clock import monotonic


class Killed(BaseException):
    """The process was killed. No handler of the product may swallow it."""


@dataclass(slots=True)
class Lifeline:
    """The faults of one process: `rng` decides, the nemesis arms them.

    `points_left`: after that many more points it is killed, or stands still for `pause_at_point` seconds;
    points lie between every two steps of restore and checkpoint, and before and after every write. `fatal_place`: the
    same happens at the next point whose name begins so.
    `acknowledgements_left`: the acknowledgement after that many is
    lost. `ended`: how it ended by itself, with its message.
    """

    name: str
    rng: random.Random
    say: Callable[[str], None] | None
    tasks: list["asyncio.Task[Any]"] = field(default_factory=list)
    alive: bool = True
    ended: tuple[ExitCode, str] | None = None
    paused_until: float = 0.0
    deaf_until: float = 0.0
    points_left: int = -1
    pause_at_point: float = 0.0
    fatal_place: str | None = None
    acknowledgements_left: int = -1
    last_words: bool = True

    def trace(self, what: str) -> None:
        """Add a line to the trace, if it is read."""
        if self.say is not None:
            self.say(f"{self.name}: {what}")

    # ---- time

    def latency(self) -> float:
        """Seconds for one way; sometimes long, so that requests overtake each other."""
        draw = self.rng.random()
        if draw < 0.8:
            return 0.001 + 0.004 * draw
        return 0.02 if draw < 0.95 else 0.3

    def held(self) -> float:
        """Seconds for which the process stands still."""
        return max(0.0, self.paused_until - monotonic())

    async def request(self, what: str) -> None:
        """Wait for the way to the broker."""
        await asyncio.sleep(self.latency())
        await self._stand_still()
        self.point(what)

    async def answer(self, what: str) -> None:
        """Wait for the way back, which mostly takes no time: what matters is whether a fault happens on it."""
        if self.rng.random() < 0.25:
            await asyncio.sleep(self.latency())
        await self._stand_still()
        self.point(f"{what} answered")

    async def _stand_still(self) -> None:
        if (wait := self.held()) > 0:
            await asyncio.sleep(wait)

    def deaf_for(self) -> float:
        """Seconds for which the group's coordinator cannot be reached, while the logs can."""
        return max(0.0, self.deaf_until - monotonic())

    # ---- death

    def point(self, place: str, *, quietly: bool = False) -> None:
        """A point at which the process may be killed. Raises Killed, unless nothing can catch it (`quietly`)."""
        if self.fatal_place is not None and place.startswith(self.fatal_place):
            self.fatal_place, self.points_left = None, 0
        if self.alive and self.points_left >= 0:
            self.points_left -= 1
            if self.points_left < 0:
                self.trace(f"{'paused' if self.pause_at_point else 'killed'} at: {place}")
                if self.pause_at_point:
                    self.paused_until = monotonic() + self.pause_at_point
                else:
                    self.kill()
        if not self.alive and not quietly:
            raise Killed

    def lose_acknowledgement(self) -> bool:
        """Whether this acknowledgement is lost."""
        if self.acknowledgements_left >= 0:
            self.acknowledgements_left -= 1
            return self.acknowledgements_left < 0
        return False

    def kill(self) -> None:
        """End the process immediately: no new request reaches the broker, but requests in flight may still arrive."""
        self.alive = False
        # Its tasks end a moment later: a task that has not begun cannot be cancelled cleanly.
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, self._cancel)

    def _cancel(self) -> None:
        for task in self.tasks:
            task.cancel()
