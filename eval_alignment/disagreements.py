"""Disagreements between people and metrics as records for the tools that tune a judge's prompt.

Every format has the same fields under the same names; `docs/disagreements.md` describes where each tool expects them.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from xml.sax.saxutils import escape, quoteattr

import orjson

from aggregator.days import moment
from sinks.queries.comparisons import Comparison

_CONTROLS: Final = re.compile("[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LINE_ENDS: Final = re.compile("[\x7f-\x9f\u2028\u2029]")

TuningRecord = dict[str, Any]


def human_result(row: Comparison) -> str:
    """What people decided: `pass` or `fail`."""
    return "pass" if row["outcome"] in ("tp", "fn") else "fail"


def metric_result(row: Comparison) -> str:
    """What the metric decided: `pass` or `fail`."""
    return "pass" if row["passed"] else "fail"


def _without_none(record: TuningRecord) -> TuningRecord:
    return {name: value for name, value in record.items() if value is not None}


def _labels(row: Comparison) -> TuningRecord:
    """What a tuned judge should return, and why."""
    return {
        "human_result": human_result(row),
        "human_explanation": row["explanation"],
        "expected": row["expected"],
    }


def _mistake(row: Comparison) -> TuningRecord:
    """What the judge returned instead."""
    return {"metric_result": metric_result(row), "metric_reason": row["reason"], "score": row["score"]}


def _origin(row: Comparison) -> TuningRecord:
    """Where the disagreement comes from."""
    return {
        "item": row["item"],
        "criterion": row["criterion"],
        "metric": row["metric"],
        "judge": row["judge"] or None,
        "annotator": row["annotator"] or None,
        "annotated_at": moment(row["annotated_at"]).isoformat(timespec="milliseconds"),
        "stars": row["stars"],
        "thumbs": row["thumbs"],
        "url": row["url"],
    }


def dspy_record(row: Comparison) -> TuningRecord:
    """Fields of a `dspy.Example`: flat, with every name on every line, null where there is no value."""
    return {"input": row["input"], "output": row["output"], **_labels(row), **_mistake(row), **_origin(row)}


def mlflow_record(row: Comparison) -> TuningRecord:
    """A record of MLflow's evaluation datasets. Values of tags are strings.

    The item is among the inputs because MLflow keeps one record for equal inputs.
    """
    labels = _labels(row)
    # The name that MLflow's own scorers read.
    labels["expected_response"] = labels.pop("expected")
    tags = _without_none({**_mistake(row), **_origin(row)})
    return {
        "inputs": _without_none({"item": row["item"], "input": row["input"]}),
        "outputs": row["output"],
        "expectations": _without_none(labels),
        "tags": {name: str(value) for name, value in tags.items()},
    }


def langsmith_record(row: Comparison) -> TuningRecord:
    """An example of a LangSmith dataset: `outputs` are what a judge should return."""
    return {
        "inputs": _without_none({"input": row["input"], "output": row["output"]}),
        "outputs": _without_none(_labels(row)),
        "metadata": _without_none({**_mistake(row), **_origin(row)}),
    }


def few_shot_example(row: Comparison) -> str:
    """An XML element to paste into a prompt. Control characters, which XML does not have, become U+FFFD."""
    attributes = _without_none({name: row[name] or None for name in ("item", "criterion", "metric")})
    parts = {"input": row["input"], "output": row["output"], **_labels(row), **_mistake(row)}
    lines = [f"<example {' '.join(f'{name}={_attribute(value)}' for name, value in attributes.items())}>"]
    lines += [f"<{name}>{_text(value)}</{name}>" for name, value in _without_none(parts).items()]
    return "\n".join([*lines, "</example>"])


def _text(value: object) -> str:
    return escape(_CONTROLS.sub("\ufffd", str(value)))


def _attribute(value: object) -> str:
    return quoteattr(_CONTROLS.sub("\ufffd", str(value)))


def _json_line(record: Mapping[str, Any]) -> str:
    """JSON on one line, also for programs that split text at the line ends of Unicode, and safe for a terminal."""
    return _LINE_ENDS.sub(lambda found: f"\\u{ord(found[0]):04x}", orjson.dumps(record).decode())


HEAD: Final = {"few-shot": "<examples>"}
"""The first line of a format."""
TAIL: Final = {"few-shot": "</examples>"}
"""The last line of a format."""
FORMATS: Final[Mapping[str, Callable[[Comparison], str]]] = {
    "jsonl": _json_line,
    "few-shot": few_shot_example,
    "dspy": lambda row: _json_line(dspy_record(row)),
    "mlflow": lambda row: _json_line(mlflow_record(row)),
    "langsmith": lambda row: _json_line(langsmith_record(row)),
}
"""Each format as the text of one record."""
