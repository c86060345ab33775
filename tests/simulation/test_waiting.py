"""Histories with evaluations that wait on disks keep every promise, and not without any of the protections."""

from collections.abc import Iterator

import pytest

from tests.simulation.history import installed, simulate_waiting
from tests.simulation.survey import survey
from tests.simulation.test_simulation import Histories
from tests.simulation.viewer import Wrong
from tests.simulation.waiting_protections import SEEDS, WAITING_REMOVALS, broken_without

HISTORIES = 500
CHUNK = 100


@pytest.fixture(scope="module")
def histories() -> Iterator[Histories]:
    """All chunks, running in other processes."""
    with survey(0, HISTORIES // CHUNK, CHUNK, waiting=True) as chunks:
        yield chunks


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, HISTORIES, CHUNK))
def test_every_history_keeps_every_promise(histories: Histories, first: int) -> None:
    assert histories[first].result() == []


def test_every_protection_has_a_history() -> None:
    assert SEEDS.keys() == WAITING_REMOVALS.keys()


@pytest.mark.slow
@pytest.mark.parametrize("protection", WAITING_REMOVALS)
def test_a_promise_is_broken_without_the_protection(protection: str) -> None:
    assert broken_without(protection) is not None, f"the history of {SEEDS[protection]} is right without it"
    plot, seed = SEEDS[protection]
    with installed():
        try:
            simulate_waiting(seed, plot=plot)
        except Wrong as wrong:
            pytest.fail(f"the history is wrong with it: {wrong}")
