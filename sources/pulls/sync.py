"""The pull of a source: what to read, and when; the same for every tool.

Recent records are read often, the last days rarely: tools edit and delete without a new listing time. Each page is
taken in order: Kafka acknowledges its events, the owner index remembers them, and only when a stream has been read to
its end its cursor advances. A process that is killed repeats some of it, and what is repeated changes nothing.

A pull reads only so much of a stream. The next pull goes on where it ended, until the stream was read to its end.

A record is taken to be deleted only when a sweep, read to its end without an error, did not list it.
"""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final

from aggregator.days import DAY_MS, timestamp
from sources.intake.intake import SourceIntake
from sources.intake.seen import forget_seen, note_seen
from sources.intake.store import StoredIndex
from sources.pulls import reading as limits
from sources.pulls.connection import ToolBusyError
from sources.pulls.credentials import CredentialsError
from sources.pulls.digests import DigestSet
from sources.pulls.pull import PulledPage, PullError, Stream
from sources.pulls.reading import PullReading, ReadingLimitError
from sources.pulls.registry import open_streams
from sources.pulls.state import PullState, StreamState, UnfinishedReading, keep, load
from sources.records import UnknownShapeError
from sources.rules import SourceSettings

_log = logging.getLogger(__name__)

OVERLAP_MS: Final = 3_600_000
"""How far before the cursor a reading begins: tools list a record later than its listing time, and clocks differ."""
_UNREADABLE: Final = (ValueError, OverflowError, LookupError, RecursionError)
"""What bytes and numbers raise that fit nowhere, and what is nested too deep."""
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
    unfinished: bool = False
    """Whether this pull ended at its limit, and the next one goes on."""
    error: str | None = None
    """Why the stream was not read to its end, other than by the limit of a pull."""


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
        self._digest = hashlib.sha256(self.settings.model_dump_json().encode()).hexdigest()
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
        whole: list[int] = []
        async with self._connect(self.name, self.settings) as streams:
            for stream in streams:
                of_stream = state.streams.setdefault(stream.name, StreamState())
                if (due := self._due(stream, of_stream, request)) is None:
                    continue
                reading = _StreamReading(
                    stream,
                    due,
                    intake=self._intake,
                    index=self._index,
                    clocks=self._clocks,
                    request=request,
                    observe=observe,
                )
                reports.append(report := reading.report)
                await reading.run(of_stream)
                if reading.is_whole():
                    whole.append(due.started)
                await asyncio.to_thread(keep, self._index, state)
                for note in report.notes:
                    _log.warning("source %s, %s: %s", self.name, report.stream, note)
            if reports and len(whole) == len(streams):
                await self._retract_unlisted(min(whole), reports, request)
        return reports

    async def _retract_unlisted(self, started: int, reports: Sequence[StreamReport], request: PullRequest) -> None:
        """Delete the records that no stream lists, after all were read whole.

        Of them it was not known which stream lists them: webhooks brought them, or the index was made again.
        """
        if (any(report.records for report in reports) or request.confirm_empty) and self._index.unlisted(started):
            taken = await self._intake.retract_unlisted(started, self._clocks.wall())
            reports[-1].events += taken.events

    def _due(self, stream: Stream, state: StreamState, request: PullRequest) -> UnfinishedReading | None:
        """What to read of a stream now; None: nothing yet."""
        now, unfinished = self._clocks.wall(), state.unfinished
        if unfinished is not None and unfinished.settings == self._digest and unfinished.serves(full=request.full):
            return unfinished
        state.unfinished = None
        since_sweep = None if state.swept is None else now - state.swept
        if request.full:
            return UnfinishedReading(now, None, sweep=True, settings=self._digest)
        if not stream.windowed:
            resting = since_sweep is not None and 0 <= since_sweep < _REST * state.sweep_ms
            return None if resting else UnfinishedReading(now, None, sweep=True, settings=self._digest)
        since = recent = None if state.cursor is None else max(0, state.cursor - OVERLAP_MS)
        sweep = recent is None or since_sweep is None or not 0 <= since_sweep < self.settings.sweep_interval_s * 1000
        if sweep:
            # Pages are of one UTC day, and so is the beginning of the window.
            first = max(0, now - now % DAY_MS - self.settings.lookback_days * DAY_MS)
            since = first if recent is None else min(first, recent)
        return UnfinishedReading(now, since, sweep=sweep, settings=self._digest)


