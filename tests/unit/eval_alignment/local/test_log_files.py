"""Log files of `up` are private and bounded."""

import errno
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from eval_alignment.local.log_files import cap_log, last_lines, open_log


def test_a_log_is_for_its_owner_also_when_it_exists(tmp_path: Path) -> None:
    new, old = tmp_path / "new.log", tmp_path / "old.log"
    old.write_text("before\n")
    old.chmod(0o644)
    for path in (new, old):
        with open_log(path) as log:
            log.write(b"now\n")
        assert path.stat().st_mode & 0o777 == 0o600
    assert old.read_text() == "before\nnow\n"


def test_a_process_goes_on_with_an_empty_log_when_its_log_is_large(tmp_path: Path) -> None:
    path = tmp_path / "view.log"
    program = (
        "import sys\nfor line in sys.stdin: print(line, end='', flush=True); print('ok', file=sys.stderr, flush=True)"
    )
    with open_log(path) as log:
        process = subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=log, stderr=subprocess.PIPE, text=True
        )
    assert process.stdin is not None and process.stderr is not None
    with process, process.stdin as lines:
        for round_number in range(3):
            lines.write("x" * 100 + f" {round_number}\n")
            lines.flush()
            process.stderr.readline()
            cap_log(path, 1_000)
            assert path.stat().st_size == 103 * (round_number + 1)
        cap_log(path, 300)
        assert path.stat().st_size == 0
        lines.write("after\n")
        lines.flush()
        process.stderr.readline()
    assert path.read_text() == "after\n"
    moved = tmp_path / "view.log.1"
    assert moved.read_text().count("\n") == 3
    assert moved.stat().st_mode & 0o777 == 0o600
    cap_log(path, 1)
    assert moved.read_text() == "after\n"


def test_a_log_is_emptied_on_a_full_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    path = tmp_path / "view.log"
    path.write_bytes(bytes(100))
    cap_log(path, 10)
    assert path.stat().st_size == 0


def test_a_log_whose_disk_takes_no_change_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("os.truncate", refuse)
    path = tmp_path / "view.log"
    path.write_bytes(bytes(100))
    cap_log(path, 10)
    assert path.stat().st_size == 100


def test_a_log_that_does_not_exist_is_no_error(tmp_path: Path) -> None:
    cap_log(tmp_path / "none.log")


def test_the_end_of_a_log_is_read_without_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "view.log"
    path.write_bytes(b"".join(b"%06d\n" % number for number in range(100_000)))
    assert last_lines(path, 2) == "099998\n099999"
