"""ragas: the table of a result, and ratings of people as CSV."""

from typing import Any, Final

from tools.real import RealTool, Results
from tools.real.stage import Stage, plain_recount

_SETTINGS: Final = """
[sources.ragas]
tool = "ragas"
item = "trace_id"

[sources.ragas.metrics]
faithfulness = { threshold = 0.8, judge = "offline-judge-1" }
rude = { threshold = 0, direction = "lower" }
tone = { threshold = 4 }

[sources.ratings]
tool = "csv"
queue = "support"
columns = { item = "trace_id", criterion = "question", rating = "rating", annotator = "rated_by", at = "rated_at" }

[sources.ratings.criteria]
helpfulness = { rating = "stars" }
resolved = { rating = { up = ["yes"], down = ["no"] } }
"""


def _run(stage: Stage) -> Results:
    stage.configure(_SETTINGS)
    table, ratings = stage.directory / "result.csv", stage.directory / "ratings.csv"
    scores: list[dict[str, Any]] = stage.program("ragas_result.py", str(table))
    verdicts = {}
    for row in scores:
        if row["faithfulness"] is not None:
            verdicts[row["item"], "faithfulness"] = row["faithfulness"] >= 0.8
            verdicts[row["item"], "rude"] = row["rude"] <= 0
            verdicts[row["item"], "tone"] = row["tone"] >= 4
    annotations: dict[tuple[str, str, str], bool] = {}
    lines = ["trace_id;question;rating;rated_by;rated_at"]
    for number, row in enumerate(scores):
        stars, resolved = number % 5 + 1, number % 3 != 0
        annotations[row["item"], "helpfulness", "ada"] = stars >= 3
        annotations[row["item"], "resolved", "ben"] = resolved
        lines.append(f"{row['item']};helpfulness;{stars};ada;2026-11-0{number + 1} 10:00")
        lines.append(f"{row['item']};resolved;{'yes' if resolved else 'no'};ben;2026-11-0{number + 1} 11:00")
    ratings.write_text("\n".join(lines))
    stage.load("ragas", table)
    stage.load("ratings", ratings)
    comparisons = stage.await_counts("support", lambda: plain_recount(annotations, verdicts))
    evaluations = 3 * len(scores)
    stage.await_evaluations(evaluations)
    assert stage.dead_letters() == 0
    return {"evaluations": evaluations, "annotations": len(annotations), "comparisons": comparisons}


TOOL: Final = RealTool(
    name="ragas",
    title="ragas",
    packages=("ragas",),
    covers=(
        "sources/tables.py",
        "sources/tools/generic.py",
        "sources/tools/ragas.py",
        "tools/real/programs/ragas_result.py",
    ),
    run=_run,
)
