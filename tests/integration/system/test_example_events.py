"""The examples of docs/events.md as a file: `load` sends all of them, and they count as the page describes."""

import json
from pathlib import Path

from tests.support.deployments import Installation
from tests.support.pages import blocks, page
from tests.support.processes import run, wait_until

DEADLINE = 30.0
QUEUE = "Examples of the page"


def test_the_examples_of_the_page_load_from_a_file(embedded: Installation, tmp_path: Path) -> None:
    examples = [
        event for block in blocks(page("events.md"), "json") if "specversion" not in (event := json.loads(block))
    ]
    path = tmp_path / "events.ndjson"
    path.write_text("\n".join(json.dumps(event).replace("Support replies", QUEUE) for event in examples))
    run("load", "--broker", embedded.broker, str(path), home=tmp_path, environment=embedded.environment)

    def cards() -> dict[str, int]:
        document = embedded.document(QUEUE)
        return {} if document is None else document["cards"]

    # Of four annotations one is left: a correction replaced one, a deletion deleted that.
    wait_until(lambda: cards().get("annotations") == cards().get("items_queued") == 1, DEADLINE, "all are counted")
