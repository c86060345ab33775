"""`doctor`: examines a running installation."""

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click
import orjson

from eval_alignment import kafka_wiring, settings, wiring
from eval_alignment.doctor.checks import CHECKS, examine
from eval_alignment.doctor.findings import Finding, exit_code
from eval_alignment.doctor.severity import Severity
from eval_alignment.doctor.target import Target
from eval_alignment.options import broker_option, data_dir_option
from eval_alignment.setting_checks import address
from eval_alignment.terminal_text import printable
from sinks.access import BindError, read_token

_names = click.Choice([check.name for check in CHECKS])


@click.command()
@broker_option
@data_dir_option
@click.option(
    "--worker-url", "workers", multiple=True, help="Address of a worker; repeatable.  [default: from worker_http]"
)
@click.option("--view-url", "view", help="Address of the view.  [default: from http]")
@click.option(
    "--ingest-url",
    "ingests",
    multiple=True,
    help="Address of an ingest; repeatable.  [default: from ingest_http]",
)
@click.option("--prometheus", "prometheus_url", metavar="URL", help="Address of Prometheus.  [setting: prometheus_url]")
@click.option(
    "--alertmanager", "alertmanager_url", metavar="URL", help="Address of Alertmanager.  [setting: alertmanager_url]"
)
@click.option(
    "--partition", type=click.IntRange(0), help="Partition to recount.  [default: a different one every minute]"
)
@click.option("--only", type=_names, multiple=True, help="Run only this check; repeatable.")
@click.option("--skip", type=_names, multiple=True, help="Skip this check; repeatable.")
@click.option(
    "--timeout",
    "seconds",
    type=click.FloatRange(1, 3600),
    default=30.0,
    show_default=True,
    help="Time limit of a check in seconds.",
)
@click.option("--list", "as_list", is_flag=True, help="List the checks and what each examines, without running them.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as a JSON array.")
def doctor(
    *,
    workers: tuple[str, ...],
    view: str | None,
    ingests: tuple[str, ...],
    partition: int | None,
    only: tuple[str, ...],
    skip: tuple[str, ...],
    seconds: float,
    as_list: bool,
    as_json: bool,
    **given: object,
) -> None:
    """Examine a running installation and list its problems. Worst first, each with what to do.

    It only reads: it writes to no topic and joins no consumer group. Exit code 0: no warning. 1: the worst finding is a
    warning, or a check could not run. 2: the worst finding is an error or critical. docs/doctor.md has all findings.
    """
    if only and skip:
        raise click.UsageError("--only and --skip cannot be combined")
    chosen = [check for check in CHECKS if (not only or check.name in only) and check.name not in skip]
    if as_list:
        for check in chosen:
            click.echo(f"{check.name:12}  {check.examines}")
        return
    target = _target(
        settings.load(**given), workers=workers, view=view, ingests=ingests, partition=partition, seconds=seconds
    )
    # The findings have what Kafka's client would log.
    client_log = logging.getLogger("aiokafka")
    level = client_log.level
    client_log.setLevel(logging.CRITICAL)
    try:
        findings = asyncio.run(examine(target, chosen))
    finally:
        client_log.setLevel(level)
    if as_json:
        click.echo(orjson.dumps([finding.as_json() for finding in findings], option=orjson.OPT_INDENT_2))
    else:
        for line in _lines(findings):
            click.echo(line)
    raise click.exceptions.Exit(exit_code(findings).code)


def _target(
    chosen: settings.Settings,
    *,
    workers: tuple[str, ...],
    view: str | None,
    ingests: tuple[str, ...],
    partition: int | None,
    seconds: float,
) -> Target:
    token = _token("token_file", chosen.token_file)
    return Target(
        client=kafka_wiring.client(chosen),
        topics=kafka_wiring.topics(chosen),
        group=wiring.group(chosen),
        acknowledgement_group=wiring.acknowledgement_group(chosen),
        decoder=wiring.decoder(chosen),
        policy=chosen.policy,
        partitions=wiring.partitions(chosen),
        wait_days=chosen.wait_days,
        partition=partition,
        workers=workers or (_local(chosen.worker_http),),
        view=view or _local(chosen.http),
        ingests=ingests or (_local(chosen.ingest_http),),
        ingest_expected=bool(ingests) or "ingest_http" in chosen.model_fields_set,
        prometheus=chosen.prometheus_url,
        alertmanager=chosen.alertmanager_url,
        token=token,
        ingest_token=_token("ingest_token_file", chosen.ingest_token_file) or token,
        data_dir=chosen.data_dir,
        seconds=seconds,
    )


def _token(setting: str, path: Path | None) -> bytes | None:
    try:
        return None if path is None else read_token(path)
    except BindError as error:
        raise settings.SettingsError(f"{setting}: {error}") from error


_LOCAL = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 -- a server on all addresses is reached here


def _local(bound: str) -> str:
    """Base address of a server on this machine, from its bind address."""
    host, port = address(bound)
    host = _LOCAL.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _lines(findings: Sequence[Finding]) -> list[str]:
    lines = []
    for finding in findings:
        severity = finding.severity.name.lower()
        lines.append(f"{severity:8}  {finding.check:12}  {printable(finding.observed)}")
        if finding.action:
            lines.append(f"{'':24}-> {finding.action} [{finding.name}, {finding.docs}]")
    counts = Counter(finding.severity for finding in findings)
    summary = ", ".join(
        f"{counts[severity]} {severity.name.lower()}" for severity in reversed(Severity) if counts[severity]
    )
    return [*lines, f"{summary}. {exit_code(findings).meaning}"]