class _StreamReading:
    """What one pull reads of a stream.

    Args:
        stream: the stream.
        due: the reading that is begun, or gone on with.
        intake: takes its pages.
        index: of the source.
        clocks: what time it is.
        request: how to pull.
        observe: gets the report after each page.
    """

    def __init__(
        self,
        stream: Stream,
        due: UnfinishedReading,
        *,
        intake: SourceIntake,
        index: StoredIndex,
        clocks: PullClocks,
        request: PullRequest,
        observe: Observer,
    ) -> None:
        self.report = StreamReport(stream.name, due.since, sweep=due.sweep)
        self._stream = stream
        self._intake = intake
        self._index = index
        self._clocks = clocks
        self._request = request
        self._observe = observe
        self._due = due
        self._again = due.again
        self._reading = PullReading(due.since, due.started, due.bookmark)
        self._seen = DigestSet()
        """The records that this pull has read."""
        self._unreadable = due.unreadable
        """Records that were not read, and whose ids are not known."""

    async def run(self, state: StreamState) -> None:
        """Read the stream up to the limit of a pull, and advance its cursor if that was its end."""
        begun = self._clocks.wall()
        goes_on, state.unfinished = state.unfinished is not None, None
        try:
            if self._due.sweep and not goes_on:
                await asyncio.to_thread(forget_seen, self._index, self._stream.name)
            await self._read(state)
        except ReadingLimitError:
            state.unfinished = await self._pause(self._clocks.wall() - begun)
            return
        except PullError as error:
            self.report.error = str(error)
            # A tool that refuses a bookmark does so at each pull.
            refused = goes_on and self.report.pages == 0 and not isinstance(error, ToolBusyError)
            state.unfinished = self._due if goes_on and not refused else None
            return
        state.cursor = self._due.started
        if self._due.sweep:
            state.swept = self._due.started
            state.sweep_ms = max(0, self._due.took_ms + self._clocks.wall() - begun)
            if goes_on:
                await asyncio.to_thread(forget_seen, self._index, self._stream.name)

    def is_whole(self) -> bool:
        """Whether all records of the stream were read, and the tool has no others."""
        report = self.report
        complete = report.error is None and not report.unfinished and self._every_record_was_read()
        return report.sweep and report.since is None and complete

    async def _read(self, state: StreamState) -> None:
        """Read the stream to its end, and delete what vanished if that is looked for. Raises ReadingLimitError."""
        if not self._again:
            await self._take_pages()
            if self._records():
                state.empty = False
        if self._due.sweep:
            await self._retract(state)

    async def _pause(self, took_ms: int) -> UnfinishedReading | None:
        """What the next pull goes on with, after this one came to its limit."""
        due, reading, report = self._due, self._reading, self.report
        limit = f"{limits.MAX_RECORDS:,} records or {limits.MAX_REQUESTS:,} requests"
        if (self._again, reading.bookmark) == (due.again, due.bookmark):
            report.error = (
                f"{report.records:,} records were read, and a pull of {limit} does not get further in the list: the "
                "rest was not read, and no record is taken to be deleted; delete in the tool what is done"
            )
            return None if due.bookmark is None and not due.again else due
        report.unfinished = True
        last = "" if report.reached is None else f", the last of them listed at {timestamp(report.reached)}"
        report.notes.append(
            f"the limit of a pull, {limit}, was reached: {report.records:,} records were read{last}; the next pull "
            "goes on there, and no record is taken to be deleted before the end of the list"
        )
        if due.sweep:
            # Only those that the index knows can be missing.
            known = await asyncio.to_thread(self._index.unseen, self._stream.name, None)
            seen = [native for native in known if native in self._seen]
            await asyncio.to_thread(note_seen, self._index, self._stream.name, seen)
        return UnfinishedReading(
            due.started,
            due.since,
            due.sweep,
            due.settings,
            bookmark=reading.bookmark,
            again=self._again,
            records=self._records(),
            unreadable=self._unreadable,
            took_ms=due.took_ms + max(0, took_ms),
        )

    async def _take_pages(self) -> None:
        """Take all pages from the bookmark on; of what is read again only events are counted."""
        report, name, again = self.report, self._stream.name, self._again
        problem, readable = "", 0
        async for page in _readable(self._stream, self._reading):
            try:
                taken = await self._intake.take(
                    page.content, self._clocks.wall(), self._clocks.broker(), stream=name, listed=page.listed
                )
            except UnknownShapeError as error:
                problem = problem or str(error)
                self._unreadable += 1
                report.rejected += not again
            else:
                readable += 1
                self._seen.update(taken.natives)
                self._unreadable += taken.malformed
                report.events += taken.events
                _add(report.counted, taken.counted)
                if not again:
                    report.unchanged += taken.unchanged
                    report.rejected += taken.rejected
                    _add(report.skipped, taken.skipped)
            report.pages += 1
            report.reached = page.listed
            report.records = len(self._seen)
            self._reading.count_records(report.records)
            self._observe(report)
        if problem and not readable:
            raise PullError(f"no record can be read: {problem}")

    async def _retract(self, state: StreamState) -> None:
        """Delete what vanished."""
        if not self._again:
            missing = await self._missing()
            if not missing or not self._may_delete(len(missing), state):
                return
            if self._records():
                # A list that shifts while it is read may have hidden them.
                self._again, self._reading.bookmark = True, None
        if self._again:
            await self._take_pages()
        missing = await self._missing()
        if not missing or not self._every_record_was_read():
            return
        self.report.vanished = len(missing)
        state.empty = False
        taken = await self._intake.retract_missing(
            self._seen, self._clocks.wall(), stream=self._stream.name, since=self.report.since
        )
        self.report.events += taken.events
        _add(self.report.counted, taken.counted)

    def _may_delete(self, missing: int, state: StreamState) -> bool:
        """Whether missing records may be deleted in the tool; a note has why not."""
        if not self._every_record_was_read():
            self.report.notes.append("a record cannot be read, and may be any: no record is taken to be deleted")
            return False
        if self._records() or self._is_confirmed(state):
            return True
        state.empty = state.empty or self._request.full
        remedy = "run it again, or with `--confirm-empty`" if self._request.full else "run `source sync --full`"
        self.report.notes.append(
            f"the list is empty, but {missing:,} records of it are known: none is taken to be deleted. If they were "
            f"deleted in the tool, {remedy}"
        )
        return False

    def _is_confirmed(self, state: StreamState) -> bool:
        """Whether an empty list is taken for the truth."""
        return self._request.full and (state.empty or self._request.confirm_empty)

    def _records(self) -> int:
        """Records that this reading has had, those of earlier pulls included."""
        return self._due.records + len(self._seen)

    def _every_record_was_read(self) -> bool:
        return self._unreadable == 0

    async def _missing(self) -> set[str]:
        """The known records of what was read that were not seen, by this pull or an earlier one."""
        known = await asyncio.to_thread(self._index.unseen, self._stream.name, self.report.since)
        return {native for native in known if native not in self._seen}


async def _readable(stream: Stream, reading: PullReading) -> AsyncIterator[PulledPage]:
    """The pages of a stream. Raises PullError also for what an answer is that no client of a tool expects.

    The process would end otherwise, for whoever sends to it, and again at each start.
    """
    try:
        async for page in stream.pages(reading):
            yield page
    except _UNREADABLE as error:
        raise PullError(f"an answer cannot be read: {type(error).__name__}: {error}") from error


def _add(counts: dict[str, int], more: Mapping[str, int]) -> None:
    for result, count in more.items():
        counts[result] = counts.get(result, 0) + count
