"""Reports as one HTML file, for `check` and `report`. Only a command that writes one loads the templates."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from eval_alignment.output_files import replaced_when_whole
from streams.runtime.errors import EvalAlignmentError
from streams.runtime.exit_codes import ExitCode

if TYPE_CHECKING:
    from sinks.page.report_file import GateResult

_OUTCOMES: Final = {
    ExitCode.PASS: ("trusted", "Reaches the limit"),
    ExitCode.BELOW: ("untrusted", "Below the limit"),
    ExitCode.TOO_FEW: ("undecided", "Too few items"),
}
"""Style and words of the gate's outcome."""


class ReportError(EvalAlignmentError):
    """The report cannot be written."""

    exit_code = ExitCode.UNREACHABLE


def gate_result(outcome: ExitCode, lines: Sequence[str]) -> "GateResult":
    """The outcome of a gate as a report shows it; `lines` are those that the command prints."""
    from sinks.page.report_file import GateResult  # noqa: PLC0415

    return GateResult(*_OUTCOMES[outcome], [line.partition(": ")[2] for line in lines])


def write_report(path: Path, text: str) -> None:
    """Write a report. Raises ReportError."""
    try:
        with replaced_when_whole(path) as file:
            file.write(text.encode())
    except OSError as error:
        raise ReportError(f"cannot write the report: {error}") from error
