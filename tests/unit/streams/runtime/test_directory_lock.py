"""One way to lock a directory, for every store."""

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from sinks.store.lock import DataDirInUseError, locked
from sources.intake.store import IndexInUseError, IndexStore
from streams.runtime.directory_lock import LOCK_NAME, DirectoryInUseError, lock_directory
from streams.waiting.directory import StoreDirectory
from streams.waiting.store import StoreAwayError
from tests.support.tree import PACKAGES, ROOT, modules


def lock_view(directory: Path) -> None:
    with locked(directory, "view"):
        pass


USERS: dict[str, tuple[str, Callable[[Path], object], type[Exception], str]] = {
    "view": (LOCK_NAME, lock_view, DataDirInUseError, "use another --data-dir"),
    "owner index": ("sources.lock", IndexStore, IndexInUseError, "--sources none"),
    "waiting": (LOCK_NAME, lambda path: StoreDirectory(path).lock(), StoreAwayError, "a data directory or a name"),
}


@pytest.mark.parametrize("user", USERS)
def test_every_store_names_directory_holder_and_remedy_in_the_same_words(tmp_path: Path, user: str) -> None:
    name, use, kind, remedy = USERS[user]
    lock = lock_directory(tmp_path, "other", name=name)
    with pytest.raises(kind, match=remedy) as refused:
        use(tmp_path)
    os.close(lock)
    holder = f"`other` with process id {os.getpid()} on {socket.gethostname()}"
    assert str(refused.value).startswith(f"{tmp_path} is in use by {holder}: ")
    use(tmp_path)


def test_the_holder_of_an_older_release_has_no_name(tmp_path: Path) -> None:
    lock = lock_directory(tmp_path, "view")
    (tmp_path / LOCK_NAME).write_bytes(b"")
    with pytest.raises(DirectoryInUseError, match=r"is in use by another process$"):
        lock_directory(tmp_path, "view")
    os.close(lock)


def test_the_target_of_a_link_in_place_of_the_lock_is_not_overwritten(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"of somebody")
    (tmp_path / LOCK_NAME).symlink_to(target)
    with pytest.raises(OSError, match=LOCK_NAME) as refused:
        lock_directory(tmp_path, "view")
    assert refused.value.errno == errno.ELOOP
    assert target.read_bytes() == b"of somebody"


def test_a_full_disk_does_not_refuse_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    lock = lock_directory(tmp_path, "view")
    with pytest.raises(DirectoryInUseError):
        lock_directory(tmp_path, "view")
    os.close(lock)


def test_a_refused_lock_leaves_no_descriptor_open(tmp_path: Path) -> None:
    lock = lock_directory(tmp_path, "view")
    for _ in range(3):
        with pytest.raises(DirectoryInUseError):
            lock_directory(tmp_path, "view")
    # Other tests of this process may have threads that open and close files of their own.
    opened = [each for each in Path("/proc/self/fd").iterdir() if os.path.realpath(each).startswith(f"{tmp_path}/")]
    assert len(opened) == 1
    os.close(lock)


def test_no_other_module_locks_files() -> None:
    locking = [
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in modules(package)
        if "fcntl" in path.read_text(encoding="utf-8")
    ]
    assert locking == ["streams/runtime/directory_lock.py"]
