"""The README is short, its examples run, and the output that it shows is real."""

import os
import re
import subprocess
import sys
from pathlib import Path

from eval_alignment import settings
from ingest.openapi import EVENTS_PATH
from tests.support.processes import isolated
from tests.support.stub_ingest import StubIngest
from tests.support.tree import ROOT

README = (ROOT / "README.md").read_text()
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text()
"""A test runs its commands and compares their output."""
MOST_WORDS = 900


def blocks(language: str) -> list[str]:
    """The blocks of code in a language."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_readme_is_short() -> None:
    assert len(README.split()) <= MOST_WORDS


def test_the_library_example_counts_the_sample_events(tmp_path: Path) -> None:
    (events,), (program, _) = blocks("json"), blocks("python")
    (tmp_path / "events.ndjson").write_text(events)
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "'metric': 'helpfulness_judge', 'comparisons': 1, 'misaligned': 1" in done.stdout


def test_the_client_example_sends_its_events(tmp_path: Path) -> None:
    _, program = blocks("python")
    with StubIngest() as ingest:
        environment = isolated(tmp_path, {"EVAL_ALIGNMENT_CLIENT_URL": ingest.url})
        subprocess.run([sys.executable, "-W", "error", "-c", program], env=environment, check=True, timeout=60)
    assert [event["kind"] for request in ingest.requests for event in request.events] == ["annotation", "evaluation"]


def test_curl_sends_to_the_default_address_of_ingest() -> None:
    (command,) = blocks("bash")
    assert f" http://{settings.load().ingest_http}{EVENTS_PATH}\n" in command


def test_the_output_in_the_readme_is_the_tutorials() -> None:
    metrics, snapshot = (text.splitlines() for text in blocks("text"))
    assert (len(metrics), len(snapshot)) == (6, 5)
    assert [line for line in metrics + snapshot if line not in TUTORIAL] == []


def test_the_confusion_matrix_in_the_readme_is_that_of_its_metrics() -> None:
    cells = {name.lower(): number for number, name in re.findall(r"(\d+) \((TP|FN|FP|TN)\b", README)}
    assert cells == dict(re.findall(r'outcome="(\w+)"\} (\d+)\.0', blocks("text")[0]))
