"""The page about the client: its programs run, and its table has the options of the code."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

from eval_alignment.client.base import BaseClient
from tests.support.processes import isolated
from tests.support.stub_ingest import StubIngest
from tests.support.tree import ROOT

PAGE = (ROOT / "docs" / "client.md").read_text()


def test_the_programs_of_the_page_run(tmp_path: Path) -> None:
    programs = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    with StubIngest() as ingest:
        environment = isolated(tmp_path, {"EVAL_ALIGNMENT_CLIENT_URL": ingest.url})
        for program in programs:
            command = [sys.executable, "-W", "error", "-c", program]
            subprocess.run(command, env=environment, cwd=tmp_path, check=True, timeout=60)
    events = [event for request in ingest.requests for event in request.events]
    assert [event["kind"] for event in events] == ["annotation", "evaluation", "queue_item", "annotation", "annotation"]


def test_the_table_has_every_option_with_its_default() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", PAGE.partition("## Options")[2], re.MULTILINE)
    options = list(inspect.signature(BaseClient).parameters.values())
    assert rows == [(option.name, str(option.default)) for option in options]
