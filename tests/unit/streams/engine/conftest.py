"""The heap of the test process is left alone."""

import contextlib

import pytest

from tests.simulation.process import NoHeapFreezer


@pytest.fixture(autouse=True)
def _no_heap_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A restore would collect the garbage of all other tests, and freeze their objects."""
    monkeypatch.setattr("streams.engine.restore.pause_collection", contextlib.nullcontext)
    monkeypatch.setattr("streams.engine.engine.HeapFreezer", NoHeapFreezer)
