"""DeepEval: the files of its test runs, and the annotations that its SDK sends."""

import json
from collections.abc import Iterator
from typing import Any, Final

from tools.real import RealTool, Results
from tools.real.stage import Stage, plain_recount

_SETTINGS: Final = """
[sources.deepeval]
tool = "deepeval"
item = "metadata.trace_id"
thread = "metadata.thread_id"

[sources.deepeval.metrics]
"Helpfulness [GEval]" = { metric = "helpfulness" }
"Tone [GEval]" = { metric = "tone", threshold = 0.5 }

[sources.confident]
tool = "confident"
queue = "support"
secret_file = "SECRETS"
secret_header = "CONFIDENT-API-KEY"
"""
_NAMES: Final = {"Helpfulness [GEval]": "helpfulness", "Tone [GEval]": "tone"}
_KEY: Final = "a-key-of-32-characters-or-longer"


def _run(stage: Stage) -> Results:
    secrets = stage.directory / "secrets"
    secrets.write_text(f"{_KEY}\n")
    secrets.chmod(0o600)
    stage.configure(_SETTINGS.replace("SECRETS", str(secrets)))
    runs = stage.directory / "runs"
    metrics = stage.program("deepeval_runs.py", str(runs))
    verdicts = {
        (metric["item"], _NAMES.get(metric["metric"], metric["metric"])): _passes(metric)
        for metric in metrics
        if metric["error"] is None
    }
    files = sorted(runs.glob("test_run_*.json"))
    with stage.ingest():
        redirected = {"CONFIDENT_BASE_URL": f"{stage.url}/api/v1/sources/confident", "CONFIDENT_API_KEY": _KEY}
        rated = stage.program("deepeval_annotate.py", environment=redirected)
        annotations = {(one["item"], "overall", one["annotator"]): one["accepts"] for one in rated}
        stage.load("deepeval", *files)
        comparisons = stage.await_counts("support", lambda: plain_recount(annotations, verdicts))
    evaluations = sum(1 for file in files for _ in _metrics_of(json.loads(file.read_bytes())))
    stage.await_evaluations(evaluations)
    assert stage.dead_letters() == 0
    return {"evaluations": evaluations, "annotations": len(annotations), "comparisons": comparisons}


def _passes(metric: dict[str, Any]) -> bool:
    """The verdict of DeepEval, or that of the threshold in the settings."""
    return bool(metric["score"] >= 0.5 if metric["passed"] is None else metric["passed"])


def _metrics_of(run: dict[str, Any]) -> Iterator[str]:
    """The metrics of a test run, counted once where the trace repeats those of its test case."""
    for case in (*run["testCases"], *run.get("conversationalTestCases", ())):
        yield from (metric["name"] for metric in case["metricsData"])
        for kind in ("baseSpans", "agentSpans", "llmSpans", "retrieverSpans", "toolSpans"):
            for span in case.get("trace", {}).get(kind, ()):
                yield from (metric["name"] for metric in span.get("metricsData", ()))


TOOL: Final = RealTool(
    name="deepeval",
    title="DeepEval",
    packages=("deepeval",),
    covers=(
        "sources/tools/deepeval.py",
        "tools/real/programs/deepeval_annotate.py",
        "tools/real/programs/deepeval_runs.py",
    ),
    run=_run,
)
