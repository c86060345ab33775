"""Reference pages of docs/, made from code: `python -m eval_alignment.docs DIRECTORY` writes them.

Each page is a table that the code already has: settings, topics, reject reasons, metrics, exit codes.
"""

import sys
from collections.abc import Iterable, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import orjson
from prometheus_client.metrics_core import Metric
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from eval_alignment.ci_gate import Outcome
from eval_alignment.main import USAGE
from eval_alignment.settings import CONFIG_VARIABLE, ENVIRONMENT_PREFIX, Settings
from sinks.collector import FAMILIES, PREFIX
from sinks.metrics import ViewMetrics
from streams.failures import Failure
from streams.metrics import METRICS
from streams.reasons import Reason
from streams.topics import DEFAULT_PARTITIONS, TABLE, Topics

_MADE = "<!-- Made from code by `make docs`. -->"


def pages() -> dict[str, str]:
    """The text of each page by its file's name."""
    return {
        "settings.md": _settings(),
        "topics.md": _topics(),
        "reasons.md": _reasons(),
        "metrics.md": _metrics(),
        "exit-codes.md": _exit_codes(),
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
    head = ("metric", "type", "labels", "meaning")
    worker = [(f"`{m.name}`", m.kind, _labels(m.labels), m.help) for m in METRICS]
    products = [
        (f"`{PREFIX}{name}`", "gauge", _labels(_PRODUCT_LABELS.get(name, _PAIR)), meaning)
        for name, meaning in FAMILIES.items()
    ]
    view = ViewMetrics("0")
    # Labels are known from samples.
    view.succeeded("store", 0)
    own = [
        (
            f"`{family.name}{'_total' if family.type == 'counter' else ''}`",
            family.type,
            _labels(_label_names(family)),
            family.documentation,
        )
        for family in view.registry.collect()
    ]
    return _page(
        "Metrics",
        "For Prometheus, at `/metrics` of the view and of each worker.",
        "## The product, from the view\n\n"
        "Ratios come with the label `window` too, 7d and 30d. What is undefined is absent.\n\n"
        + _table(head, products)
        + "\n## The view itself\n\n"
        + _table(head, own)
        + "\n## A worker\n\n"
        + _table(head, worker),
    )


_PAIR = ("queue", "criterion", "metric")
_PRODUCT_LABELS = {
    "comparisons": (*_PAIR, "outcome"),
    "gate": (*_PAIR, "verdict"),
    "annotations": ("queue", "criterion", "state"),
}
"""Labels of the product's gauges where they are not those of a pair."""


def _label_names(family: Metric) -> list[str]:
    names = dict.fromkeys(name for sample in family.samples for name in sample.labels)
    return [name for name in names if name != "le"]


def _labels(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _exit_codes() -> str:
    worker = [
        (str(e.code), f.name.lower(), e.cause, "yes" if e.restart else "no", e.operator)
        for f in Failure
        for e in (f.value,)
    ]
    gate = [(str(outcome.code), outcome.name.lower(), outcome.meaning) for outcome in Outcome]
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
        + "\n## `worker`\n\n"
        "A failure ends the process at once: what is gone cannot commit a broken state. `restart` says whether a "
        "supervisor starts it again.\n\n" + _table(("code", "name", "cause", "restart", "what to do"), worker),
    )


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
