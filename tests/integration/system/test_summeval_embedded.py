"""SummEval through `up` on the embedded broker: whatever the order, and however often, the counts are as expected.

How long it took from the end of a load until the API showed them is logged, and kept as a property of the test.
"""

import json
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.deployments import Installation
from tests.support.exposition import series, total
from tests.support.processes import get, wait_until
from tests.support.summeval import QUEUE, Expected, files, renamed, shuffled

pytestmark = pytest.mark.slow

_log = logging.getLogger(__name__)

DEADLINE = 30.0


@pytest.fixture(scope="module")
def expected(summeval: Path) -> Expected:
    return Expected.read(summeval)


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Installation]:
    with Installation(tmp_path) as installation:
        yield installation
        assert "Traceback" not in installation.up.text()
        assert installation.stop() == 0


def equals(up: Installation, expected: Expected, note: Callable[[str, object], None], queue: str = QUEUE) -> None:
    """API and gauges come to show the expected counts; note how long that took."""
    began = time.monotonic()
    wait_until(lambda: expected.shown_by(up.document(queue)), DEADLINE, lambda: expected.difference(up.document(queue)))
    api = time.monotonic() - began
    wait_until(lambda: expected.shown_by_gauges(up.metrics(), queue), DEADLINE, "the gauges equal")
    gauges = time.monotonic() - began
    _log.info("%s, from the end of the load: API equal after %.2f s, gauges after %.2f s", queue, api, gauges)
    note(f"{queue}_api_seconds", round(api, 2))
    note(f"{queue}_gauges_seconds", round(gauges, 2))


def worker_events(up: Installation) -> dict[str, int]:
    """What the worker did with the events it processed: all, ledger rows, superseded, duplicate, rejected."""
    found = series(get(f"http://{up.worker_http}/metrics").body.decode())
    return {
        name: int(total(found, f"eval_alignment_{name}_total"))
        for name in ("events", "events_superseded", "events_duplicate", "events_rejected")
    }


def test_counts_are_exact_when_evaluations_come_first_and_all_events_three_times(
    up: Installation, summeval: Path, expected: Expected, record_property: Callable[[str, object], None]
) -> None:
    annotations, evaluations = files(summeval)
    up.load(evaluations)
    said = up.load(annotations)
    assert said == f"alignment.annotations.v1: {expected.cards['annotations']} acknowledged\n"
    equals(up, expected, record_property)
    once = worker_events(up)
    assert once["events"] == expected.events
    assert once["events_duplicate"] == once["events_rejected"] == 0

    up.load(annotations, evaluations, evaluations, annotations)
    # What is served must not move, so the worker tells when it has seen every event three times.
    seen = []
    while (events := worker_events(up))["events"] < 3 * expected.events:
        document = up.document(QUEUE)
        assert expected.shown_by(document), "counts moved while known events were loaded again"
        seen.append(document["as_of"])
        assert len(seen) < 20_000, f"the worker never processed them all: {events}"
    assert events["events"] == 3 * expected.events
    # An older version that was superseded the first time is superseded again; any other event is a duplicate.
    assert events["events_superseded"] + events["events_duplicate"] >= 2 * expected.events
    assert events["events_rejected"] == 0
    equals(up, expected, record_property)
    assert [queue["queue"] for queue in json.loads(get(f"{up.url}/api/v1/queues").body)["queues"]] == [QUEUE]


def test_counts_are_exact_when_annotations_come_first_and_a_shuffled_copy_follows(
    up: Installation, summeval: Path, expected: Expected, record_property: Callable[[str, object], None]
) -> None:
    annotations, evaluations = files(summeval)
    up.load(annotations)

    def all_annotations() -> Any:
        document = up.document(QUEUE)
        return document if document and document["cards"]["annotations"] == expected.cards["annotations"] else None

    # Shown before anything is compared: annotated, nothing contributing.
    document = wait_until(all_annotations, DEADLINE, "all annotations")
    assert document["cards"]["items_annotated"] == expected.cards["items_annotated"]
    assert document["cards"]["comparisons"] == document["cards"]["items_compared"] == 0
    assert document["cards"]["alignment"] is None
    up.load(evaluations)
    equals(up, expected, record_property)

    mixed = b"".join(renamed(shuffled(summeval, seed=3), "shuffled"))
    up.run("load", "--broker", up.broker, "-", stdin=mixed)
    equals(up, expected, record_property, "shuffled")
    assert expected.shown_by(up.document(QUEUE))
