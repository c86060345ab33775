"""A damaged store: how it is found, set aside, and what of it is kept.

The view's store is a copy of the topics, but for the history of snapshot documents. So a store whose file is damaged is
renamed, and a new one is read from the topics; the history goes over as far as it can be read. The renamed file stays,
for whoever wants to look at it.
"""

import contextlib
import logging
import sqlite3
import threading
import time
from pathlib import Path
from typing import Final

from sinks.store import store_files
from sinks.store.schema import StoreError

log = logging.getLogger(__name__)

CHECK_SECONDS: Final = 10.0
"""Longest time that the check at a start takes. It reads the whole file: about 1 GB in 2 s from the system's cache."""
_DAMAGE: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_PREFIX: Final = "damaged"
_KEPT: Final = 2


class StoreDamagedError(StoreError):
    """The file of the store is damaged. A view sets it aside and reads the topics again."""


class StoreGoneError(StoreDamagedError):
    """The file of the store was deleted, moved or replaced. A view makes a new one and reads the topics again."""


def is_damage(error: sqlite3.Error) -> bool:
    """Whether an error of SQLite is about the bytes of the file, and not about its use."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE


def refuse_damaged(path: Path, seconds: float = CHECK_SECONDS) -> None:
    """Raise StoreDamagedError when the pages of a store do not fit together. A file that does not exist is fine.

    After `seconds` the check ends early. Damage that it does not find is found by the read that meets it.
    """
    if not path.exists():
        return
    started = time.monotonic()
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=seconds)) as connection:
            ending = threading.Timer(seconds, connection.interrupt)
            ending.start()
            try:
                (result,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            finally:
                ending.cancel()
    except UnicodeDecodeError:
        # The report of the check quotes the page.
        raise StoreDamagedError(f"the store {path} is damaged") from None
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            raise StoreDamagedError(f"the store {path} is damaged: {error}") from error
        # It is locked, or the check took too long: opening it comes next, and reports what matters.
        log.info("the store was not checked in full: %s", error)
        return
    if result != "ok":
        raise StoreDamagedError(f"the store {path} is damaged: {result}")
    log.info("checked the store in %.1f s", time.monotonic() - started)


def set_aside(path: Path) -> Path:
    """Rename the files of a damaged store that nobody has open; returns the new name.

    The newest two such stores are kept.
    """
    target = store_files.set_aside(path, _PREFIX)
    for old in store_files.stores_aside(path.parent, _PREFIX)[:-_KEPT]:
        store_files.delete(old)
    return target


def copy_history(damaged: Path, connection: sqlite3.Connection) -> int:
    """Copy the snapshot documents of a damaged store, as far as they can be read; returns their number.

    `connection` is in a transaction of a store that has none of them.
    """
    count = 0
    with (
        contextlib.suppress(sqlite3.DatabaseError),
        contextlib.closing(sqlite3.connect(f"{damaged.absolute().as_uri()}?mode=ro", uri=True)) as source,
    ):
        for row in source.execute("SELECT queue, at, revision, digest, document FROM snapshots"):
            connection.execute("INSERT OR IGNORE INTO snapshots VALUES (?, ?, ?, ?, ?)", row)
            count += 1
    return count
