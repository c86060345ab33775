"""One history. Everything follows from the seed.

The nemesis acts for a while, then stops; once nothing changes any more, counts, ledger, offsets and dead letters must
be those of a recount of the events.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator
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
    )
    with (
        clock.virtual_clock(*modules),
        patch("streams.ledger.log.fetch", clients.fetch),
        patch("streams.engine.engine.end_process", process.end_process),
        patch("streams.engine.restore.pause_collection", contextlib.nullcontext),
        patch("streams.engine.engine.HeapFreezer", process.NoHeapFreezer),
        patch("streams.engine.restore.new_ledger_id", lambda: "ledger"),
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


def simulate_waiting(seed: int, say: Callable[[str], None] | None = None) -> None:
    """Run one history with evaluations that wait on disks, within `installed`. Raises Wrong for a broken promise."""

    async def play() -> None:
        world = WaitingWorld(seed, say)
        world.begin()
        await WaitingNemesis(world).act()
        await world.settle()
        verify_waiting(world)

    clock.run(play)
