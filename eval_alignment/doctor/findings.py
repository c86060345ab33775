"""Findings: what a check observed, its severity, and what to do."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from eval_alignment.doctor.problems import Problem
from eval_alignment.doctor.severity import Severity
from streams.runtime.exit_codes import ExitCode

OK: Final = "ok"
NOT_RUN: Final = "not_run"
SKIPPED: Final = "skipped"
FAILED: Final = "failed"
_DOCS: Final = "docs/doctor.md"


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of a check."""

    severity: Severity
    check: str
    """Name of the check."""
    name: str
    """Name of a `Problem` in lower case, or `ok`, `not_run`, `skipped`, `failed`."""
    observed: str
    action: str
    """What the operator does; empty when there is nothing to do."""

    @property
    def docs(self) -> str:
        """The section of the documentation about this check."""
        return f"{_DOCS}#{self.check}"

    def as_json(self) -> dict[str, str]:
        """The finding as `--json` prints it."""
        return {
            "severity": self.severity.name.lower(),
            "check": self.check,
            "name": self.name,
            "observed": self.observed,
            "action": self.action,
            "docs": self.docs,
        }


def ok(check: str, observed: str) -> Finding:
    """The check found no problem."""
    return Finding(Severity.OK, check, OK, observed, "")


def problem_found(problem: Problem, observed: str, severity: Severity | None = None) -> Finding:
    """A problem; `severity` overrides that of the table."""
    entry = problem.value
    severity = entry.severity if severity is None else severity
    return Finding(severity, entry.check, problem.name.lower(), observed, entry.action)


def not_run(check: str, why: str, action: str = "Fix the cause and run doctor again.") -> Finding:
    """The check could not run, so its result is unknown."""
    return Finding(Severity.WARNING, check, NOT_RUN, why, action)


def failed(check: str, why: str, action: str) -> Finding:
    """The check met something that it does not expect, so its result is unknown and something is wrong."""
    return Finding(Severity.ERROR, check, FAILED, why, action)


def skipped(check: str, why: str) -> Finding:
    """The check does not apply, or another finding explains why it cannot run."""
    return Finding(Severity.INFO, check, SKIPPED, why, "")


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """Sort findings by severity, worst first; equals keep their order."""
    return sorted(findings, key=lambda finding: -finding.severity)


def exit_code(findings: Iterable[Finding]) -> ExitCode:
    """Exit code of the command: that of the worst finding."""
    worst = max((finding.severity for finding in findings), default=Severity.OK)
    if worst >= Severity.ERROR:
        return ExitCode.ERROR
    return ExitCode.WARNING if worst == Severity.WARNING else ExitCode.SOUND
