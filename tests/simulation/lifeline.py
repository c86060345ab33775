"""What can happen to one process: it is slow, paused, cut off from its group, or killed at a chosen point."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from streams.failures import Failure
from tests.simulation.clock import monotonic


class Killed(BaseException):
    """The process is gone: nothing of it may go on. No handler of the product may catch it for good."""


@dataclass(slots=True)
class Lifeline:
    """The fate of one process; `rng` decides, and the nemesis arms it.

    `points_left`: killed when that many more points were passed, where points lie between every two steps of restore
    and checkpoint, and before and after every write. `acknowledgements_left`: the acknowledgement after that many is
    lost. `ended`: how it ended by itself, with what it told.
    """

    name: str
    rng: random.Random
    say: Callable[[str], None] | None
    tasks: list["asyncio.Task[Any]"] = field(default_factory=list)
    alive: bool = True
    ended: tuple[Failure, str] | None = None
    paused_until: float = 0.0
    deaf_until: float = 0.0
    points_left: int = -1
    acknowledgements_left: int = -1
    last_words: bool = True

    def trace(self, what: str) -> None:
        """A line of the trace, when somebody reads it."""
        if self.say is not None:
            self.say(f"{self.name}: {what}")

    # ---- time

    def latency(self) -> float:
        """Seconds for one way; sometimes long, so that everything overtakes everything."""
        draw = self.rng.random()
        if draw < 0.8:
            return 0.001 + 0.004 * draw
        return 0.02 if draw < 0.95 else 0.3

    def held(self) -> float:
        """Seconds for which the process stands still."""
        return max(0.0, self.paused_until - monotonic())

    async def request(self, what: str) -> None:
        """The way to the broker."""
        await asyncio.sleep(self.latency())
        await self._stand_still()
        self.point(what)

    async def answer(self, what: str) -> None:
        """The way back, mostly no way at all: what matters is whether anything happens on it."""
        if self.rng.random() < 0.25:
            await asyncio.sleep(self.latency())
        await self._stand_still()
        self.point(f"{what} answered")

    async def _stand_still(self) -> None:
        while (wait := self.held()) > 0:
            await asyncio.sleep(wait)

    @property
    def deaf(self) -> bool:
        """Whether the group's coordinator cannot be reached, while the logs can."""
        return monotonic() < self.deaf_until

    # ---- death

    def point(self, place: str, *, quietly: bool = False) -> None:
        """A place where the process may be killed. Raises Killed, unless nobody could catch that (`quietly`)."""
        if self.alive and self.points_left >= 0:
            self.points_left -= 1
            if self.points_left < 0:
                self.trace(f"killed at: {place}")
                self.kill()
        if not self.alive and not quietly:
            raise Killed

    def lose_acknowledgement(self) -> bool:
        """Whether this acknowledgement gets lost."""
        if self.acknowledgements_left >= 0:
            self.acknowledgements_left -= 1
            return self.acknowledgements_left < 0
        return False

    def kill(self) -> None:
        """The process is gone at once; what it has on the wire may still arrive."""
        self.alive = False
        current = asyncio.current_task()
        for task in self.tasks:
            if task is not current and not task.done():
                task.cancel()
