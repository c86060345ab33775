"""The pull of a source: what to read, and when; the same for every tool.

Recent records are read often, the last days rarely: tools edit and delete without a new listing time. Each page is
taken in order: Kafka acknowledges its events, the owner index remembers them, and only when a stream has been read to
its end its cursor advances. A process that is killed repeats some of it, and what is repeated changes nothing.

A record is taken to be deleted only when a sweep, read to its end without an error, did not list it.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final

from aggregator.days import DAY_MS, timestamp
from sources.intake.intake import SourceIntake
from sources.intake.store import StoredIndex
from sources.pulls.credentials import CredentialsError
from sources.pulls.pull import PullError, Stream
from sources.pulls.registry import open_streams
from sources.pulls.state import PullState, StreamState, keep, load
from sources.records import UnknownShapeError
from sources.rules import SourceSettings

_log = logging.getLogger(__name__)

OVERLAP_MS: Final = 3_600_000
"""How far before the cursor a reading begins: tools list a record later than its listing time, and clocks differ."""
MAX_RECORDS: Final = 2_000_000
"""Most records of one reading of a stream."""
MAX_PAGES: Final = 100_000
"""Most pages of one reading of a stream."""
_REST: Final = 10
"""A list without a window is read again after this many times as long as the reading took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequest:
    """How to pull."""

    full: bool = False
    """Read everything, and look for vanished records in all of it."""
    confirm_empty: bool = False
    """Take an empty full reading for the truth: everything was deleted."""


@dataclass(slots=True)
class StreamReport:
    """What a pull did with one stream."""

    stream: str
    since: int | None
    """Listing time from which it was read, in milliseconds; None: all."""
    sweep: bool
    """Whether vanished records were looked for."""
    pages: int = 0
    records: int = 0
    """Different records that were read."""
    unchanged: int = 0
    """Of these, the ones that state what they stated before."""
    events: int = 0
    """Acknowledged events, deletions included."""
    rejected: int = 0
    """Rejected events, and records that could not be read."""
    vanished: int = 0
    """Records that the tool does not have any more."""
    skipped: dict[str, int] = field(default_factory=dict)
    """Parts of records that became no event, by reason."""
    counted: dict[str, int] = field(default_factory=dict)
    """Results by kind as in the totals of the source: a skip or rejection that is read again is not counted again."""
    reached: int | None = None
    """Lowest listing time of the latest page, in milliseconds."""
    notes: list[str] = field(default_factory=list)
    """What a person should know, although nothing failed."""
    error: str | None = None
    """Why the stream was not read to its end."""


Observer = Callable[[StreamReport], None]
"""Called after each page with the report so far."""
OpenStreams = Callable[[str, SourceSettings], AbstractAsyncContextManager[Sequence[Stream]]]


@dataclass(frozen=True, slots=True)
class PullClocks:
    """Times in milliseconds."""

    wall: Callable[[], int]
    """When something is read."""
    broker: Callable[[], int | None] = lambda: None
    """The broker's time, which decides whether an event is too far ahead; None accepts every time."""


class SourcePull:
    """The pull of one source. Two pulls of a source run one after the other.

    Args:
        name: of the source.
        intake: takes its pages; it has an index.
        clocks: what time it is.
        connect: opens the streams of the tool.
    """

    def __init__(
        self, name: str, intake: SourceIntake, clocks: PullClocks, connect: OpenStreams = open_streams
    ) -> None:
        assert intake.index is not None, "records of a source without an index are not pulled"
        self.name = name
        self.settings = intake.source.rules.settings
        self._intake = intake
        self._index = intake.index
        self._clocks = clocks
        self._connect = connect
        self._turn = asyncio.Lock()

    async def run(self, request: PullRequest | None = None, observe: Observer | None = None) -> list[StreamReport]:
        """Pull what is due of each stream; one that cannot be read does not keep the others from being read.

        Raises PullError or CredentialsError when no stream can be read, and what the intake raises.
        """
        async with self._turn:
            await self._intake.settle()
            state = await asyncio.to_thread(load, self._index)
            state.attempted = self._clocks.wall()
            try:
                reports = await self._run(state, request or PullRequest(), observe or (lambda _: None))
            except (PullError, CredentialsError) as error:
                state.error = str(error)
                await asyncio.to_thread(keep, self._index, state)
                raise
            errors = [f"{report.stream}: {report.error}" for report in reports if report.error is not None]
            state.error = "; ".join(errors) or None
            if not errors:
                state.succeeded = state.attempted
            await asyncio.to_thread(keep, self._index, state)
            return reports

    async def _run(self, state: PullState, request: PullRequest, observe: Observer) -> list[StreamReport]:
        reports: list[StreamReport] = []
        read = 0
        async with self._connect(self.name, self.settings) as streams:
            for stream in streams:
                of_stream = state.streams.setdefault(stream.name, StreamState())
                if (report := self._due(stream, of_stream, request)) is None:
                    continue
                reports.append(report)
                reading = _StreamReading(stream, self._intake, self._index, self._clocks, request, observe, report)
                await reading.run(of_stream)
                read += reading.is_whole()
                await asyncio.to_thread(keep, self._index, state)
                for note in report.notes:
                    _log.warning("source %s, %s: %s", self.name, report.stream, note)
            if reports and read == len(streams):
                await self._retract_unlisted(state.attempted, reports, request)
        return reports

    async def _retract_unlisted(
        self, started: int | None, reports: Sequence[StreamReport], request: PullRequest
    ) -> None:
        """Delete the records that no stream lists, after all were read whole.

        Of them it was not known which stream lists them: webhooks brought them, or the index was made again.
        """
        assert started is not None
        if (any(report.records for report in reports) or request.confirm_empty) and self._index.unlisted(started):
            taken = await self._intake.retract_unlisted(started, self._clocks.wall())
            reports[-1].events += taken.events

    def _due(self, stream: Stream, state: StreamState, request: PullRequest) -> StreamReport | None:
        """What to read of a stream now; None: nothing yet."""
        now = self._clocks.wall()
        since_sweep = None if state.swept is None else now - state.swept
        if request.full:
            return StreamReport(stream.name, None, sweep=True)
        if not stream.windowed:
            resting = since_sweep is not None and 0 <= since_sweep < _REST * state.sweep_ms
            return None if resting else StreamReport(stream.name, None, sweep=True)
        recent = None if state.cursor is None else max(0, state.cursor - OVERLAP_MS)
        if recent is None or since_sweep is None or not 0 <= since_sweep < self.settings.sweep_interval_s * 1000:
            # Pages are of one UTC day, and so is the beginning of the window.
            first = max(0, now - now % DAY_MS - self.settings.lookback_days * DAY_MS)
            return StreamReport(stream.name, first if recent is None else min(first, recent), sweep=True)
        return StreamReport(stream.name, recent, sweep=False)


