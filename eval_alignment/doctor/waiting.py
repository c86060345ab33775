"""Judges how evaluations wait: the reports of workers, their stores and disks."""

from collections.abc import Iterator, Sequence
from typing import Final

from eval_alignment.doctor.findings import Finding, ok, problem_found
from eval_alignment.doctor.problems import Problem
from eval_alignment.doctor.processes import Process
from eval_alignment.doctor.progress import LastMarkers
from eval_alignment.doctor.severity import Severity
from streams.runtime.keep import keep_ms

_BYTES: Final = "eval_alignment_waiting_bytes"
_FREE: Final = "eval_alignment_waiting_free_bytes"
_OLDEST: Final = "eval_alignment_waiting_oldest_seconds"
_GIB: Final = 1 << 30
_LEAST_FREE: Final = _GIB
"""Free bytes below which a worker drops the oldest evaluations."""
_DAY_SECONDS: Final = 86_400
"""Age from which a store shows how fast it grows."""


def judge_waiting(workers: Sequence[Process], markers: LastMarkers, wait_days: int) -> list[Finding]:
    """Findings about waiting evaluations.

    Args:
        workers: the workers whose addresses were given.
        markers: the last checkpoint marker of each partition.
        wait_days: the setting of `doctor`.
    """
    findings = [*_stores(workers), *_settings(workers, wait_days), *_disks(workers, wait_days)]
    reports = [marker["waiting"] for marker, _ in markers.values() if "waiting" in marker]
    if rebuilding := sum(report["rebuilding"] for report in reports):
        findings.append(problem_found(Problem.REBUILDING, f"{rebuilding} offsets of the evaluations topic are left"))
    if missing := sum(report["missing"] for report in reports):
        findings.append(problem_found(Problem.WAITING_MISSING, f"up to {missing} evaluations"))
    number = sum(report["evaluations"] for report in reports)
    return findings or [ok("waiting", f"{number} evaluations wait for an annotation or a queue item of their item")]


def _reports(workers: Sequence[Process]) -> Iterator[tuple[Process, dict[str, object]]]:
    """What each worker reports of its store; a worker of an earlier release reports nothing."""
    for worker in workers:
        try:
            readiness = worker.readiness.json()
        except ValueError:
            continue
        report = readiness.get("waiting") if isinstance(readiness, dict) else None
        if isinstance(report, dict):
            yield worker, report


def _stores(workers: Sequence[Process]) -> Iterator[Finding]:
    for worker, report in _reports(workers):
        if away := report.get("away"):
            yield problem_found(Problem.WAITING_STORE, f"{worker.url}: {away}")


def _settings(workers: Sequence[Process], wait_days: int) -> Iterator[Finding]:
    days = {worker.url: report.get("wait_days", wait_days) for worker, report in _reports(workers)}
    if set(days.values()) - {wait_days}:
        listed = ", ".join(f"{url} {value}" for url, value in days.items())
        yield problem_found(Problem.WAIT_DAYS, f"{listed}; the setting is {wait_days}")


def _disks(workers: Sequence[Process], wait_days: int) -> Iterator[Finding]:
    for worker in workers:
        free, size, oldest = (
            sum(value for _, value in worker.values(name)) if worker.values(name) else None
            for name in (_FREE, _BYTES, _OLDEST)
        )
        if free is None:
            continue
        observed = f"{worker.url}: {free / _GIB:.1f} GiB free"
        need = 0.0
        if size and oldest and oldest >= _DAY_SECONDS:
            # At the rate of the time that the store covers.
            need = size * (keep_ms(wait_days) / 1000 / oldest - 1)
            observed += f", {size / _GIB:.1f} GiB of {oldest / _DAY_SECONDS:.1f} days"
        if free < _LEAST_FREE:
            yield problem_found(Problem.WAITING_DISK, observed, Severity.ERROR)
        elif free < need:
            yield problem_found(Problem.WAITING_DISK, f"{observed}, {need / _GIB:.1f} GiB more are needed")
