"""`worker`: runs a worker."""

import logging
from dataclasses import replace
from pathlib import Path

import click
from prometheus_client import ProcessCollector

from eval_alignment import __version__, kafka_wiring, logs, settings, wiring
from eval_alignment.options import broker_option, data_dir_option, http_option, policy_option
from eval_alignment.setting_checks import address
from eval_alignment.worker_http import Probes
from sinks.access import BindError
from sinks.listener import AddressInUseError
from streams.engine.circuit_breaker import CircuitBreakerPolicy
from streams.runtime.failures import exit_now, log_end
from streams.runtime.secret_files import warn_of_shared_directory
from streams.worker import Worker, WorkerConfig

_log = logging.getLogger(__name__)


@click.command()
@broker_option
@click.option("--name", help="Name of this worker: unique, and the same after a restart.  [setting: name]")
@http_option("worker_http", "127.0.0.1:8391")
@data_dir_option
@policy_option
@click.option(
    "--circuit-breaker",
    type=click.Choice(["on", "off"]),
    help="Pause on a flood of invalid events.  [setting: circuit_breaker]",
)
@click.option("--accept-loss", is_flag=True, default=None, help="Start although events or ledger rows were lost.")
def worker(
    *,
    brokers: str | None,
    name: str | None,
    worker_http: str | None,
    data_dir: Path | None,
    policy: str | None,
    circuit_breaker: str | None,
    accept_loss: bool | None,
) -> None:
    """Count events and publish tallies. An installation has at most one worker per partition.

    Runs until SIGTERM or SIGINT, then writes a last checkpoint. docs/exit-codes.md lists the exit codes.
    """
    chosen = settings.load(
        brokers=brokers,
        name=name,
        worker_http=worker_http,
        data_dir=data_dir,
        policy=policy,
        circuit_breaker=None if circuit_breaker is None else circuit_breaker == "on",
        accept_loss=accept_loss,
    )
    logs.configure(chosen.log_level, chosen.log_format)
    names = {"worker": chosen.name, "group": wiring.group(chosen)}
    _log.info("worker starts", extra={**names, **wiring.identity(chosen), "http": chosen.worker_http})
    warn_of_shared_directory(chosen.data_dir)
    process = Worker(_config(chosen))
    ProcessCollector(registry=process.metrics.registry)
    try:
        host, port = address(chosen.worker_http)
        probes = Probes(
            host,
            port,
            process.health,
            process.metrics.registry,
            process.metrics.refusals,
            token_file=chosen.token_file,
            allow_open_bind=chosen.allow_open_bind,
            allowed_hosts=chosen.allowed_hosts,
            keep_alive_s=chosen.keep_alive_s,
            connections_per_address=chosen.connections_per_address,
            proxy_addresses=chosen.proxy_addresses,
        )
    except AddressInUseError as error:
        exit_now(log_end("worker", AddressInUseError(f"worker_http: {error}")))
    except BindError as error:
        raise settings.SettingsError(f"worker_http: {error}") from error
    probes.start()
    # Not by returning: the interpreter would wait for Faust's thread, which may hang while it joins the group.
    ending = process.run()
    probes.stop()
    exit_now(ending)


def _config(chosen: settings.Settings) -> WorkerConfig:
    """The configuration of the worker."""
    kafka = kafka_wiring.client(chosen)
    return WorkerConfig(
        brokers=tuple(kafka.brokers),
        security=kafka.security,
        name=chosen.name,
        group=wiring.group(chosen),
        topics=kafka_wiring.topics(chosen),
        policy=chosen.policy,
        decoder=replace(wiring.decoder(chosen), pseudonyms=wiring.pseudonyms(chosen)),
        accept_loss=chosen.accept_loss,
        circuit_breaker=CircuitBreakerPolicy() if chosen.circuit_breaker else None,
        audit_interval_s=chosen.audit_interval_s,
        waiting_dir=chosen.data_dir / "waiting" / chosen.name,
        wait_days=chosen.wait_days,
        max_tallies=chosen.max_tallies,
        release=__version__,
    )
