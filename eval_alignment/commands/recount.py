"""`recount`: counts files of events in one batch, without Kafka."""

from dataclasses import replace
from datetime import date, datetime, time
from pathlib import Path
from typing import Literal

import click
import orjson

from aggregator.days import Window
from aggregator.facts import Fact
from aggregator.names import AlikeNames, alike
from aggregator.recount import Recount
from eval_alignment import files, settings, wiring
from eval_alignment.csv_tables import metrics_csv
from eval_alignment.input_checks import UnknownFields, missing_side, now_ms
from eval_alignment.insights import RecountInsights
from eval_alignment.invalid_lines import InvalidLines
from eval_alignment.options import Moment, pass_stars_option, policy_option
from eval_alignment.render import output_console, render
from eval_alignment.row_checks import RowChecks
from eval_alignment.terminal_text import printable
from sinks.page.wording import alike_names
from sources.file_formats import READ_ERRORS
from streams.events.decoder import Decoder, Kind, Rejection


@click.command(short_help="Count events from NDJSON files, without a broker.")
@click.argument(
    "paths",
    metavar="FILE...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
)
@click.option("--json", "output", flag_value="json", help="Print the snapshot documents as a JSON array.")
@click.option("--csv", "output", flag_value="csv", help="Print a CSV row for each queue, criterion and metric.")
@click.option(
    "--as-of",
    type=Moment(time.max),
    metavar="TIME",
    help="Current time for the count, RFC 3339 or a day (UTC): the window ends on its day, and later events are "
    "rejected by the setting future_limit_ms.  [default: day of the newest event, clock of this machine]",
)
@click.option("--window", type=click.Choice([window.value for window in Window]), default="all", show_default=True)
@policy_option
@pass_stars_option
def recount(
    *,
    paths: tuple[Path, ...],
    output: Literal["json", "csv"] | None,
    as_of: datetime | None,
    window: str,
    policy: str | None,
    pass_stars: int | None,
) -> None:
    """Count events from NDJSON files (also gzipped), without a broker. FILE - is standard input.

    A running installation shows the same numbers for the same events, with the broker's clock instead of this
    machine's. Exit code 0: every line is valid. 1: the first 100
    invalid lines are reported, and all others are counted.
    """
    chosen = settings.load(policy=policy, pass_stars=pass_stars)
    clock = now_ms() if as_of is None else int(as_of.timestamp() * 1000)
    facts, invalid = read_facts(paths, wiring.decoder(chosen), clock)
    counted = Recount(facts, chosen.policy)
    today: date | None = None if as_of is None else as_of.date()
    rules = wiring.counting_rules(chosen)
    documents = [counted.document(queue, window=Window(window), today=today, rules=rules) for queue in counted.queues]
    if output == "json":
        click.echo(orjson.dumps(documents, option=orjson.OPT_INDENT_2))
    elif output == "csv":
        click.echo(metrics_csv(documents), nl=False)
    else:
        for document in documents:
            render(document, output_console(), RecountInsights(counted, rules, today))
    for group in alike(counted.queues):
        click.echo(alike_names(AlikeNames("queues", group), printable), err=True)
    if invalid:
        raise click.exceptions.Exit(1)


def read_facts(paths: tuple[Path, ...], decoder: Decoder, clock: int) -> tuple[list[Fact], int]:
    """All facts of the files and the number of invalid lines. `clock` is the current time in milliseconds.

    Reports on standard error: the first invalid lines, how many there are by reason, unknown fields, what may be wrong
    with rows, and an empty or one-sided input.
    """
    facts: list[Fact] = []
    kinds: set[Kind] = set()
    unknown, rows = UnknownFields(), RowChecks()
    decoder = replace(decoder, on_unknown_fields=unknown.add)
    invalid = InvalidLines(lambda message: click.echo(message, err=True))
    try:
        for line in files.read_lines(paths):
            outcome = decoder.decode_line(line.value)
            if not isinstance(outcome, Rejection):
                outcome = decoder.future_rejection(outcome[1].at, clock) or outcome
            if isinstance(outcome, Rejection):
                invalid.add(line.where, outcome)
            else:
                kind, fact = outcome
                kinds.add(kind)
                rows.add(fact, line.where)
                facts.append(fact)
    except files.InputFormatError as error:
        raise click.ClickException(str(error)) from error
    except READ_ERRORS as error:
        raise click.ClickException(f"cannot read the input: {error}") from error
    for warning in (*unknown.warnings(), *rows.warnings(), *invalid.summary()):
        click.echo(warning, err=True)
    if (message := missing_side(kinds, invalid.total)) is not None:
        click.echo(message, err=True)
    return facts, invalid.total
