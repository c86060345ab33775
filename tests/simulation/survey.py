"""Many histories in parallel, on all cores."""

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager

from tests.simulation.history import installed, simulate, simulate_waiting


def broken(first: int, count: int, waiting: bool = False) -> list[str]:
    """The seeds that break a promise: the command that repeats each, and its finding."""
    findings = []
    with installed():
        for seed in range(first, first + count):
            try:
                (simulate_waiting if waiting else simulate)(seed)
            except Exception as error:  # noqa: BLE001 any exception is a finding
                option = " --waiting" if waiting else ""
                findings.append(f"python -m tests.simulation {seed}{option}: {type(error).__name__}: {error}")
    return findings


@contextmanager
def survey(first: int, chunks: int, chunk: int, *, waiting: bool = False) -> Iterator[dict[int, "Future[list[str]]"]]:
    """Chunks of seeds that run in other processes, by their first seed; leaving cancels those that have not begun."""
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        firsts = range(first, first + chunks * chunk, chunk)
        try:
            yield {start: pool.submit(broken, start, chunk, waiting) for start in firsts}
        finally:
            pool.shutdown(cancel_futures=True)
