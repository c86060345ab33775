"""`check`: compares the labels and verdicts in a table, and is the gate for CI without Kafka and without settings."""

from collections.abc import Sequence
from pathlib import Path

import click
import orjson

from aggregator.facts import Fact
from aggregator.policy import Policy
from aggregator.ratings import DEFAULT_PASS_STARS
from aggregator.recount import Recount
from aggregator.snapshot.inputs import CountingRules
from aggregator.snapshot.schema import SnapshotDocument
from aggregator.statistics.gate import GateLimits, Looks
from eval_alignment import __version__
from eval_alignment.ci_gate import Bound, GateRequest, decide, outcome_lines
from eval_alignment.html_reports import gate_result, write_report
from eval_alignment.input_checks import now_ms
from eval_alignment.insights import RecountInsights
from eval_alignment.options import PassStars, Share, bound_option, min_items_option
from eval_alignment.render import output_console, render
from eval_alignment.tables.events import RowCounts, RowEvents
from eval_alignment.tables.options import column_options
from eval_alignment.tables.roles import ColumnChoice, TableRules, read_tables, rules_of
from streams.events.decoder import Decoder, Rejection
from streams.runtime.exit_codes import ExitCode

QUEUE = "check"
"""Default name of the queue in the document."""


@click.command()
@click.argument(
    "paths",
    metavar="FILE...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
)
@column_options
@click.option("--queue", default=QUEUE, show_default=True, metavar="NAME", help="Name of the queue in the output.")
@click.option(
    "--policy",
    type=click.Choice([policy.value for policy in Policy]),
    default=Policy.EACH.value,
    show_default=True,
    help="Compare every label, the latest, or the majority per item and criterion.",
)
@click.option(
    "--pass-stars",
    type=PassStars(),
    multiple=True,
    metavar="N",
    help="Lowest star rating that is a pass; CRITERION=N for one criterion. May be repeated.  "
    f"[default: {DEFAULT_PASS_STARS}]",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print the snapshot document as JSON, with the counts of the input."
)
@click.option(
    "--html",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="FILE",
    help="Also write a report as one HTML file.",
)
@click.option("--fail-under", type=Share(), metavar="X", help="Act as a gate: minimum alignment, 0 to 1.")
@bound_option
@min_items_option
def check(
    *,
    paths: tuple[Path, ...],
    choice: ColumnChoice,
    queue: str,
    policy: str,
    pass_stars: tuple[tuple[str, int], ...],
    as_json: bool,
    html: Path | None,
    fail_under: float | None,
    bound: Bound,
    min_items: int,
) -> None:
    """Compare the human labels and the metrics of a table. No broker.

    FILE is CSV, TSV, NDJSON or a JSON array of objects, also gzipped; - is standard input. Several files are one
    input: labels may be in one and verdicts in another. Standard error reports what was recognised, and every row
    that cannot be read.

    Exit codes. 0: every row is valid. 1: rows are invalid, and all others are counted. With --fail-under, as for
    `report`: 0: every pair of criterion and metric reaches the limit, 1: a pair is below, 2: a pair has too few
    items. 3: a file cannot be read or written. 64: a column is not found, or its scale is not known.
    """
    tables = rules_of(read_tables(paths, choice), choice, queue=queue, now=now_ms(), alone=True)
    for table in tables:
        click.echo(table.note, err=True)
    facts, counts = _facts(tables)
    click.echo(counts.summary(), err=True)
    if not (counts.annotations and counts.evaluations):
        missing = "label" if not counts.annotations else "verdict"
        click.echo(f"nothing to compare: no row has a {missing}", err=True)
    pairs = counts.pairs if any(each.rules.criterion is not None for each in tables) else {}
    stars = {"": DEFAULT_PASS_STARS, **dict(pass_stars)}
    rules = CountingRules(stars.pop(""), pairs, GateLimits(looks=Looks.ONE), stars)
    counted = Recount(facts, Policy(policy))
    document = counted.document(queue, rules=rules)
    request = None if fail_under is None else GateRequest(fail_under, bound, min_items, looks=Looks.ONE)
    source = RecountInsights(counted, rules)
    outcome, deciding = (None, []) if request is None else decide(document, request)
    lines = [] if request is None or outcome is None else outcome_lines(outcome, deciding, request)
    if as_json:
        click.echo(orjson.dumps({**document, "input": counts.document()}, option=orjson.OPT_INDENT_2))
    elif outcome is None:
        render(document, output_console(), source, funnel=False)
    for line in lines:
        click.echo(line, err=as_json)
    if html is not None:
        gate = None if outcome is None else (outcome, lines)
        write_report(html, _report(document, source, tables, counts, gate))
    if outcome is not None:
        raise click.exceptions.Exit(outcome.code)
    if counts.invalid:
        raise click.exceptions.Exit(1)


def _report(
    document: SnapshotDocument,
    source: RecountInsights,
    tables: Sequence[TableRules],
    counts: RowCounts,
    gate: tuple[ExitCode, Sequence[str]] | None,
) -> str:
    # Only a report needs the templates.
    from sinks.page.report_file import InputSummary, report_html  # noqa: PLC0415

    numbers = [(name.replace("_", " "), number) for name, number in counts.document().items()]
    summary = InputSummary([each.table.name for each in tables], [each.note for each in tables], numbers)
    result = None if gate is None else gate_result(*gate)
    insights = {each["criterion"]: source.insights(document, each) for each in document["criteria"]}
    return report_html(document, insights, rules=source.rules, summary=summary, gate=result, version=__version__)


def _facts(tables: Sequence[TableRules]) -> tuple[list[Fact], RowCounts]:
    """The facts of the tables' events, and what was read. Reports what is invalid on standard error."""
    decoder, clock = Decoder(), now_ms()
    rows = RowEvents(lambda message: click.echo(message, err=True))
    facts = []
    for event in rows.of(tables):
        outcome = decoder.decode_line(event.value)
        if not isinstance(outcome, Rejection):
            outcome = decoder.future_rejection(outcome[1].at, clock) or outcome
        if isinstance(outcome, Rejection):
            rows.reject(event, f"{outcome.reason.value}: {outcome.detail}")
        else:
            facts.append(outcome[1])
    return facts, rows.counts
