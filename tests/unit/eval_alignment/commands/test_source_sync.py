"""`source sync`: what is wrong before a tool is asked, what is printed, and the way through a running `ingest`."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from click.testing import CliRunner, Result

from eval_alignment import source_access
from eval_alignment.main import cli
from eval_alignment.source_sync import _parts, _problems, _share
from eval_alignment.unknown_names import UnknownNameError
from ingest.pulls import PullLine
from sources.intake.store import IndexStore
from sources.pulls.pull import PullError
from sources.pulls.sync import StreamReport
from streams.runtime.http_client import async_client

LANGFUSE = {"tool": "langfuse", "queue": "q", "criteria": {"tone": {"rating": "stars"}}}


@pytest.fixture
def sync(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """Runs the command with a source `mine`."""

    def run(*arguments: str, settings: dict[str, Any] = LANGFUSE) -> Result:
        monkeypatch.setenv("EVAL_ALIGNMENT_SOURCES", json.dumps({"mine": settings}))
        monkeypatch.setenv("EVAL_ALIGNMENT_DATA_DIR", str(tmp_path / "data"))
        return CliRunner().invoke(cli, ["source", "sync", *arguments])

    return run


def test_a_tool_whose_records_cannot_be_pulled_is_named(sync: Callable[..., Result]) -> None:
    result = sync("mine", settings={"tool": "deepeval"})
    assert result.exit_code in (2, 64)
    assert "records of DeepEval cannot be pulled, only those of labelstudio, langfuse, langsmith," in result.output


def test_an_empty_list_is_confirmed_only_for_a_full_reading(sync: Callable[..., Result]) -> None:
    assert "--confirm-empty needs --full" in sync("mine", "--confirm-empty").output


def test_an_unknown_source_is_an_error(sync: Callable[..., Result]) -> None:
    assert isinstance(sync("other").exception, UnknownNameError)


def test_without_any_source_the_variable_of_the_settings_file_is_named() -> None:
    error = CliRunner().invoke(cli, ["source", "sync", "mine"]).exception
    assert isinstance(error, UnknownNameError) and "does EVAL_ALIGNMENT_CONFIG name the file?" in str(error)


def test_what_is_printed_of_a_stream() -> None:
    report = StreamReport("scores", 5, sweep=True, records=1_200, events=1, vanished=2, unchanged=7, rejected=3)
    report.skipped = {"no_rule": 1, "text": 4}
    assert ", ".join(_parts(report)) == (
        "1,200 records, 1 event acknowledged, 2 vanished, 4 skipped (text), 1 skipped (no_rule), 3 rejected, "
        "7 records unchanged"
    )
    report.notes, report.error = ["the list is empty"], "status 500"
    assert _problems(report) == ["the list is empty", "not read to the end: status 500"]


def test_the_bar_is_by_time_where_the_list_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eval_alignment.source_sync.now_ms", lambda: 100)
    assert _share(StreamReport("scores", 20, sweep=False, reached=40)) == (60, 80)
    assert _share(StreamReport("scores", None, sweep=True, reached=40)) == (0, None)
    assert _share(StreamReport("items", 20, sweep=True)) == (0, None)


@pytest.fixture
def ingest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., list[httpx.Request]]]:
    """An `ingest` that has the index, and answers with these lines."""
    store = IndexStore(tmp_path / "data")

    def answer(*lines: PullLine, status: int = 200, problem: str = "") -> list[httpx.Request]:
        requests: list[httpx.Request] = []
        content = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)

        def reply(request: httpx.Request) -> httpx.Response:
            requests.append(request)
            return httpx.Response(status, content=content or json.dumps({"detail": problem}).encode())

        def client(url: str, **options: Any) -> httpx.AsyncClient:
            return async_client(url, **options, transport=httpx.MockTransport(reply))

        monkeypatch.setattr(source_access, "async_client", client)
        return requests

    yield answer
    store.close()


def test_a_running_ingest_does_the_pull(
    sync: Callable[..., Result], ingest: Callable[..., list[httpx.Request]]
) -> None:
    report = StreamReport("scores", None, sweep=True, records=2, events=1, skipped={"text": 1})
    requests = ingest(PullLine(progress=report), PullLine(reports=[report]))
    result = sync("mine", "--full", "--confirm-empty")
    assert (result.exit_code, result.stdout) == (0, "scores: 2 records, 1 event acknowledged, 1 skipped (text)\n")
    (request,) = requests
    assert str(request.url) == "http://127.0.0.1:8389/api/v1/sources/mine/-/sync?full=1&confirm_empty=1"


def test_a_stream_that_was_not_read_to_its_end_is_exit_code_1(
    sync: Callable[..., Result], ingest: Callable[..., list[httpx.Request]]
) -> None:
    ingest(PullLine(reports=[StreamReport("scores", None, sweep=True, error="status 500")]))
    result = sync("mine")
    assert result.exit_code == 1
    assert "scores: not read to the end: status 500" in result.stderr


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ({"lines": [PullLine(error="check LANGFUSE_PUBLIC_KEY")]}, "check LANGFUSE_PUBLIC_KEY"),
        ({"status": 503, "problem": "not connected"}, "answered 503: not connected"),
        ({"lines": [PullLine(progress=StreamReport("scores", None, sweep=True))]}, "ended its answer early"),
    ],
)
def test_an_error_of_ingest_is_the_error_of_the_command(
    sync: Callable[..., Result], ingest: Callable[..., list[httpx.Request]], answer: dict[str, Any], problem: str
) -> None:
    ingest(*answer.pop("lines", ()), **answer)
    result = sync("mine")
    assert result.exit_code != 0
    assert problem in (str(result.exception) if isinstance(result.exception, PullError) else result.output)
