"""Tools that tune a judge's prompt: each loads its format of `disagreements` and has all of it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson

from tools.real import RealTool, Results
from tools.real.stage import Stage, plain_recount

_ITEMS: Final = 12
_FORMATS: Final = ("dspy", "mlflow", "langsmith")


def _events(path: Path) -> list[Mapping[str, Any]]:
    """Events with 12 disagreements: a judge that passes everything, and people who fail all but every third item."""
    at = datetime(2026, 11, 2, 10, tzinfo=UTC).isoformat()
    events: list[Mapping[str, Any]] = []
    for number in range(_ITEMS * 3 // 2):
        item = f"answer-{number}"
        texts = {"input": f"question {number}?", "output": f"<answer> {number} & more\nsecond line"}
        rating = {"thumbs": "up" if number % 3 == 0 else "down", "explanation": f"because {number}"}
        events.append(
            {"id": f"a{number}", "at": at, "queue": "support", "item": item, "annotator": "ada", **texts, **rating}
        )
        events.append(
            {"id": f"e{number}", "at": at, "item": item, "metric": "m", "passed": True, "reason": f"judged {number}"}
        )
    path.write_bytes(b"\n".join(map(orjson.dumps, events)))
    return events


def _run(stage: Stage) -> Results:
    events = _events(stage.directory / "events.ndjson")
    stage.run("load", str(stage.directory / "events.ndjson"))
    annotations = {(event["item"], "overall", "ada"): event["thumbs"] == "up" for event in events if "thumbs" in event}
    verdicts = {(event["item"], "m"): True for event in events if "metric" in event}
    comparisons = stage.await_counts("support", lambda: plain_recount(annotations, verdicts))
    files = []
    for name in _FORMATS:
        done = stage.cluster.run("disagreements", "support", "--format", name, "--url", stage.cluster.url)
        files.append(stage.directory / f"{name}.jsonl")
        files[-1].write_bytes(done.stdout)
    read = stage.program("tuning_loaders.py", *map(str, files))
    expected = {
        (event["input"], event["output"], event["explanation"]) for event in events if event.get("thumbs") == "down"
    }
    assert len(expected) == _ITEMS
    _same(read, expected)
    return {"comparisons": comparisons, "disagreements": len(expected)}


def _same(read: Mapping[str, Any], expected: set[tuple[str, str, str]]) -> None:
    """Fail unless each tool has exactly these inputs, outputs and explanations, all with the result `fail`."""
    examples = read["dspy"]["examples"]
    assert {(each["input"], each["output"], each["human_explanation"]) for each in examples} == expected
    assert all(explanation in read["dspy"]["prompt"] for _, _, explanation in expected)
    # The model of the program answers `fail`, as people did.
    assert read["dspy"]["score"] == 100
    stored = read["mlflow"]["stored"]
    assert {
        (each["inputs"]["input"], each["outputs"], each["expectations"]["human_explanation"]) for each in stored
    } == expected
    assert read["mlflow"]["metrics"] == {"agrees_with_people/mean": 0.0}
    assert all(f"fail: {explanation}" in read["mlflow"]["instructions"] for _, _, explanation in expected)
    sent = read["langsmith"]
    assert {
        (each["inputs"]["input"], each["inputs"]["output"], each["outputs"]["human_explanation"]) for each in sent
    } == expected
    assert {each["metadata"]["metric_result"] for each in sent} == {"pass"}


TOOL: Final = RealTool(
    name="tuning",
    title="DSPy, MLflow and LangSmith, reading `disagreements`",
    packages=("dspy", "mlflow", "langsmith"),
    covers=("eval_alignment/disagreements.py", "tools/real/programs/tuning_loaders.py"),
    run=_run,
    page="docs/disagreements.md",
)
