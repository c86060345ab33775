"""pydantic-evals: online evaluation as OTLP in protobuf, and feedback of users from the same application."""

from typing import Any, Final

from tools.real import RealTool, Results
from tools.real.stage import Stage, plain_recount

_SETTINGS: Final = """
[sources.otel]
tool = "otel"
queue = "support"

[sources.otel.criteria]
user_feedback = { rating = "thumbs" }

[sources.otel.metrics]
Correct = { metric = "correctness" }
relevance = { threshold = 0.5 }
tone = { pass = ["polite"], fail = ["rude"] }
"""


def _run(stage: Stage) -> Results:
    stage.configure(_SETTINGS)
    with stage.ingest():
        target = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": stage.url,
            "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{stage.token}",
        }
        reported: dict[str, list[dict[str, Any]]] = stage.program("pydantic_evals_online.py", environment=target)
        annotations = {(one["item"], "user_feedback", "ada"): one["accepts"] for one in reported["feedback"]}
        verdicts: dict[tuple[str, str], bool] = {}
        for one in reported["verdicts"]:
            item, value = one["item"], one["value"]
            match one["metric"]:
                case "Correct" if value is not None:
                    verdicts[item, "correctness"] = value
                case "relevance":
                    verdicts[item, "relevance"] = value >= 0.5
                case "tone":
                    verdicts[item, "tone"] = value == "polite"
        comparisons = stage.await_counts("support", lambda: plain_recount(annotations, verdicts))
    evaluations = sum(one["metric"] != "length" for one in reported["verdicts"])
    stage.await_evaluations(evaluations)
    assert stage.dead_letters() == 0
    return {"evaluations": evaluations, "annotations": len(annotations), "comparisons": comparisons}


TOOL: Final = RealTool(
    name="pydantic-evals",
    title="pydantic-evals",
    packages=("pydantic-evals", "opentelemetry-sdk"),
    covers=(
        "ingest/otlp.py",
        "sources/tools/otel.py",
        "tools/real/programs/pydantic_evals_online.py",
    ),
    run=_run,
)
