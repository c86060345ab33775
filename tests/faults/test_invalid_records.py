"""Row 32: somebody writes to ledger and tallies while a view runs: its last state, stale, with the reason; it heals."""

import json
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from aggregator.tallies import cells_group, group_key
from streams.kafka.producer import home_partition
from tests.support.deployments import Cluster
from tests.support.kafka import Kafka
from tests.support.processes import get_json, wait_until
from tests.support.wire import Sent, Wire

DEADLINE = 60.0
AT = 1_764_000_000_000
DAY = "2025-11-24"
PARTITIONS = 2
CELLS = group_key(cells_group("q", "overall", "m", DAY))
ROW = b'["a","q","i0","overall",""]'

Measure = Callable[..., None]


def events(number: int) -> list[Mapping[str, Any]]:
    """An annotation and an evaluation of one item."""
    item = f"i{number}"
    return [
        {"id": f"a{number}", "at": AT + number, "queue": "q", "item": item, "thumbs": "up"},
        {"id": f"e{number}", "at": AT + number, "item": item, "metric": "m", "passed": True},
    ]


def stamp(wire: Wire, cluster: Cluster, partition: int) -> dict[str, Any]:
    """What the newest tallies of a partition carry."""
    markers = [
        record
        for record in wire.read(cluster.topic("tallies"))
        if (record.partition, record.key) == (partition, b'["closed"]')
    ]
    marker = json.loads(markers[-1].value or b"")
    return {name: marker[name] for name in ("ledger", "position", "policy")}


def forged(stamp: Mapping[str, Any], **payload: Any) -> bytes:
    return json.dumps({**payload, **stamp}).encode()


STRAYS: Mapping[str, Callable[[Mapping[str, Any]], list[tuple[str, bytes | None, bytes | None]]]] = {
    "a deleted tally": lambda _: [("tallies", CELLS, None)],
    "garbage on the tallies": lambda _: [("tallies", b"x", b"\xff")],
    "a negative tally, closed": lambda stamp: [
        ("tallies", CELLS, forged(stamp, judges={"": {"current": [-50] * 14, "superseded": [0] * 14}})),
        ("tallies", b'["closed"]', forged(stamp, at=AT, sources={})),
    ],
    "a tally of wrong arity, closed": lambda stamp: [
        ("tallies", b'["cells","q","2025-11-24"]', forged(stamp, judges={})),
        ("tallies", b'["closed"]', forged(stamp, at=AT, sources={})),
    ],
    "a deleted row": lambda _: [("facts", ROW, None)],
    "garbage on the ledger": lambda _: [("facts", b"x", b"\xff")],
}


@pytest.mark.row(32)
@pytest.mark.faults
def test_row_32_a_view_survives_what_no_worker_writes(
    kafka: Kafka, prefix: str, tmp_path: Path, measured: Measure
) -> None:
    partition = home_partition(b"i0", PARTITIONS)
    with Cluster(kafka.bootstrap, prefix, tmp_path, partitions=PARTITIONS) as cluster, Wire(kafka.bootstrap) as wire:
        worker, view = cluster.workers["w1"], cluster.view.pid

        def shown() -> int:
            document = cluster.document("q")
            return 0 if document is None else int(document["cards"]["comparisons"])

        def readiness() -> dict[str, Any]:
            state: dict[str, Any] = get_json(f"{cluster.url}/readyz")
            return state

        def shows(comparisons: int) -> bool:
            return shown() == comparisons

        def whole() -> bool:
            """Whether nothing is stale; meanwhile a supervisor restarts the worker, which found another writer."""
            if not worker.running:
                worker.start()
            return not readiness()["stale"]

        def problem(name: str) -> str:
            return f"{name}: {readiness()}\n{worker.text()[-2000:]}"

        for sent, (name, stray) in enumerate(STRAYS.items(), start=1):
            cluster.send(*events(0), *events(sent))
            wait_until(partial(shows, sent + 1), DEADLINE, f"{name}: everything is shown before")
            for role, key, value in stray(stamp(wire, cluster, partition)):
                wire.send(Sent(cluster.topic(role), key, value, (), partition))
            reason = wait_until(lambda: held(readiness()), DEADLINE, f"{name}: the view reports the reason")
            assert f"partition {partition}: " in reason
            assert shown() == sent + 1, f"{name}: the last state is served"
            back = time.monotonic()
            wait_until(whole, DEADLINE, partial(problem, name))
            measured(f"{name}, healed after", time.monotonic() - back)
            assert shown() == sent + 1
            assert cluster.view.pid == view, f"{name}: the view did not end"


def held(readiness: Mapping[str, Any]) -> str:
    """The reason why the view keeps its last state, if it does."""
    reason = readiness["stale_reason"] or ""
    return reason if any(word in reason for word in ("invalid", "deleted")) else ""
