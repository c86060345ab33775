"""The README's examples are run as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.tree import ROOT

README = (ROOT / "README.md").read_text()


def block(language: str) -> str:
    """The only block of code in a language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return str(found)


def test_the_library_example_counts_the_sample_events(tmp_path: Path) -> None:
    (tmp_path / "events.ndjson").write_text(block("json"))
    done = subprocess.run(
        [sys.executable, "-c", block("python")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "'metric': 'answer_relevancy', 'comparisons': 1, 'misaligned': 1" in done.stdout


def test_every_linked_file_is_there() -> None:
    linked = set(re.findall(r"\]\(([^)#:]+)\)", README))
    assert linked
    assert [path for path in sorted(linked) if not (ROOT / path).exists()] == []
