"""Stores as earlier releases of the view left them."""

import contextlib
import sqlite3
from itertools import product
from pathlib import Path


def downgrade(path: Path) -> None:
    """Make a store one of 0.1.0: without input, output, tags, medians, judge periods, what waits, and the search."""
    later = (
        "waiting_judges",
        "judge_periods",
        "judge_scales",
        *(f"search_{of}" for of in ("words_0", "words_1", "documents", "state", "pending")),
    )
    tagged = tuple(f"{table}_tags" for table in ("annotations", "evaluations", "queue_items"))
    indexes = ("annotations_people", "evaluations_superseded", "queue_items_removed", "annotations_newest", *tagged)
    drops = [f"DROP TABLE {table}" for table in later] + [f"DROP INDEX {index}" for index in indexes]
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript("; ".join([*drops, "PRAGMA user_version = 7"]))
        texts = product(("annotations", "evaluations", "queue_items"), ("input", "output", "tags"))
        for table, column in (*texts, ("annotations", "median"), ("partitions", "waiting")):
            connection.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        # Of the columns that it had then, some are left.
        connection.execute("CREATE INDEX annotations_newest ON annotations (queue, at) WHERE counted = 1")
