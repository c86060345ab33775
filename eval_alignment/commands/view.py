"""`view`: runs a view."""

import logging
from pathlib import Path

import click

from eval_alignment import __version__, kafka_wiring, logs, settings, wiring
from eval_alignment.options import broker_option, data_dir_option, http_option, pass_stars_option
from eval_alignment.setting_checks import address
from sinks.config import ViewConfig
from sinks.view import run_view
from streams.runtime.secret_files import warn_of_shared_directory

_log = logging.getLogger(__name__)


@click.command()
@broker_option
@data_dir_option
@http_option("http", "127.0.0.1:8390")
@pass_stars_option
@click.option("--publish/--no-publish", default=None, help="Publish snapshot documents.  [setting: publish]")
def view(
    brokers: str | None,
    data_dir: Path | None,
    http: str | None,
    pass_stars: int | None,
    publish: bool | None,
) -> None:
    """Serve page, API and gauges, and publish snapshot documents.

    Runs until SIGTERM or SIGINT. docs/exit-codes.md lists the exit codes.
    """
    chosen = settings.load(brokers=brokers, data_dir=data_dir, http=http, pass_stars=pass_stars, publish=publish)
    logs.configure(chosen.log_level, chosen.log_format)
    _log.info("view starts", extra={**wiring.identity(chosen), "http": chosen.http, "data_dir": str(chosen.data_dir)})
    warn_of_shared_directory(chosen.data_dir)
    raise click.exceptions.Exit(run_view(_config(chosen)).code)


def _config(chosen: settings.Settings) -> ViewConfig:
    """The configuration of the view."""
    host, port = address(chosen.http)
    return ViewConfig(
        client=kafka_wiring.client(chosen).settings,
        data_dir=chosen.data_dir,
        host=host,
        port=port,
        facts_topic=chosen.topic("facts"),
        tallies_topic=chosen.topic("tallies"),
        snapshots_topic=chosen.topic("snapshots"),
        dead_letters_topic=chosen.topic("dead_letters"),
        rules=wiring.counting_rules(chosen),
        publish=chosen.publish,
        history_count=chosen.snapshot_history_count,
        history_days=chosen.snapshot_history_days,
        series_limit=chosen.series_limit,
        expose_judge_version=chosen.expose_judge_version,
        segment_gauges=list(dict.fromkeys(chosen.segment_gauges)),
        alternative_epsilon=chosen.alternative_epsilon,
        show_annotators=chosen.show_annotators,
        public_badges=chosen.public_badges,
        item_url=chosen.item_url,
        queue_url=chosen.queue_url,
        token_file=chosen.token_file,
        allow_open_bind=chosen.allow_open_bind,
        allowed_hosts=chosen.allowed_hosts,
        keep_alive_s=chosen.keep_alive_s,
        connections_per_address=chosen.connections_per_address,
        proxy_addresses=chosen.proxy_addresses,
        version=__version__,
    )
