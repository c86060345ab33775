"""The generated pages of docs/ are complete and up to date."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from eval_alignment.commands.recount import recount
from eval_alignment.environment import CONFIG_VARIABLE
from eval_alignment.settings import load
from sinks.api.openapi import openapi
from streams.events.reasons import Reason
from streams.runtime.exit_codes import ExitCode
from streams.runtime.metrics import METRICS
from tests.support.pages import blocks, page, section
from tests.support.tree import ROOT
from tools.reference import pages
from tools.reference.api import REQUESTS

GENERATED = pages()


@pytest.mark.parametrize("name", GENERATED)
def test_a_page_in_docs_is_the_generated_one(name: str) -> None:
    written = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert written == GENERATED[name], "run make docs"


def test_pages_have_every_metric_reason_and_exit_code() -> None:
    assert [metric.name for metric in METRICS if f"| `{metric.name}` |" not in GENERATED["metrics.md"]] == []
    assert [reason for reason in Reason if f"| `{reason.value}` |" not in GENERATED["reasons.md"]] == []
    assert [ending for ending in ExitCode if f"| {ending.code} |" not in GENERATED["exit-codes.md"]] == []


def test_every_row_of_a_table_has_as_many_cells_as_its_head() -> None:
    for name, text in GENERATED.items():
        width = 0
        for line in text.splitlines():
            if not line.startswith("|"):
                width = 0
                continue
            cells = line.replace("\\|", "").count("|")
            width = width or cells
            assert cells == width, f"{name}: {line}"


def test_every_route_of_the_api_has_an_example() -> None:
    assert [request.route for request in REQUESTS] == list(openapi("")["paths"])


@pytest.mark.parametrize(("name", "least"), [("snapshot.md", 80), ("api.md", 150), ("events.md", 30)])
def test_every_field_and_reason_is_explained(name: str, least: int) -> None:
    rows = [line for line in page(name).splitlines() if line.startswith("| `")]
    assert len(rows) > least
    assert [row for row in rows if row.endswith("|  |")] == []


def test_recount_prints_the_document_of_the_snapshot_page(tmp_path: Path) -> None:
    events, document = blocks(section(page("snapshot.md"), "Example"), "json")
    file = tmp_path / "events.ndjson"
    file.write_text(events)
    printed = CliRunner().invoke(recount, ["--json", str(file)], catch_exceptions=False)
    assert json.loads(printed.stdout) == [json.loads(document)]


def test_the_settings_of_the_page_are_equal_as_a_file_and_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (file,) = blocks(page("settings.md"), "toml")
    (environment,) = blocks(page("settings.md"), "console")
    (tmp_path / "settings.toml").write_text(file)
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "settings.toml"))
    from_file = load()
    monkeypatch.delenv(CONFIG_VARIABLE)
    for name, value in re.findall(r"^export (\w+)='(.*)'$", environment, re.MULTILINE):
        monkeypatch.setenv(name, value)
    assert load() == from_file
    assert from_file.metrics["toxicity"].direction == "lower"
