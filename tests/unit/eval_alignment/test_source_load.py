"""When a file of a source was made."""

import os
from pathlib import Path

import click
import pytest

from eval_alignment import source_load


def test_a_file_is_of_the_time_when_it_was_changed_unless_another_is_named(tmp_path: Path) -> None:
    (path := tmp_path / "rows.csv").touch()
    os.utime(path, (1_780_000_000, 1_780_000_000))
    assert source_load.file_time(path, None) == 1_780_000_000_000
    assert source_load.file_time(path, 5) == 5


def test_a_time_that_no_event_can_have_is_refused(tmp_path: Path) -> None:
    (path := tmp_path / "rows.csv").touch()
    os.utime(path, (-1, -1))
    with pytest.raises(click.ClickException, match="--file-time"):
        source_load.file_time(path, None)
    with pytest.raises(click.ClickException, match="--file-time"):
        source_load.file_time(path, 253_402_300_800_000)
