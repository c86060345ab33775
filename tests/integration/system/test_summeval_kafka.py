"""SummEval on Apache Kafka: two workers, one of them killed three times while events arrive, and a reader.

The fixture `story` runs once; each test checks one property of it. The counts are compared with expected.json, and
with a recount of the topics that shares no code with the product. The time from the end of the load until the API
shows the counts is logged, and kept as a property of the test.
"""

import http.client
import json
import logging
import signal
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import pytest

from tests.support.deployments import Cluster
from tests.support.kafka import Kafka
from tests.support.plain import (
    Partition,
    cards,
    cards_of_document,
    cells,
    cells_of_document,
    counts_of_document,
    counts_of_tallies,
    partitions,
)
from tests.support.processes import Command, wait_until
from tests.support.summeval import QUEUE, Expected, events, files, renamed, shuffled
from tests.support.wire import Stored, Wire

_log = logging.getLogger(__name__)

DEADLINE = 30.0
SAMPLE = 25
KILLED = "w1"
PARTS = 6
KILLED_DURING = (0, 2, 4)
SOURCES = ("annotations", "evaluations", "queue-items")


class Poller:
    """Reads the document of a queue repeatedly in a thread, and keeps one document of every state."""

    def __init__(self, address: str, queue: str) -> None:
        self.documents: list[Any] = []
        self.reads = 0
        self._path = f"/api/v1/queues/{quote(queue, safe='')}"
        self._connection = http.client.HTTPConnection(address, timeout=30)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="poller")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._connection.close()

    def has_more_than(self, seen: int) -> bool:
        """Whether it has more than this number of documents."""
        return len(self.documents) > seen

    def _run(self) -> None:
        last = b""
        while not self._ended.is_set():
            self._connection.request("GET", self._path)
            answer = self._connection.getresponse()
            body = answer.read()
            self.reads += 1
            if answer.status == 200 and body != last:
                self.documents.append(json.loads(body))
                last = body


@dataclass(slots=True)
class Story:
    """Results of the run, and the content of the topics at its end."""

    cluster: Cluster
    wire: Wire
    exit_codes: list[int] = field(default_factory=list)
    documents: list[Any] = field(default_factory=list)
    api_seconds: float = -1.0
    gauges_seconds: float = -1.0
    committed: int = 0
    facts: dict[int, Partition] = field(default_factory=dict)
    tallies: list[Stored] = field(default_factory=list)
    dead_letters: list[Stored] = field(default_factory=list)


