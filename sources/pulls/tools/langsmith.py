"""LangSmith: the feedback of all projects of a workspace, or of one.

Source: langchain-ai/langsmith-sdk `python/langsmith/client.py` (`_get_paginated_list`, `read_project`) and the
parameters of the feedback list in langsmith-java. The list is read by offset; its order is not documented.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import httpx
from msgspec import Raw, Struct

from aggregator.days import timestamp
from sources.pulls.connection import Connection, HeaderAuth, Parameters
from sources.pulls.credentials import Credentials
from sources.pulls.paging import offset_pages
from sources.pulls.pull import PulledPage, PullError, Stream, daily_pages
from sources.pulls.reading import PullReading
from sources.rules import SourceSettings
from sources.shapes import TextTime, read_each

URL: Final = "https://api.smith.langchain.com"
_FEEDBACK: Final = "/api/v1/feedback"
_PROJECTS: Final = "/api/v1/sessions"
LIMIT: Final = 100
"""Most records of a page."""


class _FeedbackKey(Struct):
    id: str
    created_at: TextTime


class _LangSmithProject(Struct):
    id: str


@dataclass(frozen=True, slots=True)
class _FeedbackPage:
    records: Sequence[tuple[int | None, Raw]]
    """Listing time and content of each record."""
    ids: Sequence[str]


def authenticate(credentials: Credentials) -> httpx.Auth:
    """The key of the workspace; one of an organisation also needs the workspace's id."""
    headers = {"x-api-key": credentials.require("LANGSMITH_API_KEY")}
    if workspace := credentials.get("LANGSMITH_WORKSPACE_ID"):
        headers["X-Tenant-Id"] = workspace
    return HeaderAuth(headers)


def streams(connection: Connection, settings: SourceSettings) -> Sequence[Stream]:
    """The feedback of the project, or of all projects."""
    return [FeedbackStream(connection, settings.project)]


@dataclass(frozen=True, slots=True)
class FeedbackStream:
    """Feedback on runs."""

    connection: Connection
    project: str | None = None
    """Id or name of a project; None: all projects."""
    name: str = "feedback"
    windowed: bool = True

    async def pages(self, reading: PullReading) -> AsyncIterator[PulledPage]:
        """Feedback that was created at or after `since`. The bookmark is an offset, with what the page before had."""
        session = None if self.project is None else await self._project_id(reading, self.project)
        # Whether the bounds are inclusive is not documented.
        first = None if reading.since is None else timestamp(max(0, reading.since - 1))
        # What was created since this reading began must not move the rest of it; the next reading has that.
        last = None if reading.bookmark is None else timestamp(reading.started + 1)

        async def fetch(offset: int) -> _FeedbackPage:
            window: Parameters = {"session": session, "min_created_at": first, "max_created_at": last}
            answer = await self.connection.get(reading, _FEEDBACK, {"limit": LIMIT, "offset": offset, **window})
            raws = answer.read(list[Raw])
            keys = [key if isinstance(key, _FeedbackKey) else None for key in read_each(raws, _FeedbackKey)]
            records = [(key.created_at.ms if key else None, raw) for key, raw in zip(keys, raws, strict=True)]
            ids = [key.id if key else bytes(raw).decode() for key, raw in zip(keys, raws, strict=True)]
            return _FeedbackPage(records, ids)

        async for page in offset_pages(fetch, LIMIT, _FEEDBACK, reading):
            for each in daily_pages(page.records):
                yield each

    async def _project_id(self, reading: PullReading, project: str) -> str:
        try:
            return str(UUID(project))
        except ValueError:
            answer = await self.connection.get(reading, _PROJECTS, {"name": project, "limit": 1})
        found = answer.read(list[_LangSmithProject])
        if not found:
            raise PullError(f"{answer.place}: project {project!r} not found: correct `project`")
        return found[0].id
