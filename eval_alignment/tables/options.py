"""The options that name the columns of a table, for every command that reads one."""

import functools
from collections.abc import Callable
from dataclasses import fields
from datetime import time
from typing import Any, Final, TypeVar

import click

from eval_alignment.options import Moment
from eval_alignment.tables.roles import ColumnChoice
from sources.tables import DELIMITERS

_Command = TypeVar("_Command", bound=Callable[..., Any])


class _Delimiter(click.ParamType):
    """A single character, or `tab`."""

    name = "delimiter"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        delimiter: str = {"tab": "\t", "\\t": "\t"}.get(value, value)
        if len(delimiter) != 1 or delimiter in '"\r\n':
            self.fail(f"{value!r} is not a character such as {' '.join(list(DELIMITERS)[:2])} or tab", param, ctx)
        return delimiter


_COLUMN: Final = "COLUMN"
_OPTIONS: Final = (
    click.option("--item", metavar=_COLUMN, help="Column with the id of the item."),
    click.option("--human", metavar=_COLUMN, help="Column with the label of a person."),
    click.option(
        "--labels",
        metavar="SCALE",
        help="Scale of the labels: thumbs (1 and 0, words), stars (1 to 5), pass-at=NUMBER, or VALUE=pass,VALUE=fail "
        "with skip and 1 to 5 as further results.",
    ),
    click.option("--verdict", metavar=_COLUMN, help="Column with the verdict of the metric: pass or fail."),
    click.option("--verdict-labels", metavar="SCALE", help="Scale of the verdicts, as for --labels without stars."),
    click.option("--score", metavar=_COLUMN, help="Column with the score of the metric."),
    click.option(
        "--threshold",
        metavar="[COLUMN=]NUMBER",
        multiple=True,
        help="Score from which the metric passes; repeatable with the name of a column.",
    ),
    click.option(
        "--direction",
        type=click.Choice(["higher", "lower"]),
        default="higher",
        show_default=True,
        help="Whether scores from the threshold upwards pass, or downwards.",
    ),
    click.option(
        "--metric-columns",
        multiple=True,
        metavar="COLUMN,...",
        help="Columns of several metrics: with a --threshold scores, otherwise verdicts.",
    ),
    click.option("--metric", metavar=_COLUMN, help="Column with the name of the metric."),
    click.option("--metric-name", metavar="NAME", help="Name of the metric.  [default: its column]"),
    click.option("--criterion", metavar=_COLUMN, help="Column with the criterion of the label."),
    click.option("--criterion-name", metavar="NAME", help="Criterion of all labels.  [default: overall]"),
    click.option("--annotator", metavar=_COLUMN, help="Column with the name of the person."),
    click.option("--judge", metavar=_COLUMN, help="Column with the version of the judge."),
    click.option("--judge-name", metavar="NAME", help="Version of the judge."),
    click.option("--explanation", metavar=_COLUMN, help="Column with the person's reason."),
    click.option("--reason", metavar=_COLUMN, help="Column with the metric's reason."),
    click.option("--at-column", metavar=_COLUMN, help="Column with the time: RFC 3339, a day, or milliseconds."),
    click.option("--at", type=Moment(time.min), metavar="TIME", help="Time of rows without one.  [default: now]"),
    click.option("--delimiter", type=_Delimiter(), help="Character between cells.  [default: recognised]"),
    click.option("--encoding", help="Encoding of the files.  [default: UTF-8 or UTF-16]"),
)


def column_options(command: _Command) -> _Command:
    """The options of the columns; the command gets them as one argument, `choice`."""

    @functools.wraps(command)
    def collected(**arguments: Any) -> Any:
        choice = ColumnChoice(**{each.name: arguments.pop(each.name) for each in fields(ColumnChoice)})
        return command(choice=choice, **arguments)

    for option in reversed(_OPTIONS):
        collected = option(collected)
    return collected  # type: ignore[return-value]
