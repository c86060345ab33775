"""Writes snapshot documents to the compacted topic and to the history in the store.

A document is written when its numbers have changed, at most once a second per queue. At UTC midnight, when windows
move, all are checked. What could not be written stays due and is retried, so an unavailable broker or disk delays
documents but loses none.

Each document is published on its own: one that the topic does not take stops no other. A document that is too large
for the topic is counted and logged, and is not sent again before it changes.
"""

# SQL is put together from constants of this file alone; values are always bound.
# ruff: noqa: S608

import asyncio
import contextlib
import hashlib
import logging
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from aggregator.days import DAY_MS
from aggregator.snapshot.schema import SnapshotDocument
from sinks.changes import Subscription
from sinks.documents import Documents
from sinks.metrics import ViewMetrics
from sinks.queries.history import last_digest
from sinks.queries.queues import find_queue, list_queues
from sinks.store.store import Store
from streams.kafka.client import connect

log = logging.getLogger(__name__)

PASS_SECONDS: Final = 1.0
"""Time between two passes: a queue's document is written at most this often."""
CLOSE_SECONDS: Final = 2.0
"""Time that a stop allows the broker to accept pending documents; aiokafka itself waits 40 s."""
_BATCH: Final = 200
"""Most documents of one transaction of the history."""
_IN_FLIGHT: Final = 25
"""Most documents that wait for the broker together. One can have megabytes."""
_OWN_BATCH: Final = 1
"""Batch size of the producer, in bytes: no two records fit, so each document is accepted or refused alone."""
_REQUEST_BYTES: Final = 64 << 20
"""Largest document that is sent, before compression. What the topic takes, the broker knows."""

_STATE_FIELDS: Final = ("as_of", "revision", "ledger", "positions")
"""Fields that identify the state of a document. A document in which only these differ has not changed."""


class RefusedDocument(NamedTuple):
    """Why a document is not in the topic."""

    error: KafkaError
    size: int
    """Size of the document in bytes, before compression."""

    @property
    def too_large(self) -> bool:
        """Whether the topic never takes this document, however often it is sent."""
        return isinstance(self.error, MessageSizeTooLargeError)


class Topic(Protocol):
    """Where documents are published."""

    async def publish(self, documents: Iterable[SnapshotDocument]) -> Mapping[str, RefusedDocument]:
        """Publish documents, each on its own.

        Returns the refused ones by queue; the broker has the others. Raises KafkaError when it is not reached at all.
        """


class SnapshotHistory:
    """The history of snapshot documents in the store. Methods block.

    Args:
        store: the store.
        count: documents of a queue that are all kept; of older ones the last of each UTC day is kept.
        days: age in days at which documents are deleted.
    """

    def __init__(self, store: Store, count: int, days: int) -> None:
        self._store = store
        self._count = count
        self._days = days

    def add(self, documents: Iterable[SnapshotDocument], at: int) -> list[SnapshotDocument]:
        """Store the documents whose numbers have changed, with time `at` in ms; returns them."""
        changed = []
        with self._store.write() as connection:
            for document in documents:
                queue, digest = document["queue"], _digest(document)
                if last_digest(connection, queue) == digest:
                    continue
                changed.append(document)
                connection.execute(
                    "INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?, ?, ?)",
                    (queue, at, document["revision"], digest, zlib.compress(orjson.dumps(document), 1)),
                )
                self._thin(connection, queue, at)
        return changed

    def take_over(self, earlier: Path) -> None:
        """Put the documents of an earlier store before those of this one.

        This store has read the rows of the earlier one again. Of its own documents, which show parts of these rows,
        only the newest of a queue stays, if its numbers differ from the newest of the earlier store.
        """
        with contextlib.closing(Store(earlier)) as store, store.read() as source, self._store.write() as connection:
            connection.execute(
                "DELETE FROM snapshots WHERE at < (SELECT max(at) FROM snapshots AS s WHERE s.queue = snapshots.queue)"
            )
            for (queue,) in source.execute("SELECT DISTINCT queue FROM snapshots"):
                if last_digest(connection, queue) == last_digest(source, queue):
                    connection.execute("DELETE FROM snapshots WHERE queue = ?", (queue,))
            connection.executemany(
                "INSERT OR IGNORE INTO snapshots VALUES (?, ?, ?, ?, ?)",
                source.execute("SELECT queue, at, revision, digest, document FROM snapshots"),
            )

    def _thin(self, connection: sqlite3.Connection, queue: str, at: int) -> None:
        connection.execute("DELETE FROM snapshots WHERE queue = ? AND at < ?", (queue, at - self._days * DAY_MS))
        connection.execute(
            "DELETE FROM snapshots WHERE queue = ?1 AND at <= ("
            "SELECT at FROM snapshots WHERE queue = ?1 ORDER BY at DESC LIMIT 1 OFFSET ?2) "
            "AND EXISTS (SELECT 1 FROM snapshots AS later WHERE later.queue = ?1 AND later.at > snapshots.at "
            f"AND later.at / {DAY_MS} = snapshots.at / {DAY_MS})",
            (queue, self._count),
        )


