"""`source`: what the records of other tools become."""

import contextlib
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from datetime import datetime, time
from pathlib import Path
from typing import Any, Final

import click
import orjson
from rich.table import Table

from aggregator.days import timestamp
from aggregator.facts import Annotation, Evaluation, Fact
from eval_alignment import settings, wiring
from eval_alignment.environment import CONFIG_VARIABLE
from eval_alignment.input_checks import now_ms
from eval_alignment.options import Moment, broker_option, data_dir_option, milliseconds
from eval_alignment.render import output_console
from eval_alignment.source_load import file_time
from eval_alignment.source_retract import retract_source
from eval_alignment.source_status import SourceStatus, source_status
from eval_alignment.source_sync import sync_source
from eval_alignment.terminal_text import printable
from sinks.page.formats import plural
from sources.file_formats import READ_ERRORS, read_content
from sources.intake.store import FILE, IndexStore
from sources.pulls.registry import is_pulled
from sources.pulls.sync import PullRequest
from sources.records import Malformed, Skip, SkipReason, UnknownShapeError
from sources.source import EventRejection, RecordOutcome, ToolSource
from sources.suggestions import names_without_rule, toml
from streams.events.decoder import KIND_OF, Rejection
from streams.events.encoder import encode_event
from streams.events.messages import duration

_SHOWN: Final = 30
"""Characters of a text that are shown."""
_VALUES: Final = 8
"""Values of a name that a table shows."""
_FILE: Final = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)


@click.group()
def source() -> None:
    """Check, pull and list sources, the records of other tools."""


