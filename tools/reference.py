"""Reference pages of docs/, made from code: `python -m tools.reference DIRECTORY` writes them.

Each page is a table that the code already has: settings, topics, reject reasons, metrics, exit codes.
"""

import sys
from collections.abc import Iterable, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import orjson
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from eval_alignment.ci_gate import GateOutcome
from eval_alignment.doctor.checks import CHECKS, Check
from eval_alignment.doctor.findings import NOT_ASKED, NOT_MADE, OK, Exit
from eval_alignment.doctor.problems import Problem
from eval_alignment.main import USAGE
from eval_alignment.settings import CONFIG_VARIABLE, ENVIRONMENT_PREFIX, Settings
from sinks.gauges import FAMILIES
from sinks.metrics import METRICS as VIEW_METRICS
from streams.events.reasons import Reason
from streams.kafka.topics import DEFAULT_PARTITIONS, TABLE, Topics
from streams.runtime.failures import Failure
from streams.runtime.metric_specs import MetricSpec
from streams.runtime.metrics import METRICS as WORKER_METRICS

_MADE = "<!-- Made from code by `make docs`. -->"


def pages() -> dict[str, str]:
    """The text of each page by its file's name."""
    return {
        "settings.md": _settings(),
        "topics.md": _topics(),
        "reasons.md": _reasons(),
        "metrics.md": _metrics(),
        "exit-codes.md": _exit_codes(),
        "doctor.md": _doctor(),
    }


def _settings() -> str:
    rows = [
        (f"`{name}`", _type(field.annotation), _default(field), field.description or "")
        for name, field in Settings.model_fields.items()
    ]
    return _page(
        "Settings",
        f"Every setting `name` is `{ENVIRONMENT_PREFIX}NAME` in the environment, `name = ...` in the TOML file that "
        f"`--config` or `{CONFIG_VARIABLE}` names, and for some an option of a command. Options win over the "
        "environment, the environment over the file. Lists and tables are JSON in the environment. All problems are "
        f"reported at once, with exit code {USAGE}; `eval-alignment config show` lists what is in force.",
        _table(("setting", "type", "default", "meaning"), rows),
    )


_WORDS = {str: "text", int: "integer", float: "number", bool: "true or false", Path: "path", SecretStr: "secret"}


def _type(annotation: Any) -> str:
    """A setting's type in words."""
    arguments = [part for part in get_args(annotation) if part is not type(None)]
    if annotation in _WORDS:
        return _WORDS[annotation]
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if get_origin(annotation) in (list, dict):
        return f"{'list' if get_origin(annotation) is list else 'table'} of {_type(arguments[-1])}"
    if arguments:
        return _type(arguments[0])
    if issubclass(annotation, Enum):
        return ", ".join(f"`{member.value}`" for member in annotation)
    return "table of " + ", ".join(f"`{name}`" for name in annotation.model_fields)


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        made = field.get_default(call_default_factory=True, validated_data={})
        # What is made anew on every machine is told by the description.
        return "this host's name" if isinstance(made, str) else f"`{orjson.dumps(made).decode()}`"
    value = field.default
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value in (None, ""):
        return "none"
    if isinstance(value, Enum | Path):
        return f"`{getattr(value, 'value', value)}`"
    return f"`{value}`" if isinstance(value, str) else f"`{orjson.dumps(value).decode()}`"


def _topics() -> str:
    names = Topics()
    rows = [
        (
            f"`{getattr(names, spec.role)}`",
            spec.meaning,
            spec.key,
            str(spec.partitions or "P"),
            "<br>".join(
                f"`{config}={value}`" + (" or more" if config in spec.at_least else "")
                for config, value in spec.configs.items()
            ),
            spec.written_by,
            spec.read_by,
        )
        for spec in TABLE
    ]
    return _page(
        "Topics",
        f"`eval-alignment topics apply` creates them, `topics diff` compares. P is one number, {DEFAULT_PARTITIONS} "
        "unless the setting `partitions` says otherwise; it never changes for a prefix. Each name is a setting, and "
        "`topic_prefix` is put before all. With three replicas or more `min.insync.replicas` is 2.",
        _table(("topic", "holds", "key", "partitions", "settings", "written by", "read by"), rows),
    )


def _reasons() -> str:
    return _page(
        "Reject reasons",
        "An event that is not accepted becomes a dead letter; its header `alignment-reason`, the label of "
        "`eval_alignment_events_rejected_total` and the log name the reason. `eval-alignment dlq ls` lists dead "
        "letters, `dlq requeue` sends them again after a fix.",
        _table(("reason", "meaning"), [(f"`{reason.value}`", reason.meaning) for reason in Reason]),
    )


