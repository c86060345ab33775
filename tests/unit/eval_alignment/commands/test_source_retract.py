"""`source retract`: asks before, and reports what was sent."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from click.testing import CliRunner, Result

from eval_alignment.main import cli
from sources.intake.intake import IntakeResult

SOURCES = {"labels": {"tool": "labelstudio"}}


@pytest.fixture
def retracted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The sources of which everything was taken back."""
    monkeypatch.setenv("EVAL_ALIGNMENT_SOURCES", json.dumps(SOURCES))
    names: list[str] = []

    class Source:
        async def retract(self) -> IntakeResult:
            return IntakeResult(events=3)

    @asynccontextmanager
    async def opened(_chosen: Any, name: str) -> AsyncIterator[Source]:
        names.append(name)
        yield Source()

    monkeypatch.setattr("eval_alignment.source_retract.open_source", opened)
    return names


def run(*arguments: str, stdin: str = "") -> Result:
    return CliRunner().invoke(cli, ["source", "retract", *arguments], input=stdin)


@pytest.mark.parametrize("answer", ["n\n", "", "\n"])
def test_nothing_is_taken_back_without_a_yes(answer: str, retracted: list[str]) -> None:
    result = run("labels", stdin=answer)
    assert result.exit_code == 1
    assert "Take back everything that source labels stated?" in result.output
    assert retracted == []


@pytest.mark.parametrize(("arguments", "answer"), [(["labels"], "y\n"), (["labels", "--yes"], "")])
def test_the_events_are_counted(arguments: list[str], answer: str, retracted: list[str]) -> None:
    result = run(*arguments, stdin=answer)
    assert result.exit_code == 0
    assert result.output.endswith("3 events acknowledged\n")
    assert retracted == ["labels"]


def test_an_unknown_source_is_named_before_the_question(retracted: list[str]) -> None:
    result = run("labels2", "--yes")
    assert result.exit_code != 0
    assert "labels2" in str(result.exception) + result.output
    assert retracted == []


@pytest.mark.parametrize("settings", [{}, {"url": "http://127.0.0.1:8080"}, {"credentials_file": "labelstudio.toml"}])
def test_a_source_that_is_pulled_is_warned_of(
    settings: dict[str, str], retracted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVAL_ALIGNMENT_SOURCES", json.dumps({"labels": {**SOURCES["labels"], **settings}}))
    result = run("labels", "--yes")
    assert ("its next pull counts its records again" in result.stderr) == bool(settings)
    assert retracted == ["labels"]
