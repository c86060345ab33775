"""The lock of a directory: one process at a time uses what is in it.

It is an advisory lock (flock) on a file, which the kernel releases when its holder ends, however it ends. The file
names who holds it.
"""

import contextlib
import fcntl
import os
import socket
from pathlib import Path
from typing import Final

import msgspec

from streams.runtime.errors import EvalAlignmentError

LOCK_NAME: Final = "lock"
"""The file in the directory, where it has one lock."""


class LockHolder(msgspec.Struct):
    """Who holds a lock, as the lock's file states."""

    command: str
    """Such as `view`."""
    pid: int
    host: str

    def __str__(self) -> str:
        """For people."""
        return f"`{self.command}` with process id {self.pid} on {self.host}"


class DirectoryInUseError(EvalAlignmentError):
    """Another process has the lock. The message names the directory and that process; who raises it adds the remedy."""


def lock_directory(directory: Path, command: str, *, name: str = LOCK_NAME, shared_by: str | None = None) -> int:
    """Lock an existing directory; returns the file descriptor of the lock, which is released when it is closed.

    A child process that inherits the descriptor shares the lock: it is released when the last of them ends.

    Args:
        directory: what to lock.
        command: who locks it, for the error of another process.
        name: of the lock's file. Stores of different processes in one directory have different files.
        shared_by: a command whose child process needs no lock of its own. If the holder is that command and the parent
            of this process, the descriptor holds no lock.

    Raises DirectoryInUseError when another process has the lock, OSError when the file cannot be opened or locked.
    """
    path = directory / name
    # A link of another user, in a directory that others may write to, would have its target overwritten.
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = _holder(path)
        if holder is None or (holder.command, holder.pid) != (shared_by, os.getppid()):
            os.close(lock)
            who = "another process" if holder is None else str(holder)
            raise DirectoryInUseError(f"{directory} is in use by {who}") from None
    except BaseException:
        os.close(lock)
        raise
    else:
        # On a full disk the lock holds, and the next process cannot name its holder.
        with contextlib.suppress(OSError):
            os.ftruncate(lock, 0)
            os.pwrite(lock, msgspec.json.encode(LockHolder(command, os.getpid(), socket.gethostname())), 0)
    return lock


def is_current(lock: int, directory: Path) -> bool:
    """Whether the file of a lock is still the one in its directory: if not, another process can lock the directory.

    Raises OSError when that cannot be known.
    """
    held = os.fstat(lock)
    try:
        named = (directory / LOCK_NAME).lstat()
    except FileNotFoundError:
        return False
    return (held.st_dev, held.st_ino) == (named.st_dev, named.st_ino)


def _holder(path: Path) -> LockHolder | None:
    """Who holds the lock; None when the file does not say so, because its holder has just got it or is older."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=LockHolder)
    except (OSError, msgspec.DecodeError):
        return None
