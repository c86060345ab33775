"""A promise breaks without each protection: each is needed, and the simulation sees its absence."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from tests.simulation.history import installed, simulate
from tests.simulation.protections import ALARMS, DOUBLED, REMOVALS, both, sliced
from tests.simulation.viewer import NeedlessEnd, Wrong

pytestmark = pytest.mark.slow

MOST_SEEDS = 2_500
"""Most are found among the first few hundred seeds, one among two thousand; the number changes with every change of the
product.
"""


@pytest.mark.parametrize("protection", REMOVALS)
def test_a_count_is_wrong_without_the_protection(protection: str) -> None:
    broken = first_broken(REMOVALS[protection], lambda wrong: not isinstance(wrong, NeedlessEnd))
    with_it(broken)


@pytest.mark.parametrize("protection", ALARMS)
def test_a_worker_ends_needlessly_without_the_protection(protection: str) -> None:
    broken = first_broken(ALARMS[protection], lambda wrong: isinstance(wrong, NeedlessEnd))
    with_it(broken)


@pytest.mark.parametrize("protection", DOUBLED)
def test_a_count_is_wrong_without_both_safety_nets(protection: str) -> None:
    first, second = DOUBLED[protection]
    for seed in range(MOST_SEEDS):
        if is_wrong(seed, first, second) and not is_wrong(seed, second):
            return
    pytest.fail(f"{MOST_SEEDS} histories are the same with it")


def test_histories_in_slices_keep_every_promise() -> None:
    with installed(), sliced():
        for seed in range(150):
            simulate(seed)


def is_wrong(seed: int, *removals: Callable[[], AbstractContextManager[None]]) -> bool:
    """Whether a count is wrong at some time in this history without these protections."""
    with installed(), both(*removals):
        try:
            simulate(seed)
        except NeedlessEnd:
            return False
        except Wrong:
            return True
    return False


def first_broken(removal: Callable[[], AbstractContextManager[None]], sought: Callable[[Wrong], bool]) -> int:
    """The first seed that breaks a promise in this way."""
    with installed(), removal():
        for seed in range(MOST_SEEDS):
            try:
                simulate(seed)
            except Wrong as wrong:
                if sought(wrong):
                    return seed
    pytest.fail(f"{MOST_SEEDS} histories kept every promise without it")


def with_it(seed: int) -> None:
    """With the protection, the same history keeps every promise."""
    with installed():
        simulate(seed)
