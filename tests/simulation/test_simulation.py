"""2,000 histories keep every promise, and every kind of fault happens in them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from tests.simulation.history import installed, simulate
from tests.simulation.nemesis import PLACES, RESETS
from tests.simulation.survey import survey
from tests.support.tree import ROOT

Histories = dict[int, Future[list[str]]]
"""Chunks of seeds, by their first seed."""

SEEDS = 2_000
CHUNK = 100


@pytest.fixture(scope="module")
def histories() -> Iterator[Histories]:
    """All chunks, running in other processes."""
    with survey(0, SEEDS // CHUNK, CHUNK) as chunks:
        yield chunks


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_every_history_keeps_every_promise(histories: Histories, first: int) -> None:
    assert histories[first].result() == []


def test_every_kind_of_fault_happens() -> None:
    lines: list[str] = []
    with installed():
        for seed in range(150):
            simulate(seed, lines.append)
    trace = "\n".join(lines)
    for place in PLACES:
        assert f"killed at: {place}" in trace and f"paused at: {place}" in trace, place
    for end in ("ANOTHER_WRITER", "BROKER_LOST"):
        assert f"ends: {end}" in trace
    for fault in (
        "cut off from its group",
        "fenced by another",
        "drained",
        "policy latest",
        "policy each",
        "policy majority",
    ):
        assert fault in trace, fault
    for how in RESETS:
        assert f"are reset: {how}" in trace, how


def test_a_history_repeats_whatever_the_hash_seed() -> None:
    def trace(hash_seed: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "tests.simulation", "4"],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    assert trace("1") == trace("2")
