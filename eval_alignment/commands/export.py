"""`export`: writes the current facts as events."""

import asyncio
import unicodedata
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any, TypeVar

import click
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from aggregator.facts import Evaluation, Fact
from eval_alignment import kafka_wiring, settings, wiring
from eval_alignment.ledger_export import Ledger, LedgerError, line, read_ledger, read_waiting
from eval_alignment.options import broker_option
from eval_alignment.output_files import replaced_when_whole
from eval_alignment.settings import Settings
from sinks.page.wording import rebuilding_words
from streams.kafka.topics import TopicsError

_Result = TypeVar("_Result")


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
    name = None if queue is None else unicodedata.normalize("NFC", queue)
    with _failures(chosen, output):
        ledger = _run(lambda show: _read_ledger(chosen, show, skip_unreadable=skip_unreadable), "ledger records")
        lost = _lost(ledger)
        if lost and not skip_unreadable:
            raise click.ClickException(f"{lost}. `export --skip-unreadable` writes the rows that are left")
        with _opened(output) as out:
            written, waits = _write(ledger, name, out, chosen if waiting else None)
    click.echo(f"{written} events written, {len(ledger.rows)} rows in the ledger", err=True)
    if waiting:
        click.echo(f"{waits} evaluations wait for an annotation or a queue item of their item", err=True)
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


@contextmanager
def _failures(chosen: Settings, output: Path) -> Iterator[None]:
    """Turn what can go wrong into errors of the command."""
    try:
        yield
    except (KafkaError, TimeoutError) as error:
        raise kafka_wiring.failure(chosen, error) from error
    except (TopicsError, LedgerError) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        if str(output) == "-":
            raise
        raise click.ClickException(f"cannot write {output}: {error.strerror or error}") from error


def _lost(ledger: Ledger) -> str:
    """What the ledger lost, in words; empty when it is complete."""
    lost = {"lost its beginning": ledger.cut, "ends before the position of its tallies": ledger.missing}
    listed = [f"it {how} in partitions {', '.join(map(str, numbers))}" for how, numbers in lost.items() if numbers]
    return f"the ledger is incomplete: {'; '.join(listed)}" if listed else ""


def _opened(output: Path) -> AbstractContextManager[IO[bytes]]:
    if str(output) == "-":
        return nullcontext(click.get_binary_stream("stdout"))
    return replaced_when_whole(output)


def _write(ledger: Ledger, queue: str | None, out: IO[bytes], waiting: Settings | None) -> tuple[int, int]:
    """Write the facts of a queue, or all, and with the settings `waiting` also what waits.

    Returns how many are written, and how many evaluations wait.
    """
    written = waits = 0

    def write(fact: Fact) -> None:
        nonlocal written
        out.write(line(fact))
        written += 1

    for fact in ledger.facts(queue):
        write(fact)
    if waiting is not None:
        take = write if queue is None else ledger.others.add
        waits = _run(lambda show: _read_waiting(waiting, ledger, take, show), "records of evaluations")
    for fact in ledger.others.bounds():
        write(fact)
    return written, waits


def _read_ledger(
    chosen: Settings, show: Callable[[int], None], *, skip_unreadable: bool
) -> Coroutine[Any, Any, Ledger]:
    client, names = kafka_wiring.client(chosen), kafka_wiring.topics(chosen)
    return read_ledger(client, names, show, skip_unreadable=skip_unreadable)


def _read_waiting(
    chosen: Settings, ledger: Ledger, take: Callable[[Evaluation], object], show: Callable[[int], None]
) -> Coroutine[Any, Any, int]:
    client, names = kafka_wiring.client(chosen), kafka_wiring.topics(chosen)
    return read_waiting(ledger.items(), client, names, wiring.decoder(chosen), on_evaluation=take, progress=show)


def _run(read: Callable[[Callable[[int], None]], Coroutine[Any, Any, _Result]], description: str) -> _Result:
    """Run what reads records, and show their number on a terminal."""
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.completed:.0f} {task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(description, total=None)

        def show(read: int) -> None:
            progress.update(task, completed=read)

        return asyncio.run(read(show))
