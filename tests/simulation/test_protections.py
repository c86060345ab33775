"""Take one protection away, and a promise breaks: so each of them is needed, and the simulation can see it."""

import pytest

from tests.simulation.history import installed, simulate
from tests.simulation.protections import REMOVALS
from tests.simulation.viewer import Wrong

HINTS = {
    "claim": 134,
    "continuity of acknowledgements": 3,
    "idle fence": 34,
    "repair of losing rows": 28,
    "differences against the own tallies": 0,
    "late tallies": 130,
    "second look at a lost ledger": 66,
    "closed": 1,
    "generation": 545,
    "seek of never committed partitions": 103,
    "seek and start": 103,
    "compaction lag": 450,
}
"""Where the search begins: a seed that found it when this was written. Another history may, after a change."""

MOST_SEEDS = 1_500


@pytest.mark.parametrize("protection", REMOVALS)
def test_without_it_a_promise_breaks(protection: str) -> None:
    with installed():
        with REMOVALS[protection]():
            seed = first_broken(HINTS[protection])
        # With it, the same history is one like any other.
        simulate(seed)


def first_broken(hint: int) -> int:
    """The first seed from the hint on that breaks a promise."""
    for seed in range(hint, hint + MOST_SEEDS):
        try:
            simulate(seed)
        except Wrong:
            return seed
    pytest.fail(f"{MOST_SEEDS} histories from seed {hint} on kept every promise without it")
