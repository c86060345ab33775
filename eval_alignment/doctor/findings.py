"""Findings: what a check saw, how bad it is, and what to do."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from eval_alignment.doctor.problems import Problem, Severity
from streams.runtime.exit_codes import ExitCode

OK: Final = "ok"
NOT_MADE: Final = "not_made"
NOT_ASKED: Final = "not_asked"
_DOCS: Final = "docs/doctor.md"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found.

    `name` is that of a `Problem` in lower case, or `ok`, `not_made`, `not_asked`. `seen` is what was observed, `do`
    what to do (empty when there is nothing to do), `docs` the section that says more.
    """

    severity: Severity
    check: str
    name: str
    seen: str
    do: str

    @property
    def docs(self) -> str:
        """The section about this check."""
        return f"{_DOCS}#{self.check}"

    def as_json(self) -> dict[str, str]:
        """The finding as `--json` prints it."""
        return {
            "severity": self.severity.name.lower(),
            "check": self.check,
            "name": self.name,
            "seen": self.seen,
            "do": self.do,
            "docs": self.docs,
        }


def ok(check: str, seen: str) -> Finding:
    """All is well."""
    return Finding(Severity.OK, check, OK, seen, "")


def found(problem: Problem, seen: str, severity: Severity | None = None) -> Finding:
    """A problem; `severity` where this case is another than the table's."""
    entry = problem.value
    return Finding(entry.severity if severity is None else severity, entry.check, problem.name.lower(), seen, entry.do)


def not_made(check: str, why: str, do: str = "Mend that, or look by hand.") -> Finding:
    """The check could not be made: nobody knows."""
    return Finding(Severity.WARNING, check, NOT_MADE, why, do)


def not_asked(check: str, why: str) -> Finding:
    """There is nothing to check, or another finding says why it cannot be."""
    return Finding(Severity.INFO, check, NOT_ASKED, why, "")


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """The worst first; of equals, in the order given."""
    return sorted(findings, key=lambda finding: -finding.severity)


def exit_code(findings: Iterable[Finding]) -> ExitCode:
    """How the command ends."""
    worst = max((finding.severity for finding in findings), default=Severity.OK)
    if worst >= Severity.ERROR:
        return ExitCode.ERROR
    return ExitCode.WARNING if worst == Severity.WARNING else ExitCode.SOUND
