"""Options that several commands share."""

import math
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any, Final, TypeVar
from unicodedata import normalize

import click

from aggregator.policy import Policy

EMBEDDED_BROKER_PORT: Final = 9392
"""Default port of the embedded broker."""

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class PassStars(click.ParamType):
    """A number of stars, 1 to 5, or CRITERION=NUMBER; as a pair of the criterion, empty for all others, and it."""

    name = "pass stars"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        """The criterion and the number."""
        criterion, equals, number = str(value).rpartition("=")
        if (equals and not criterion) or number not in ("1", "2", "3", "4", "5"):
            self.fail(f"{value!r} is neither a number of stars, 1 to 5, nor CRITERION=NUMBER.", param, ctx)
        return normalize("NFC", criterion), int(number)


class Share(click.ParamType):
    """A number in 0..1. Not NaN, which compares as neither below nor above a limit."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number."""
        try:
            share = float(value)
        except ValueError:
            share = math.nan
        if not 0 <= share <= 1:
            self.fail(f"{value!r} is not a number from 0 to 1", param, ctx)
        return share


class Moment(click.ParamType):
    """A time with an offset, or a day (UTC), which stands for one time of it."""

    name = "time"

    def __init__(self, of_day: time) -> None:
        self._of_day = of_day

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The time in UTC."""
        try:
            if len(value) == len("2026-01-01"):
                return datetime.combine(date.fromisoformat(value), self._of_day, UTC)
            moment = datetime.fromisoformat(value)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            self.fail(
                f"{value!r} is neither a day (2026-01-31) nor a time with offset (2026-01-31T12:00:00Z)", param, ctx
            )
        return moment.astimezone(UTC)


def milliseconds(moment: datetime | None) -> int | None:
    """A time in milliseconds since epoch; None for None."""
    return None if moment is None else int(moment.timestamp() * 1000)


def broker_option(command: Decorated) -> Decorated:
    """`--broker` for the setting `brokers`."""
    return click.option(
        "--broker",
        "brokers",
        metavar="HOST:PORT[,HOST:PORT]",
        help="Kafka bootstrap servers.  [setting: brokers]",
    )(command)


def data_dir_option(command: Decorated) -> Decorated:
    """`--data-dir` for the setting `data_dir`."""
    return click.option(
        "--data-dir",
        type=click.Path(file_okay=False, path_type=Path),
        help="Directory of the view's store, or of a worker's waiting evaluations.  [setting: data_dir]",
    )(command)


def http_option(setting: str, default: str, flag: str = "--http") -> Callable[[Decorated], Decorated]:
    """An address to listen on, for the setting with this name; `default` appears in the help text only."""
    return click.option(
        flag,
        setting,
        metavar="HOST:PORT",
        help=f"Address to listen on, default {default}.  [setting: {setting}]",
    )


def token_file_option(command: Decorated) -> Decorated:
    """`--token-file` for the setting `token_file`."""
    return click.option(
        "--token-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="File with the token of the view.  [setting: token_file]",
    )(command)


def policy_option(command: Decorated) -> Decorated:
    """`--policy` for the setting `policy`."""
    return click.option(
        "--policy",
        type=click.Choice([policy.value for policy in Policy]),
        help="Compare every annotation, the latest, or the majority per item and criterion.  [setting: policy]",
    )(command)


def pass_stars_option(command: Decorated) -> Decorated:
    """`--pass-stars` for the setting `pass_stars`."""
    return click.option(
        "--pass-stars",
        type=click.IntRange(1, 5),
        help="Lowest star rating that is a pass.  [setting: pass_stars]",
    )(command)


def bound_option(command: Decorated) -> Decorated:
    """`--bound` of the gate for CI."""
    return click.option(
        "--bound",
        type=click.Choice(["low", "point"]),
        default="low",
        show_default=True,
        help="With --fail-under: compare the lower bound of the 95 % interval, or the point estimate.",
    )(command)


def min_items_option(command: Decorated) -> Decorated:
    """`--min-items` of the gate for CI."""
    return click.option(
        "--min-items",
        type=click.IntRange(min=0),
        default=30,
        show_default=True,
        help="With --fail-under: minimum number of distinct items of a pair.",
    )(command)
