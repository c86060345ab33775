"""The directory of a store: its lock, and its deletion."""

import fcntl
import os
import shutil
from pathlib import Path
from typing import Final

from streams.waiting.store import StoreAwayError

DIRECTORY_MODE: Final = 0o700
_FILE_MODE: Final = 0o600
_LOCK_NAME: Final = "lock"


class StoreDirectory:
    """A directory that one process uses at a time. All methods raise OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    @property
    def is_new(self) -> bool:
        """Whether there is nothing in it but the lock."""
        return [path.name for path in self.path.iterdir()] == [_LOCK_NAME]

    @property
    def free_bytes(self) -> int:
        """Free space of its file system."""
        return shutil.disk_usage(self.path).free

    def lock(self) -> None:
        """Create the directory if need be, and lock it. Raises StoreAwayError if another process has the lock.

        The kernel releases the lock when the process ends, however it ends.
        """
        self.path.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        self.path.chmod(DIRECTORY_MODE)
        lock = os.open(self.path / _LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise StoreAwayError(f"{self.path} is in use by another process") from None
        self._lock = lock

    def release(self) -> None:
        """Release the lock."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def clear(self) -> None:
        """Delete everything but the lock, which another process may wait for."""
        for path in self.path.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != _LOCK_NAME:
                path.unlink()
