"""`up`: everything on this machine."""

import asyncio
from pathlib import Path

import click

from eval_alignment import settings
from eval_alignment.local.supervisor import Supervisor, UpError
from eval_alignment.options import broker_option, data_dir_option, http_option

DEFAULT_BROKER_PORT = 9392


@click.command()
@data_dir_option
@http_option("http", "127.0.0.1:8390")
@broker_option
@click.option(
    "--embedded-broker-port",
    type=click.IntRange(1, 65535),
    help=f"Port of the embedded broker, default {DEFAULT_BROKER_PORT}; not with --broker.",
)
def up(data_dir: Path | None, http: str | None, brokers: str | None, embedded_broker_port: int | None) -> None:
    """Run broker, worker and view on this machine: for a laptop or a small team.

    Without --broker an embedded broker is started. It keeps its topics in memory; after a clean stop everything is
    back, after an unclean one it is said from which time events may be missing.
    """
    if brokers is not None and embedded_broker_port is not None:
        raise click.UsageError("--broker and --embedded-broker-port exclude each other")
    port = None if brokers is not None else embedded_broker_port or DEFAULT_BROKER_PORT
    chosen = settings.load(data_dir=data_dir, http=http, brokers=brokers if port is None else f"127.0.0.1:{port}")
    supervisor = Supervisor(chosen, port, click.echo)
    try:
        asyncio.run(supervisor.run())
    except UpError as error:
        raise click.ClickException(str(error)) from error
