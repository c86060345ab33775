"""Options that several commands share, and how a command gets its settings."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def broker_option(command: Decorated) -> Decorated:
    """`--broker`, which is the setting `brokers`."""
    return click.option(
        "--broker",
        "brokers",
        metavar="HOST:PORT[,HOST:PORT]",
        help="Kafka bootstrap servers.  [setting: brokers]",
    )(command)


def data_dir_option(command: Decorated) -> Decorated:
    """`--data-dir`, which is the setting `data_dir`."""
    return click.option(
        "--data-dir",
        type=click.Path(file_okay=False, path_type=Path),
        help="Directory of the view's store.  [setting: data_dir]",
    )(command)


def http_option(setting: str, default: str) -> Callable[[Decorated], Decorated]:
    """`--http` for the setting with this name; `default` is only told."""
    return click.option(
        "--http",
        setting,
        metavar="HOST:PORT",
        help=f"Where to serve, default {default}.  [setting: {setting}]",
    )


def policy_option(command: Decorated) -> Decorated:
    """`--policy`, which is the setting `policy`."""
    return click.option(
        "--policy",
        type=click.Choice(["each", "latest"]),
        help="Which annotations are compared.  [setting: policy]",
    )(command)


def pass_stars_option(command: Decorated) -> Decorated:
    """`--pass-stars`, which is the setting `pass_stars`."""
    return click.option(
        "--pass-stars",
        type=click.IntRange(1, 5),
        help="Stars from which a rating is a pass.  [setting: pass_stars]",
    )(command)