def _metrics() -> str:
    return _page(
        "Metrics",
        "For Prometheus, at `/metrics` of the view and of each worker. On Linux both also export the usual `process_*` "
        "(memory, CPU seconds, open files, start time).",
        "## Agreement, from the view\n\n"
        "Every series of a ratio has the label `window`: `all`, `7d` or `30d`; alignment and its interval also `5d`. "
        'So `min by (queue) (eval_alignment_agreement_ratio{window="all"})` never mixes windows. The cells and items '
        "of the last 30 days are families of their own. A statistic that is undefined has no series.\n\n"
        "With the setting `expose_judge_version` the newest judge also has the label `judge`.\n\n"
        + _specs(FAMILIES)
        + "\n## The view itself\n\n"
        + _specs(VIEW_METRICS)
        + "\n## A worker\n\n"
        + _specs(WORKER_METRICS),
    )


def _specs(specs: Iterable[MetricSpec]) -> str:
    rows = [(f"`{spec.name}`", spec.kind, ", ".join(f"`{name}`" for name in spec.labels), spec.help) for spec in specs]
    return _table(("metric", "type", "labels", "meaning"), rows)


def _exit_codes() -> str:
    worker = [
        (str(e.code), f.name.lower(), e.cause, "yes" if e.restart else "no", e.operator)
        for f in Failure
        for e in (f.value,)
    ]
    gate = [(str(outcome.code), outcome.name.lower(), outcome.meaning) for outcome in GateOutcome]
    common = [
        ("0", "done"),
        ("1", "something could not be done; standard error says what"),
        (str(USAGE), "wrong call or wrong settings: never one of the codes that a gate reads"),
        ("130", "interrupted"),
    ]
    return _page(
        "Exit codes",
        "Scripts may rely on these.",
        "## Every command\n\n"
        + _table(("code", "meaning"), common)
        + "\n## `report --fail-under`\n\n"
        + _table(("code", "name", "meaning"), gate)
        + "\n## `doctor`\n\n"
        + _table(("code", "name", "meaning"), [(str(e.value), e.name.lower(), e.meaning) for e in Exit])
        + "\n## `worker`\n\n"
        "A failure ends the process at once: what is gone cannot commit a broken state. `restart` says whether a "
        "supervisor starts it again.\n\n" + _table(("code", "name", "cause", "restart", "what to do"), worker),
    )


def _doctor() -> str:
    return _page(
        "Doctor",
        "`eval-alignment doctor` examines a running installation end to end and says what is wrong, the worst first, "
        "and what to do. It only reads: it writes to no topic and joins no group. With access rules its user needs "
        "Read and DescribeConfigs on the topics, and Describe on the group (without DescribeConfigs the settings of "
        "topics are taken as right). All checks are made at once, each within `--timeout` seconds; one that cannot be "
        f"made is the finding `{NOT_MADE}` (a warning) and keeps no other from being made.\n\n"
        "    eval-alignment doctor --broker kafka:9092 --worker-url http://w1:8391 --worker-url http://w2:8391 \\\n"
        "        --view-url http://view:8390 --prometheus http://prometheus:9090\n\n"
        "`--only CHECK` and `--skip CHECK` choose, `--list` names the checks. `--json` prints an array of findings: "
        "`severity` (`ok`, `info`, `warning`, `error`, `critical`), `check`, `name`, `seen`, `do`, `docs`. Names stay "
        f"what they are; beside those below there are `{OK}`, `{NOT_MADE}`, and `{NOT_ASKED}` (nothing to check, or "
        "another finding says why it cannot be). The exit code is the worst finding's: "
        + "; ".join(f"{code.value}: {code.meaning}" for code in Exit)
        + ".",
        "\n".join(map(_check, CHECKS)),
    )


def _check(check: Check) -> str:
    entries = [(problem.name.lower(), problem.value) for problem in Problem if problem.value.check == check.name]
    rows = [(f"`{name}`", e.severity.name.lower(), e.meaning, e.do) for name, e in entries]
    return f"## {check.name}\n\n{check.looks_at}\n\n" + _table(("finding", "severity", "meaning", "what to do"), rows)


def _page(title: str, text: str, body: str) -> str:
    return f"{_MADE}\n\n# {title}\n\n{text}\n\n{body}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def main() -> None:
    """Write all pages to the directory that is the only argument."""
    directory = Path(sys.argv[1])
    directory.mkdir(exist_ok=True)
    for name, text in pages().items():
        (directory / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
