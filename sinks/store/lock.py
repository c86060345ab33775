"""The lock of a data directory: one process at a time writes the store in it.

It is an advisory lock (flock) on the file `lock`, which the kernel releases when its holder ends, however it ends. The
file names who holds it.
"""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from sinks.store.schema import StoreError
from streams.runtime.exit_codes import ExitCode

LOCK_NAME: Final = "lock"
"""The file in the data directory."""


class DataDirInUseError(StoreError):
    """Another process uses the data directory. A restart helps once that process has ended."""

    exit_code = ExitCode.STORE_IN_USE


class LockHolder(msgspec.Struct):
    """Who holds a lock, as the lock's file states."""

    command: str
    """`up` or `view`."""
    pid: int
    host: str

    def __str__(self) -> str:
        """For people."""
        return f"`{self.command}` with process id {self.pid} on {self.host}"


@contextmanager
def locked(directory: Path, command: str) -> Iterator[int]:
    """Hold the lock of an existing data directory for a command; yields the file descriptor.

    A child process that inherits the descriptor shares the lock: it is released when the last of them ends. So the
    view of an `up` has the lock of its parent, and needs none of its own.

    Raises DataDirInUseError when another process has the lock, StoreError when the file cannot be opened.
    """
    path = directory / LOCK_NAME
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StoreError(f"cannot lock {directory}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(path)
            if not _is_parent(holder):
                who = "another process" if holder is None else str(holder)
                raise DataDirInUseError(
                    f"{directory} is in use by {who}: stop that one, or use another --data-dir. Two processes that "
                    "write one store would replace new counts by old ones"
                ) from None
        else:
            os.ftruncate(lock, 0)
            os.pwrite(lock, msgspec.json.encode(LockHolder(command, os.getpid(), socket.gethostname())), 0)
        yield lock
    finally:
        os.close(lock)


def _holder(path: Path) -> LockHolder | None:
    """Who holds the lock; None when the file does not say so, because its holder has just got it or is older."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=LockHolder)
    except (OSError, msgspec.DecodeError):
        return None


def _is_parent(holder: LockHolder | None) -> bool:
    return holder is not None and (holder.command, holder.pid) == ("up", os.getppid())
