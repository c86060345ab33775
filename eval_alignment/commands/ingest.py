"""`ingest`: takes events over HTTP."""

import logging

import click

from eval_alignment import __version__, kafka_wiring, logs, settings, wiring
from eval_alignment.options import broker_option, http_option
from eval_alignment.setting_checks import address
from ingest.config import IngestConfig, Limits
from ingest.process import run_ingest
from streams.runtime.secret_files import warn_of_shared_directory

_log = logging.getLogger(__name__)


@click.command()
@broker_option
@http_option("ingest_http", "127.0.0.1:8389")
@click.option(
    "--sources",
    type=click.Choice(["all", "none"]),
    help="none: run no source that remembers what its records said; only one process may.  [default: all]",
)
def ingest(brokers: str | None, ingest_http: str | None, sources: str | None) -> None:
    """Take events and records of other tools over HTTP.

    They are written to the topics. `POST /api/v1/events` takes JSON, NDJSON and CloudEvents, and answers 200 when the
    broker has acknowledged every event. `POST /api/v1/sources/NAME` takes the webhooks of the source NAME. Runs until
    SIGTERM or SIGINT. docs/exit-codes.md lists the exit codes.
    """
    chosen = settings.load(brokers=brokers, ingest_http=ingest_http, ingest_sources=sources)
    logs.configure(chosen.log_level, chosen.log_format)
    _log.info("ingest starts", extra=wiring.identity(chosen))
    warn_of_shared_directory(chosen.data_dir)
    raise click.exceptions.Exit(run_ingest(_config(chosen)).code)


def _config(chosen: settings.Settings) -> IngestConfig:
    """The configuration of ingest."""
    host, port = address(chosen.ingest_http)
    return IngestConfig(
        kafka=kafka_wiring.client(chosen),
        topics=kafka_wiring.topics(chosen),
        group=wiring.group(chosen),
        decoder=wiring.decoder(chosen),
        host=host,
        port=port,
        limits=Limits(
            body_bytes=chosen.ingest_body_bytes,
            source_body_bytes=chosen.ingest_source_body_bytes,
            events=chosen.ingest_events,
            in_flight_bytes=chosen.ingest_in_flight_bytes,
            body_seconds=chosen.ingest_body_timeout_s,
            acknowledge_seconds=chosen.ingest_acknowledge_timeout_s,
        ),
        token_file=chosen.ingest_token_file or chosen.token_file,
        allow_open_bind=chosen.allow_open_bind,
        allowed_hosts=chosen.allowed_hosts,
        sources={name: wiring.source(chosen, name) for name in chosen.sources},
        index_dir=chosen.data_dir if chosen.ingest_sources == "all" else None,
        keep_alive_s=chosen.keep_alive_s,
        connections_per_address=chosen.connections_per_address,
        proxy_addresses=chosen.proxy_addresses,
        version=__version__,
    )
