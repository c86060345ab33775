"""`load`: sends events from files to the topics."""

import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime, time
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

from aggregator.days import timestamp
from eval_alignment import files, kafka_wiring, settings, wiring
from eval_alignment.input_checks import UnknownFields, future_warning, missing_side, now_ms
from eval_alignment.invalid_lines import InvalidLines
from eval_alignment.load_wait import ViewWait
from eval_alignment.options import Moment, broker_option, milliseconds, token_file_option
from eval_alignment.row_checks import RowChecks
from eval_alignment.settings import Settings
from eval_alignment.source_load import load_files
from eval_alignment.tables.events import RowEvent, RowEvents
from eval_alignment.tables.options import column_options
from eval_alignment.tables.roles import ColumnChoice, TableRules, read_tables, rules_of
from eval_alignment.view_client import open_view
from sources.file_formats import READ_ERRORS
from sources.tables import TableError
from streams.events.decoder import Decoder, Kind, Rejection
from streams.kafka.client import KafkaClient
from streams.kafka.producer import Outgoing, require_sources, send_all
from streams.kafka.topics import Topics

_REACH: Final = 100_000
"""Number of rows that events are compared with: standard input may never end."""


@dataclass(slots=True)
class _Summary:
    """The valid events of the input."""

    kinds: set[Kind] = field(default_factory=set)
    unknown: UnknownFields = field(default_factory=UnknownFields)
    rows: RowChecks = field(default_factory=lambda: RowChecks(_REACH))
    ahead: int = 0
    """Number of events that are too far ahead of this machine's clock."""

    def warnings(self, invalid: int, future_limit_ms: int) -> Iterator[str]:
        """A line for everything that may be wrong with the input. `invalid` is its number of invalid lines."""
        yield from self.unknown.warnings()
        yield from self.rows.warnings()
        if (message := missing_side(self.kinds, invalid, more_inputs=True)) is not None:
            yield message
        if self.ahead:
            yield future_warning(self.ahead, future_limit_ms)


@dataclass(slots=True)
class _Sent:
    """What the broker acknowledged."""

    counts: Counter[str] = field(default_factory=Counter)
    """Number of events by topic."""
    offsets: dict[tuple[str, int], int] = field(default_factory=dict)
    """Highest offset by topic and partition."""


_Line = files.InputLine | RowEvent


class _Invalid:
    """Reports and counts the invalid lines and rows."""

    def __init__(self) -> None:
        self.rows = RowEvents(_report)
        self._lines = InvalidLines(_report)

    def add(self, line: _Line, rejection: Rejection) -> None:
        """Report a line that the decoder rejects."""
        if isinstance(line, RowEvent):
            self.rows.reject(line, f"{rejection.reason.value}: {rejection.detail}")
        else:
            self._lines.add(line.where, rejection)

    @property
    def total(self) -> int:
        """Number of invalid lines and rows."""
        return self._lines.total + self.rows.counts.invalid

    def summary(self) -> Iterator[str]:
        """A line about the rows of tables, and one about invalid lines."""
        if self.rows.counts.rows:
            yield self.rows.counts.summary()
        yield from self._lines.summary()


def _report(message: str) -> None:
    click.echo(message, err=True)


@click.command()
@broker_option
@click.argument(
    "paths",
    metavar="FILE...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
)
@click.option(
    "--wait",
    "url",
    metavar="URL",
    help="Return when the view at this address shows what was loaded. A rejected event counts as shown.",
)
@click.option(
    "--wait-timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="With --wait: time from the last acknowledgement.",
)
@token_file_option
@click.option("--source", "name", metavar="NAME", help="Read exports of the tool of this source in the settings.")
@click.option(
    "--file-time",
    type=Moment(time.min),
    metavar="TIME",
    help="With --source: when the files were made, for records without a time.  [default: when each was changed]",
)
@click.option("--columns", is_flag=True, help="Read tables of labels and verdicts, by the options below.")
@click.option("--queue", metavar="NAME", help="With --columns: queue of the labels.")
@column_options
def load(
    *,
    brokers: str | None,
    paths: tuple[Path, ...],
    url: str | None,
    wait_timeout: float,
    token_file: Path | None,
    name: str | None,
    file_time: datetime | None,
    columns: bool,
    queue: str | None,
    choice: ColumnChoice,
) -> None:
    """Send events from NDJSON files (also gzipped) to the topics. FILE - is standard input.

    Files may mix annotations, evaluations and queue items. An invalid line is reported with its reason and skipped.
    Unknown fields, and events with the same row, time and id but other content, are reported; each event is compared
    with the 100,000 before it.

    With --columns, files are tables (CSV, TSV, NDJSON, JSON arrays), read as `check` reads them. A row becomes the
    same event in every load, with another time where the row has none and --at is not given.

    With --source, files are exports of another tool, read by the rules of that source, as `source check` shows. Where
    the tool's records have ids, what an earlier file stated of a record and this one does not is taken back.

    Exit code 0: the broker acknowledged every line. 1: some lines are invalid and the broker acknowledged all others,
    or the broker did not answer. With --wait also 3: the view is not available, and nothing was sent. 64: the view
    belongs to another deployment. 90: the view does not show the events in time; the broker has them.

    Whether a worker rejects an event is not known here: --wait counts a dead letter as shown. `dlq ls` lists them.
    """
    chosen = settings.load(brokers=brokers, token_file=token_file)
    if url is None and token_file is not None:
        raise click.UsageError("--token-file requires --wait")
    if name is None and file_time is not None:
        raise click.UsageError("--file-time requires --source")
    if name is not None and columns:
        raise click.UsageError("--source and --columns: only one can be given")
    tables = _tables(paths, choice, columns=columns, queue=queue)
    with nullcontext() if url is None else open_view(url, chosen.token_file) as view:
        wait = None if view is None else ViewWait(view, kafka_wiring.topics(chosen), wait_timeout)
        if name is None:
            valid = _load(chosen, paths, tables, wait)
        else:
            valid = load_files(chosen, name, paths, milliseconds(file_time), wait)
    if not valid:
        sys.exit(1)


