"""`report`: shows the numbers of a queue, and is the gate for CI."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import click
import orjson

from aggregator.days import Window
from aggregator.recount import Recount
from aggregator.snapshot.inputs import CountingRules
from aggregator.snapshot.schema import CriterionDocument, SnapshotDocument
from aggregator.statistics.gate import Looks
from eval_alignment import __version__, settings, wiring
from eval_alignment.ci_gate import NEWEST_JUDGE, Bound, GateRequest, decide, outcome_lines
from eval_alignment.commands.recount import read_facts
from eval_alignment.csv_tables import metrics_csv, queues_csv
from eval_alignment.document_sources import (
    DocumentSource,
    OnWaiting,
    document_of,
    ignore_waiting,
    open_served,
    require_names,
    stored_name,
)
from eval_alignment.html_reports import gate_result, write_report
from eval_alignment.input_checks import now_ms
from eval_alignment.insights import RecountInsights
from eval_alignment.options import Share, bound_option, min_items_option, token_file_option
from eval_alignment.render import output_console, render, render_list, render_waiting
from eval_alignment.unknown_names import UnknownNameError
from eval_alignment.view_client import DEFAULT_URL, QueueNotFoundError, UnreachableError
from sinks.api.responses import QueueListing
from sinks.page.wording import rebuilding_words
from sinks.queries.results import Insights, WaitingTotals
from streams.runtime.exit_codes import ExitCode

Output = Literal["json", "csv"] | None
"""Format of standard output; None for tables."""


@dataclass(frozen=True, slots=True)
class _Files:
    """Documents counted from files of events."""

    counted: Recount
    rules: CountingRules
    origins: Sequence[str]

    def document(self, queue: str, window: str) -> SnapshotDocument:
        if queue not in self.counted.queues:
            raise QueueNotFoundError(f"queue {queue!r} not found in the files")
        return self.counted.document(queue, window=Window(window), rules=self.rules)

    def listing(self, on_waiting: OnWaiting = ignore_waiting) -> list[QueueListing]:  # noqa: ARG002 -- the protocol's
        documents = [self.document(queue, Window.ALL) for queue in self.counted.queues]
        return [
            QueueListing(queue=document["queue"], url=None, revision=document["revision"], cards=document["cards"])
            for document in documents
            # A view lists no queue in which nothing stands any more.
            if document["cards"]["annotations"] or document["cards"]["items_queued"]
        ]

    def ready(self) -> bool:
        return True

    def insights(self, document: SnapshotDocument, criterion: CriterionDocument) -> Insights:
        return RecountInsights(self.counted, self.rules).insights(document, criterion)


@click.command()
@click.argument("queue", required=False)
@click.option("--url", metavar="URL", help=f"Address of a view.  [default: {DEFAULT_URL}; setting: http]")
@token_file_option
@click.option(
    "--file",
    "paths",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="Count the events of this NDJSON file (also gzipped) instead of reading a view; repeatable.",
)
@click.argument(
    "more_paths",
    metavar="[FILE...]",
    nargs=-1,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@click.option("--window", type=click.Choice([window.value for window in Window]), default="all", show_default=True)
@click.option(
    "--json", "output", flag_value="json", help="Print the document as JSON; without QUEUE, an array of all documents."
)
@click.option(
    "--csv",
    "output",
    flag_value="csv",
    help="Print a CSV row for each criterion and metric; without QUEUE, for each queue.",
)
@click.option(
    "--html",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="FILE",
    help="Also write the numbers of QUEUE as one HTML file.",
)
@click.option("--fail-under", type=Share(), metavar="X", help="Act as a gate: minimum alignment, 0 to 1.")
@click.option("--criterion", help="With --fail-under: check only this criterion.")
@click.option("--metric", help="With --fail-under: check only this metric.")
@bound_option
@min_items_option
@click.option(
    "--judge",
    default=NEWEST_JUDGE,
    show_default=True,
    help="With --fail-under: the judge version to check: `newest` in use, `all` mixed, or a name.",
)
@click.option(
    "--looks",
    type=click.Choice([looks.value for looks in Looks]),
    help="With --fail-under: whether the gate is read again and again (default with a view) or once (default with "
    "--file).",
)
def report(
    *,
    queue: str | None,
    url: str | None,
    token_file: Path | None,
    paths: tuple[Path, ...],
    more_paths: tuple[Path, ...],
    window: Literal["7d", "30d", "90d", "all"],
    output: Output,
    html: Path | None,
    fail_under: float | None,
    criterion: str | None,
    metric: str | None,
    bound: Bound,
    min_items: int,
    judge: str,
    looks: str | None,
) -> None:
    """Show the numbers of a queue, or the list of queues. With --fail-under, act as a gate for CI.

    Exit codes of the gate. 0: every pair of criterion and metric reaches the limit. 1: a pair with enough items is
    below the limit. 2: no pair is below, but a pair has too few distinct items, or no pair matches. 3: the document
    is not available, or the view has not read all events yet and does not know the queue, criterion or metric. 64:
    the queue, criterion or metric does not exist. Off-topic pairs are ignored.
    """
    if fail_under is None and (criterion is not None or metric is not None):
        raise click.UsageError("--criterion and --metric require --fail-under")
    _require_queue(queue, {"--fail-under": fail_under, "--html": html})
    # A file is a fixed data set, evaluated one time; a view is queried again after more labels.
    chosen = Looks(looks or (Looks.ONE if paths else Looks.MANY))
    selection = stored_name(criterion), stored_name(metric), stored_name(judge), chosen
    request = None if fail_under is None else GateRequest(fail_under, bound, min_items, *selection)
    try:
        with _open_source(url, token_file, paths, more_paths) as source:
            if queue is None:
                _show_all(source, window, output)
                return
            document = document_of(source, stored_name(queue), window)
            if request is not None:
                require_names(source, document, request)
            if output is not None or request is None:
                _show(document, output, source)
            gate = None if request is None else _gate(document, request)
            if html is not None:
                write_report(html, _html(document, source, gate))
    except (UnreachableError, UnknownNameError) as error:
        click.echo(str(error), err=True)
        raise click.exceptions.Exit(error.exit_code.code) from error
    if gate is not None:
        if rebuilding := document.get("rebuilding"):
            click.echo(rebuilding_words(rebuilding), err=True)
        for line in gate[1]:
            click.echo(line, err=output is not None)
        raise click.exceptions.Exit(gate[0].code)


def _require_queue(queue: str | None, options: Mapping[str, object]) -> None:
    for option, value in options.items():
        if value is not None and queue is None:
            raise click.UsageError(f"{option} requires QUEUE")


def _gate(document: SnapshotDocument, request: GateRequest) -> tuple[ExitCode, list[str]]:
    outcome, deciding = decide(document, request)
    return outcome, list(outcome_lines(outcome, deciding, request))


def _html(document: SnapshotDocument, source: DocumentSource, gate: tuple[ExitCode, list[str]] | None) -> str:
    # Only a report needs the templates.
    from sinks.page.report_file import InputSummary, report_html  # noqa: PLC0415

    cards, window = document["cards"], document["window"]
    numbers = [("annotations", cards["annotations"]), ("comparisons", cards["comparisons"])]
    notes = [f"Window {window}, policy {document['policy']}, as of {document['as_of']}.", *source.origins]
    return report_html(
        document,
        {each["criterion"]: source.insights(document, each) for each in document["criteria"]},
        rules=replace(source.rules, pass_stars=document["pass_stars"]),
        summary=InputSummary([document["queue"]], notes, numbers),
        gate=None if gate is None else gate_result(*gate),
        version=__version__,
    )


@contextmanager
def _open_source(
    url: str | None, token_file: Path | None, paths: tuple[Path, ...], more_paths: tuple[Path, ...]
) -> Iterator[DocumentSource]:
    if more_paths and not paths:
        raise click.UsageError(f"unexpected argument {str(more_paths[0])!r}: files follow --file")
    if not paths:
        with open_served(url, token_file) as served:
            yield served
        return
    if url is not None or token_file is not None:
        raise click.UsageError("--file cannot be combined with --url or --token-file")
    chosen = settings.load()
    try:
        facts, _ = read_facts((*paths, *more_paths), wiring.decoder(chosen), now_ms())
    except click.ClickException as error:
        raise UnreachableError(error.message) from error
    yield _Files(
        Recount(facts, chosen.policy), wiring.counting_rules(chosen), [path.name for path in (*paths, *more_paths)]
    )


def _show(document: SnapshotDocument, output: Output, source: DocumentSource) -> None:
    if output == "json":
        click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    elif output == "csv":
        click.echo(metrics_csv([document]), nl=False)
    else:
        render(document, output_console(), source)


def _show_all(source: DocumentSource, window: str, output: Output) -> None:
    reported: list[WaitingTotals] = []
    listing = source.listing(reported.append)
    if output == "json":
        documents = [source.document(entry["queue"], window) for entry in listing]
        click.echo(orjson.dumps(documents, option=orjson.OPT_INDENT_2))
    elif output == "csv":
        click.echo(queues_csv(listing), nl=False)
    else:
        if listing:
            render_list(listing, output_console())
        else:
            click.echo("no queues")
        for waiting in reported:
            render_waiting(waiting, output_console())
