"""The cost of a transaction does not grow with the store: derived rows are found by index."""

from pathlib import Path

import pytest

from sinks.store import derive
from tests.support.stores import open_store


@pytest.mark.parametrize("statement", derive.DERIVE)
def test_derivation_scans_touched_rows_only(tmp_path: Path, statement: str) -> None:
    store = open_store(tmp_path / "store.sqlite3")
    with store.write() as connection:
        plan = [step[3] for step in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
    store.close()
    assert plan
    # Touched rows by alias or name, rows derived from them, and partitions, which are few.
    touched = {"t", "touched_criteria", "changed_profiles", "gone", "m", "p"}
    scanned = [step.split()[1] for step in plan if step.startswith("SCAN")]
    # A subquery names what it scans in a step of its own.
    assert [name for name in scanned if name not in touched and not name.startswith("(subquery")] == []
