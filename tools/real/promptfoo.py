"""promptfoo: an evaluation and ratings in its web interface, in one exported file."""

import json
import shutil
import subprocess
from typing import Any, Final

import httpx

from tests.support.ports import free_port
from tests.support.processes import LOOPBACK
from tools.real import RealTool, Results
from tools.real.stage import PROGRAMS, SECONDS, Stage, plain_recount

_SETTINGS: Final = """
[sources.promptfoo]
tool = "promptfoo"
queue = "support"
item = "vars.trace_id"

[sources.promptfoo.metrics]
tone = { threshold = 0.5 }
"""
_ENVIRONMENT: Final = {
    "PROMPTFOO_DISABLE_REMOTE_GENERATION": "1",
    "PROMPTFOO_DISABLE_TELEMETRY": "1",
    "PROMPTFOO_DISABLE_UPDATE": "1",
    "PROMPTFOO_FAILED_TEST_EXIT_CODE": "0",
}


def _run(stage: Stage) -> Results:
    stage.configure(_SETTINGS)
    environment = _ENVIRONMENT | {"PROMPTFOO_CONFIG_DIR": str(stage.directory / "promptfoo")}
    for name in ("application.js", "judge.js", "promptfooconfig.yaml"):
        shutil.copy(PROGRAMS / "promptfoo" / name, stage.directory)
    _promptfoo(stage, environment, "eval", "--no-cache", "--no-progress-bar", "--output", "results.json")
    evaluation = json.loads((stage.directory / "results.json").read_bytes())["evalId"]
    address = f"http://{LOOPBACK}:{(port := free_port())}"
    with stage.server(
        "promptfoo", "view", "--no", "--port", str(port), health=f"{address}/health", environment=environment
    ):
        _rate(address, evaluation)
        # What the web interface shows, not what is exported.
        table = _table(address, evaluation)
    _promptfoo(stage, environment, "export", "eval", evaluation, "--output", "export.json")
    annotations, verdicts, evaluations = _recount(table)
    stage.load("promptfoo", stage.directory / "export.json")
    comparisons = stage.await_counts("support", lambda: plain_recount(annotations, verdicts))
    stage.await_evaluations(evaluations)
    assert stage.dead_letters() == 0
    return {"evaluations": evaluations, "annotations": len(annotations), "comparisons": comparisons}


def _promptfoo(stage: Stage, environment: dict[str, str], *arguments: str) -> None:
    done = subprocess.run(
        [str(stage.tool.python.parent / "promptfoo"), *arguments],
        cwd=stage.directory,
        env=stage.environment(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"promptfoo {arguments[0]}: exit code {done.returncode}:\n{done.stdout}{done.stderr}"


def _rate(address: str, evaluation: str) -> None:
    """Rate all but two outputs as the web interface does; every second rating gets its comment later."""
    table = _table(address, evaluation)
    for number, row in enumerate(table["body"][:-2]):
        (output,) = row["outputs"]
        accepts, comment = number % 3 != 0, f"A comment of {number}."
        human = {
            "pass": accepts,
            "score": int(accepts),
            "reason": "Manual result (overrides all other grading results)",
            "assertion": {"type": "human"},
        }
        grading = output["gradingResult"] or {}
        components = [*(grading.get("componentResults") or ()), human]
        rated = grading | {name: human[name] for name in ("pass", "score", "reason")} | {"componentResults": components}
        url = f"{address}/api/eval/{evaluation}/results/{output['id']}/rating"
        if number % 2:
            httpx.post(url, json=rated).raise_for_status()
        else:
            human["comment"] = comment
        httpx.post(url, json=rated | {"comment": comment}).raise_for_status()


def _recount(table: dict[str, Any]) -> tuple[dict[tuple[str, str, str], bool], dict[tuple[str, str], bool], int]:
    """The ratings, the verdicts, and the number of verdicts and failures, as the web interface shows them."""
    annotations: dict[tuple[str, str, str], bool] = {}
    verdicts: dict[tuple[str, str], bool] = {}
    evaluations = 0
    for row in table["body"]:
        item = row["test"]["vars"]["trace_id"]
        for component in (row["outputs"][0]["gradingResult"] or {}).get("componentResults") or ():
            assertion = component.get("assertion")
            if assertion is None:
                continue
            if assertion["type"] == "human":
                annotations[item, "overall", ""] = component["pass"]
                continue
            evaluations += 1
            if not (component.get("metadata") or {}).get("graderError"):
                name = assertion.get("metric", assertion["type"])
                verdicts[item, name] = component["score"] >= 0.5 if name == "tone" else component["pass"]
    return annotations, verdicts, evaluations


def _table(address: str, evaluation: str) -> Any:
    """The table of the web interface."""
    return httpx.get(f"{address}/api/eval/{evaluation}/table").raise_for_status().json()["table"]


TOOL: Final = RealTool(
    name="promptfoo",
    title="promptfoo",
    packages=("promptfoo",),
    covers=("sources/tools/promptfoo.py", "tools/real/programs/promptfoo"),
    run=_run,
    programs=("node", "npm"),
    lock="tools/real/programs/promptfoo/package.json",
)
