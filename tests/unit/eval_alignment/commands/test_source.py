"""`source check` for people and programs: what a payload becomes, and what to configure."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from eval_alignment.main import cli
from eval_alignment.settings import SettingsError
from eval_alignment.unknown_names import UnknownNameError

LANGFUSE = {"tool": "langfuse", "queue": "q", "criteria": {"tone": {"rating": "stars"}}}
CONFIDENT = {"tool": "confident", "queue": "q"}
RATING = {"rating": 1, "type": "THUMBS_RATING", "traceUuid": "t"}


def page(**fields: Any) -> str:
    score = {
        "id": "s-1",
        "name": "tone",
        "value": 4,
        "dataType": "NUMERIC",
        "source": "ANNOTATION",
        "updatedAt": "2026-11-23T10:00:00.000Z",
        "subject": {"kind": "trace", "id": "t"},
    }
    return json.dumps({"data": [{**score, **fields}]})


def check(monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], *arguments: object, stdin: str = "") -> Result:
    monkeypatch.setenv("EVAL_ALIGNMENT_SOURCES", json.dumps({"mine": settings}))
    return CliRunner().invoke(cli, ["source", "check", *map(str, arguments)], input=stdin)


def lines(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_people_see_events_and_what_to_configure(monkeypatch: pytest.MonkeyPatch) -> None:
    content = page() + "\n" + page(id="s-2", name="care") + "\n" + page(id="s-3", authorUserId="a" * 300)
    result = check(monkeypatch, LANGFUSE, "mine", "-", stdin=content)
    assert result.exit_code == 0, result.output
    assert "4 stars" in result.stdout
    assert "1 skipped, no_rule: 'care' has no rule: set its `rating` under `criteria`" in result.stdout
    assert "1 rejected, invalid_name: annotator has 300 characters" in result.stdout
    assert result.stdout.endswith("1 event, 2 not\n")


def test_people_see_what_records_say_about_their_items(monkeypatch: pytest.MonkeyPatch) -> None:
    about = {"input": "metadata.question", "tags": {"plan": "metadata.plan", "lang": "metadata.lang"}}
    content = page(metadata={"question": "Where is it? " * 9, "plan": "free", "lang": "x" * 129})
    result = check(monkeypatch, {**LANGFUSE, **about}, "mine", "-", stdin=content)
    assert result.exit_code == 0, result.output
    assert ("plan=free" in result.stdout, "Where is it?" in result.stdout, "lang=" in result.stdout) == (
        True,
        True,
        False,
    )
    assert "1 skipped, field_refused: `tags.lang`: tags.lang has 129 characters" in result.stdout
    assert result.stdout.endswith("1 event, 0 not\n")
    event, skipped = lines(check(monkeypatch, {**LANGFUSE, **about}, "mine", "-", "--json", stdin=content))
    assert (event["event"]["tags"], skipped["skip"]) == ({"plan": "free"}, "field_refused")


def test_a_broken_path_is_an_error_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    result = check(monkeypatch, {**LANGFUSE, "input": "a["}, "mine", "-", stdin=page())
    assert isinstance(result.exception, SettingsError)
    assert "sources.mine.input: 'a[' is not JMESPath" in str(result.exception)


def test_programs_get_a_line_for_each_result(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "page.json.gz"
    path.write_bytes(gzip.compress(f"{page()}\n{page(value=9)}\n{page(subject=7)}".encode()))
    event, skipped, deleted, rejected = lines(check(monkeypatch, LANGFUSE, "mine", path, "--json"))
    assert event["event"] == {
        "kind": "annotation",
        "at": "2026-11-23T10:00:00.000Z",
        "id": "langfuse:s-1@1795428000000",
        "queue": "q",
        "item": "t",
        "criterion": "tone",
        "stars": 4,
    }
    why = "a value of 'tone' is not on the scale of its `rating`"
    assert skipped == {"file": str(path), "skip": "off_scale", "native": "s-1", "why": why}
    assert deleted["event"]["deleted"]
    assert rejected["reject"] == "unknown_shape" and rejected["why"].startswith("document 3: record 1: ")


def test_the_time_of_a_file_is_that_of_its_records_without_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "rating.json"
    path.write_text(json.dumps(RATING))
    os.utime(path, (1795000000, 1795000000))
    arguments = ("mine", path, "--json", "--file-time", "2026-11-02", "--received-at", "2026-11-03T12:00:00+01:00")
    [changed] = lines(check(monkeypatch, CONFIDENT, *arguments[:3], "--channel", "file"))
    [given] = lines(check(monkeypatch, CONFIDENT, *arguments, "--channel", "file"))
    [received] = lines(check(monkeypatch, CONFIDENT, *arguments))
    assert [each["event"]["at"] for each in (changed, given, received)] == [
        "2026-11-18T11:06:40.000Z",
        "2026-11-02T00:00:00.000Z",
        "2026-11-03T11:00:00.000Z",
    ]


def test_an_event_too_far_ahead_is_rejected_as_the_worker_does(monkeypatch: pytest.MonkeyPatch) -> None:
    [ahead] = lines(check(monkeypatch, LANGFUSE, "mine", "-", "--json", stdin=page(updatedAt="2999-01-01T00:00:00Z")))
    assert ahead["reject"] == "future_timestamp"


def test_a_file_of_another_tool_ends_with_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    result = check(monkeypatch, LANGFUSE, "mine", "-", stdin=json.dumps(RATING))
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: - is not data of Langfuse: ") and result.stderr.count("\n") == 1


def test_an_unknown_source_and_a_way_that_a_tool_lacks_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = check(monkeypatch, LANGFUSE, "other", "-")
    assert isinstance(unknown.exception, UnknownNameError) and "existing: 'mine'" in str(unknown.exception)
    result = check(monkeypatch, LANGFUSE, "mine", "-", "--channel", "push")
    assert result.exit_code == 2 and "records of Langfuse arrive by pull or file, not by push" in result.stderr


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"tool": "lagfuse"}, "sources.mine.tool: unknown tool 'lagfuse', known are argilla, "),
        ({**LANGFUSE, "speed": "x"}, "sources.mine.speed: Extra inputs are not permitted"),
        ({**LANGFUSE, "criteria": {"tone": {"rating": "star"}}}, "sources.mine.criteria.tone.rating: must be "),
        (
            {**LANGFUSE, "metrics": {"tone": {"pass": ["a"], "fail": ["a"]}}},
            "sources.mine.metrics.tone: 'a' is in `pass` and in `fail`",
        ),
        (
            {**LANGFUSE, "criteria": {"tone": {"rating": {"up": ["a"], "down": ["a"]}}}},
            "sources.mine.criteria.tone.rating: 'a' is in `up` and in `down`",
        ),
    ],
)
def test_invalid_settings_are_named(monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], problem: str) -> None:
    result = check(monkeypatch, settings, "mine", "-")
    assert isinstance(result.exception, SettingsError)
    assert result.exception.problems[0].startswith(problem)


def test_two_sources_of_one_tool_need_different_prefixes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVAL_ALIGNMENT_SOURCES", json.dumps({"a": LANGFUSE, "b": LANGFUSE}))
    result = CliRunner().invoke(cli, ["source", "check", "a", "-"])
    assert "sources.b.id_prefix: source 'a' has the same" in str(result.exception)


def test_settings_are_shown_as_they_were_written(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {**LANGFUSE, "metrics": {"tone": {"pass": ["b", "a"], "threshold": 1.0}}}
    monkeypatch.setenv("EVAL_ALIGNMENT_SOURCES", json.dumps({"mine": settings}))
    shown = json.loads(CliRunner().invoke(cli, ["config", "show", "--json"]).stdout)
    assert shown["sources"]["value"] == {"mine": settings}
