"""The samples of docs/events.md as their readers run them: events arrive in the partition of their item."""

import json
import subprocess
import sys
from pathlib import Path

from tests.support.deployments import Installation
from tests.support.pages import blocks, page, section
from tests.support.processes import run, wait_until
from tools.reference.samples import BROKER

DEADLINE = 30.0
PAGE = page("events.md")


def annotations(installation: Installation, queue: str) -> int:
    """Standing annotations of a queue."""
    document = installation.document(queue)
    return 0 if document is None else int(document["cards"]["annotations"])


def test_the_aiokafka_sample_adds_an_annotation(embedded: Installation, tmp_path: Path) -> None:
    (sample,) = blocks(section(PAGE, "Python, aiokafka"), "python")
    assert BROKER in sample
    queue = "Sample of aiokafka"
    program = sample.replace(BROKER, embedded.broker).replace("Support replies", queue)
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path, timeout=DEADLINE)
    wait_until(lambda: annotations(embedded, queue) == 1, DEADLINE, "the annotation of the sample is counted")


def test_the_examples_of_the_page_load_from_a_file(embedded: Installation, tmp_path: Path) -> None:
    events = [event for block in blocks(PAGE, "json") if "specversion" not in (event := json.loads(block))]
    path, queue = tmp_path / "events.ndjson", "Examples of the page"
    lines = (json.dumps(event).replace("Support replies", queue) for event in events)
    path.write_text("\n".join(lines), encoding="utf-8")
    run("load", "--broker", embedded.broker, str(path), home=tmp_path, environment=embedded.environment)
    wait_until(lambda: annotations(embedded, queue) == 1, DEADLINE, "of four annotations one is left")
    document = embedded.document(queue)
    assert document is not None
    assert document["cards"]["items_queued"] == 1
