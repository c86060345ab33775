"""`export`: writes the current facts as events."""

import asyncio
import unicodedata
from pathlib import Path
from typing import IO

import click
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from eval_alignment import kafka_wiring, settings, wiring
from eval_alignment.ledger_export import Ledger, LedgerError, add_waiting, line, read_ledger
from eval_alignment.options import broker_option
from eval_alignment.output_files import replaced_when_whole
from sinks.page.wording import rebuilding_words
from streams.kafka.topics import TopicsError


@click.command()
@broker_option
@click.option("--queue", help="Only this queue: annotations, queue items, and the evaluations its document needs.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    default="-",
    help="File to write. It is replaced only when everything is written. - is standard output, the default.",
)
@click.option(
    "--skip-unreadable",
    is_flag=True,
    help="Write every row that can be read. Names what cannot be read or is lost, and ends with exit code 1.",
)
@click.option(
    "--waiting",
    is_flag=True,
    help="Also the evaluations that wait for an annotation of their item. They are read from the evaluations topic.",
)
def export(*, brokers: str | None, queue: str | None, output: Path, skip_unreadable: bool, waiting: bool) -> None:
    """Write the current facts as NDJSON events. It includes deletions; `load` accepts the file.

    Use it for a backup, for a move to another broker or number of partitions, and to recount the ledger. Where
    evaluations wait for their item, they are not in the ledger: --waiting adds them. Exit code 0: everything is
    written. 1: the broker did not answer, its ledger is incomplete, or records were skipped.
    """
    chosen = settings.load(brokers=brokers)
    try:
        ledger = _read(chosen, skip_unreadable=skip_unreadable, waiting=waiting)
    except (KafkaError, TimeoutError) as error:
        raise kafka_wiring.failure(chosen, error) from error
    except (TopicsError, LedgerError) as error:
        raise click.ClickException(str(error)) from error
    lost = _lost(ledger)
    if lost and not skip_unreadable:
        raise click.ClickException(f"{lost}. `export --skip-unreadable` writes the rows that are left")
    written = _write(ledger, queue, output)
    rows = len(ledger.rows) - ledger.waiting
    click.echo(f"{written} events written, {rows} rows in the ledger", err=True)
    if waiting:
        click.echo(f"{ledger.waiting} evaluations wait for an annotation or a queue item of their item", err=True)
    if ledger.rebuilding:
        click.echo(rebuilding_words(ledger.rebuilding), err=True)
    if ledger.unprocessed:
        click.echo(f"{ledger.unprocessed} source events are not processed yet and not in the export", err=True)
    for where, records in sorted(ledger.skipped.items()):
        click.echo(f"skipped in {where}: {records.take()}", err=True)
    if lost:
        raise click.ClickException(f"{lost}; the rows that are left are written")
    if ledger.skipped:
        raise click.ClickException("records of the ledger or the tallies could not be read; the other rows are written")


def _lost(ledger: Ledger) -> str:
    """What the ledger lost, in words; empty when it is complete."""
    lost = {"lost its beginning": ledger.cut, "ends before the position of its tallies": ledger.missing}
    listed = [f"it {how} in partitions {', '.join(map(str, numbers))}" for how, numbers in lost.items() if numbers]
    return f"the ledger is incomplete: {'; '.join(listed)}" if listed else ""


def _write(ledger: Ledger, queue: str | None, output: Path) -> int:
    """Write the facts of a queue, or all; returns their number."""
    name = None if queue is None else unicodedata.normalize("NFC", queue)
    if str(output) == "-":
        return _write_to(click.get_binary_stream("stdout"), ledger, name)
    try:
        with replaced_when_whole(output) as file:
            return _write_to(file, ledger, name)
    except OSError as error:
        raise click.ClickException(f"cannot write {output}: {error.strerror or error}") from error


def _write_to(out: IO[bytes], ledger: Ledger, queue: str | None) -> int:
    written = 0
    for fact in ledger.facts(queue):
        out.write(line(fact))
        written += 1
    return written


def _read(chosen: settings.Settings, *, skip_unreadable: bool, waiting: bool) -> Ledger:
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.completed:.0f} {task.description}"), TimeElapsedColumn())
    client, names = kafka_wiring.client(chosen), kafka_wiring.topics(chosen)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("ledger records", total=None)

        def show(read: int) -> None:
            progress.update(task, completed=read)

        async def read() -> Ledger:
            ledger = await read_ledger(client, names, show, skip_unreadable=skip_unreadable)
            if waiting:
                progress.update(task, description="records of evaluations")
                await add_waiting(ledger, client, names, wiring.decoder(chosen), show)
            return ledger

        return asyncio.run(read())
