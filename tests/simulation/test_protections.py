"""Take one protection away, and a promise breaks: so each of them is needed, and the simulation can see it."""

import pytest

from tests.simulation.history import installed, simulate
from tests.simulation.protections import REMOVALS
from tests.simulation.viewer import Wrong

MOST_SEEDS = 1_500
"""Each is found among the first 150 or so; how far exactly changes with every change of the product."""


@pytest.mark.parametrize("protection", REMOVALS)
def test_without_it_a_promise_breaks(protection: str) -> None:
    with installed():
        with REMOVALS[protection]():
            seed = first_broken()
        # With it, the same history is one like any other.
        simulate(seed)


def first_broken() -> int:
    """The first seed that breaks a promise."""
    for seed in range(MOST_SEEDS):
        try:
            simulate(seed)
        except Wrong:
            return seed
    pytest.fail(f"{MOST_SEEDS} histories kept every promise without it")
