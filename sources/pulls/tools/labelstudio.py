"""Label Studio: the annotations and predictions of a project.

Source: label-studio 1.23.2, `label_studio/data_manager/api.py`. Tasks are read in the order of their ids, each page
after the last id, so deletions do not shift them. An export would be one answer for the whole project, and has only
the ids of predictions. A task changes its time whenever one of its annotations is saved or deleted.
"""

import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx
import msgspec
from msgspec import Raw, Struct

from aggregator.days import timestamp
from sources.pulls.connection import Connection, HeaderAuth, Parameters, ToolNotFoundError
from sources.pulls.credentials import Credentials
from sources.pulls.pull import PageGuard, PulledPage, PullError, Stream, daily_pages
from sources.pulls.reading import PullReading
from sources.rules import SourceSettings
from sources.shapes import TextTime, read_each

_TASKS: Final = "/api/tasks"
_REFRESH: Final = "/api/token/refresh/"
LIMIT: Final = 100
"""Tasks of a page."""
_ACCESS_SECONDS: Final = 240.0
"""Time for which an access token is used; it is valid for 300 s."""


class _TaskKey(Struct):
    id: int
    updated_at: TextTime


class _TaskPage(Struct):
    tasks: list[Raw]


class _ExchangedToken(Struct):
    access: str


class AccessTokenAuth(httpx.Auth):
    """Exchanges a personal access token for tokens that are valid for minutes.

    Args:
        token: the personal access token.
    """

    def __init__(self, token: str) -> None:
        self._token = token
        self._access: str | None = None
        self._expires = 0.0

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Authenticate a request. A refused exchange is the answer to it."""
        renewed = False
        while True:
            if self._access is None or time.monotonic() >= self._expires:
                answer = yield self._exchange(request.url)
                if answer.status_code != httpx.codes.OK:
                    return
                try:
                    self._access = msgspec.json.decode(await answer.aread(), type=_ExchangedToken).access
                except msgspec.DecodeError as error:
                    raise PullError(f"POST {answer.url}: unexpected answer: {error}") from error
                self._expires, renewed = time.monotonic() + _ACCESS_SECONDS, True
            request.headers["Authorization"] = f"Bearer {self._access}"
            answer = yield request
            if answer.status_code != httpx.codes.UNAUTHORIZED or renewed:
                return
            self._access = None

    def _exchange(self, url: httpx.URL) -> httpx.Request:
        base = url.raw_path.partition(b"/api/")[0]
        return httpx.Request("POST", url.copy_with(raw_path=base + _REFRESH.encode()), json={"refresh": self._token})


def authenticate(credentials: Credentials) -> httpx.Auth:
    """A personal access token, which is a JWT, or a legacy token."""
    token = credentials.require("LABEL_STUDIO_API_KEY")
    return AccessTokenAuth(token) if token.count(".") == 2 else HeaderAuth({"Authorization": f"Token {token}"})


def problems(settings: SourceSettings) -> Iterable[str]:
    """What a pull lacks."""
    if settings.project is None or not settings.project.isdecimal():
        yield "project: expected the number of a project, as in the address of its page"


def streams(connection: Connection, settings: SourceSettings) -> Sequence[Stream]:
    """The tasks of the project that have annotations; all of them where predictions count."""
    return [TaskStream(connection, settings.project or "", every_task=settings.predictions)]


@dataclass(frozen=True, slots=True)
class TaskStream:
    """Tasks with their annotations and predictions, by their ids."""

    connection: Connection
    project: str
    every_task: bool
    """Whether tasks without annotations are read."""
    name: str = "tasks"
    windowed: bool = True

    async def pages(self, reading: PullReading) -> AsyncIterator[PulledPage]:
        """Tasks that changed at or after `since`. The bookmark is the id of the last one."""
        since = reading.since
        window = [] if since is None else [_after("updated_at", "Datetime", timestamp(max(0, since - 1)))]
        if not self.every_task:
            window.append(_after("total_annotations", "Number", 0))
        guard, last = PageGuard(f"{_TASKS} of project {self.project}", reading), reading.resume(int) or 0
        while True:
            filters = {"conjunction": "and", "items": [*window, _after("id", "Number", last)]}
            query = json.dumps({"filters": filters, "ordering": ["tasks:id"]})
            parameters: Parameters = {"project": self.project, "fields": "all", "page_size": LIMIT, "query": query}
            try:
                answer = await self.connection.get(reading, _TASKS, parameters)
            except ToolNotFoundError as error:
                raise PullError(f"{error}; correct `project`") from error
            raws = answer.read(_TaskPage).tasks
            keys = [key if isinstance(key, _TaskKey) else None for key in read_each(raws, _TaskKey)]
            for each in daily_pages(
                (key.updated_at.ms if key else None, raw) for key, raw in zip(keys, raws, strict=True)
            ):
                yield each
            last = max((key.id for key in keys if key), default=last)
            following = last if len(raws) >= LIMIT else None
            guard.check([str(key.id) for key in keys if key], following)
            if following is None:
                return
            reading.keep(last)


def _after(field: str, kind: str, value: Any) -> dict[str, Any]:
    return {"filter": f"filter:tasks:{field}", "operator": "greater", "type": kind, "value": value}