def load_with_kills(cluster: Cluster, lines: Sequence[bytes], poller: Poller) -> list[int]:
    """Load all events in six files, and kill the worker during three of them; returns its exit codes.

    It is killed as soon as the reader was served a state with some of the file's events, and restarted immediately.
    The load of the file continues meanwhile; the next file waits until the worker is ready.
    """
    worker, codes = cluster.workers[KILLED], []
    for number in range(PARTS):
        worker.wait_ready(cluster.worker_urls[KILLED])
        part = cluster.directory / f"part-{number}.ndjson"
        part.write_bytes(b"".join(lines[len(lines) * number // PARTS : len(lines) * (number + 1) // PARTS]))
        seen = len(poller.documents)
        load = Command(
            *("load", "--broker", cluster.broker, str(part)),
            log=cluster.directory / f"load-{number}.log",
            environment=worker.environment,
        )
        with load:
            wait_until(partial(poller.has_more_than, seen), DEADLINE, "a newer document")
            if number in KILLED_DURING:
                assert worker.process is not None
                worker.kill()
                codes.append(worker.process.returncode)
                worker.start()
            assert load.wait() == 0, load.text()
    worker.wait_ready(cluster.worker_urls[KILLED])
    return codes


@pytest.fixture(scope="module")
def expected(summeval: Path) -> Expected:
    return Expected.read(summeval)


@pytest.fixture(scope="module")
def story(
    kafka: Kafka, summeval: Path, expected: Expected, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Story]:
    prefix = f"t{uuid.uuid4().hex[:12]}."
    cluster = Cluster(kafka.bootstrap, prefix, tmp_path_factory.mktemp("cluster"), workers=(KILLED, "w2"))
    with cluster, Wire(kafka.bootstrap) as wire:
        story = Story(cluster, wire)
        with Poller(cluster.http, QUEUE) as poller:
            story.exit_codes = load_with_kills(cluster, shuffled(summeval, seed=7), poller)
            story.api_seconds, story.gauges_seconds = equals(cluster, expected, QUEUE)
        _log.info("%d reads", poller.reads)
        story.documents = [*poller.documents, cluster.document(QUEUE)]
        story.committed = committed_to_the_end(cluster, wire)
        story.facts = partitions(QUEUE, wire.read(cluster.topic("facts")))
        story.tallies = wire.read(cluster.topic("tallies"))
        story.dead_letters = wire.read(cluster.topic("dead-letters"))
        yield story


def equals(cluster: Cluster, expected: Expected, queue: str) -> tuple[float, float]:
    """Wait until API and gauges show the expected counts; returns the seconds that each took."""
    began = time.monotonic()
    wait_until(
        lambda: expected.shown_by(cluster.document(queue)),
        DEADLINE,
        lambda: expected.difference(cluster.document(queue)),
    )
    api = time.monotonic() - began
    wait_until(lambda: expected.shown_by_gauges(cluster.metrics(), queue), DEADLINE, "the gauges equal")
    gauges = time.monotonic() - began
    _log.info("%s, from the end of the load: API equal after %.2f s, gauges after %.2f s", queue, api, gauges)
    return api, gauges


def committed_to_the_end(cluster: Cluster, wire: Wire) -> int:
    """Wait until every source partition is committed to its end; returns the number of events."""
    sources = [cluster.topic(source) for source in SOURCES]
    ends = wire.ends(sources)
    wait_until(lambda: wire.committed(cluster.group, sources) == ends, DEADLINE, f"committed is {ends}")
    assert len(ends) == 3 * cluster.partitions
    return sum(ends.values())


def true_states(documents: Sequence[Any], facts: Mapping[int, Partition], sample: int) -> int:
    """Check that each of a sample of documents, the first and the last included, has exactly the counts of the ledger
    below the document's own positions. Returns the number of distinct states.
    """
    states = list({tuple(sorted(document["positions"].items())): document for document in documents}.values())
    step = max(1, -(-(len(states) - 1) // (sample - 1)))
    for document in [*states[:-1:step], states[-1]]:
        below = {int(partition): position for partition, position in document["positions"].items()}
        counts = sum((facts[number].count(end) for number, end in below.items()), Counter[tuple[str, ...]]())
        assert counts_of_document(document) == counts, below
        assert cells_of_document(document) == cells(counts), below
        assert cards_of_document(document) == cards(counts), below
    return len(states)


def only_forward(documents: Sequence[Any]) -> None:
    """Check that there is one ledger id, and that positions and revision never decrease."""
    assert len({document["ledger"] for document in documents}) == 1
    for earlier, later in pairwise(documents):
        assert earlier["positions"].keys() <= later["positions"].keys()
        assert all(position <= later["positions"][number] for number, position in earlier["positions"].items())
        assert earlier["revision"] <= later["revision"]


@pytest.mark.slow
def test_the_worker_was_killed_three_times(story: Story) -> None:
    assert story.exit_codes == [-signal.SIGKILL] * 3
    owners = Counter(claim["owner"] for partition in story.facts.values() for claim in partition.claims)
    # Each of its four runs owned at least one partition.
    assert owners[KILLED] >= 4, owners
    for process in (*story.cluster.workers.values(), story.cluster.view):
        assert "Traceback" not in process.text()


@pytest.mark.slow
def test_api_and_gauges_reach_the_expected_counts(story: Story, record_property: Callable[[str, object], None]) -> None:
    record_property("api_seconds", round(story.api_seconds, 2))
    record_property("gauges_seconds", round(story.gauges_seconds, 2))
    assert 0 <= story.api_seconds <= story.gauges_seconds


@pytest.mark.slow
def test_every_event_is_committed_and_nothing_rejected(story: Story, expected: Expected) -> None:
    assert story.dead_letters == []
    assert story.committed == expected.events


@pytest.mark.slow
def test_ledger_and_tallies_recount_to_the_expected_counts(story: Story, expected: Expected) -> None:
    counts = sum((partition.count(sys.maxsize) for partition in story.facts.values()), Counter[tuple[str, ...]]())
    assert cells(counts) == expected.cells
    assert cards(counts) == expected.cards
    in_tallies = counts_of_tallies(QUEUE, story.tallies)
    assert cells(in_tallies) == expected.cells
    kinds = ("cell", "annotations", "annotations_contributing")
    assert in_tallies == {what: count for what, count in counts.items() if what[0] in kinds}


@pytest.mark.slow
def test_the_reader_only_saw_true_states(story: Story, record_property: Callable[[str, object], None]) -> None:
    states = true_states(story.documents, story.facts, SAMPLE)
    record_property("states", states)
    _log.info("%d distinct states were served", states)
    assert states >= 2 * PARTS
    only_forward(story.documents)


@pytest.mark.row(8)
@pytest.mark.parametrize(
    "order",
    [
        "annotations first",
        *(pytest.param(each, marks=pytest.mark.slow) for each in ("evaluations first", "three times over")),
    ],
)
def test_counts_are_exact_at_full_speed_in_any_order(
    order: str, story: Story, summeval: Path, expected: Expected, record_property: Callable[[str, object], None]
) -> None:
    annotations, evaluations = (renamed(events(path), order) for path in files(summeval))
    lines = {
        "annotations first": annotations + evaluations,
        "evaluations first": evaluations + annotations,
        "three times over": (annotations + evaluations) * 3,
    }[order]
    cluster = story.cluster
    with Poller(cluster.http, order) as poller:
        cluster.run("load", "--broker", cluster.broker, "-", stdin=b"".join(lines))
        api, gauges = equals(cluster, expected, order)
        committed_to_the_end(cluster, story.wire)
        # The counts do not change any more.
        assert expected.shown_by(cluster.document(order))
    record_property("api_seconds", round(api, 2))
    record_property("gauges_seconds", round(gauges, 2))
    facts = partitions(order, story.wire.read(cluster.topic("facts")))
    states = true_states([*poller.documents, cluster.document(order)], facts, 4)
    _log.info("%s: %d distinct states were served in %d reads", order, states, poller.reads)
    only_forward(poller.documents)
