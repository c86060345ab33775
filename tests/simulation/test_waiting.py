"""Histories with evaluations that wait on disks keep every promise, and not without any of the protections."""

from collections.abc import Iterator

import pytest

from tests.simulation.disks import STORE_PLACES
from tests.simulation.history import installed, simulate_waiting
from tests.simulation.nemesis import RESETS
from tests.simulation.survey import survey
from tests.simulation.test_simulation import Histories
from tests.simulation.viewer import Wrong
from tests.simulation.waiting_protections import SEEDS, WAITING_REMOVALS, broken_without
from tests.simulation.waiting_world import THRESHOLDS

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


@pytest.mark.slow
def test_every_kind_of_fault_happens() -> None:
    lines: list[str] = []
    with installed():
        for seed in range(120):
            simulate_waiting(seed, lines.append)
        for plot in ("flush", "tear", "away", "late"):
            simulate_waiting(0, lines.append, plot)
    trace = "\n".join(lines)
    for place in (*STORE_PLACES, "adopted in part", "flushed"):
        assert f"killed at: {place}" in trace, place
    for fault in (
        "paused at: ",
        "is wiped",
        "has a damaged block",
        "is lost: a damaged block",
        "is lost: its files are missing",
        "is away for",
        "is slow",
        "has no leader",
        "the ledger takes no record",
        "cut off from its group",
        "fenced by another",
        "drained",
    ):
        assert fault in trace, fault
    assert sum(f"and threshold {threshold:g}" in trace for threshold in THRESHOLDS) > 2
    for how in RESETS:
        assert f"are reset: {how}" in trace, how


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
