"""Tables of the view's SQLite store, and the migrations from each version to the next.

`PRAGMA user_version` is the number of applied migrations. A released migration never changes; a change of the tables is
another file in `migrations`. A store that a later release wrote is rejected.
"""

import sqlite3
from importlib.resources import files
from typing import Final

from streams.runtime.errors import EvalAlignmentError
from streams.runtime.exit_codes import ExitCode

_DIRECTORY: Final = files("sinks.store") / "migrations"
MIGRATIONS: Final = tuple(
    script.read_text(encoding="utf-8")
    for script in sorted(_DIRECTORY.iterdir(), key=lambda entry: entry.name)
    if script.name.endswith(".sql")
)
"""SQL scripts in the order of application."""

JUDGED: Final = """
(SELECT json_group_array(json_array(e.metric, e.judge))
    FROM evaluations AS e WHERE e.item_id = t.item_id AND e.failure = 0 AND e.deleted = 0) AS verdicts,
(SELECT json_group_array(json_array(e.metric, e.status))
    FROM evaluations AS e WHERE e.item_id = t.item_id AND e.shown = 1) AS failures
"""
"""SQL: what the profile of the item of a row `t` (`item_id`) states of its evaluations, in every queue alike."""

PROFILE: Final = """
    CASE WHEN EXISTS (SELECT 1 FROM item_days AS d WHERE d.queue = t.queue AND d.item_id = t.item_id)
        OR EXISTS (SELECT 1 FROM queue_items AS q WHERE q.queue = t.queue AND q.item_id = t.item_id AND q.deleted = 0)
    THEN '['
        || EXISTS (SELECT 1 FROM queue_items AS q WHERE q.queue = t.queue AND q.item_id = t.item_id AND q.deleted = 0)
        || ','
        || (SELECT json_group_array(json_array(d.criterion, d.day))
            FROM item_days AS d WHERE d.queue = t.queue AND d.item_id = t.item_id)
        || ',' || j.verdicts || ',' || j.failures || ']'
    END
"""
"""SQL: the profile of the item of a row `t` (`queue`, `item_id`): everything that counts of distinct items need.

A JSON array: whether a queue-item row places the item in the queue, [criterion, newest day] of every criterion with a
counted annotation, [metric, judge version] of every standing verdict, and [metric, status] of every failure that is
shown; the last two are the columns of `JUDGED` in a row `j`. NULL when the queue does not have the item.
"""


class StoreError(EvalAlignmentError):
    """The store cannot be used as it is; the message names the remedy."""

    exit_code = ExitCode.STORE_UNUSABLE


class NewerStoreError(StoreError):
    """A later release wrote the store."""

    exit_code = ExitCode.NEWER_SCHEMA


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the tables to this release's version, each step in its own transaction.

    Raises NewerStoreError when the store was written by a later release.
    """
    (applied,) = connection.execute("PRAGMA user_version").fetchone()
    if applied > len(MIGRATIONS):
        raise NewerStoreError(
            f"the store has version {applied}, but this release supports up to {len(MIGRATIONS)}: run the release that "
            "wrote it, or move the store away and let the view rebuild it from the topics"
        )
    for version, script in enumerate(MIGRATIONS[applied:], start=applied + 1):
        connection.executescript(f"BEGIN IMMEDIATE;{script}PRAGMA user_version = {version};COMMIT;")
