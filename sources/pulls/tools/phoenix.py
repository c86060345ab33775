"""Arize Phoenix: the annotations of a project's spans, traces and sessions.

Source: arize-phoenix 20.26.1, `phoenix/server/api/routers/v1/{spans,annotations}.py`. Annotations are listed for ids
alone, so spans are listed first, by a cursor of start time and id that deletions do not shift.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

import httpx
from msgspec import Raw, Struct

from aggregator.days import day_of, timestamp
from sources.pulls.connection import Connection, HeaderAuth, Parameters, ToolNotFoundError, segment
from sources.pulls.credentials import Credentials
from sources.pulls.pull import PageGuard, PulledPage, PullError, Stream
from sources.pulls.reading import PullReading
from sources.rules import SourceSettings
from sources.shapes import TextTime

SPAN_LIMIT: Final = 100
"""Spans of a page. They come with all their attributes, and their ids fit in one address."""
LIMIT: Final = 1_000
"""Annotations of a page."""
_SESSION: Final = "session.id"


class _PhoenixContext(Struct):
    trace_id: str
    span_id: str


class _PhoenixSpan(Struct):
    context: _PhoenixContext
    start_time: TextTime
    attributes: Mapping[str, Any] = {}


class _SpanPage(Struct):
    data: list[_PhoenixSpan]
    next_cursor: str | None = None


class _AnnotationPage(Struct):
    data: list[Raw]
    next_cursor: str | None = None


def authenticate(credentials: Credentials) -> httpx.Auth | None:
    """An API key; None for a server without authentication."""
    key = credentials.get("PHOENIX_API_KEY")
    return None if key is None else HeaderAuth({"Authorization": f"Bearer {key}"})


def problems(settings: SourceSettings) -> Iterable[str]:
    """What a pull lacks."""
    if settings.project is None:
        yield "project: not set, expected the name of a project"


def streams(connection: Connection, settings: SourceSettings) -> Sequence[Stream]:
    """The annotations of the project."""
    return [AnnotationStream(connection, settings.project or "")]


@dataclass(frozen=True, slots=True)
class AnnotationStream:
    """The annotations of spans, and of the traces and sessions of these spans."""

    connection: Connection
    project: str
    name: str = "annotations"
    windowed: bool = True

    async def pages(self, reading: PullReading) -> AsyncIterator[PulledPage]:
        """Annotations of what has spans that started at or after `since`. The bookmark is the cursor of spans."""
        path = self._path("spans")
        guard, cursor = PageGuard(path, reading), reading.resume(str)
        while True:
            parameters: Parameters = {
                "limit": SPAN_LIMIT,
                "sort": "start_time",
                "order": "asc",
                "start_time": None if reading.since is None else timestamp(reading.since),
                "cursor": cursor,
            }
            try:
                answer = await self.connection.get(reading, path, parameters)
            except ToolNotFoundError as error:
                raise PullError(f"{error}; correct `project`") from error
            page = answer.read(_SpanPage)
            spans = sorted(page.data, key=lambda span: span.start_time.ms)
            for _, day in groupby(spans, key=lambda span: day_of(span.start_time.ms)):
                async for each in self._of(reading, [*day]):
                    yield each
            cursor = page.next_cursor
            guard.check([span.context.span_id for span in spans], cursor)
            if cursor is None:
                return
            reading.keep(cursor)

    async def _of(self, reading: PullReading, spans: Sequence[_PhoenixSpan]) -> AsyncIterator[PulledPage]:
        """The annotations of spans of one day, in the order of their start."""
        targets: dict[tuple[str, str], list[Any]] = {
            ("span_annotations", "span_ids"): [span.context.span_id for span in spans],
            ("trace_annotations", "trace_ids"): [span.context.trace_id for span in spans],
            ("session_annotations", "session_ids"): [span.attributes.get(_SESSION) for span in spans],
        }
        for (kind, key), ids in targets.items():
            distinct = [*dict.fromkeys(id for id in ids if isinstance(id, str) and id)]
            if distinct:
                async for content in self._annotations(reading, kind, {key: distinct}):
                    yield PulledPage(content, spans[0].start_time.ms)

    async def _annotations(self, reading: PullReading, kind: str, ids: Mapping[str, list[str]]) -> AsyncIterator[bytes]:
        path, cursor = self._path(kind), None
        while True:
            try:
                answer = await self.connection.get(reading, path, {**ids, "limit": LIMIT, "cursor": cursor})
            except ToolNotFoundError:
                return  # All of them were deleted after they were listed, or the server is older than these lists.
            yield answer.content
            page = answer.read(_AnnotationPage)
            reading.count_listed(len(page.data))
            # The cursor is an id that only decreases, so the list ends.
            cursor = page.next_cursor
            if cursor is None:
                return

    def _path(self, kind: str) -> str:
        return f"/v1/projects/{segment(self.project)}/{kind}"
