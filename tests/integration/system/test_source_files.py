"""The whole way of files: exports of two tools are loaded by their sources, compared by the worker, and on the page."""

import json
from pathlib import Path

from tests.support.deployments import Installation
from tests.support.processes import get, run, wait_until

QUEUE = "ratings in a table"
SETTINGS = f"""
[sources.runs]
tool = "deepeval"
item = "metadata.trace"

[sources.ratings]
tool = "csv"
queue = "{QUEUE}"
columns = {{ id = "id", item = "trace", criterion = "question", rating = "stars", annotator = "by", at = "at" }}

[sources.ratings.criteria]
tone = {{ rating = "stars" }}
"""
RATINGS = """id,trace,question,stars,by,at
1,file-a,tone,5,ada,2026-09-21 14:00
2,file-b,tone,4,ada,2026-09-21 14:00
3,file-c,tone,1,ada,2026-09-21 14:00
"""


def metric(passed: bool | None, **fields: object) -> dict[str, object]:
    return {"name": "Faithfulness", "success": passed, "score": 0.9 if passed else 0.1, "threshold": 0.5, **fields}


def test_files_of_two_tools_are_on_the_page(embedded: Installation, tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text(SETTINGS)
    environment = {**embedded.environment, "EVAL_ALIGNMENT_CONFIG": str(tmp_path / "settings.toml")}

    def load(source: str, name: str, content: str) -> str:
        (tmp_path / name).write_text(content)
        arguments = ("load", "--broker", embedded.broker, "--source", source, str(tmp_path / name))
        return run(*arguments, home=tmp_path, environment=environment).stdout.decode()

    def cards() -> tuple[int, int]:
        document = embedded.document(QUEUE)
        return (0, 0) if document is None else (document["cards"]["comparisons"], document["cards"]["misaligned"])

    verdicts = {"file-a": metric(True), "file-b": metric(False), "file-c": metric(False), "file-d": metric(True)}
    verdicts["file-e"] = metric(False, error="TimeoutError: no answer")
    cases = [{"name": trace, "metadata": {"trace": trace}, "metricsData": [one]} for trace, one in verdicts.items()]
    run_file = json.dumps({"testCases": cases, "conversationalTestCases": []})
    assert "5 events acknowledged" in load("runs", "test_run.json", run_file)
    assert "3 events acknowledged" in load("ratings", "ratings.csv", RATINGS)
    wait_until(lambda: cards() == (3, 1), 120, lambda: f"3 comparisons, 1 misaligned, not {cards()}")

    # The next export has an edit. Its row is now about another item, so the first comparison is taken back.
    moved = RATINGS.replace("2,file-b,tone,4,ada,2026-09-21 14:00", "2,file-d,tone,4,ada,2026-09-21 15:00")
    load("ratings", "ratings.csv", moved)
    wait_until(lambda: cards() == (3, 0), 120, lambda: f"the edit counts, not {cards()}")

    page = get(f"{embedded.url}/queues/{QUEUE.replace(' ', '%20')}")
    assert page.status == 200
    assert "Faithfulness" in page.body.decode() and "tone" in page.body.decode()
