"""Row 33: the store of the last run of `up` is damaged. With the embedded broker it is the only copy of the events."""

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from sinks.view import STORE_NAME
from tests.support.deployments import Installation
from tests.support.processes import wait_until

DEADLINE = 60.0
ITEMS = 1_000

Measure = Callable[..., None]


@pytest.mark.row(33)
@pytest.mark.faults
def test_row_33_up_loads_what_a_damaged_store_still_has_and_keeps_it(tmp_path: Path, measured: Measure) -> None:
    def annotations() -> int:
        document = running.document("q")
        return 0 if document is None else int(document["cards"]["annotations"])

    running = Installation(tmp_path)
    with running:
        running.send(
            *(
                {"id": f"a{n}", "at": 1_764_000_000_000 + n, "queue": "q", "item": f"i{n}", "thumbs": "up"}
                | {"explanation": "word " * 100}
                for n in range(ITEMS)
            )
        )
        wait_until(lambda: annotations() == ITEMS, DEADLINE, "all events are counted")
        assert running.stop() == 0
        store = running.data / STORE_NAME
        with contextlib.closing(sqlite3.connect(store)) as connection:
            pages = connection.execute("SELECT pageno FROM dbstat WHERE name = 'annotations' AND pagetype = 'leaf'")
            leaves = [page for (page,) in pages]
        with store.open("r+b") as file:
            for page in leaves[10:20]:
                file.seek((page - 1) * 4096)
                file.write(os.urandom(4096))
        running.start()
        loaded = annotations()
        assert ITEMS * 0.8 < loaded < ITEMS
        measured(f"10 of {len(leaves)} pages damaged: {loaded} of {ITEMS} events loaded again")
        said = running.up.text()
        assert "ERROR: its store was damaged" in said
        assert f"It is kept as {running.data / 'damaged-reload-1.sqlite3'}" in said
        assert (running.data / "damaged-reload-1.sqlite3").exists()
        # The next start is an ordinary one.
        assert running.stop() == 0
        running.start()
        assert annotations() == loaded
        assert running.up.text().count("ERROR: its store was damaged") == 1
