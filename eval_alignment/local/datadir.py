"""The data directory of `up`: one user at a time, one kind of broker, and what an earlier run left behind.

The embedded broker keeps its topics in memory, so between two runs the view's store is all there is. `set_aside`
moves it out of the way of the new run, which loads its rows again; only when they all are in the new store is the old
one deleted. Whatever is interrupted on the way, the next run finds the old store and starts over.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sinks.view import STORE_NAME
from streams.runtime.errors import EvalAlignmentError
from streams.runtime.exit_codes import ExitCode

_SUFFIXES: Final = ("", "-wal", "-shm")
EMBEDDED: Final = "embedded"
EXTERNAL: Final = "external"


class DataDirError(EvalAlignmentError):
    """The directory cannot be used; the message says why and what to do."""

    exit_code = ExitCode.FAILED


class DataDir:
    """A data directory, made when it is not there.

    Args:
        path: the directory.
        broker: `EMBEDDED` or `EXTERNAL`; a directory is used with one of them only.
    """

    def __init__(self, path: Path, broker: str) -> None:
        self.path = path
        self.logs = path / "logs"
        self.store = path / STORE_NAME
        self._broker = broker
        self._clean = path / "clean-stop"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the directory. Raises DataDirError when another process has it, or it is not for this kind of broker."""
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise DataDirError(f"{self.path}: {error.strerror}") from error
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DataDirError(f"{self.path} is in use by another `up`") from None
            self._check_broker()
            yield
        finally:
            os.close(lock)

    def _check_broker(self) -> None:
        mark = self.path / "broker"
        if not mark.exists():
            mark.write_text(self._broker)
        elif (found := mark.read_text()) != self._broker:
            raise DataDirError(
                f"{self.path} was used with an {found} broker, and its rows would be lost with an {self._broker} one: "
                "take another directory, and move the rows with `export` and `load`"
            )

    @property
    def aside(self) -> list[Path]:
        """Stores of earlier runs whose rows are not all in the present one."""
        return sorted(self.path.glob("reload-*.sqlite3"))

    def set_aside(self) -> None:
        """Move the store of the last run out of the way, with its write-ahead log."""
        if self.store.exists():
            number = len(self.aside) + 1
            while (target := self.path / f"reload-{number}.sqlite3").exists():
                number += 1
            # The database last: what is interrupted before leaves everything in place.
            for suffix in reversed(_SUFFIXES):
                source = Path(f"{self.store}{suffix}")
                if source.exists():
                    source.rename(f"{target}{suffix}")

    def reloaded(self, stores: list[Path]) -> None:
        """The rows of these stores are in the present one: delete them."""
        for store in stores:
            for suffix in _SUFFIXES:
                Path(f"{store}{suffix}").unlink(missing_ok=True)

    @property
    def stopped_cleanly(self) -> bool:
        """Whether the last run ended with everything that the broker had accepted in the store."""
        return self._clean.exists()

    def started(self) -> None:
        """From now on only `stopping` makes the stop a clean one."""
        self._clean.unlink(missing_ok=True)

    def stopped(self) -> None:
        """Everything the broker had accepted is in the store."""
        self._clean.touch()