@dataclass(slots=True)
class _StreamReading:
    """One reading of a stream."""

    stream: Stream
    intake: SourceIntake
    index: StoredIndex
    clocks: PullClocks
    request: PullRequest
    observe: Observer
    report: StreamReport
    seen: set[str] = field(default_factory=set)
    """The records that were read."""
    unreadable: int = 0
    """Records that were not, whose ids are not known."""

    async def run(self, state: StreamState) -> None:
        """Read the stream, and advance its cursor if it was read to its end."""
        started = self.clocks.wall()
        try:
            await self._take_pages()
            if self.seen:
                state.empty = False
            if self.report.sweep:
                await self._retract(state)
        except PullError as error:
            self.report.error = str(error)
            return
        state.cursor = started
        if self.report.sweep:
            state.swept, state.sweep_ms = started, max(0, self.clocks.wall() - started)

    def is_whole(self) -> bool:
        """Whether all records of the stream were read, and the tool has no others."""
        report = self.report
        complete = report.error is None and self._every_record_was_read()
        return report.sweep and report.since is None and complete

    async def _take_pages(self, *, again: bool = False) -> None:
        """Take all pages; of what is read again only events are counted."""
        report, name = self.report, self.stream.name
        problem, readable = "", 0
        async for page in self.stream.pages(report.since):
            try:
                taken = await self.intake.take(
                    page.content, self.clocks.wall(), self.clocks.broker(), stream=name, listed=page.listed
                )
            except UnknownShapeError as error:
                problem = problem or str(error)
                self.unreadable += 1
                report.rejected += not again
            else:
                readable += 1
                self.seen |= taken.natives
                self.unreadable += taken.malformed
                report.events += taken.events
                _add(report.counted, taken.counted)
                if not again:
                    report.unchanged += taken.unchanged
                    report.rejected += taken.rejected
                    _add(report.skipped, taken.skipped)
            report.pages += 1
            report.reached = page.listed
            report.records = len(self.seen)
            self.observe(report)
            self._require_end()
        if problem and not readable:
            raise PullError(f"no record can be read: {problem}")

    def _require_end(self) -> None:
        """Raise PullError for a list that seems to have no end."""
        report = self.report
        if report.records <= MAX_RECORDS and report.pages <= MAX_PAGES:
            return
        if not self.stream.windowed:
            remedy = "delete in the tool what is done"
        elif report.since is None:
            remedy = "pull without `--full`, which reads the last `lookback_days` only"
        else:
            remedy = "shorten `lookback_days` of the source, until its window has fewer"
        last = "" if report.reached is None else f", the last of them listed at {timestamp(report.reached)}"
        raise PullError(
            f"the list has more than {MAX_RECORDS:,} records, or than {MAX_PAGES:,} pages: {report.records:,} records "
            f"were read{last}; the rest was not read, no record is taken to be deleted, and each pull begins at the "
            f"start of the list again: {remedy}"
        )

    async def _retract(self, state: StreamState) -> None:
        """Delete what vanished."""
        missing = await self._missing()
        is_empty = not self.seen and self._every_record_was_read()
        confirmed = self.request.full and (state.empty or self.request.confirm_empty)
        if not missing:
            return
        if not self._every_record_was_read():
            self.report.notes.append("a record cannot be read, and may be any: no record is taken to be deleted")
            return
        if is_empty and not confirmed:
            state.empty = state.empty or self.request.full
            remedy = "run it again, or with `--confirm-empty`" if self.request.full else "run `source sync --full`"
            self.report.notes.append(
                f"the list is empty, but {len(missing):,} records of it are known: none is taken to be deleted. If "
                f"they were deleted in the tool, {remedy}"
            )
            return
        if not is_empty:
            # A list that shifts while it is read may have hidden them.
            await self._take_pages(again=True)
            missing = await self._missing()
            if not missing or not self._every_record_was_read():
                return
        self.report.vanished = len(missing)
        state.empty = False
        taken = await self.intake.retract_missing(
            self.seen, self.clocks.wall(), stream=self.stream.name, since=self.report.since
        )
        self.report.events += taken.events
        _add(self.report.counted, taken.counted)

    def _every_record_was_read(self) -> bool:
        return self.unreadable == 0

    async def _missing(self) -> set[str]:
        """The known records of what was read that were not seen."""
        known = await asyncio.to_thread(self.index.listed, self.stream.name, self.report.since)
        return {*known} - self.seen


def _add(counts: dict[str, int], more: Mapping[str, int]) -> None:
    for result, count in more.items():
        counts[result] = counts.get(result, 0) + count
