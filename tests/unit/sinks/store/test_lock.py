"""One process at a time uses a data directory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from eval_alignment.local.datadir import EXTERNAL, DataDir, DataDirError
from sinks.store.lock import DataDirInUseError, locked
from streams.runtime.exit_codes import ExitCode

CHILD = """
import sys
from pathlib import Path
from sinks.store.lock import locked
with locked(Path(sys.argv[1]), "view"):
    print("has it", flush=True)
    sys.stdin.read()
"""


def child(directory: Path, inherits: tuple[int, ...] = ()) -> subprocess.Popen[str]:
    """A process that takes the lock as a view, and holds it until its standard input closes."""
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        pass_fds=inherits,
    )


def test_the_second_process_is_refused_with_directory_and_holder(tmp_path: Path) -> None:
    holder = child(tmp_path)
    assert holder.stdout is not None and holder.stdout.readline() == "has it\n"
    with pytest.raises(DataDirInUseError, match="in use by `view` with process id") as refused, locked(tmp_path, "up"):
        pass
    assert refused.value.exit_code is ExitCode.STORE_IN_USE
    assert str(tmp_path) in str(refused.value)
    assert str(holder.pid) in str(refused.value)
    holder.kill()
    holder.communicate()
    # Its holder was killed: nothing has to be cleaned up.
    with locked(tmp_path, "view"):
        pass


def test_a_view_does_not_use_the_directory_of_an_up(tmp_path: Path) -> None:
    """A view whose parent is that `up` does; here the lock names another parent."""
    with locked(tmp_path, "up"):
        (tmp_path / "lock").write_text((tmp_path / "lock").read_text().replace(str(os.getpid()), "1"))
        view = child(tmp_path)
        assert "in use by `up` with process id 1" in view.communicate()[1]
        assert view.returncode


def test_an_up_does_not_use_the_directory_of_a_view(tmp_path: Path) -> None:
    """With the embedded broker it would set the store of the running view aside."""
    with (
        locked(tmp_path, "view"),
        pytest.raises(DataDirError, match="in use by `view`"),
        DataDir(tmp_path, EXTERNAL).locked(),
    ):
        pass


def test_the_view_of_an_up_shares_its_lock_and_keeps_it_when_up_is_gone(tmp_path: Path) -> None:
    with locked(tmp_path, "up") as lock:
        view = child(tmp_path, (lock,))
        assert view.stdout is not None and view.stdout.readline() == "has it\n"
    with pytest.raises(DataDirInUseError), locked(tmp_path, "up"):
        pass
    view.communicate()
    with locked(tmp_path, "up"):
        pass
