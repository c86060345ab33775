"""`up`: broker, worker, view and ingest on one machine."""

import asyncio
from pathlib import Path

import click

from eval_alignment import settings
from eval_alignment.local.supervisor import Supervisor, UpError
from eval_alignment.options import EMBEDDED_BROKER_PORT, broker_option, data_dir_option, http_option
from eval_alignment.terminal_text import tell


@click.command()
@data_dir_option
@http_option("http", "127.0.0.1:8390")
@http_option("ingest_http", "127.0.0.1:8389, or a free port", "--ingest-http")
@broker_option
@click.option(
    "--embedded-broker-port",
    type=click.IntRange(1, 65535),
    help=f"Port of the embedded broker, default {EMBEDDED_BROKER_PORT}; not with --broker.",
)
def up(
    *,
    data_dir: Path | None,
    http: str | None,
    ingest_http: str | None,
    brokers: str | None,
    embedded_broker_port: int | None,
) -> None:
    """Run broker, worker, view and ingest on this machine. For a laptop or a small team.

    Without --broker it starts an embedded broker, which keeps its topics in memory. After a clean stop, the next start
    loads all events again. After an unclean stop, it prints from which time on events may be missing.
    """
    if brokers is not None and embedded_broker_port is not None:
        raise click.UsageError("--broker and --embedded-broker-port cannot be combined")
    port = None if brokers is not None else embedded_broker_port or EMBEDDED_BROKER_PORT
    embedded = None if port is None else f"127.0.0.1:{port}"
    chosen = settings.load(data_dir=data_dir, http=http, ingest_http=ingest_http, brokers=embedded or brokers)
    supervisor = Supervisor(chosen, port, tell)
    try:
        asyncio.run(supervisor.run())
    except UpError as error:
        raise click.ClickException(str(error)) from error
