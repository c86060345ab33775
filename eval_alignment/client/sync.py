"""The client for programs without an event loop: a daemon thread sends, so a call returns when its event is queued."""

import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self, Unpack

import httpx

from eval_alignment.client.answers import DeliveryOutcome
from eval_alignment.client.base import BaseClient
from eval_alignment.client.connection import REQUEST_ERRORS
from eval_alignment.client.errors import ClientError
from eval_alignment.client.events import AnnotationFields, EvaluationFields, QueueItemFields, encode
from eval_alignment.client.outbox import EventBatch
from streams.events.decoder import Kind
from streams.runtime.http_client import sync_client

_END_S: Final = 1.0
"""How long `close` waits for a thread that has nothing left to send, in seconds."""


class Client(BaseClient):
    """Sends annotations, evaluations and queue items to `eval-alignment ingest`. Thread-safe.

    Events are queued, sent in batches by a thread, and sent again until ingest acknowledges or rejects them. `close`,
    the end of a `with` block and the end of the program send what is queued, for at most `close_s` seconds. `flush`
    and `close` raise DeliveryError for events that were rejected or not sent; the end of the program logs it.

    A forked child begins with an empty queue: the parent sends what it had queued. A process that ends by a signal, by
    `os._exit`, or as a child of multiprocessing runs no exit handlers: close the client there.

    >>> import httpx
    >>> ingest = httpx.MockTransport(lambda request: httpx.Response(200, json={"accepted": 2}))
    >>> with Client(transport=ingest) as client:
    ...     id = client.annotate(queue="support", item="trace-1", thumbs="up", annotator="ana")
    ...     id = client.evaluate(item="trace-1", metric="helpfulness", score=0.8, threshold=0.5, judge="v2")
    >>> client.accepted
    2
    """

    def _start_afresh(self) -> None:
        super()._start_afresh()
        self._lock = threading.RLock()
        self._work = threading.Condition(self._lock)
        """Notified when the sender has to look again."""
        self._progress = threading.Condition(self._lock)
        """Notified when events were settled, or the sender ended."""
        self._thread: threading.Thread | None = None

    def annotate(self, **event: Unpack[AnnotationFields]) -> str:
        """Queue an annotation and return its id. Its arguments are the fields of `AnnotationFields`.

        Raises InvalidEventError (a ValueError) for an invalid event, QueueFullError when the queue stays full for
        `block_s` seconds, ClientError when the client is closed.
        """
        return self._add(Kind.ANNOTATION, event)

    def evaluate(self, **event: Unpack[EvaluationFields]) -> str:
        """Queue an evaluation and return its id. Arguments: `EvaluationFields`. Raises what `annotate` raises."""
        return self._add(Kind.EVALUATION, event)

    def queue_item(self, **event: Unpack[QueueItemFields]) -> str:
        """Queue a queue item and return its id. Arguments: `QueueItemFields`. Raises what `annotate` raises."""
        return self._add(Kind.QUEUE_ITEM, event)

    def flush(self, timeout_s: float = 30.0) -> None:
        """Send all events that are queued now, and return when each is acknowledged.

        Raises DeliveryError when events were rejected since the last report, or are not sent after `timeout_s`
        seconds, or as soon as it is known that they cannot be sent. What is not sent stays queued.
        """
        self._not_from_a_callback()
        with self._lock:
            self._check_usable()
            target = self._wait_flushed(time.monotonic() + timeout_s)
            error = self._undelivered(self._outbox.unsettled(target))
        if error is not None:
            raise error

    def close(self, timeout_s: float | None = None) -> None:
        """Send what is queued for at most `timeout_s` (default `close_s`) seconds, and end. A second call does nothing.

        Raises DeliveryError when events were rejected since the last report, or were not sent.
        """
        self._not_from_a_callback()
        error = self._close(time.monotonic() + (self._close_s if timeout_s is None else timeout_s))
        if error is not None:
            raise error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except ClientError as undelivered:
            self._leave_block(error, undelivered)

    def _add(self, kind: Kind, fields: Mapping[str, Any]) -> str:
        id, line = encode(kind, fields)
        deadline = time.monotonic() + self._block_s
        with self._lock:
            self._check_usable()
            while not self._outbox.has_room(line):
                # Only the sender makes room, so it cannot wait for it in a callback.
                remaining = deadline - time.monotonic()
                if remaining <= 0 or threading.current_thread() is self._thread:
                    raise self._queue_full()
                self._progress.wait(remaining)
                self._check_usable()
            if self._thread is None:
                self._start()
            if self._outbox.add(id, line, time.monotonic()):
                self._work.notify()
        return id

    def _start(self) -> None:
        # Made here, because httpx imports modules for it: a fork meanwhile would leave them half imported in the child.
        http = sync_client(**self._connection.client_arguments())
        thread = threading.Thread(target=self._run, args=(http,), name="eval-alignment-client", daemon=True)
        thread.start()
        self._thread = thread

    def _wait_flushed(self, deadline: float) -> int:
        """Wait until the events of now are settled, or cannot be before the deadline. Returns their number."""
        target, refusals = self._outbox.flush(), self._outbox.refusals
        self._work.notify()
        while not self._flushed(target, refusals, deadline) and (remaining := deadline - time.monotonic()) > 0:
            self._progress.wait(remaining)
        return target

    def _close(self, deadline: float) -> ClientError | None:
        with self._lock:
            if self._closed:
                return None
            self._closed = True
            try:
                self._wait_flushed(deadline)
            except BaseException:
                # Ctrl-C while it waits: the interruption goes on, and the loss is reported.
                self._log_interrupted()
                raise
            finally:
                unsent = self._outbox.give_up()
                self._work.notify()
                self._progress.notify_all()
            error = self._undelivered(unsent)
        if self._thread is not None and not unsent:
            self._thread.join(_END_S)
        return error

    def _not_from_a_callback(self) -> None:
        if threading.current_thread() is self._thread:
            raise RuntimeError("flush and close cannot be called by a callback of the client: it would wait for itself")

    def _at_exit(self, started: float) -> None:
        self._log_at_exit(self._close(started + self._close_s))

    def _run(self, http: httpx.Client) -> None:
        """Send batches until the client is closed."""
        try:
            with http:
                while (batch := self._next_batch()) is not None:
                    outcome = self._send(http, batch)
                    with self._lock:
                        settlement = self._settle(batch, outcome)
                        settled = self._outbox.settled
                    self._report(settlement)
                    with self._lock:
                        self._reported = settled
                        self._progress.notify_all()
        except BaseException as error:  # noqa: BLE001 -- raised by the next call in a thread that can handle it
            with self._lock:
                self._failure = error
                self._progress.notify_all()

    def _next_batch(self) -> EventBatch | None:
        with self._lock:
            while True:
                due_in = self._outbox.due_in(time.monotonic())
                if due_in is not None and due_in <= 0:
                    return self._outbox.take()
                if due_in is None and self._closed:
                    return None
                self._work.wait(due_in)

    def _send(self, http: httpx.Client, batch: EventBatch) -> DeliveryOutcome:
        try:
            response = http.post(**self._connection.request(batch))
        except REQUEST_ERRORS as error:
            return self._connection.failed(error)
        return self._connection.answered(response, batch)
