"""`source names` and `source ls`: what the owner index knows of the sources."""

import asyncio
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from eval_alignment.main import cli
from sources.intake.intake import Delivery, SourceIntake
from sources.intake.store import IndexStore
from sources.pulls.state import PullState, StreamState, keep
from tests.support.sources import RECEIVED, payload, tool_source

CONFIG: dict[str, Any] = {"queue": "q", "criteria": {"tone": {"rating": "stars"}}}
SCORE = {
    "id": "s-1",
    "name": "tone",
    "value": 4,
    "dataType": "NUMERIC",
    "source": "ANNOTATION",
    "updatedAt": "2026-11-23T10:00:00.000Z",
    "subject": {"kind": "trace", "id": "t"},
}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> IndexStore:
    """The index after two scores, one of them without a rule; it stays open, as in a running ingest."""
    monkeypatch.setenv("EVAL_ALIGNMENT_SOURCES", json.dumps({"fuse": {"tool": "langfuse", **CONFIG}}))
    monkeypatch.setenv("EVAL_ALIGNMENT_DATA_DIR", str(tmp_path))
    store = IndexStore(tmp_path)
    intake = SourceIntake(tool_source("langfuse", **CONFIG), _acknowledge, store.index("langfuse"))
    page = {"data": [SCORE, {**SCORE, "id": "s-2", "name": "care"}]}
    asyncio.run(intake.take(payload(page), RECEIVED, stream="scores", listed=1))
    return store


async def _acknowledge(_delivery: Delivery) -> None:
    pass


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["source", *arguments])


def documents(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.usefixtures("store")
def test_names_without_a_rule_are_listed_with_rules_to_paste() -> None:
    result = run("names", "fuse")
    assert result.exit_code == 0, result.output
    assert "care" in result.stdout and "people" in result.stdout
    assert tomllib.loads(result.stdout[result.stdout.index("[") :]) == {"sources": {"fuse": {"criteria": {"care": {}}}}}
    [name] = documents(run("names", "fuse", "--json"))
    assert name == {
        "name": "care",
        "role": "human",
        "has_rule": False,
        "values": ["4"],
        "times": 1,
        "seen": "2026-11-24T12:00:00.000Z",
    }


def test_a_source_that_was_pulled_is_listed_with_its_cursor(store: IndexStore) -> None:
    streams = {"scores": StreamState(cursor=RECEIVED)}
    keep(store.index("langfuse"), PullState(attempted=RECEIVED + 1, succeeded=RECEIVED, streams=streams))
    [status] = documents(run("ls", "--json"))
    assert status.pop("lag_s") >= 0
    assert status == {
        "source": "fuse",
        "tool": "Langfuse",
        "last_success": "2026-11-24T12:00:00.000Z",
        "cursors": {"scores": "2026-11-24T12:00:00.000Z"},
        "records": 2,
        "events": 1,
        "skipped": {"no_rule": 1},
        "rejected": 0,
        "error": None,
    }
    assert "Langfuse" in run("ls").stdout


def test_a_failed_pull_is_told_and_ends_with_1(store: IndexStore) -> None:
    keep(store.index("langfuse"), PullState(attempted=RECEIVED, error="429 from the tool"))
    result = run("ls")
    assert (result.exit_code, result.stderr) == (1, "fuse: 429 from the tool\n")


def test_a_source_is_listed_before_its_first_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVAL_ALIGNMENT_SOURCES", json.dumps({"fuse": {"tool": "langfuse", **CONFIG}}))
    monkeypatch.setenv("EVAL_ALIGNMENT_DATA_DIR", str(tmp_path / "none"))
    [status] = documents(run("ls", "--json"))
    assert (status["last_success"], status["events"], status["error"]) == (None, 0, None)
    result = run("names", "fuse")
    assert result.exit_code != 0 and not (tmp_path / "none").exists()


def test_names_before_the_first_record_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVAL_ALIGNMENT_SOURCES", json.dumps({"fuse": {"tool": "langfuse", **CONFIG}}))
    monkeypatch.setenv("EVAL_ALIGNMENT_DATA_DIR", str(tmp_path / "none"))
    result = run("names", "fuse")
    assert result.exit_code == 1
    assert "has no owner index yet: let `ingest` or `load --source` read records first" in result.stderr
