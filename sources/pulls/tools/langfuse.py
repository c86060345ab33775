"""Langfuse: scores of API v3, and the items of annotation queues.

Source: langfuse/langfuse@62751446, `listScoresV3ForPublicApi` in `packages/shared/src/server/repositories/scores.ts`
and `publicAnnotationQueueService.ts`. Scores are ordered by time and id, and the cursor is of both, so deletions do not
shift them. Queues and their items are numbered, the newest first.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

import httpx
from msgspec import Raw, Struct

from aggregator.days import timestamp
from sources.pulls.connection import Connection, segment
from sources.pulls.credentials import Credentials
from sources.pulls.paging import NumberedPlace, numbered_pages, starting_at
from sources.pulls.pull import PageGuard, PulledPage, Stream, daily_pages
from sources.pulls.reading import PullReading
from sources.rules import SourceSettings
from sources.shapes import TextTime, read_each

URL: Final = "https://cloud.langfuse.com"
_SCORES: Final = "/api/public/v3/scores"
_QUEUES: Final = "/api/public/annotation-queues"
LIMIT: Final = 100
"""Most records of a page."""
_FRAME: Final = (b'{"data":[', b"]}")


class _ScoreKey(Struct):
    id: str
    timestamp: TextTime


class _CursorMeta(Struct):
    cursor: str | None = None


class _ScorePage(Struct):
    data: list[Raw]
    meta: _CursorMeta


class _NumberedRecord(Struct):
    id: str


class _NumberMeta(Struct, rename="camel"):
    total_items: int


class _NumberedIds(Struct):
    data: list[_NumberedRecord]
    meta: _NumberMeta


class _QueuePlace(Struct, frozen=True):
    """Where the items of all queues go on."""

    queues: NumberedPlace = NumberedPlace()
    """The page of queues."""
    queue: str | None = None
    """The queue on this page; None: the first one."""
    items: NumberedPlace = NumberedPlace()


@dataclass(frozen=True, slots=True)
class _NumberedPage:
    content: bytes
    ids: Sequence[str]
    total: int


def authenticate(credentials: Credentials) -> httpx.Auth:
    """Basic authentication with the keys of the project."""
    return httpx.BasicAuth(credentials.require("LANGFUSE_PUBLIC_KEY"), credentials.require("LANGFUSE_SECRET_KEY"))


def streams(connection: Connection, settings: SourceSettings) -> Sequence[Stream]:
    """The scores, and the items of queues if a rule names a queue for them."""
    scores = ScoreStream(connection)
    return [scores, QueueItemStream(connection)] if settings.queue or settings.queues else [scores]


@dataclass(frozen=True, slots=True)
class ScoreStream:
    """The scores of the project, the newest first."""

    connection: Connection
    name: str = "scores"
    windowed: bool = True

    async def pages(self, reading: PullReading) -> AsyncIterator[PulledPage]:
        """Scores whose `timestamp` is at or after `since`. The bookmark is the cursor."""
        guard, cursor = PageGuard(_SCORES, reading), reading.resume(str)
        while True:
            answer = await self.connection.get(
                reading,
                _SCORES,
                {
                    "limit": LIMIT,
                    "fields": "details,subject,annotation",
                    "fromTimestamp": None if reading.since is None else timestamp(reading.since),
                    "cursor": cursor,
                },
            )
            page = answer.read(_ScorePage)
            keys = [key if isinstance(key, _ScoreKey) else None for key in read_each(page.data, _ScoreKey)]
            records = [(key.timestamp.ms if key else None, raw) for key, raw in zip(keys, page.data, strict=True)]
            for each in daily_pages(records, _FRAME):
                yield each
            cursor = page.meta.cursor
            guard.check([key.id for key in keys if key], cursor)
            if cursor is None:
                return
            reading.keep(cursor)


@dataclass(frozen=True, slots=True)
class QueueItemStream:
    """The items of all annotation queues of the project."""

    connection: Connection
    name: str = "queue-items"
    windowed: bool = False

    async def pages(self, reading: PullReading) -> AsyncIterator[PulledPage]:
        """All items of all queues. The bookmark is a place in the list of queues, and one in the items of a queue."""
        start = reading.resume(_QueuePlace) or _QueuePlace()
        queues, done = start.queues, set[str]()
        async for page, more_queues in self._list(reading, _QUEUES, start.queues):
            for queue in starting_at(page.ids, start.queue):
                if queue in done:
                    continue
                done.add(queue)
                items = start.items if queue == start.queue else NumberedPlace()
                reading.keep(_QueuePlace(queues, queue, items))
                async for some, more_items in self._list(reading, f"{_QUEUES}/{segment(queue)}/items", items):
                    yield PulledPage(some.content)
                    reading.keep(_QueuePlace(queues, queue, more_items))
            queues = more_queues

    def _list(
        self, reading: PullReading, path: str, start: NumberedPlace
    ) -> AsyncIterator[tuple[_NumberedPage, NumberedPlace]]:
        async def fetch(number: int) -> _NumberedPage:
            answer = await self.connection.get(reading, path, {"page": number, "limit": LIMIT})
            page = answer.read(_NumberedIds)
            return _NumberedPage(answer.content, [each.id for each in page.data], page.meta.total_items)

        return numbered_pages(fetch, LIMIT, path, reading, start)
