"""The client for programs with an event loop: a task of the loop sends."""

import asyncio
import contextlib
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
from streams.runtime.http_client import async_client

_END_S: Final = 1.0
"""How long `close` waits for a task that has nothing left to send, in seconds."""


class AsyncClient(BaseClient):
    """Sends annotations, evaluations and queue items to `eval-alignment ingest`, from one event loop.

    As `Client`, but the end of the program cannot send, because its event loop has ended by then: use `async with`, or
    await `close`. What is queued at the end of the program is logged.

    >>> import asyncio, httpx
    >>> ingest = httpx.MockTransport(lambda request: httpx.Response(200, json={"accepted": 1}))
    >>> async def main() -> int:
    ...     async with AsyncClient(transport=ingest) as client:
    ...         await client.annotate(queue="support", item="trace-1", stars=4)
    ...     return client.accepted
    >>> asyncio.run(main())
    1
    """

    def _start_afresh(self) -> None:
        super()._start_afresh()
        self._work = asyncio.Event()
        """Set when the sender has to look again."""
        self._progress = asyncio.Event()
        """Set, and replaced, when events were settled, or the sender ended."""
        self._task: asyncio.Task[None] | None = None

    async def annotate(self, **event: Unpack[AnnotationFields]) -> str:
        """Queue an annotation and return its id. Its arguments are the fields of `AnnotationFields`.

        Raises InvalidEventError (a ValueError) for an invalid event, QueueFullError when the queue stays full for
        `block_s` seconds, ClientError when the client is closed or belongs to another event loop.
        """
        return await self._add(Kind.ANNOTATION, event)

    async def evaluate(self, **event: Unpack[EvaluationFields]) -> str:
        """Queue an evaluation and return its id. Arguments: `EvaluationFields`. Raises what `annotate` raises."""
        return await self._add(Kind.EVALUATION, event)

    async def queue_item(self, **event: Unpack[QueueItemFields]) -> str:
        """Queue a queue item and return its id. Arguments: `QueueItemFields`. Raises what `annotate` raises."""
        return await self._add(Kind.QUEUE_ITEM, event)

    async def flush(self, timeout_s: float = 30.0) -> None:
        """Send all events that are queued now, and return when each is acknowledged.

        Raises DeliveryError when events were rejected since the last report, or are not sent after `timeout_s`
        seconds, or as soon as it is known that they cannot be sent. What is not sent stays queued.
        """
        self._check_usable()
        target = await self._wait_flushed(time.monotonic() + timeout_s)
        if (error := self._undelivered(self._outbox.unsettled(target))) is not None:
            raise error

    async def close(self, timeout_s: float | None = None) -> None:
        """Send what is queued for at most `timeout_s` (default `close_s`) seconds, and end. A second call does nothing.

        Raises DeliveryError when events were rejected since the last report, or were not sent.
        """
        if self._closed:
            return
        self._closed = True
        try:
            await self._wait_flushed(time.monotonic() + (self._close_s if timeout_s is None else timeout_s))
        except BaseException:
            # A cancellation goes on, and the loss is reported.
            self._log_interrupted()
            raise
        finally:
            unsent = self._outbox.give_up()
            self._work.set()
            self._notify_progress()
            if unsent and self._task is not None:
                self._task.cancel()
        error = self._undelivered(unsent)
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=_END_S)
        if error is not None:
            raise error

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.close()
        except ClientError as undelivered:
            self._leave_block(error, undelivered)

    async def _add(self, kind: Kind, fields: Mapping[str, Any]) -> str:
        id, line = encode(kind, fields)
        deadline = time.monotonic() + self._block_s
        self._check_usable()
        while not self._outbox.has_room(line):
            if (remaining := deadline - time.monotonic()) <= 0:
                raise self._queue_full()
            await _wait(self._progress, remaining)
            self._check_usable()
        if self._task is None:
            http = async_client(**self._connection.client_arguments())
            self._task = asyncio.create_task(self._run(http), name="eval-alignment-client")
        if self._outbox.add(id, line, time.monotonic()):
            self._work.set()
        return id

    def _check_usable(self) -> None:
        if self._task is not None and self._task.get_loop() is not asyncio.get_running_loop():
            raise ClientError("the client belongs to another event loop")
        super()._check_usable()

    async def _wait_flushed(self, deadline: float) -> int:
        """Wait until the events of now are settled, or cannot be before the deadline. Returns their number."""
        target, refusals = self._outbox.flush(), self._outbox.refusals
        self._work.set()
        while not self._flushed(target, refusals, deadline) and (remaining := deadline - time.monotonic()) > 0:
            await _wait(self._progress, remaining)
        return target

    def _notify_progress(self) -> None:
        self._progress.set()
        self._progress = asyncio.Event()

    def _at_exit(self, started: float) -> None:  # noqa: ARG002 -- the event loop that could send has ended
        if not self._closed:
            self._closed = True
            self._log_at_exit(self._undelivered(self._outbox.give_up()))

    async def _run(self, http: httpx.AsyncClient) -> None:
        """Send batches until the client is closed."""
        try:
            async with http:
                while (batch := await self._next_batch()) is not None:
                    settlement = self._settle(batch, await self._send(http, batch))
                    self._report(settlement)
                    self._reported = self._outbox.settled
                    self._notify_progress()
        except BaseException as error:
            self._failure = error
            self._notify_progress()
            if isinstance(error, asyncio.CancelledError):
                raise

    async def _next_batch(self) -> EventBatch | None:
        while True:
            due_in = self._outbox.due_in(time.monotonic())
            if due_in is not None and due_in <= 0:
                return self._outbox.take()
            if due_in is None and self._closed:
                return None
            self._work.clear()
            await _wait(self._work, due_in)

    async def _send(self, http: httpx.AsyncClient, batch: EventBatch) -> DeliveryOutcome:
        try:
            response = await http.post(**self._connection.request(batch))
        except REQUEST_ERRORS as error:
            return self._connection.failed(error)
        return self._connection.answered(response, batch)


async def _wait(event: asyncio.Event, seconds: float | None) -> None:
    """Wait for an event, at most for some seconds."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
