"""The data directory of `up`: one process at a time, one kind of broker, and the store of an earlier run.

The embedded broker keeps its topics in memory, so between two runs only the view's store has the events. `set_aside`
renames it, and the new run loads its rows again. The old store is deleted when all its rows are in the new one. If this
is interrupted at any point, the next run finds the old store and starts over.
"""

import errno
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from sinks.store import lock, store_files
from sinks.store.schema import StoreError
from sinks.view import STORE_NAME
from streams.runtime.errors import EvalAlignmentError
from streams.runtime.exit_codes import ExitCode

EMBEDDED: Final = "embedded"
EXTERNAL: Final = "external"
_LIMITS: Final = {errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
"""No process can be started, or no file opened; the disk has no part in it."""
_DISK: Final = {errno.EDQUOT, errno.EIO, errno.ENOSPC, errno.EROFS, errno.ESTALE}


class DataDirError(EvalAlignmentError):
    """The directory cannot be used; the message has the reason and what to do."""

    exit_code = ExitCode.FAILED


class DataDir:
    """A data directory; it is created when it does not exist.

    Args:
        path: the directory.
        broker: `EMBEDDED` or `EXTERNAL`; a directory belongs to one of them.
    """

    def __init__(self, path: Path, broker: str) -> None:
        self.path = path
        self.logs = path / "logs"
        self.store = path / STORE_NAME
        self.dead_letters = path / "dead-letters.ndjson"
        self._broker = broker
        self._clean = path / "clean-stop"

    @contextmanager
    def locked(self) -> Iterator[int]:
        """Lock the directory; yields the lock's file descriptor, for the view to inherit.

        Raises DataDirError when another process has the lock, or the kind of broker differs.
        """
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataDirError(f"{self.path}: {error.strerror}") from error
        with ExitStack() as stack:
            try:
                held = stack.enter_context(lock.locked(self.path, "up"))
            except StoreError as error:
                raise DataDirError(str(error)) from error
            self._check_broker()
            yield held

    def _check_broker(self) -> None:
        mark = self.path / "broker"
        # A disk that was full at the first start has left an empty one.
        kind = mark.read_text() if mark.exists() else ""
        if not kind:
            mark.write_text(self._broker)
        elif kind != self._broker:
            raise DataDirError(
                f"{self.path} belongs to an {kind} broker, and its rows would be lost with an {self._broker} one; "
                "use another --data-dir, and move the rows with `export` and `load`"
            )

    def check_pseudonyms(self, fingerprint: str) -> None:
        """Raise DataDirError if the rows of this directory have pseudonyms of another key; see `Pseudonyms`.

        A directory whose rows have names may begin with pseudonyms: the worker replaces the names when it loads them.
        """
        mark = self.path / "pseudonyms"
        known = mark.read_text() if mark.exists() else ""
        if known and known != fingerprint:
            own = f"the file of `pseudonyms_key_file` has key {fingerprint[:6]}" if fingerprint else "no key is set"
            raise DataDirError(
                f"{self.path} has pseudonyms of annotators of key {known[:6]}, and {own}: set `pseudonyms_key_file` to "
                "the file with that key, or use another --data-dir"
            )
        if fingerprint and not known:
            mark.write_text(fingerprint)

    def explained(self, error: OSError) -> str:
        """An error of the system while this directory is in use, and what to do."""
        if error.errno in _LIMITS:
            return f"{error}; end other processes, or raise the limits of this one (`ulimit -n`, `ulimit -u`, memory)"
        advice = f"{error}; check the disk of {self.path}, its free space and its rights"
        if error.filename is None:
            # A full disk is found in a file that is open, without its name.
            return advice if error.errno in _DISK else str(error)
        own = Path(str(error.filename)).is_relative_to(self.path)
        return advice if own else f"{error}; check this file and its rights"

    @property
    def aside(self) -> list[Path]:
        """Stores of earlier runs whose rows are not all in the current store, oldest first."""
        return store_files.stores_aside(self.path, "reload")

    def set_aside(self) -> None:
        """Rename the store of the last run."""
        if self.store.exists():
            store_files.set_aside(self.store, "reload")

    def keep_damaged(self, store: Path) -> Path:
        """Rename a store of an earlier run that is damaged, so that it is neither loaded again nor deleted."""
        return store_files.set_aside(store, "damaged-reload")

    def reloaded(self, stores: list[Path]) -> None:
        """Delete these stores: their rows are in the current one."""
        for store in stores:
            store_files.delete(store)

    @property
    def stopped_cleanly(self) -> bool:
        """Whether the store had all events of the broker when the last run ended."""
        return self._clean.exists()

    def started(self) -> None:
        """Mark the run as started; until `stopped` the stop counts as unclean."""
        self._clean.unlink(missing_ok=True)

    def stopped(self) -> None:
        """Mark the stop as clean: the store has all events of the broker."""
        self._clean.touch()