def _load(
    chosen: Settings, paths: tuple[Path, ...], tables: Sequence[TableRules] | None, wait: ViewWait | None
) -> bool:
    """Load events, and report what is invalid; returns whether nothing is."""
    summary, invalid = _Summary(), _Invalid()
    if wait is not None:
        wait.check()
    sent = _send_files(chosen, paths, tables, invalid, summary)
    for topic, count in sorted(sent.counts.items()):
        click.echo(f"{topic}: {count} acknowledged")
    for line in (*summary.warnings(invalid.total, chosen.future_limit_ms), *invalid.summary()):
        click.echo(line, err=True)
    if wait is not None:
        wait.until_passed(sent.offsets)
    return not invalid.total


def _send_files(
    chosen: Settings,
    paths: tuple[Path, ...],
    tables: Sequence[TableRules] | None,
    invalid: _Invalid,
    summary: _Summary,
) -> _Sent:
    """Send the events of all files. Raises ClickException when that fails."""
    topics = kafka_wiring.topics(chosen)
    decoder = replace(wiring.decoder(chosen), on_unknown_fields=summary.unknown.add)
    with _progress(files.size(paths)) as progress:
        task = progress.task_ids[0]
        follow = files.follow_lines(paths, lambda done: progress.update(task, completed=done))
        lines = follow if tables is None else _rows(invalid.rows, tables)
        try:
            events = _events(lines, decoder, topics, invalid, summary)
            return kafka_wiring.run(chosen, _send(kafka_wiring.client(chosen), topics, events))
        except files.InputFormatError as error:
            raise click.ClickException(str(error)) from error
        except READ_ERRORS as error:
            raise click.ClickException(f"cannot read the input: {error}") from error


def _tables(
    paths: tuple[Path, ...], choice: ColumnChoice, *, columns: bool, queue: str | None
) -> Sequence[TableRules] | None:
    """The tables of a load; None without --columns. Reports what was recognised, and the time of rows without one."""
    if not columns:
        if given := choice.given() + ["queue"] * (queue is not None):
            raise click.UsageError(f"--{given[0].replace('_', '-')} requires --columns")
        return None
    now = now_ms()
    try:
        read = read_tables(paths, choice)
    except TableError as error:
        raise click.ClickException(str(error)) from error
    tables = rules_of(read, choice, queue=queue or "", now=now, alone=False)
    if queue is None and any(each.rules.human is not None for each in tables):
        raise click.UsageError("--columns requires --queue NAME, the queue of the labels")
    for each in tables:
        click.echo(each.note, err=True)
    if choice.at is None and any(each.rules.at_column is None for each in tables):
        click.echo(f"rows without a time are dated {timestamp(now)}: see --at and --at-column", err=True)
    return tables


async def _rows(rows: RowEvents, tables: Sequence[TableRules]) -> AsyncIterator[_Line]:
    for event in rows.of(tables):
        yield event


def _progress(size: int | None) -> Progress:
    console = Console(stderr=True)
    columns = (TextColumn("loading"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    progress.add_task("load", total=size)
    return progress


async def _events(
    lines: AsyncIterator[_Line],
    decoder: Decoder,
    topics: Topics,
    invalid: _Invalid,
    summary: _Summary,
) -> AsyncIterator[Outgoing]:
    """A record for every valid line. Its value is the line, unchanged. Counts the events in `summary`."""
    by_kind = {kind: topic for topic, kind in topics.sources.items()}
    async for line in lines:
        outcome = decoder.decode_line(line.value)
        if isinstance(outcome, Rejection):
            invalid.add(line, outcome)
        else:
            kind, fact = outcome
            summary.kinds.add(kind)
            summary.rows.add(fact, line.where)
            summary.ahead += fact.at > now_ms() + decoder.future_ms
            yield Outgoing(by_kind[kind], line.value, fact.item.encode())


async def _send(client: KafkaClient, topics: Topics, events: AsyncIterator[Outgoing]) -> _Sent:
    """Send every event and wait for every acknowledgement."""
    await require_sources(client, topics)
    sent = _Sent()
    async for acknowledged in send_all(client, events):
        sent.counts[acknowledged.topic] += 1
        place = acknowledged.topic, acknowledged.partition
        sent.offsets[place] = max(acknowledged.offset, sent.offsets.get(place, -1))
    return sent
