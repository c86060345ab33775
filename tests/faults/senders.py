"""Senders of events over HTTP that repeat every batch until it is answered, and know what was acknowledged."""

import asyncio
import contextlib
import gzip
import random
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

import cramjam
import httpx
import orjson

from tests.support.ingest_process import EVENTS_PATH

QUEUE: Final = "senders"
_PAUSE_SECONDS: Final = 0.05
_REQUEST_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its status, 0 when the connection ended without one; seconds by `time.monotonic`."""

    began: float
    ended: float
    status: int


@dataclass(frozen=True, slots=True)
class _Batch:
    body: bytes
    size: int
    """Bytes of the body when it is unpacked."""
    headers: dict[str, str]
    ids: tuple[str, ...]
    invalid: frozenset[int]


@dataclass
class Senders:
    """Sends from entering the context to leaving it; `finish` repeats what has no complete answer.

    Every item has one annotation, of `QUEUE`, and one evaluation. Some batches have invalid events, whose rejection is
    checked.
    """

    url: str
    rng: random.Random
    number: int = 4
    acknowledged: set[str] = field(default_factory=set)
    """Ids of events that were acknowledged."""
    sent: set[str] = field(default_factory=set)
    """Ids of valid events of all requests, with or without an answer."""
    exchanges: list[Exchange] = field(default_factory=list)
    waiting: int = 0
    """Requests without an answer."""
    waiting_bytes: int = 0
    """Bytes of the unpacked bodies of requests without an answer."""
    _repeat: deque[_Batch] = field(default_factory=deque)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def annotations(self) -> int:
        """Valid annotations that were sent."""
        return len(self._items("a-"))

    @property
    def comparisons(self) -> int:
        """Items of which annotation and evaluation are valid."""
        return len(self._items("a-") & self._items("e-"))

    def _items(self, kind: str) -> set[str]:
        return {id.removeprefix(kind) for id in self.sent if id.startswith(kind)}

    async def __aenter__(self) -> Self:
        self._client = httpx.AsyncClient(base_url=self.url, timeout=_REQUEST_SECONDS)
        self._stopping.clear()
        self._tasks = [asyncio.create_task(self._send()) for _ in range(self.number)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        try:
            await asyncio.gather(*self._tasks)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._client.aclose()

    async def acknowledges(self, events: int, seconds: float = _REQUEST_SECONDS) -> None:
        """Return when so many more events are acknowledged."""
        goal = len(self.acknowledged) + events
        await self.until(lambda: len(self.acknowledged) >= goal, f"{events} more events are acknowledged", seconds)

    async def until(self, condition: Callable[[], object], what: str, seconds: float = _REQUEST_SECONDS) -> None:
        """Poll until a condition holds; fails early when a sender failed."""
        end = time.monotonic() + seconds
        while not condition():
            for task in self._tasks:
                if task.done():
                    task.result()
            assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
            await asyncio.sleep(0.005)

    async def finish(self) -> None:
        """Repeat every batch that has no complete answer; afterwards every event is acknowledged."""
        async with httpx.AsyncClient(base_url=self.url, timeout=_REQUEST_SECONDS) as self._client:
            end = time.monotonic() + _REQUEST_SECONDS
            while self._repeat:
                assert time.monotonic() < end, "everything is acknowledged in the end"
                await self._post(self._repeat.popleft())
        assert self.acknowledged == self.sent

    async def _send(self) -> None:
        while not self._stopping.is_set():
            await self._post(self._repeat.popleft() if self._repeat else self._batch())

    async def _post(self, batch: _Batch) -> None:
        self.sent.update(id for index, id in enumerate(batch.ids) if index not in batch.invalid)
        began, answer = time.monotonic(), None
        self.waiting += 1
        self.waiting_bytes += batch.size
        # Without an answer it was killed, or is not started again yet.
        with contextlib.suppress(httpx.TransportError):
            answer = await self._client.post(EVENTS_PATH, content=batch.body, headers=batch.headers)
        self.waiting -= 1
        self.waiting_bytes -= batch.size
        self.exchanges.append(Exchange(began, time.monotonic(), 0 if answer is None else answer.status_code))
        if answer is not None and answer.status_code in (200, 207, 422):
            self._take(batch, answer)
            return
        self._repeat.append(batch)
        if answer is not None:
            assert answer.status_code in (429, 503), answer.text
            assert int(answer.headers["retry-after"]) > 0
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), _PAUSE_SECONDS)

    def _take(self, batch: _Batch, answer: httpx.Response) -> None:
        rejected = {found["index"] for found in answer.json()["rejected"]}
        assert rejected == batch.invalid
        accepted = [id for index, id in enumerate(batch.ids) if index not in rejected]
        assert answer.json()["accepted"] == len(accepted)
        self.acknowledged.update(accepted)

    def _batch(self) -> _Batch:
        rng, events = self.rng, list[dict[str, Any]]()
        invalid = set()
        for _ in range(rng.choice((1, 1, 5, 50, 250))):
            for event in _pair(uuid.UUID(int=rng.getrandbits(128)).hex):
                if rng.random() < 0.02:
                    invalid.add(len(events))
                    event["at"] = "yesterday"
                events.append(event)
        body, headers = orjson.dumps(events), dict[str, str]()
        size = len(body)
        if (encoding := rng.choice((None, "gzip", "zstd"))) is not None:
            body = gzip.compress(body, 1) if encoding == "gzip" else bytes(cramjam.zstd.compress(body))
            headers["Content-Encoding"] = encoding
        return _Batch(body, size, headers, tuple(event["id"] for event in events), frozenset(invalid))


def _pair(item: str) -> list[dict[str, Any]]:
    at = time.time_ns() // 1_000_000
    return [
        {"id": f"a-{item}", "at": at, "queue": QUEUE, "item": item, "stars": 4, "annotator": "one"},
        {"id": f"e-{item}", "at": at, "item": item, "metric": "relevance", "score": 0.75, "threshold": 0.5},
    ]
