"""`load`: sends events from files to the topics."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import click
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

from eval_alignment import files, kafka_wiring, settings, wiring
from eval_alignment.conflicts import Conflicts
from eval_alignment.input_checks import UnknownFields, future_warning, missing_side, now_ms
from eval_alignment.options import broker_option
from streams.events.decoder import Decoder, Kind, Rejection
from streams.kafka.client import KafkaClient
from streams.kafka.producer import Outgoing, require_sources, send_all
from streams.kafka.topics import Topics, TopicsError

_REACH: Final = 100_000
"""Number of events that an event is compared with for conflicts: standard input may never end."""


@dataclass(slots=True)
class _Summary:
    """The valid events of the input."""

    kinds: set[Kind] = field(default_factory=set)
    unknown: UnknownFields = field(default_factory=UnknownFields)
    conflicts: Conflicts = field(default_factory=lambda: Conflicts(_REACH))
    ahead: int = 0
    """Number of events that are too far ahead of this machine's clock."""

    def warnings(self, invalid: int, future_limit_ms: int) -> Iterator[str]:
        """A line for everything that may be wrong with the input. `invalid` is its number of invalid lines."""
        yield from self.unknown.warnings()
        yield from self.conflicts.warnings()
        if (message := missing_side(self.kinds, invalid, more_inputs=True)) is not None:
            yield message
        if self.ahead:
            yield future_warning(self.ahead, future_limit_ms)


@click.command()
@broker_option
@click.argument(
    "paths",
    metavar="FILE...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
)
def load(brokers: str | None, paths: tuple[Path, ...]) -> None:
    """Send events from NDJSON files (also gzipped) to the topics. FILE - is standard input.

    Files may mix annotations, evaluations and queue items. An invalid line is reported with its reason and skipped.
    Unknown fields, and events with the same row, time and id but other content, are reported; each event is compared
    with the 100,000 before it.
    Exit code 0: the broker acknowledged every line. 1: some lines are invalid and the broker acknowledged all others,
    or the broker did not answer.
    """
    chosen = settings.load(brokers=brokers)
    invalid: Counter[str] = Counter()
    summary = _Summary()

    def report_invalid(line: files.InputLine, rejection: Rejection) -> None:
        invalid[rejection.reason.value] += 1
        click.echo(f"{line.file}:{line.number}: {rejection.reason.value}: {rejection.detail}", err=True)

    with _progress(files.size(paths)) as progress:
        task = progress.task_ids[0]
        topics = kafka_wiring.topics(chosen)
        lines = files.follow_lines(paths, lambda done: progress.update(task, completed=done))
        events = _events(
            lines,
            replace(wiring.decoder(chosen), on_unknown_fields=summary.unknown.add),
            topics,
            report_invalid,
            summary,
        )
        try:
            sent = asyncio.run(_send(kafka_wiring.client(chosen), topics, events))
        except TopicsError as error:
            raise click.ClickException(str(error)) from error
        except (KafkaError, TimeoutError) as error:
            raise kafka_wiring.failure(chosen, error) from error
        except files.InputFormatError as error:
            raise click.ClickException(str(error)) from error
        except files.READ_ERRORS as error:
            raise click.ClickException(f"cannot read the input: {error}") from error
    for topic, count in sorted(sent.items()):
        click.echo(f"{topic}: {count} acknowledged")
    for warning in summary.warnings(invalid.total(), chosen.future_limit_ms):
        click.echo(warning, err=True)
    if invalid:
        listed = ", ".join(f"{count} {reason}" for reason, count in invalid.most_common())
        click.echo(f"{invalid.total()} invalid lines: {listed}", err=True)
        sys.exit(1)


def _progress(size: int | None) -> Progress:
    console = Console(stderr=True)
    columns = (TextColumn("loading"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    progress.add_task("load", total=size)
    return progress


async def _events(
    lines: AsyncIterator[files.InputLine],
    decoder: Decoder,
    topics: Topics,
    report_invalid: Callable[[files.InputLine, Rejection], None],
    summary: _Summary,
) -> AsyncIterator[Outgoing]:
    """A record for every valid line. Its value is the line, unchanged. Counts the events in `summary`."""
    by_kind = {kind: topic for topic, kind in topics.sources.items()}
    async for line in lines:
        outcome = decoder.decode_line(line.value)
        if isinstance(outcome, Rejection):
            report_invalid(line, outcome)
        else:
            kind, fact = outcome
            summary.kinds.add(kind)
            summary.conflicts.add(fact, line)
            summary.ahead += fact.at > now_ms() + decoder.future_ms
            yield Outgoing(by_kind[kind], line.value, fact.item.encode())


async def _send(client: KafkaClient, topics: Topics, events: AsyncIterator[Outgoing]) -> Counter[str]:
    """Send every event and wait for every acknowledgement; returns counts by topic."""
    await require_sources(client, topics)
    sent: Counter[str] = Counter()
    async for acknowledged in send_all(client, events):
        sent[acknowledged.topic] += 1
    return sent
