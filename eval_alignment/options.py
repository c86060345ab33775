"""Options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

EMBEDDED_BROKER_PORT: Final = 9392
"""Default port of the embedded broker."""

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


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
        help="Directory of the view's store.  [setting: data_dir]",
    )(command)


def http_option(setting: str, default: str) -> Callable[[Decorated], Decorated]:
    """`--http` for the setting with this name; `default` appears in the help text only."""
    return click.option(
        "--http",
        setting,
        metavar="HOST:PORT",
        help=f"Address to listen on, default {default}.  [setting: {setting}]",
    )


def policy_option(command: Decorated) -> Decorated:
    """`--policy` for the setting `policy`."""
    return click.option(
        "--policy",
        type=click.Choice(["each", "latest"]),
        help="Compare every annotation, or the latest per item.  [setting: policy]",
    )(command)


def pass_stars_option(command: Decorated) -> Decorated:
    """`--pass-stars` for the setting `pass_stars`."""
    return click.option(
        "--pass-stars",
        type=click.IntRange(1, 5),
        help="Lowest star rating that is a pass.  [setting: pass_stars]",
    )(command)
