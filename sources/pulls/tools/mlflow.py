"""MLflow: the assessments of traces, and the items of review queues.

Source: mlflow 3.17.2, `mlflow/store/tracking/sqlalchemy_store.py` (`search_traces`, `list_review_queue_items`). Page
tokens are offsets, so a trace that is deleted would move those after it past the next page. Traces are therefore read
in the order of their time, and each page begins at the time of the last one.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx
from msgspec import Raw, Struct

from sources.pulls.connection import Connection, HeaderAuth, Parameters, ToolNotFoundError
from sources.pulls.credentials import Credentials
from sources.pulls.paging import starting_at
from sources.pulls.pull import PageGuard, PulledPage, PullError, Stream, daily_pages
from sources.pulls.reading import PullReading
from sources.rules import SourceSettings
from sources.shapes import TextTime, read_each

_TRACES: Final = "/api/3.0/mlflow/traces/search"
_QUEUES: Final = "/api/3.0/mlflow/review-queues/list"
_QUEUE_ITEMS: Final = "/api/3.0/mlflow/review-queues/items/list"
_EXPERIMENT: Final = "/api/2.0/mlflow/experiments/get"
LIMIT: Final = 200
"""Traces of a page; a server refuses more than 500."""
ITEM_LIMIT: Final = 10_000
"""Items of a page. Most queues are read in one answer, which no deletion can shift."""
_FRAME: Final = (b'{"traces":[', b"]}")


class _Experiment(Struct):
    lifecycle_stage: str = "active"


class _ExperimentAnswer(Struct):
    experiment: _Experiment


class _TraceKey(Struct):
    trace_id: str
    request_time: TextTime


class _TracePage(Struct):
    """The server leaves out empty lists."""

    traces: list[Raw] = []
    next_page_token: str | None = None


class _ReviewQueue(Struct):
    queue_id: str


class _ReviewQueuePage(Struct):
    review_queues: list[_ReviewQueue] = []
    next_page_token: str | None = None


class _ReviewItemKey(Struct):
    item_id: str


class _ReviewItemPage(Struct):
    items: list[_ReviewItemKey] = []
    next_page_token: str | None = None


class _TracePlace(Struct, frozen=True):
    """Where the traces go on."""

    experiment: str | None = None
    first: int = 0
    """Request time in milliseconds."""


class _ReviewPlace(Struct, frozen=True):
    """Where the items of review queues go on."""

    experiment: str | None = None
    queue: str | None = None


def authenticate(credentials: Credentials) -> httpx.Auth | None:
    """A token, or a user name and password; None for a server that asks for neither."""
    if token := credentials.get("MLFLOW_TRACKING_TOKEN"):
        return HeaderAuth({"Authorization": f"Bearer {token}"})
    if user := credentials.get("MLFLOW_TRACKING_USERNAME"):
        return httpx.BasicAuth(user, credentials.require("MLFLOW_TRACKING_PASSWORD"))
    return None


def problems(settings: SourceSettings) -> Iterable[str]:
    """What a pull lacks."""
    if not settings.experiments:
        yield "experiments: not set, expected ids of experiments"


def streams(connection: Connection, settings: SourceSettings) -> Sequence[Stream]:
    """The traces, and the items of review queues if a rule names a queue for them."""
    traces = TraceStream(connection, settings.experiments)
    if not settings.queue and not settings.queues:
        return [traces]
    return [traces, ReviewItemStream(connection, settings.experiments)]


@dataclass(frozen=True, slots=True)
class TraceStream:
    """The traces of experiments with their assessments, the oldest first."""

    connection: Connection
    experiments: Sequence[str]
    name: str = "traces"
    windowed: bool = True

    async def pages(self, reading: PullReading) -> AsyncIterator[PulledPage]:
        """Traces whose request time is at or after `since`. The bookmark is an experiment and a request time."""
        start = reading.resume(_TracePlace) or _TracePlace()
        for experiment in starting_at(self.experiments, start.experiment):
            await _check_experiment(self.connection, reading, experiment)
            first = start.first if experiment == start.experiment else reading.since or 0
            reading.keep(_TracePlace(experiment, first))
            async for page in self._experiment(reading, experiment, first):
                yield page

    async def _experiment(self, reading: PullReading, experiment: str, first: int) -> AsyncIterator[PulledPage]:
        location = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}}
        guard, token = PageGuard(f"{_TRACES} of experiment {experiment}", reading), None
        while True:
            document: dict[str, Any] = {
                "locations": [location],
                "filter": f"trace.timestamp_ms >= {first}",
                "order_by": ["timestamp_ms ASC"],
                "max_results": LIMIT,
            }
            answer = await self.connection.post(reading, _TRACES, document | ({"page_token": token} if token else {}))
            page = answer.read(_TracePage)
            keys = [key if isinstance(key, _TraceKey) else None for key in read_each(page.traces, _TraceKey)]
            records = [(key.request_time.ms if key else None, raw) for key, raw in zip(keys, page.traces, strict=True)]
            for each in daily_pages(records, _FRAME):
                yield each
            token = page.next_page_token or None
            latest = max((key.request_time.ms for key in keys if key), default=first)
            last = token is None
            if latest > first:
                # Without the token, which only more than a page of traces of one millisecond need.
                first, token = latest, None
            guard.check([key.trace_id for key in keys if key], None if last else (first, token))
            if last:
                return
            reading.keep(_TracePlace(experiment, first))


@dataclass(frozen=True, slots=True)
class ReviewItemStream:
    """The items of all review queues of experiments."""

    connection: Connection
    experiments: Sequence[str]
    name: str = "queue-items"
    windowed: bool = False

    async def pages(self, reading: PullReading) -> AsyncIterator[PulledPage]:
        """All items of all queues. The bookmark is an experiment and a queue: tokens are offsets, which shift."""
        start = reading.resume(_ReviewPlace) or _ReviewPlace()
        for experiment in starting_at(self.experiments, start.experiment):
            await _check_experiment(self.connection, reading, experiment)
            queues = await self._queues(reading, experiment)
            for queue in starting_at(queues, start.queue if experiment == start.experiment else None):
                reading.keep(_ReviewPlace(experiment, queue))
                async for page in self._items(reading, queue):
                    yield page

    async def _queues(self, reading: PullReading, experiment: str) -> Sequence[str]:
        """The ids of the queues of an experiment; none on a server older than MLflow 3.14."""
        guard, token = PageGuard(f"{_QUEUES} of experiment {experiment}", reading), None
        queues: dict[str, None] = {}
        while True:
            parameters: Parameters = {"experiment_id": experiment, "max_results": ITEM_LIMIT, "page_token": token}
            try:
                page = (await self.connection.get(reading, _QUEUES, parameters)).read(_ReviewQueuePage)
            except ToolNotFoundError:
                return ()
            ids = [queue.queue_id for queue in page.review_queues]
            queues |= dict.fromkeys(ids)
            token = page.next_page_token or None
            guard.check(ids, token)
            if token is None:
                return tuple(queues)

    async def _items(self, reading: PullReading, queue: str) -> AsyncIterator[PulledPage]:
        guard, token = PageGuard(f"{_QUEUE_ITEMS} of queue {queue}", reading), None
        while True:
            parameters: Parameters = {"queue_id": queue, "max_results": ITEM_LIMIT, "page_token": token}
            try:
                answer = await self.connection.get(reading, _QUEUE_ITEMS, parameters)
            except ToolNotFoundError:
                return  # The queue was deleted after it was listed.
            page = answer.read(_ReviewItemPage)
            yield PulledPage(answer.content)
            token = page.next_page_token or None
            guard.check([item.item_id for item in page.items], token)
            if token is None:
                return


async def _check_experiment(connection: Connection, reading: PullReading, experiment: str) -> None:
    """Raise PullError for an experiment that does not exist or is deleted: its traces would be an empty list."""
    try:
        answer = await connection.get(reading, _EXPERIMENT, {"experiment_id": experiment})
    except ToolNotFoundError as error:
        raise PullError(f"{error}; correct `experiments`") from error
    if answer.read(_ExperimentAnswer).experiment.lifecycle_stage != "active":
        raise PullError(f"{answer.place}: experiment {experiment} is deleted; restore it, or correct `experiments`")
