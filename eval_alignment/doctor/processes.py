"""Observes workers, view and ingest over HTTP: health, readiness, metrics, circuit breaker, releases and clocks."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from prometheus_client.parser import text_string_to_metric_families

from eval_alignment.doctor.findings import Finding, ok, problem_found
from eval_alignment.doctor.http import Answer, get
from eval_alignment.doctor.problems import Problem
from eval_alignment.doctor.severity import Severity
from streams.events.example import RejectedExample
from streams.runtime.metric_specs import BUILD_INFO
from streams.runtime.metrics import AUDIT_MISMATCHES, CIRCUIT_BREAKER_OPEN

_SINK_SECONDS: Final = 60.0
_SKEW_SECONDS: Final = 2.0
_SKEW_ERROR_SECONDS: Final = 10.0
_SINK: Final = "eval_alignment_snapshot_last_success_timestamp_seconds"
_SUPPRESSED: Final = "eval_alignment_series_suppressed_total"

SeriesSample = tuple[str, Mapping[str, str], float]
"""Name, labels and value of one series."""


@dataclass(frozen=True, slots=True)
class Process:
    """The responses of a worker, a view or an ingest."""

    url: str
    """Base address."""
    health: Answer
    """Response of `/healthz`."""
    readiness: Answer
    """Response of `/readyz`."""
    scrape: Answer
    """Response of `/metrics`."""
    series: Sequence[SeriesSample] | None = None
    """The samples of the scrape; None when it is not a valid scrape of this product."""
    at: float = field(default_factory=time.time)
    """When it was observed, in seconds since the epoch."""

    def values(self, name: str) -> list[tuple[Mapping[str, str], float]]:
        """Labels and values of the series with this name."""
        return [(labels, value) for series, labels, value in self.series or () if series == name]

    @property
    def version(self) -> str | None:
        """Its release; None without a scrape."""
        return next((labels.get("version") for labels, _ in self.values(BUILD_INFO.name)), None)


async def observe(url: str, token: bytes | None) -> Process:
    """Request health, readiness and metrics of a process."""
    base = url.rstrip("/")
    paths = ("healthz", "readyz", "metrics")
    health, readiness, scrape = await asyncio.gather(*(get(f"{base}/{path}", token) for path in paths))
    return Process(base, health, readiness, scrape, parse(scrape))


def parse(scrape: Answer) -> list[SeriesSample] | None:
    """The samples of a scrape; None when it is not a valid scrape of this product."""
    if scrape.status != 200:
        return None
    try:
        families = list(text_string_to_metric_families(scrape.body.decode()))
    except ValueError:
        return None
    samples: list[SeriesSample] = [
        (sample.name, sample.labels, sample.value) for family in families for sample in family.samples
    ]
    return samples if any(name == BUILD_INFO.name for name, _, _ in samples) else None


def judge_worker(process: Process) -> list[Finding]:
    """Findings about a worker."""
    if not process.health.status:
        return [problem_found(Problem.WORKER_UNREACHABLE, f"{process.url}: {process.health.error}")]
    health, readiness = _object(process.health), _object(process.readiness)
    if "live" not in health or "ready" not in readiness:
        return [
            problem_found(
                Problem.WORKER_REFUSES,
                f"{process.url}/healthz: status {process.health.status}, not the response of a worker",
            )
        ]
    findings = []
    if not health["live"]:
        findings.append(problem_found(Problem.WORKER_STALLED, f"{process.url}: {_reasons(health)}"))
    elif not readiness["ready"]:
        findings.append(problem_found(Problem.WORKER_NOT_READY, f"{process.url}: {_reasons(readiness)}"))
    if process.series is None:
        findings.append(problem_found(Problem.WORKER_REFUSES, _no_scrape(process)))
    if (quarantined := readiness.get("quarantined")) and isinstance(quarantined, dict):
        listed = "; ".join(f"partition {partition}: {reason}" for partition, reason in quarantined.items())
        findings.append(problem_found(Problem.PARTITION_QUARANTINED, f"{process.url}: {listed}"))
    if mismatches := sum(value for _, value in process.values(AUDIT_MISMATCHES.name)):
        findings.append(problem_found(Problem.AUDIT_MISMATCH, f"{process.url}: {mismatches:g} tallies"))
    return findings or [ok("worker", f"{process.url} is ready and can be scraped")]


def paused(processes: Sequence[Process]) -> list[Process]:
    """The workers whose circuit breaker is open."""
    return [one for one in processes if any(value for _, value in one.values(CIRCUIT_BREAKER_OPEN.name))]


def judge_circuit_breaker(processes: Sequence[Process], waiting: Sequence[RejectedExample] = ()) -> list[Finding]:
    """Whether the circuit breaker pauses a worker; no finding when no worker could be scraped.

    Args:
        processes: the workers.
        waiting: some of the events that wait and would be rejected.
    """
    first = f"; first of the invalid events that wait: {' | '.join(map(str, waiting))}" if waiting else ""
    open_breakers = [
        problem_found(Problem.CIRCUIT_BREAKER_OPEN, f"{process.url}: {_reasons(_object(process.readiness))}{first}")
        for process in paused(processes)
    ]
    reporting = sum(bool(process.values(CIRCUIT_BREAKER_OPEN.name)) for process in processes)
    return open_breakers or ([ok("circuit_breaker", f"closed in {_counted(reporting, 'worker')}")] if reporting else [])


def judge_view(process: Process) -> list[Finding]:
    """Findings about the view."""
    if not process.health.status:
        return [problem_found(Problem.VIEW_UNREACHABLE, f"{process.url}: {process.health.error}")]
    readiness = _object(process.readiness)
    if "stale" not in readiness:
        return [
            problem_found(
                Problem.VIEW_REFUSES,
                f"{process.url}/readyz: status {process.readiness.status}, not the response of a view",
            )
        ]
    findings = []
    as_of = readiness.get("as_of") or "before the first checkpoint"
    if not readiness["ready"]:
        findings.append(problem_found(Problem.VIEW_NOT_READY, f"{process.url}: as of {as_of}"))
    if readiness["stale"]:
        why = f": {readiness['stale_reason']}" if readiness.get("stale_reason") else ""
        findings.append(problem_found(Problem.VIEW_STALE, f"{process.url}: as of {as_of}{why}"))
    if process.series is None:
        findings.append(problem_found(Problem.VIEW_REFUSES, _no_scrape(process)))
    # By the view's own clock, as far as the `Date` of its response shows it.
    now = process.at + (process.health.ahead_s or 0.0)
    late = {labels["sink"]: now - value for labels, value in process.values(_SINK)}
    late = {sink: age for sink, age in late.items() if age > _SINK_SECONDS}
    if late:
        listed = ", ".join(f"{sink} {age:.0f} s ago" for sink, age in late.items())
        findings.append(problem_found(Problem.SINK_FAILS, f"{process.url}: last passes: {listed}"))
    if suppressed := sum(value for _, value in process.values(_SUPPRESSED)):
        findings.append(problem_found(Problem.SERIES_SUPPRESSED, f"{process.url}: {suppressed:g} series"))
    return findings or [ok("view", f"{process.url} is ready, as of {as_of}")]


def judge_ingest(process: Process) -> list[Finding]:
    """Findings about an ingest."""
    if not process.health.status:
        return [problem_found(Problem.INGEST_UNREACHABLE, f"{process.url}: {process.health.error}")]
    readiness = _object(process.readiness)
    # A worker reports whether it lives, a view whether it is stale.
    if "ready" not in readiness or "stale" in readiness or "live" in _object(process.health):
        return [
            problem_found(
                Problem.INGEST_REFUSES,
                f"{process.url}/readyz: status {process.readiness.status}, not the response of an ingest",
            )
        ]
    findings = []
    if not readiness["ready"]:
        findings.append(problem_found(Problem.INGEST_NOT_READY, f"{process.url}: {_reasons(readiness)}"))
    if process.series is None:
        findings.append(problem_found(Problem.INGEST_REFUSES, _no_scrape(process)))
    return findings or [ok("ingest", f"{process.url} is ready and can be scraped")]


def judge_versions(processes: Sequence[Process], own: str) -> list[Finding]:
    """Whether all have the same release; no finding when no process could be scraped."""
    versions = {process.url: process.version for process in processes if process.version is not None}
    if set(versions.values()) - {own}:
        listed = ", ".join(f"{url} {version}" for url, version in versions.items())
        return [problem_found(Problem.VERSIONS_DIFFER, f"this command is {own}, {listed}")]
    return (
        [ok("versions", f"{_counted(len(versions), 'process')} of release {own}, as this command")] if versions else []
    )


def judge_clock(processes: Sequence[Process], broker_ahead_s: float | None) -> list[Finding]:
    """Whether clocks agree: each process's with the one of this machine, and the broker's with the workers'."""
    ahead = {process.url: process.health.ahead_s for process in processes if process.health.ahead_s is not None}
    if broker_ahead_s is not None:
        ahead["the broker, compared with the workers,"] = broker_ahead_s
    findings = [
        problem_found(
            Problem.CLOCK_SKEW,
            f"{name} is {abs(seconds):.1f} s {'ahead' if seconds > 0 else 'behind'}",
            Severity.ERROR if abs(seconds) >= _SKEW_ERROR_SECONDS else None,
        )
        for name, seconds in ahead.items()
        if abs(seconds) > _SKEW_SECONDS
    ]
    return findings or ([ok("clock", f"{len(ahead)} clocks within {_SKEW_SECONDS:g} s")] if ahead else [])


def _object(answer: Answer) -> Mapping[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _reasons(body: Mapping[str, Any]) -> str:
    return "; ".join(map(str, body.get("reasons", ()))) or "without a reason"


def _no_scrape(process: Process) -> str:
    why = process.scrape.error or f"status {process.scrape.status}"
    return f"{process.url}/metrics: {why}, not the metrics of a worker, view or ingest"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 'es' if what.endswith('s') else 's'}"
