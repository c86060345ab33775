"""The pulls of sources: each by its own interval, and on request of the command `source sync`.

A tool that is away, or refuses its credentials, and a full disk are expected: the pull is repeated. An unexpected
exception ends the process.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from ingest.acknowledge import away
from ingest.media import refuse_web_pages
from ingest.metrics import IngestMetrics
from ingest.publish import NotAcknowledgedError
from ingest.source_access import COMMAND_PATH
from ingest.sources import SOURCES_PATH, RecordPublisher
from sources.intake.intake import EVENTS, REJECTED, SourceIntake
from sources.intake.store import IndexUnusableError
from sources.pulls.credentials import CredentialsError
from sources.pulls.pull import PullError
from sources.pulls.registry import PULLED_TOOLS, can_be_pulled, is_pulled, open_streams
from sources.pulls.sync import Observer, OpenStreams, PullClocks, PullRequest, SourcePull, StreamReport

_log = logging.getLogger(__name__)

SYNC_PATH: Final = f"{SOURCES_PATH}/{COMMAND_PATH}sync"
_EXPECTED: Final = (PullError, CredentialsError, NotAcknowledgedError, IndexUnusableError)
_AWAY_SECONDS: Final = 1.0
"""How often a pull looks whether the broker is back, or its index is made."""


class PullLine(msgspec.Struct, omit_defaults=True):
    """A line of the answer to `source sync`: a progress, and at last the reports or an error."""

    progress: StreamReport | None = None
    """What was done with a stream so far."""
    reports: list[StreamReport] | None = None
    error: str | None = None


class IngestPulls:
    """The pulls of all sources that this process runs.

    Args:
        intakes: of the sources, by name.
        publisher: what the intakes publish with.
        metrics: counts what is pulled.
        connect: opens the streams of a tool.
    """

    def __init__(
        self,
        intakes: Mapping[str, SourceIntake],
        publisher: RecordPublisher,
        metrics: IngestMetrics,
        connect: OpenStreams = open_streams,
    ) -> None:
        self._publisher = publisher
        self._intakes = intakes
        self._metrics = metrics
        clocks = PullClocks(publisher.clock.now, publisher.clock.now)
        self._pulls = {
            name: SourcePull(name, intake, clocks, connect)
            for name, intake in intakes.items()
            if intake.index is not None and can_be_pulled(intake.source.rules.settings)
        }

    async def run(self) -> None:
        """Pull every source whose settings have an address or credentials, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for pull in self._pulls.values():
                if is_pulled(pull.settings):
                    tasks.create_task(self._repeat(pull), name=f"pull of {pull.name}")
            await asyncio.Event().wait()

    async def sync(self, request: Request) -> Response:
        """Pulls one source now, with `full` and `confirm_empty` in the query; the answer has a `PullLine` a line."""
        refuse_web_pages(request.headers)
        name = request.path_params["name"]
        if (pull := self._pulls.get(name)) is None:
            raise HTTPException(404, f"source {name!r} is not pulled by this process; {_pulled_tools()}")
        if (reason := self._reason(pull)) is not None:
            raise away(reason)
        how = PullRequest(full="full" in request.query_params, confirm_empty="confirm_empty" in request.query_params)
        return StreamingResponse(self._lines(pull, how), media_type="application/x-ndjson")

    def _reason(self, pull: SourcePull) -> str | None:
        """Why nothing can be pulled; None when it can."""
        return self._publisher.away or self._intakes[pull.name].not_made

    async def _repeat(self, pull: SourcePull) -> None:
        self._metrics.source_pull_interval.labels(pull.name).set(pull.settings.interval_s)
        logged = ""
        while True:
            if self._reason(pull) is not None:
                await asyncio.sleep(_AWAY_SECONDS)
                continue
            problem = ""
            try:
                reports = await self._pull(pull)
            except _EXPECTED as error:
                problem = str(error)
            else:
                problem = "; ".join(f"{report.stream}: {report.error}" for report in reports if report.error)
            if problem != logged:
                _log.log(logging.WARNING if problem else logging.INFO, "source %s: %s", pull.name, problem or "pulled")
                logged = problem
            await asyncio.sleep(pull.settings.interval_s)

    async def _pull(
        self, pull: SourcePull, request: PullRequest | None = None, observe: Observer | None = None
    ) -> list[StreamReport]:
        """Pull, and count it. Raises what is expected."""
        failed = self._metrics.source_pull_failed.labels(pull.name)
        try:
            reports = await pull.run(request, observe)
        except BaseException:
            failed.set(1)
            raise
        for report in reports:
            for result, count in report.counted.items():
                self._count(pull.name, result, count)
        failed.set(any(report.error is not None for report in reports))
        if all(report.error is None and not report.unfinished for report in reports):
            self._metrics.source_pulled.labels(pull.name).set(self._publisher.clock.wall() / 1000)
        return reports

    def _count(self, name: str, result: str, count: int) -> None:
        if result == EVENTS:
            self._metrics.source_events.labels(name).inc(count)
        elif result == REJECTED:
            self._metrics.source_rejected.labels(name).inc(count)
        else:
            self._metrics.source_skipped.labels(name, result).inc(count)

    async def _lines(self, pull: SourcePull, request: PullRequest) -> AsyncIterator[bytes]:
        latest: dict[str, StreamReport] = {}
        changed = asyncio.Event()

        def observe(report: StreamReport) -> None:
            latest[report.stream] = report
            changed.set()

        running = asyncio.create_task(self._pull(pull, request, observe))
        running.add_done_callback(lambda _: changed.set())
        try:
            while not running.done():
                await changed.wait()
                changed.clear()
                for report in latest.values():
                    yield _line(PullLine(progress=report))
                latest.clear()
            yield _line(await _outcome(running))
        finally:
            running.cancel()


async def _outcome(running: "asyncio.Task[list[StreamReport]]") -> PullLine:
    try:
        return PullLine(reports=await running)
    except _EXPECTED as error:
        return PullLine(error=str(error))


def _line(line: PullLine) -> bytes:
    return msgspec.json.encode(line) + b"\n"


def _pulled_tools() -> str:
    return f"the records of {', '.join(sorted(PULLED_TOOLS))} can be pulled, where sources are not turned off"
