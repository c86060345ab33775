"""SummEval through `up` with the embedded broker: counts are exact in any order and with any number of duplicates.

The time from the end of a load until the API shows the counts is logged, and kept as a property of the test.
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
    """Wait until API and gauges show the expected counts; record how long it takes."""
    began = time.monotonic()
    wait_until(lambda: expected.shown_by(up.document(queue)), DEADLINE, lambda: expected.difference(up.document(queue)))
    api = time.monotonic() - began
    wait_until(lambda: expected.shown_by_gauges(up.metrics(), queue), DEADLINE, "the gauges equal")
    gauges = time.monotonic() - began
    _log.info("%s, from the end of the load: API equal after %.2f s, gauges after %.2f s", queue, api, gauges)
    note(f"{queue}_api_seconds", round(api, 2))
    note(f"{queue}_gauges_seconds", round(gauges, 2))


def worker_events(up: Installation) -> dict[str, int]:
    """Counters of the worker: processed events, ledger rows, superseded, duplicate and rejected events."""
    samples = series(get(f"http://{up.worker_http}/metrics").body.decode())
    return {
        name: int(total(samples, f"eval_alignment_{name}_total"))
        for name in ("events", "events_superseded", "events_duplicate", "events_rejected")
    }


def test_counts_are_exact_when_evaluations_come_first_and_all_events_three_times(
    up: Installation, summeval: Path, expected: Expected, record_property: Callable[[str, object], None]
) -> None:
    annotations, evaluations = files(summeval)
    up.load(evaluations)
    output = up.load(annotations)
    assert output == f"alignment.annotations.v1: {expected.cards['annotations']} acknowledged\n"
    equals(up, expected, record_property)
    once = worker_events(up)
    assert once["events"] == expected.events
    assert once["events_duplicate"] == once["events_rejected"] == 0

    up.load(annotations, evaluations, evaluations, annotations)
    # The served counts must not change; the worker's counters show when every event was processed three times.
    seen = []
    while (events := worker_events(up))["events"] < 3 * expected.events:
        document = up.document(QUEUE)
        assert expected.shown_by(document), "counts moved while known events were loaded again"
        seen.append(document["as_of"])
        assert len(seen) < 20_000, f"the worker never processed them all: {events}"
    assert events["events"] == 3 * expected.events
    # An older version is superseded every time; any other repeated event is a duplicate.
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

    # Before any comparison: items are annotated, and no annotation contributes.
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
