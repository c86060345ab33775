"""A store of an earlier version is migrated to the schema of a new one."""

import contextlib
import sqlite3
from pathlib import Path

import pytest

from sinks.store.schema import MIGRATIONS, migrate


def shape(connection: sqlite3.Connection) -> tuple[object, ...]:
    tables = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name").fetchall()
    return (*connection.execute("PRAGMA user_version").fetchone(), *tables)


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
def test_every_older_schema_is_migrated(version: int, tmp_path: Path) -> None:
    with (
        contextlib.closing(sqlite3.connect(tmp_path / "old", isolation_level=None)) as old,
        contextlib.closing(sqlite3.connect(tmp_path / "new", isolation_level=None)) as new,
    ):
        for script in MIGRATIONS[:version]:
            old.executescript(script)
        old.execute(f"PRAGMA user_version = {version}")
        assert shape(old) != shape(new)
        migrate(old)
        migrate(new)
        assert shape(old) == shape(new)
