"""What a test leaves changed is found."""

import gc
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


def test_frozen_objects_may_end_but_not_become_more_or_none() -> None:
    state = process_state()
    few, many, none = ({**state, "frozen objects": count} for count in (5, 6, 0))
    assert changes(many, few) == []
    assert changes(few, many) == ["frozen objects: 5 became 6"]
    assert changes(many, none) == ["frozen objects: 6 became 0"]


def test_a_threshold_is_a_change() -> None:
    before, thresholds = process_state(), gc.get_threshold()
    gc.set_threshold(70_000)
    try:
        assert len(changes(before, process_state())) == 1
    finally:
        gc.set_threshold(*thresholds)
