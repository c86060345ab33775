"""docs/doctor.md: every check of `doctor` with its findings."""

from eval_alignment.doctor.checks import CHECKS, Check
from eval_alignment.doctor.findings import FAILED, NOT_RUN, OK, SKIPPED
from eval_alignment.doctor.problems import Problem
from streams.runtime.exit_codes import DOCTOR, ExitCode
from tools.reference.markdown import document, fenced, section, table

_EXAMPLE = r"""
eval-alignment doctor --broker kafka:9092 --worker-url http://w1:8391 --worker-url http://w2:8391 \
    --view-url http://view:8390 --prometheus http://prometheus:9090
"""


def page() -> str:
    """The page."""
    return document(
        "Doctor",
        "`eval-alignment doctor` examines a running installation from the broker to the alerts and lists what is "
        "wrong, the worst first, and what to do. It only reads: it writes to no topic and joins no consumer group.",
        fenced("console", _EXAMPLE),
        "All checks run concurrently, each within `--timeout` seconds. A check that fails to run is the finding "
        f"`{NOT_RUN}` (a warning), one that meets something unexpected is `{FAILED}` (an error); neither stops the "
        "others. `--only CHECK` and `--skip CHECK` select checks, "
        "`--list` lists them. With access control, the user needs Read and DescribeConfigs on the topics and Describe "
        "on the groups; without DescribeConfigs, topic settings are not compared.",
        "`--json` prints an array of findings with the fields `severity` (`ok`, `info`, `warning`, `error`, "
        "`critical`), `check`, `name`, `observed`, `action` and `docs`. Names of findings are stable. Besides those in "
        f"the tables below a check can return `{OK}`, `{NOT_RUN}`, `{FAILED}` and `{SKIPPED}` (nothing to check, or "
        "another finding explains why the check is impossible). The exit code is that of the worst finding: "
        + " ".join(f"{ending.code}: {ending.meaning}" for ending in ExitCode if DOCTOR in ending.commands),
        *map(_check, CHECKS),
        see_also=("[Operations](operations.md)", "[Runbook](runbook.md)", "[Exit codes](exit-codes.md)"),
    )


def _check(check: Check) -> str:
    entries = [(problem.name.lower(), problem.value) for problem in Problem if problem.value.check == check.name]
    rows = [(f"`{name}`", e.severity.name.lower(), e.meaning, e.action) for name, e in entries]
    return section(check.name, check.examines, table(("finding", "severity", "meaning", "what to do"), rows))
