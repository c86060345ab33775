"""The lock of a data directory: one process at a time writes the store in it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sinks.store.schema import StoreError
from streams.runtime.directory_lock import DirectoryInUseError, lock_directory
from streams.runtime.exit_codes import ExitCode


class DataDirInUseError(StoreError):
    """Another process uses the data directory. A restart helps once that process has ended."""

    exit_code = ExitCode.STORE_IN_USE


@contextmanager
def locked(directory: Path, command: str) -> Iterator[int]:
    """Hold the lock of an existing data directory for a command; yields the file descriptor.

    The view of an `up` inherits the descriptor of its parent, and needs no lock of its own.

    Raises DataDirInUseError when another process has the lock, StoreError when the file cannot be opened.
    """
    try:
        lock = lock_directory(directory, command, shared_by="up")
    except DirectoryInUseError as error:
        raise DataDirInUseError(
            f"{error}: stop that one, or use another --data-dir. Two processes that write one store would replace new "
            "counts by old ones"
        ) from None
    except OSError as error:
        raise StoreError(f"cannot lock {directory}: {error.strerror}") from error
    try:
        yield lock
    finally:
        os.close(lock)
