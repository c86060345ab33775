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
from sources.pulls.paging import numbered_pages
from sources.pulls.pull import PageGuard, PulledPage, Stream, daily_pages
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

    async def pages(self, since: int | None) -> AsyncIterator[PulledPage]:
        """Scores whose `timestamp` is at or after `since`."""
        guard, cursor = PageGuard(_SCORES), None
        while True:
            answer = await self.connection.get(
                _SCORES,
                {
                    "limit": LIMIT,
                    "fields": "details,subject,annotation",
                    "fromTimestamp": None if since is None else timestamp(since),
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


@dataclass(frozen=True, slots=True)
class QueueItemStream:
    """The items of all annotation queues of the project."""

    connection: Connection
    name: str = "queue-items"
    windowed: bool = False

    async def pages(self, since: int | None) -> AsyncIterator[PulledPage]:  # noqa: ARG002 -- the list has no window
        """All items of all queues."""
        queues = {id: None async for page in self._list(_QUEUES) for id in page.ids}
        for queue in queues:
            async for page in self._list(f"{_QUEUES}/{segment(queue)}/items"):
                yield PulledPage(page.content)

    def _list(self, path: str) -> AsyncIterator[_NumberedPage]:
        async def fetch(number: int) -> _NumberedPage:
            answer = await self.connection.get(path, {"page": number, "limit": LIMIT})
            page = answer.read(_NumberedIds)
            return _NumberedPage(answer.content, [each.id for each in page.data], page.meta.total_items)

        return numbered_pages(fetch, LIMIT, path)