@source.command()
@click.argument("name")
@click.argument("path", metavar="FILE", type=_FILE)
@click.option(
    "--after", multiple=True, type=_FILE, metavar="FILE", help="A file that was read before FILE; may be repeated."
)
@click.option(
    "--channel",
    type=click.Choice(["push", "pull", "file"]),
    help="How FILE arrives, for a tool that has several ways.",
)
@click.option(
    "--received-at",
    type=Moment(time.min),
    metavar="TIME",
    help="When FILE arrives, RFC 3339 or a day (UTC).  [default: now]",
)
@click.option(
    "--file-time",
    "made_at",
    type=Moment(time.min),
    metavar="TIME",
    help="Time of an export, for records without one.  [default: when the file was changed]",
)
@click.option(
    "--complete", is_flag=True, help="FILE is all that the tool has: records that are missing in it were deleted."
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each result of FILE, in order.")
def check(
    *,
    name: str,
    path: Path,
    after: tuple[Path, ...],
    channel: str | None,
    received_at: datetime | None,
    made_at: datetime | None,
    complete: bool,
    as_json: bool,
) -> None:
    """Show the events that FILE becomes by the rules of the source NAME. Nothing is sent or kept.

    FILE is a payload of the tool as it arrives: the body of a webhook, an answer of its API, or an export; plain or
    gzipped; - is standard input. Exit code 0: FILE is data of the tool, also if all of it was skipped. 1: it is not.
    """
    chosen = settings.load()
    checked = wiring.source(chosen, name)
    channels = checked.tool.channels
    if channel is not None and channel not in channels:
        raise click.UsageError(f"records of {checked.tool.title} arrive by {' or '.join(channels)}, not by {channel}")
    of_file = (channel or channels[0]) == "file"
    outcomes: Sequence[RecordOutcome] = ()
    for one in (*after, path):
        made = file_time(one, milliseconds(made_at)) if of_file else milliseconds(received_at)
        clock = now_ms() if made is None else made
        outcomes = _outcomes(checked, one, clock, complete=complete and one is path)
    if as_json:
        for outcome in outcomes:
            click.echo(orjson.dumps(_document(str(path), outcome)))
    else:
        _print(outcomes)


@source.command()
@broker_option
@click.argument("name")
@click.option("--full", is_flag=True, help="Read everything that the tool has, not only what is recent.")
@click.option(
    "--confirm-empty", is_flag=True, help="With --full: if a list of the tool is empty, its records were deleted."
)
@click.option("--watch", is_flag=True, help="Pull again by the interval in the settings, until interrupted.")
def sync(*, brokers: str | None, name: str, full: bool, confirm_empty: bool, watch: bool) -> None:
    """Pull the records of the source NAME from its tool.

    Events are written to Kafka; records that the tool has deleted are taken back. While an `ingest` runs the sources,
    it does the pull. Exit code 0: everything that is due was read. 1: the tool did not answer, or a list is empty that
    had records before: --full a second time, or --confirm-empty, takes them back.
    """
    if confirm_empty and not full:
        raise click.UsageError("--confirm-empty needs --full: only a list that was read in full can be empty")
    request = PullRequest(full=full, confirm_empty=confirm_empty)
    if not sync_source(settings.load(brokers=brokers), name, request, watch=watch):
        raise click.exceptions.Exit(1)


@source.command()
@broker_option
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
def retract(*, brokers: str | None, name: str, yes: bool) -> None:
    """Take back everything that the source NAME stated.

    Every row of its records is deleted by an event; other sources keep theirs. A record that the tool sends or lists
    again counts again, so first turn off its webhooks, and leave `url` and `credentials_file` out of its settings.
    While an `ingest` runs the sources, it does the work.
    """
    chosen = settings.load(brokers=brokers)
    if is_pulled(wiring.source(chosen, name).rules.settings):
        click.echo(
            f"source {printable(name)} is pulled: its next pull counts its records again, unless `url` and "
            "`credentials_file` are left out of its settings and `ingest` is restarted",
            err=True,
        )
    if not yes:
        click.confirm(f"Take back everything that source {printable(name)} stated?", abort=True)
    taken = retract_source(chosen, name)
    click.echo(f"{plural(taken.events, 'event')} acknowledged")


def _outcomes(checked: ToolSource, path: Path, clock: int, *, complete: bool) -> list[RecordOutcome]:
    try:
        records = checked.read(read_content(path))
    except READ_ERRORS as error:
        raise click.ClickException(f"cannot read the input: {error}") from error
    except UnknownShapeError as error:
        raise click.ClickException(f"{printable(str(path))} is not data of {checked.tool.title}: {error}") from error
    outcomes = list(checked.outcomes(records, clock, max(clock, now_ms())))
    if complete:
        outcomes += checked.missing(records, clock)
    return outcomes


def _document(file: str, outcome: RecordOutcome) -> dict[str, Any]:
    match outcome.result:
        case Skip(reason, why):
            return {"file": file, "skip": reason, "native": outcome.native, "why": why}
        case EventRejection(Rejection(reason, detail)):
            return {"file": file, "reject": reason, "native": outcome.native, "why": detail}
        case Malformed(why):
            return {"file": file, "reject": "unknown_shape", "native": outcome.native, "why": why}
        case fact:
            kind = KIND_OF[type(fact)]
            return {"file": file, "event": {"kind": kind, **orjson.loads(encode_event(fact))}}


def _print(outcomes: Sequence[RecordOutcome]) -> None:
    console = output_console()
    facts = [outcome.result for outcome in outcomes if isinstance(outcome.result, Fact)]
    about_item = any(fact.input or fact.output or fact.tags for fact in facts)
    columns = ("time", "item", "queue", "criterion or metric", "by", "result")
    table = Table(*columns, *(("input", "output", "tags") if about_item else ()), box=None, pad_edge=False)
    other: Counter[tuple[str, str]] = Counter()
    for outcome in outcomes:
        match outcome.result:
            case Skip(reason, why):
                other[f"skipped, {reason}", why] += 1
            case EventRejection(Rejection(reason, detail)):
                other[f"rejected, {reason}", detail] += 1
            case Malformed(why):
                other["rejected, unknown_shape", why] += 1
            case fact:
                cells = (*_cells(fact), *(_about_item(fact) if about_item else ()))
                table.add_row(*map(printable, cells))
    if table.row_count:
        console.print(table)
    for (what, why), count in other.most_common():
        click.echo(f"{count} {what}: {printable(why)}")
    left = sum(count for (what, _), count in other.items() if what != f"skipped, {SkipReason.FIELD_REFUSED}")
    click.echo(f"{plural(table.row_count, 'event')}, {left} not")


def _cells(fact: Fact) -> Iterator[str]:
    yield timestamp(fact.at)
    yield fact.item
    match fact:
        case Annotation():
            rating = f"{fact.stars} stars" if fact.thumbs is None else f"thumbs {fact.thumbs}"
            yield from (fact.queue, fact.criterion, fact.annotator, "deleted" if fact.deleted else rating)
        case Evaluation():
            verdict = fact.status if fact.failed else "pass" if fact.passed else "fail"
            yield from ("", fact.metric, fact.judge, "deleted" if fact.deleted else verdict)
        case _:
            yield from (fact.queue, "", "", "taken out" if fact.deleted else "in the queue")


def _about_item(fact: Fact) -> Iterator[str]:
    """The beginnings of input and output, and the tags."""
    for text in (fact.input, fact.output):
        yield "" if text is None else text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
    yield ", ".join(f"{name}={value}" for name, value in (fact.tags or {}).items())


@source.command()
@data_dir_option
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each name.")
def names(*, data_dir: Path | None, name: str, as_json: bool) -> None:
    """List names of the tool that no rule of the source NAME reads, and rules to paste into the settings.

    Judgements under these names are skipped. Nothing is guessed: each rule has the choices as comments. After the
    settings were changed, restart `ingest` and run `source sync NAME --full`, or load the exports again.
    """
    chosen = settings.load(data_dir=data_dir)
    source = wiring.source(chosen, name)
    if not (chosen.data_dir / FILE).exists():
        raise click.ClickException(
            f"{printable(str(chosen.data_dir))} has no owner index yet: let `ingest` or `load --source` read records "
            "first, or compare --data-dir"
        )
    with contextlib.closing(IndexStore(chosen.data_dir, readonly=True)) as store:
        seen = store.index(source.rules.settings.prefix).names()
    found = names_without_rule(source.rules, seen)
    if as_json:
        for each in found:
            click.echo(orjson.dumps({**asdict(each), "seen": timestamp(each.seen)}))
        return
    if not found:
        click.echo(f"every name that source {name} has seen has a rule")
        return
    table = Table("name", "by", "times", "last seen", "values without a rule", box=None, pad_edge=False)
    for each in found:
        by = {"human": "people", "judge": "a judge", None: "not known"}[each.role]
        values = ", ".join(each.values[:_VALUES]) + (", ..." if each.values[_VALUES:] else "")
        table.add_row(*map(printable, (each.name, by, str(each.times), timestamp(each.seen), values)))
    output_console().print(table)
    click.echo("\n# Uncomment and correct one choice of each, in the file of the settings:")
    for line in toml(name, found):
        click.echo(line)


@source.command()
@data_dir_option
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each source.")
def ls(*, data_dir: Path | None, as_json: bool) -> None:
    """List the sources in the settings: how they went, and what their records became.

    Read from the owner index in the data directory, also while `ingest` runs. Exit code 1: the last pull of a source
    failed.
    """
    chosen = settings.load(data_dir=data_dir)
    if not chosen.sources:
        click.echo(
            f"no source in the settings: does {CONFIG_VARIABLE} name the file? "
            "docs/sources.md shows how to connect a tool"
        )
        return
    path = chosen.data_dir / FILE
    with contextlib.closing(IndexStore(chosen.data_dir, readonly=True)) if path.exists() else nullcontext() as store:
        listed = [source_status(name, wiring.source(chosen, name), store) for name in chosen.sources]
    if as_json:
        for status in listed:
            click.echo(orjson.dumps(status))
    else:
        table = Table(
            "source", "tool", "last success", "lag", "events", "skipped", "rejected", box=None, pad_edge=False
        )
        for status in listed:
            table.add_row(*map(printable, _status_cells(status)))
        output_console().print(table)
        for status in listed:
            if status["error"] is not None:
                click.echo(printable(f"{status['source']}: {status['error']}"), err=True)
    if any(status["error"] is not None for status in listed):
        sys.exit(1)


def _status_cells(status: SourceStatus) -> Iterator[str]:
    yield status["source"]
    yield status["tool"]
    yield status["last_success"] or "never"
    yield "" if status["lag_s"] is None else duration(int(status["lag_s"] * 1000))
    yield str(status["events"])
    yield ", ".join(f"{count} {reason}" for reason, count in Counter(status["skipped"]).most_common())
    yield str(status["rejected"])
