"""What a test leaves changed is found."""

import gc
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.process_state import changes, process_state


def test_what_is_put_back_is_no_change(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = process_state()
    with monkeypatch.context() as patched:
        patched.setenv("EVAL_ALIGNMENT_TEST_STATE", "1")
        patched.chdir(tmp_path)
        patched.delenv("PATH")
        names = {each.partition(":")[0] for each in changes(before, process_state())}
        assert names == {"variable PATH", "working directory", "variable EVAL_ALIGNMENT_TEST_STATE"}
    assert changes(before, process_state()) == []


def test_a_frozen_heap_is_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    before = process_state()
    monkeypatch.setattr("tests.support.process_state._freezes", 99)
    assert [each.partition(":")[0] for each in changes(before, process_state())] == ["freezes of the heap"]


_FREEZES = """
import gc
from tests.support.process_state import freeze_heap, process_state
freeze_heap()
print(gc.get_freeze_count() > 0, process_state()["freezes of the heap"])
gc.freeze()
gc.unfreeze()
print(process_state()["freezes of the heap"])
"""


def test_a_freeze_is_counted() -> None:
    """In a process of its own."""
    ended = subprocess.run([sys.executable, "-c", _FREEZES], check=True, capture_output=True, text=True)
    assert ended.stdout.split() == ["True", "0", "2"]


def test_a_threshold_is_a_change() -> None:
    before, thresholds = process_state(), gc.get_threshold()
    gc.set_threshold(70_000)
    try:
        assert len(changes(before, process_state())) == 1
    finally:
        gc.set_threshold(*thresholds)
