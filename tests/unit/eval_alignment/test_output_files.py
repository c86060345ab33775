"""Files that commands write: whole, or as before."""

import os
import stat
import threading
from pathlib import Path

import pytest

from eval_alignment.output_files import replaced_when_whole


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, SystemExit])
def test_a_file_that_is_not_finished_leaves_the_earlier_one(tmp_path: Path, error: type[BaseException]) -> None:
    backup = tmp_path / "backup.ndjson"
    backup.write_bytes(b"the last backup\n")

    def interrupted() -> None:
        with replaced_when_whole(backup) as file:
            file.write(b"half a row")
            file.flush()
            raise error

    with pytest.raises(error):
        interrupted()
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"the last backup\n"]


def test_a_new_file_is_private_and_a_replaced_one_keeps_its_mode(tmp_path: Path) -> None:
    backup = tmp_path / "backup.ndjson"
    with replaced_when_whole(backup) as file:
        file.write(b"1")
    assert (backup.read_bytes(), stat.S_IMODE(backup.stat().st_mode)) == (b"1", 0o600)
    backup.chmod(0o640)
    with replaced_when_whole(backup) as file:
        file.write(b"2")
    assert (backup.read_bytes(), stat.S_IMODE(backup.stat().st_mode)) == (b"2", 0o640)
    assert list(tmp_path.iterdir()) == [backup]


def test_the_target_of_a_link_is_replaced(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"before")
    link.symlink_to(target)
    with replaced_when_whole(link) as file:
        file.write(b"after")
    assert link.is_symlink()
    assert target.read_bytes() == b"after"


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()), daemon=True)
    reader.start()
    with replaced_when_whole(pipe) as file:
        file.write(b"a row")
    reader.join(10)
    assert received == [b"a row"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_directory_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="missing"), replaced_when_whole(tmp_path / "missing" / "file"):
        pass
