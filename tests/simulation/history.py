"""One history. Everything follows from the seed.

The nemesis acts for a while, then stops; once nothing changes any more, counts, ledger, offsets and dead letters must
be those of a recount of the events.
"""

import contextlib
import logging
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Final
from unittest.mock import patch

from tests.simulation import clients, clock, process
from tests.simulation.nemesis import Nemesis
from tests.simulation.promise import verify_waiting
from tests.simulation.verdict import verify
from tests.simulation.waiting_nemesis import WaitingNemesis
from tests.simulation.waiting_world import WaitingWorld
from tests.simulation.world import World


@contextlib.contextmanager
def installed() -> Iterator[None]:
    """Install virtual time and the simulated broker in the product."""
    modules = (
        "streams.ledger.log",
        "streams.engine.restore",
        "streams.engine.checkpoint",
        "streams.engine.completeness",
        "streams.engine.engine",
        "streams.engine.watchdog",
        "streams.waiting.waiting",
        "streams.waiting.rebuild",
    )
    with (
        clock.virtual_clock(*modules),
        patch("streams.ledger.log.fetch", clients.fetch),
        patch("streams.waiting.rebuild.fetch", clients.fetch),
        patch("streams.engine.engine.end_process", process.end_process),
        patch("streams.engine.restore.pause_collection", contextlib.nullcontext),
        patch("streams.engine.engine.HeapFreezer", process.NoHeapFreezer),
        patch("streams.engine.restore.new_ledger_id", lambda: "ledger"),
        # The size of chunks would depend on this machine's speed.
        patch("streams.runtime.chunks.CHUNK_SECONDS", math.inf),
        patch("streams.runtime.slices.SLICE_SECONDS", math.inf),
    ):
        silenced = logging.root.manager.disable
        logging.disable()
        try:
            yield
        finally:
            logging.disable(silenced)


def simulate(seed: int, say: Callable[[str], None] | None = None) -> None:
    """Run one history, within `installed`. Raises Wrong for a broken promise."""

    async def play() -> None:
        world = World(seed, say)
        world.begin()
        await Nemesis(world).act()
        await world.settle()
        verify(world)

    clock.run(play)


_SMALL: Final[Mapping[str, float]] = {
    "streams.engine.engine.EXPIRE_SECONDS": 1.0,
    "streams.engine.engine.REOPEN_SECONDS": 1.0,
    "streams.engine.engine.OWED_SECONDS": 0.4,
    "streams.waiting.rebuild.LOOK_SECONDS": 0.4,
    "streams.waiting.waiting.ADOPT_RECORDS": 2,
    "streams.waiting.waiting.WORK_OFF_RECORDS": 1,
    "streams.waiting.waiting.WORK_OFF_ITEMS": 1,
    "streams.waiting.waiting.FLUSH_SECONDS": 3.0,
    "streams.waiting.waiting.RETRY_SECONDS": 1.0,
    "streams.waiting.rebuild.FOLD_RECORDS": 2,
    "streams.waiting.rebuild.FETCHES": 3,
}
"""Sizes and times of the waiting evaluations that suit histories of a minute."""


def simulate_waiting(seed: int, say: Callable[[str], None] | None = None, plot: str = "") -> None:
    """Run one history with evaluations that wait on disks, within `installed`. Raises Wrong for a broken promise.

    `plot` names what it is about; without it, the seed chooses that, too.
    """

    async def play() -> None:
        world = WaitingWorld(seed, say, plot)
        world.begin()
        await WaitingNemesis(world, plot).act()
        await world.settle()
        verify_waiting(world)

    with contextlib.ExitStack() as stack:
        for name, value in _SMALL.items():
            stack.enter_context(patch(name, value))
        clock.run(play)
