"""docs/exit-codes.md: how each command ends."""

from eval_alignment.ci_gate import GateOutcome
from eval_alignment.doctor.findings import Exit
from eval_alignment.main import USAGE
from streams.runtime.failures import Failure
from tools.reference.markdown import document, section, table


def page() -> str:
    """The page."""
    worker = [
        (str(e.code), f.name.lower(), e.cause, "yes" if e.restart else "no", e.operator)
        for f in Failure
        for e in (f.value,)
    ]
    gate = [(str(outcome.code), outcome.name.lower(), outcome.meaning) for outcome in GateOutcome]
    common = [
        ("0", "done"),
        ("1", "the command failed; standard error has the reason"),
        (str(USAGE), "invalid usage or invalid settings; never one of the codes of a gate"),
        ("130", "interrupted"),
    ]
    return document(
        "Exit codes",
        "Scripts and supervisors may rely on these codes.",
        section("Every command", table(("code", "meaning"), common)),
        section("`report --fail-under`", table(("code", "name", "meaning"), gate)),
        section(
            "`doctor`", table(("code", "name", "meaning"), [(str(e.value), e.name.lower(), e.meaning) for e in Exit])
        ),
        section(
            "`worker`",
            "A failure ends the process at once, without a last checkpoint, so a broken state is never committed. "
            "`restart` is whether a supervisor should start it again.",
            table(("code", "name", "cause", "restart", "what to do"), worker),
        ),
        see_also=("[Operations](operations.md)", "[Doctor](doctor.md)", "[Deployment](deployment.md)"),
    )
