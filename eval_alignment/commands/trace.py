"""`trace`: shows why an item of a queue is counted as it is."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import click
import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from aggregator.days import in_words
from eval_alignment.document_sources import open_served, stored_name
from eval_alignment.options import token_file_option
from eval_alignment.render import output_console
from eval_alignment.terminal_text import DASH, printable
from eval_alignment.view_client import DEFAULT_URL, UnreachableError
from sinks.page.formats import plural
from sinks.queries.item_answer import ItemAnnotation, ItemEvaluation, ItemTrace

_LIMITS: Final = (
    "Not kept: what a correction replaced, and what a deleted row contained. The source topics have these events as "
    "long as their retention."
)


@click.command()
@click.argument("queue")
@click.argument("item")
@click.option("--url", metavar="URL", help=f"Address of a view.  [default: {DEFAULT_URL}; setting: http]")
@token_file_option
@click.option("--json", "as_json", is_flag=True, help="Print the view's answer as JSON.")
def trace(*, queue: str, item: str, url: str | None, token_file: Path | None, as_json: bool) -> None:
    """Show why ITEM of QUEUE is counted as it is.

    Prints its rows in order of time, the cells that they give, and why others give none.

    Exit codes. 0: shown. 3: the view does not answer, or does not know the queue or the item.
    """
    try:
        with open_served(url, token_file) as served:
            document = served.view.trace(stored_name(queue), item)
    except UnreachableError as error:
        click.echo(str(error), err=True)
        raise click.exceptions.Exit(error.exit_code.code) from error
    if as_json:
        click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    else:
        _print(document, output_console())


def _print(document: ItemTrace, console: Console) -> None:
    console.print(
        Text.assemble(
            (printable(document["item"]), "bold"),
            f"   queue {printable(document['queue'])}, policy {document['policy']}, ",
            f"pass from {document['pass_stars']} stars, as of {document['as_of']}",
        ),
        soft_wrap=True,
    )
    for name, text in (("url", document["url"]), ("input", document["input"]), ("output", document["output"])):
        if text is not None:
            console.print(Text(f"{name}: {printable(text)}"), soft_wrap=True)
    console.print()
    _table(console, ("time", "row", "of", "result", "state", "event"), _rows(document))
    console.print()
    _table(
        console,
        ("annotation", "evaluation", "cell", "why"),
        (
            (
                f"{pair['annotator'] or DASH}, {pair['criterion']}",
                f"{pair['metric']}, {pair['judge'] or DASH}",
                pair["outcome"] or DASH,
                f"{pair['state']}: {pair['why']}" + (f" (day {pair['day']})" if pair["day"] else ""),
            )
            for pair in document["pairs"]
        ),
    )
    left_out = [
        plural(number, noun)
        for number, noun in (
            (document["annotations_left_out"], "annotation"),
            (document["evaluations_left_out"], "evaluation"),
            (document["pairs_left_out"], "pair"),
        )
        if number
    ]
    if left_out:
        console.print(Text(f"Not listed: {', '.join(left_out)}."))
    console.print(Text(_LIMITS), soft_wrap=True)


def _table(console: Console, names: Iterable[str], rows: Iterable[tuple[str, ...]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    console.print(table)


def _rows(document: ItemTrace) -> list[tuple[str, ...]]:
    rows = [
        (row["at"], "annotation", f"{row['annotator'] or DASH}, {row['criterion']}", *_annotation(row), row["id"])
        for row in document["annotations"]
    ]
    rows += [
        (row["at"], "evaluation", f"{row['metric']}, {row['judge'] or DASH}", *_evaluation(row), row["id"])
        for row in document["evaluations"]
    ]
    if (placement := document["placement"]) is not None:
        state = "removed" if placement["deleted"] else "in the queue"
        rows.append((placement["at"], "queue item", document["queue"], DASH, state, placement["id"]))
    return [(in_words(at), *rest) for at, *rest in sorted(rows)]


def _annotation(row: ItemAnnotation) -> tuple[str, str]:
    if row["deleted"]:
        return DASH, "deleted"
    rating = f"thumb {row['thumbs']}" if row["stars"] is None else f"{row['stars']} of 5 stars"
    return f"{rating}: {'pass' if row['passes'] else 'fail'}", "counted" if row["counted"] else "not compared"


def _evaluation(row: ItemEvaluation) -> tuple[str, str]:
    if row["deleted"]:
        return DASH, "deleted"
    if row["passed"] is None:
        return DASH, row["status"]
    score = DASH if row["score"] is None else repr(row["score"])
    verdict = "pass" if row["passed"] else "fail"
    return f"score {score}: {verdict}", "current" if row["current"] else "superseded"
