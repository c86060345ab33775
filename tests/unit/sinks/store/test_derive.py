"""What a transaction costs does not grow with the store: what is derived is found by its index."""

from pathlib import Path

import pytest

from sinks.store import merge
from sinks.store.store import Store


@pytest.mark.parametrize("statement", merge.DERIVE)
def test_derivation_scans_touched_rows_only(tmp_path: Path, statement: str) -> None:
    store = Store(tmp_path / "store.sqlite3")
    with store.write() as connection:
        plan = [step[3] for step in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
    store.close()
    assert plan
    # What was touched, by alias or by name, and what is made of it; and partitions, which are few.
    touched = {"t", "touched_criteria", "changed_profiles", "gone", "(subquery-1)", "p"}
    assert [step for step in plan if step.startswith("SCAN") and step.split()[1] not in touched] == []
