"""`disagreements`: exports what people and metrics disagree on, for tuning a judge's prompt."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import click

from aggregator.days import Window
from aggregator.snapshot.schema import SnapshotDocument
from eval_alignment.ci_gate import GateRequest
from eval_alignment.disagreements import FORMATS, HEAD, TAIL
from eval_alignment.document_sources import document_of, open_served, require_names, stored_name
from eval_alignment.options import token_file_option
from eval_alignment.unknown_names import UnknownNameError
from eval_alignment.view_client import DEFAULT_URL, UnreachableError, View
from sinks.queries.comparisons import Comparison

_DEFAULT: Final = "jsonl"


@click.command()
@click.argument("queue")
@click.option(
    "--format",
    "name",
    type=click.Choice(list(FORMATS)),
    default=_DEFAULT,
    show_default=True,
    help="Format of a record.",
)
@click.option("--criterion", help="Only this criterion.")
@click.option("--metric", help="Only this metric.")
@click.option("--judge", help="Only verdicts of this judge version.")
@click.option("--window", type=click.Choice([window.value for window in Window]), default="all", show_default=True)
@click.option("--limit", type=click.IntRange(min=1), help="Only this number of records, newest annotation first.")
@click.option("--url", metavar="URL", help=f"Address of a view.  [default: {DEFAULT_URL}; setting: http]")
@token_file_option
def disagreements(
    *,
    queue: str,
    name: str,
    criterion: str | None,
    metric: str | None,
    judge: str | None,
    window: str,
    limit: int | None,
    url: str | None,
    token_file: Path | None,
) -> None:
    """Print what people and metrics disagree on, to tune a judge.

    A record is one comparison: the item's input and output, the person's result and explanation, and the metric's
    result and reason. jsonl: the comparisons of the HTTP API. few-shot: XML for a prompt. dspy, mlflow, langsmith:
    JSON lines for these tools. Off-topic pairs are left out unless both --criterion and --metric are given.

    Exit codes. 0: done, also without any disagreement. 3: the view is not available. 64: the queue, criterion or
    metric does not exist.
    """
    try:
        with open_served(url, token_file) as source:
            document = document_of(source, stored_name(queue), window)
            chosen = stored_name(criterion), stored_name(metric)
            require_names(source, document, GateRequest(0.0, criterion=chosen[0], metric=chosen[1]))
            rows = _rows(source.view, document, window, *chosen, judge=stored_name(judge))
            _print(name, islice(rows, limit))
    except (UnreachableError, UnknownNameError) as error:
        click.echo(str(error), err=True)
        raise click.exceptions.Exit(error.exit_code.code) from error


def _rows(
    view: View, document: SnapshotDocument, window: str, criterion: str | None, metric: str | None, *, judge: str | None
) -> Iterator[Comparison]:
    off_topic = set()
    if criterion is None or metric is None:
        off_topic = {
            (each["criterion"], pair["metric"])
            for each in document["criteria"]
            for pair in each["metrics"]
            if pair["off_topic"]
        }
    for row in view.disagreements(document["queue"], window, criterion, metric):
        if (row["criterion"], row["metric"]) not in off_topic and judge in (None, row["judge"]):
            yield row


def _print(name: str, rows: Iterator[Comparison]) -> None:
    number, bare = 0, 0
    if name in HEAD:
        click.echo(HEAD[name])
    for row in rows:
        click.echo(FORMATS[name](row))
        number += 1
        bare += row["input"] is None and row["output"] is None
    if name in TAIL:
        click.echo(TAIL[name])
    click.echo(f"{number} {'disagreement' if number == 1 else 'disagreements'}", err=True)
    if bare:
        click.echo(
            f"{bare} without input and output: send them with the events, a judge cannot learn from an id alone",
            err=True,
        )
