"""Snapshot documents: written when they change, kept for a while, and not lost while the broker is unreachable."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Iterable
from datetime import date
from pathlib import Path

import orjson
import pytest
from aiokafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError, MessageSizeTooLargeError

from aggregator.days import DAY_MS
from aggregator.facts import Annotation, Evaluation, Fact
from aggregator.snapshot.inputs import CountingRules
from aggregator.snapshot.schema import SnapshotDocument
from sinks.changes import Changes
from sinks.documents import Documents
from sinks.metrics import ViewMetrics
from sinks.queries.history import documents_between
from sinks.snapshots import RefusedDocument, SnapshotHistory, Snapshots
from sinks.store.store import Store
from tests.support.sample_view import FACTS, NOW_MS, fill
from tests.support.waiting import eventually


class Published:
    """A topic in memory. While `away`, publishing fails; documents of the queues in `refused` are refused."""

    def __init__(self) -> None:
        self.documents: list[SnapshotDocument] = []
        self.away = False
        self.refused: dict[str, KafkaError] = {}
        self.sent: Counter[str] = Counter()

    async def publish(self, documents: Iterable[SnapshotDocument]) -> dict[str, RefusedDocument]:
        if self.away:
            raise KafkaConnectionError("no broker")
        refusals = {}
        for document in documents:
            queue = document["queue"]
            self.sent[queue] += 1
            if queue in self.refused:
                refusals[queue] = RefusedDocument(self.refused[queue], len(orjson.dumps(document)))
            else:
                self.documents.append(document)
        return refusals

    @property
    def queues(self) -> list[str]:
        return [document["queue"] for document in self.documents]


class View:
    """The parts around `Snapshots`."""

    def __init__(self, store: Store, history_count: int = 1_000) -> None:
        self.store = store
        self.topic = Published()
        self.metrics = ViewMetrics("0")
        self.history = SnapshotHistory(store, history_count, 90)
        self.documents = Documents(store, CountingRules(), lambda: date(2026, 11, 24))
        self.snapshots = Snapshots(self.documents, store, self.history, self.topic, self.metrics)

    def metric(self, name: str, sink: str) -> float:
        number = self.metrics.registry.get_sample_value(f"eval_alignment_snapshot_{name}", {"sink": sink})
        assert number is not None
        return number

    def kept(self, queue: str) -> list[SnapshotDocument]:
        with self.store.read() as connection:
            return [document for _, document in documents_between(connection, queue, (0, 2**62), 10_000)[0]]


def one(stars: int, queue: str = "q", items: int = 1) -> list[Fact]:
    """Comparisons with a metric that passes."""
    return [
        fact
        for number in range(items)
        for fact in (
            Annotation(at=NOW_MS + stars, id="a", queue=queue, item=f"i{number}", stars=stars),
            Evaluation(at=NOW_MS, id="e", item=f"i{number}", metric="m", passed=True),
        )
    ]


async def test_a_document_is_written_when_its_numbers_changed(store: Store) -> None:
    view = View(store)
    await view.snapshots.write(fill(store, one(5)))
    # A newer state with the same numbers.
    assert fill(store, one(5), NOW_MS + 5_000) == {"q"}
    await view.snapshots.write({"q"})
    assert view.topic.queues == ["q"]
    await view.snapshots.write(fill(store, [*one(5), *one(5, "other")]))
    assert view.topic.queues == ["q", "other"]


async def test_history_and_topic_carry_the_documents(store: Store) -> None:
    view = View(store)
    await view.snapshots.write(fill(store, one(1)))
    await view.snapshots.write(fill(store, one(5)))
    misaligned = [document["cards"]["misaligned"] for document in view.topic.documents]
    assert misaligned == [1, 0]
    assert [document["cards"]["misaligned"] for document in view.kept("q")] == [0, 1]
    assert orjson.loads(orjson.dumps(view.topic.documents[-1])) == view.kept("q")[0]


async def test_documents_of_an_unreachable_broker_are_kept_and_failures_counted(store: Store) -> None:
    view = View(store)
    view.topic.away = True
    await view.snapshots.write(fill(store, FACTS))
    await view.snapshots.write()
    assert view.metric("failures_total", "topic") == 2
    view.topic.away = False
    await view.snapshots.write()
    assert sorted(view.topic.queues) == sorted({fact.queue for fact in FACTS if not isinstance(fact, Evaluation)})
    await view.snapshots.write()
    assert len(view.topic.documents) == 2
    assert view.metric("last_success_timestamp_seconds", "topic") == pytest.approx(time.time(), abs=60)


async def test_a_document_that_is_too_large_stops_no_other_and_is_sent_again_when_it_changed(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    view = View(store)
    queues = [f"q{number:03}" for number in range(120)]
    view.topic.refused = {"q000": MessageSizeTooLargeError()}
    await view.snapshots.write(fill(store, [fact for queue in queues for fact in one(5, queue)]))
    assert view.topic.queues == queues[1:]
    for _ in range(3):
        await view.snapshots.write()
    assert set(view.topic.sent.values()) == {1}, "nothing is sent again while nothing changes"
    assert view.metric("failures_total", "topic") == 0
    assert view.metrics.registry.get_sample_value("eval_alignment_snapshots_too_large") == 1
    await view.snapshots.write(fill(store, one(1, "q000")))
    assert view.topic.sent["q000"] == 2
    (message,) = [record.getMessage() for record in caplog.records]
    assert "queue='q000', bytes=" in message
    view.topic.refused = {}
    await view.snapshots.write(fill(store, one(5, "q000")))
    assert view.topic.queues[-1] == "q000"
    assert view.metrics.registry.get_sample_value("eval_alignment_snapshots_too_large") == 0


async def test_a_document_that_was_not_taken_is_sent_again_and_the_others_are_not(store: Store) -> None:
    view = View(store)
    queues = [f"q{number:03}" for number in range(60)]
    view.topic.refused = {"q000": KafkaTimeoutError()}
    await view.snapshots.write(fill(store, [fact for queue in queues for fact in one(5, queue)]))
    await view.snapshots.write()
    assert view.topic.queues == queues[1:]
    assert view.topic.sent["q000"] == view.metric("failures_total", "topic") == 2
    view.topic.refused = {}
    await view.snapshots.write()
    assert view.topic.queues == [*queues[1:], "q000"]


async def test_while_events_flow_the_gauges_document_is_written_and_the_newest_one_in_the_end(store: Store) -> None:
    view = View(store)
    await view.snapshots.write(fill(store, one(1)))
    fill(store, one(5))
    of_gauges = view.documents.get("q")
    await view.snapshots.write(fill(store, one(5, items=2)))
    assert view.topic.documents[-1] == of_gauges == view.kept("q")[0]
    await view.snapshots.write()
    assert [document["cards"]["comparisons"] for document in view.topic.documents] == [1, 1, 2]
    await view.snapshots.write()
    assert len(view.topic.documents) == len(view.kept("q")) == 3


async def test_documents_kept_by_an_earlier_process_are_published_by_the_next(store: Store) -> None:
    first = View(store)
    first.topic.away = True
    await first.snapshots.write(fill(store, one(5)))
    second = View(store)
    await second.snapshots.write({"q"})
    assert second.topic.queues == ["q"]
    assert len(second.kept("q")) == 1


async def test_a_view_that_does_not_publish_keeps_history(store: Store) -> None:
    view = View(store)
    quiet = Snapshots(view.documents, store, view.history, None, view.metrics)
    await quiet.write(fill(store, one(5)))
    assert len(view.kept("q")) == 1


async def test_a_busy_queue_is_written_at_most_once_a_second(store: Store) -> None:
    view, changes = View(store), Changes()
    with changes.subscribe() as subscription:
        task = asyncio.create_task(view.snapshots.run(subscription))
        started = time.monotonic()
        for number in range(40):
            changes.notify(await asyncio.to_thread(fill, store, one(5, items=number + 1)))
            await asyncio.sleep(0.05)
        took = time.monotonic() - started
        await eventually(lambda: view.topic.documents[-1]["cards"]["comparisons"] == 40)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    assert 1 <= view.topic.queues.count("q") <= took + 2


def test_history_is_thinned_by_count_to_one_a_day_and_dropped_by_age(store: Store) -> None:
    fill(store, FACTS)
    history = SnapshotHistory(store, count=3, days=10)
    document = Documents(store, CountingRules(), lambda: date(2026, 11, 24)).get("support")
    assert document is not None
    day = NOW_MS // DAY_MS * DAY_MS
    times = [day - 11 * DAY_MS] + [day - back * DAY_MS + hour for back in (5, 4) for hour in (1, 2)]
    times += [day + 1, day + 2, day + 3]
    for number, at in enumerate(times):
        document["cards"]["comparisons"] = number
        assert history.add([document], at)
    with store.read() as connection:
        kept = [at for at, _ in documents_between(connection, "support", (0, 2**62), 100)[0]]
    assert kept == [day + 3, day + 2, day + 1, day - 4 * DAY_MS + 2, day - 5 * DAY_MS + 2]


def test_the_history_of_an_earlier_store_precedes_what_this_one_shows_after_reading_the_rows_again(
    store: Store, tmp_path: Path
) -> None:
    """Of the documents of the loading only the newest stays, and only where its numbers are new."""
    with contextlib.closing(Store(tmp_path / "earlier.sqlite3")) as earlier:
        past = SnapshotHistory(earlier, 10, 90)
        for at, queue, count in ((1, "same", 1), (2, "same", 2), (3, "other", 5), (4, "gone", 1)):
            past.add([numbered(queue, count)], NOW_MS + at)
    history = SnapshotHistory(store, 10, 90)
    for at, queue, count in ((10, "same", 1), (11, "same", 2), (12, "other", 3), (13, "other", 6), (14, "new", 1)):
        history.add([numbered(queue, count)], NOW_MS + at)
    history.take_over(tmp_path / "earlier.sqlite3")
    assert {queue: times(store, queue) for queue in ("same", "other", "gone", "new")} == {
        "same": [2, 1],
        "other": [13, 3],
        "gone": [4],
        "new": [14],
    }


def numbered(queue: str, count: int) -> SnapshotDocument:
    """A document with this number; every other field is left out."""
    return {"queue": queue, "revision": count, "cards": {"comparisons": count}}  # type: ignore[typeddict-item]


def times(store: Store, queue: str) -> list[int]:
    """Times of the documents of a queue, newest first, in ms after NOW_MS."""
    with store.read() as connection:
        return [at - NOW_MS for at, _ in documents_between(connection, queue, (0, NOW_MS + 100), 100)[0]]
