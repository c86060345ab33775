"""The directory of a store: its lock, and its deletion."""

import os
import shutil
from pathlib import Path
from typing import Final

from streams.runtime.directory_lock import LOCK_NAME, DirectoryInUseError, lock_directory
from streams.waiting.store import StoreAwayError

DIRECTORY_MODE: Final = 0o700


class StoreDirectory:
    """A directory that one process uses at a time. All methods raise OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    @property
    def is_new(self) -> bool:
        """Whether there is nothing in it but the lock."""
        return [path.name for path in self.path.iterdir()] == [LOCK_NAME]

    @property
    def free_bytes(self) -> int:
        """Free space of its file system."""
        return shutil.disk_usage(self.path).free

    def lock(self) -> None:
        """Create the directory if need be, and lock it. Raises StoreAwayError if another process has the lock."""
        self.path.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        self.path.chmod(DIRECTORY_MODE)
        try:
            self._lock = lock_directory(self.path, "worker")
        except DirectoryInUseError as error:
            raise StoreAwayError(f"{error}: give each worker a data directory or a name of its own") from None

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
            elif path.name != LOCK_NAME:
                path.unlink()
