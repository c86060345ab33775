"""Corrections of people and judges move a comparison from one cell to another, on the API and on the gauges.

Everything goes through Kafka, a worker process and a view process. How long each change took from its acknowledgement
until API and gauges showed it is logged.
"""

import json
import logging
import time
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
import pytest

from aggregator.recount import Recount
from streams.events.decoder import Decoder, Rejection
from tests.support.deployments import Cluster
from tests.support.documents import comparable
from tests.support.exposition import series, total, value
from tests.support.kafka import Kafka
from tests.support.processes import get, wait_until
from tests.support.wire import Wire

pytestmark = pytest.mark.row(9)

_log = logging.getLogger(__name__)

T0 = 1_780_000_000_000
DEADLINE = 30.0
OUTCOMES = ("tp", "fn", "tn", "fp")
Cells = Mapping[str, int]
Event = dict[str, Any]


class Shop:
    """One queue with one item on a running cluster; it keeps every event for the recount."""

    def __init__(self, cluster: Cluster, wire: Wire, name: str) -> None:
        self.cluster = cluster
        self.queue = name
        self.item = f"{name}-item"
        # Which judge version of a metric is in use depends on the evaluations of all queues.
        self.metric = f"{name}-metric"
        self.events: list[Event] = []
        self._wire = wire

    def annotate(self, seconds: int, **fields: Any) -> None:
        """Send an annotation whose time is `seconds` after the start."""
        self._send("annotations", seconds, {"kind": "annotation", "queue": self.queue, "annotator": "ann", **fields})

    def evaluate(self, seconds: int, **fields: Any) -> None:
        """Send an evaluation."""
        self._send("evaluations", seconds, {"kind": "evaluation", "metric": self.metric, **fields})

    def list_item(self, seconds: int, **fields: Any) -> None:
        """Send a queue item."""
        self._send("queue-items", seconds, {"kind": "queue_item", "queue": self.queue, **fields})

    def shows(self, cells: Cells, queue: str | None = None, criterion: str = "overall") -> None:
        """Wait until API and gauges show these outcomes of the metric and no others; log how long it took."""
        name = queue or self.queue
        expected = {outcome: cells.get(outcome, 0) for outcome in OUTCOMES}
        began = time.monotonic()
        wait_until(lambda: self.outcomes(name, criterion) == expected, DEADLINE, f"{name} on the API: {expected}")
        wait_until(lambda: self.gauges(name, criterion) == expected, DEADLINE, f"{name} on the gauges: {expected}")
        _log.info("%s: shown %.3f s after it was acknowledged", name, time.monotonic() - began)

    def outcomes(self, queue: str, criterion: str = "overall") -> Cells:
        """Outcomes of the metric on the API; zeros where it has none."""
        metric = metric_of(self.cluster.document(queue), criterion)
        return dict.fromkeys(OUTCOMES, 0) if metric is None else {name: metric[name] for name in OUTCOMES}

    def gauges(self, queue: str, criterion: str = "overall") -> Cells:
        """Outcomes of the metric on the gauges; an absent series is 0."""
        scraped = series(self.cluster.metrics())
        labels = {"queue": queue, "criterion": criterion, "metric": self.metric}
        return {
            outcome: int(value(scraped, "eval_alignment_comparisons", **labels, outcome=outcome) or 0)
            for outcome in OUTCOMES
        }

    def recounted(self) -> None:
        """All documents of this queue's events equal the recount of the same events."""
        facts = []
        for event in self.events:
            decoded = Decoder().decode_line(orjson.dumps(event))
            assert not isinstance(decoded, Rejection), decoded
            facts.append(decoded[1])
        recount = Recount(facts)
        assert self.queue in recount.queues
        for queue in recount.queues:
            document = json.loads(orjson.dumps(recount.document(queue)))
            same = lambda: comparable(self.cluster.document(queue)) == comparable(document)  # noqa: B023, E731
            wait_until(same, DEADLINE, f"the document of {queue} is the recount")

    def _send(self, role: str, seconds: int, fields: Event) -> None:
        id = f"{self.queue}-{len(self.events)}"
        event = {"id": id, "at": T0 + 1000 * seconds, "item": self.item, **fields}
        self.events.append(event)
        self._wire.event(self.cluster.topic(role), event)


def metric_of(document: Any, criterion: str = "overall") -> Any:
    """The document's metric of the criterion, of which a shop has one; None where it has no comparisons."""
    for entry in () if document is None else document["criteria"]:
        if entry["criterion"] == criterion:
            return next(iter(entry["metrics"]), None)
    return None


