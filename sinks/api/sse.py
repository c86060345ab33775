"""Server-sent events: the current document of a queue, sent again after every change.

Every event has the whole document, so a client that misses one loses nothing. A client that does not read is
disconnected, so that it occupies neither memory nor one of the streams.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

from aggregator.snapshot.schema import SnapshotDocument
from sinks.access import client_address, problem
from sinks.api.responses import Readiness
from sinks.changes import Changes
from sinks.connections import LOOPBACK_NETWORKS, ClientAddresses
from sinks.metrics import ViewMetrics

CLIENTS: Final = 100
"""Most open streams."""
SHARE: Final = 25
"""Most open streams of one client; a proxy may have all."""
PACE_SECONDS: Final = 1.0
"""Minimum time between two documents of a stream."""
HEARTBEAT_SECONDS: Final = 5.0
SLOW_SECONDS: Final = 10.0
"""Time after which a client that does not read is disconnected."""

_HEADERS: Final = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    # A proxy such as nginx would otherwise collect events in its buffer.
    (b"x-accel-buffering", b"no"),
]


class EventStreams:
    """All open streams of a view."""

    def __init__(
        self,
        changes: Changes,
        metrics: ViewMetrics,
        *,
        clients: int = CLIENTS,
        share: int = SHARE,
        proxies: Iterable[str] = LOOPBACK_NETWORKS,
        slow_s: float = SLOW_SECONDS,
    ) -> None:
        self._changes = changes
        self._metrics = metrics
        self._clients = clients
        self._share = share
        self._addresses = ClientAddresses(proxies)
        self._slow_s = slow_s
        self._open: Counter[str] = Counter()
        """Open streams by client."""
        self._closing = asyncio.Event()

    def close(self) -> None:
        """End all streams, because the view stops."""
        self._closing.set()

    def response(
        self,
        queue: str,
        document: Callable[[], Awaitable[SnapshotDocument | None]],
        state: Callable[[], Awaitable[Readiness]],
    ) -> ASGIApp:
        """A response that streams a queue's document; while the queue has none, it sends heartbeats only.

        Its events are `snapshot` with the document, and `heartbeat` with the readiness while nothing changes. It ends
        when the client disconnects or does not read, and when the view stops.
        """

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            client, is_proxy = self._addresses.client(client_address(scope))
            if (why := self._refusal(client, is_proxy=is_proxy)) is not None:
                await problem(503, f"too many open streams: {why}", {"Retry-After": "10"})(scope, receive, send)
                return
            if scope["method"] == "HEAD":
                await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
                await send({"type": "http.response.body", "body": b""})
                return
            # Before the first await: while it waits, other requests compare the number of streams with the limit.
            self._count(client, +1)
            tasks: list[asyncio.Task[object]] = []
            try:
                await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
                tasks += [
                    asyncio.create_task(self._serve(send, queue, document, state)),
                    asyncio.create_task(_disconnected(receive)),
                    closing := asyncio.create_task(self._closing.wait()),
                ]
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                if closing in done:
                    await send({"type": "http.response.body", "body": b""})
            finally:
                self._count(client, -1)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

        return app

    def _refusal(self, client: str, *, is_proxy: bool) -> str | None:
        """Why a client gets no stream; None if it does."""
        if self._open.total() >= self._clients:
            return f"the limit is {self._clients}"
        if not is_proxy and self._open[client] >= self._share:
            return f"the limit for one address is {self._share} (a proxy may have all: setting `proxy_addresses`)"
        return None

    def _count(self, client: str, change: int) -> None:
        self._open[client] += change
        if not self._open[client]:
            del self._open[client]
        self._metrics.streams.set(self._open.total())

    async def _serve(
        self,
        send: Send,
        queue: str,
        document: Callable[[], Awaitable[SnapshotDocument | None]],
        state: Callable[[], Awaitable[Readiness]],
    ) -> None:
        with self._changes.subscribe(queue) as changes:
            due = True
            while True:
                if due and (current := await document()) is not None:
                    body = _event("snapshot", current, current["revision"])
                else:
                    body = _event("heartbeat", await state())
                try:
                    async with asyncio.timeout(self._slow_s):
                        await send({"type": "http.response.body", "body": body, "more_body": True})
                except TimeoutError:
                    return
                await asyncio.sleep(PACE_SECONDS)
                due = bool(await changes.wait(HEARTBEAT_SECONDS - PACE_SECONDS))


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _event(name: str, data: object, number: int | None = None) -> bytes:
    head = f"event: {name}\n" if number is None else f"event: {name}\nid: {number}\n"
    return head.encode() + b"data: " + orjson.dumps(data) + b"\n\n"