def _digest(document: SnapshotDocument) -> bytes:
    numbers: dict[str, object] = {name: value for name, value in document.items() if name not in _STATE_FIELDS}
    if "rebuilding" in numbers:
        # The offsets that are left decrease; that they come and go is a change.
        numbers["rebuilding"] = True
    return hashlib.blake2b(orjson.dumps(numbers, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()


class KafkaTopic:
    """The snapshots topic; connects when it is first used.

    Args:
        topic: name of the topic.
        client: arguments of the Kafka client.
    """

    def __init__(self, topic: str, client: Mapping[str, Any]) -> None:
        self._topic = topic
        self._client = client
        self._producer: AIOKafkaProducer | None = None

    async def publish(self, documents: Iterable[SnapshotDocument]) -> Mapping[str, RefusedDocument]:
        """Publish documents, each on its own; returns the refused ones by queue. Raises KafkaError."""
        if self._producer is None:
            producer = AIOKafkaProducer(
                acks="all",
                client_id="eval-alignment-view",
                compression_type="zstd",
                max_batch_size=_OWN_BATCH,
                max_request_size=_REQUEST_BYTES,
                **self._client,
            )
            try:
                await connect(producer)
            except BaseException:
                await producer.stop()
                raise
            self._producer = producer
        answers = await asyncio.gather(*(self._send(self._producer, document) for document in documents))
        return {queue: refusal for queue, refusal in answers if refusal is not None}

    async def _send(self, producer: AIOKafkaProducer, document: SnapshotDocument) -> tuple[str, RefusedDocument | None]:
        queue, value = document["queue"], orjson.dumps(document)
        try:
            await producer.send_and_wait(self._topic, key=queue.encode(), value=value)
        except KafkaError as error:
            return queue, RefusedDocument(error, len(value))
        return queue, None

    async def close(self) -> None:
        """Close the connection.

        What an unavailable broker does not accept soon is left to the next view, which checks all documents first.
        """
        if self._producer is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._producer.stop()


class Snapshots:
    """Writes the documents of changed queues, pass by pass.

    Args:
        documents: builds them.
        store: lists the queues.
        history: stores them.
        topic: publishes them; None for a view that does not publish.
        metrics: counts successful and failed passes.
        now: returns seconds since epoch.
    """

    def __init__(
        self,
        documents: Documents,
        store: Store,
        history: SnapshotHistory,
        topic: Topic | None,
        metrics: ViewMetrics,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._documents = documents
        self._store = store
        self._history = history
        self._topic = topic
        self._metrics = metrics
        self._now = now
        self._due: set[str] = set()
        self._unpublished: set[str] = set()
        self._published: set[str] = set()
        self._too_large: set[str] = set()
        """Queues whose last document was too large for the topic."""
        self._revisions: dict[str, int] = {}
        """Revision of the last document that was checked, by queue."""

    async def run(self, changes: Subscription) -> None:
        """Write until cancelled. Checks all documents first, and again at UTC midnight."""
        day: int | None = None
        while True:
            today = int(self._now() * 1000) // DAY_MS
            if today != day:
                self._due |= await asyncio.to_thread(self._all_queues)
                day = today
            await self.write()
            await asyncio.sleep(PASS_SECONDS)
            midnight = (today + 1) * DAY_MS / 1000
            rest = 0.0 if self._due or self._unpublished else max(0.0, min(PASS_SECONDS * 10, midnight - self._now()))
            self._due |= await changes.wait(rest)

    def _all_queues(self) -> set[str]:
        with self._store.read() as connection:
            return {entry.queue for entry in list_queues(connection)}

    async def write(self, queues: Iterable[str] = ()) -> None:
        """One pass over `queues` and those that are due."""
        self._due.update(queues)
        outdated: set[str] = set()
        try:
            while batch := sorted(self._due)[:_BATCH]:
                changed, of_older_states = await asyncio.to_thread(self._store_changed, batch)
                # An earlier process may not have published what it stored.
                self._unpublished |= changed | (set(batch) - self._published)
                self._due.difference_update(batch)
                outdated |= of_older_states
            self._metrics.succeeded("history", self._now())
        except sqlite3.OperationalError as error:
            self._metrics.failed("history")
            log.warning("snapshots not stored, retrying: %s", error)
        self._due |= outdated
        if self._topic is None:
            self._unpublished.clear()
            return
        try:
            failure = await self._publish(self._topic)
        except KafkaError as error:
            failure = error
        if failure is None:
            self._metrics.succeeded("topic", self._now())
        else:
            self._metrics.failed("topic")
            log.warning("snapshots not published, retrying: %r", failure)

    async def _publish(self, topic: Topic) -> KafkaError | None:
        """Publish what is not published; returns a failure after which a document must be sent again."""
        failure: KafkaError | None = None
        waiting = sorted(self._unpublished)
        for start in range(0, len(waiting), _IN_FLIGHT):
            queues = waiting[start : start + _IN_FLIGHT]
            refusals = await topic.publish(await asyncio.to_thread(self._latest, queues))
            failures = {queue: refusal.error for queue, refusal in refusals.items() if not refusal.too_large}
            for queue in queues:
                if queue not in failures:
                    self._settle(queue, refusals.get(queue))
            failure = next(iter(failures.values()), failure)
            if len(failures) == len(queues):
                # The broker is away: the others would wait for their timeouts too.
                break
        return failure

    def _settle(self, queue: str, refusal: RefusedDocument | None) -> None:
        """The document of a queue is published, or will never be: it is not sent again before it changes."""
        self._unpublished.discard(queue)
        self._published.add(queue)
        if refusal is None:
            self._too_large.discard(queue)
        elif queue not in self._too_large:
            self._too_large.add(queue)
            log.warning(
                "snapshot too large for the topic, not published until it fits: queue=%r, bytes=%d before zstd; "
                "raise max.message.bytes of the snapshots topic, or read the document from the API",
                queue,
                refusal.size,
            )
        self._metrics.snapshots_too_large.set(len(self._too_large))

    def _latest(self, queues: Iterable[str]) -> list[SnapshotDocument]:
        documents = (self._documents.cached(queue) or self._documents.get_if_possible(queue) for queue in queues)
        return [document for document in documents if document is not None]

    def _store_changed(self, queues: list[str]) -> tuple[set[str], set[str]]:
        """Store the documents of queues; returns queues whose numbers changed, and queues that have a newer state."""
        with self._store.read() as connection:
            entries = [find_queue(connection, queue) for queue in queues]
        revisions = {entry.queue: entry.revision for entry in entries if entry is not None}
        documents = [document for queue in queues if (document := self._newer(queue)) is not None]
        changed = self._history.add(documents, int(self._now() * 1000))
        self._revisions.update((document["queue"], document["revision"]) for document in documents)
        # Changes that were applied after `entries` was read arrive as notifications.
        outdated = {
            document["queue"] for document in documents if document["revision"] < revisions.get(document["queue"], 0)
        }
        return {document["queue"] for document in changed}, outdated

    def _newer(self, queue: str) -> SnapshotDocument | None:
        """A document that is newer than the last one that was checked.

        While events flow it is the one that the gauges built: to build another takes much of the time between changes.
        """
        document = self._documents.cached(queue)
        if document is not None and document["revision"] > self._revisions.get(queue, -1):
            return document
        return self._documents.get_if_possible(queue)