@pytest.fixture(scope="module")
def cluster(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(kafka.bootstrap, "changes.", tmp_path_factory.mktemp("changes"), partitions=2) as running:
        yield running


@pytest.fixture(scope="module")
def wire(kafka: Kafka) -> Iterator[Wire]:
    with Wire(kafka.bootstrap) as opened:
        yield opened


@pytest.fixture
def shop(cluster: Cluster, wire: Wire, request: pytest.FixtureRequest) -> Shop:
    return Shop(cluster, wire, str(request.node.name))


def test_a_correction_moves_the_comparison(shop: Shop) -> None:
    shop.annotate(1, thumbs="up")
    shop.evaluate(2, passed=True)
    shop.shows({"tp": 1})
    shop.annotate(3, thumbs="down")
    shop.shows({"fp": 1})
    shop.evaluate(4, score=0.2, threshold=0.5)
    shop.shows({"tn": 1})
    shop.annotate(5, stars=5)
    shop.shows({"fn": 1})
    assert metric_of(shop.cluster.document(shop.queue))["ratings"]["5"] == {"pass": 0, "fail": 1}
    shop.recounted()


def test_deletions_retract_comparisons(shop: Shop) -> None:
    shop.annotate(1, thumbs="up")
    shop.annotate(1, stars=1, annotator="bob")
    shop.evaluate(2, passed=True)
    shop.shows({"tp": 1, "fp": 1})
    shop.annotate(3, deleted=True)
    shop.shows({"fp": 1})
    shop.evaluate(4, deleted=True)
    shop.shows({})
    assert shop.cluster.document(shop.queue)["cards"]["annotations"] == 1
    # Only a newer event restores a deleted row.
    shop.evaluate(5, passed=False)
    shop.shows({"tn": 1})
    shop.recounted()


def test_an_annotation_moves_to_another_queue(shop: Shop) -> None:
    other = f"{shop.queue} / other"
    shop.evaluate(1, passed=True)
    shop.annotate(2, thumbs="up")
    shop.shows({"tp": 1})
    shop.annotate(3, deleted=True)
    shop.annotate(3, queue=other, thumbs="up")
    shop.shows({"tp": 1}, other)
    shop.shows({})
    shop.recounted()


def test_an_item_leaves_a_queue_and_comes_back(shop: Shop) -> None:
    shop.evaluate(1, passed=False)
    shop.annotate(1, thumbs="up")
    shop.shows({"fn": 1})
    shop.list_item(2)
    wait_until(lambda: shop.cluster.document(shop.queue)["cards"]["items_queued"] == 1, DEADLINE, "it is listed")
    shop.list_item(3, deleted=True)
    shop.shows({})
    # Events of the item count while it is out of the queue.
    shop.annotate(4, thumbs="down")
    shop.list_item(5)
    shop.shows({"tn": 1})
    shop.recounted()


def test_a_late_older_event_changes_nothing(shop: Shop) -> None:
    shop.annotate(10, thumbs="up")
    shop.evaluate(10, passed=True)
    shop.shows({"tp": 1})
    shop.annotate(11, deleted=True, annotator="bob")
    superseded = superseded_events(shop.cluster)
    shop.annotate(9, thumbs="down")
    shop.evaluate(9, passed=False)
    # An older event does not count after a deletion either.
    shop.annotate(9, thumbs="down", annotator="bob")
    # One more event of the same item in each topic: once these count, the earlier ones were processed.
    shop.annotate(12, thumbs="up", criterion="late")
    shop.evaluate(12, passed=True, metric="last")
    shop.shows({"tp": 1}, criterion="late")
    wait_until(
        lambda: superseded_events(shop.cluster) == superseded + 3, DEADLINE, "three superseded events are counted"
    )
    shop.shows({"tp": 1})
    shop.recounted()


def test_a_failed_evaluation_does_not_replace_a_verdict(shop: Shop) -> None:
    shop.list_item(1)
    shop.annotate(1, thumbs="down")
    shop.evaluate(2, passed=False)
    shop.shows({"tn": 1})
    shop.evaluate(3, status="error", reason="the judge timed out")
    shop.evaluate(4, status="error", metric="other")
    shop.evaluate(5, passed=True, metric="last")
    wait_until(lambda: "last" in metrics_of(shop), DEADLINE, "the events before it were processed")
    shop.shows({"tn": 1})
    relevance = metric_of(shop.cluster.document(shop.queue))
    assert (relevance["evaluated"], relevance["errored"]) == (1, 0)
    shop.recounted()


def test_a_new_judge_version_supersedes_the_old_one(shop: Shop) -> None:
    shop.annotate(1, thumbs="up")
    shop.evaluate(2, passed=False, judge="v1")
    shop.shows({"fn": 1})
    shop.evaluate(3, passed=True, judge="v2")
    shop.shows({"tp": 1})
    judges = metric_of(shop.cluster.document(shop.queue))["judges"]
    assert judges == {
        "v1": {"tp": 0, "fn": 1, "tn": 0, "fp": 0, "superseded": 1, "items_compared": 1},
        "v2": {"tp": 1, "fn": 0, "tn": 0, "fp": 0, "superseded": 0, "items_compared": 1},
    }
    # A correction of the old judge's verdict does not make it current; a deletion of the new one does.
    shop.evaluate(2, passed=True, judge="v1", id="x")
    shop.evaluate(4, deleted=True, judge="v2")
    shop.evaluate(5, passed=False, judge="v1")
    shop.shows({"fn": 1})
    shop.recounted()


def metrics_of(shop: Shop) -> set[str]:
    """Names of the metrics with comparisons in the shop's queue."""
    return {
        metric["metric"]
        for entry in shop.cluster.document(shop.queue)["criteria"]
        for metric in entry["metrics"]
        if metric["comparisons"]
    }


def superseded_events(cluster: Cluster) -> float:
    """Events that the worker counted as superseded."""
    return total(
        series(get(f"{cluster.worker_urls['w1']}/metrics").body.decode()), "eval_alignment_events_superseded_total"
    )
