"""Payloads of every tool become exactly the events that were written by hand, through the command as users run it."""

import json
import tomllib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from eval_alignment.main import cli
from sources.registry import TOOLS
from streams.events.decoder import Decoder


def test_payloads_become_their_events(source_payloads: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = tomllib.loads((source_payloads / "cases.toml").read_text())
    wrong = {}
    for case in cases["case"]:
        events, skips = _checked(source_payloads, case, cases["received_at"], monkeypatch)
        expected = (source_payloads / f"{case['file']}.expected.ndjson").read_text().splitlines()
        problems = _differences([_fact(json.loads(line)) for line in expected], events)
        if skips != case.get("skips", {}):
            problems.append(f"skips {skips}, expected {case.get('skips', {})}")
        if problems:
            wrong[case["file"]] = "\n".join(problems)
    assert not wrong, "\n\n".join(f"{file}:\n{problems}" for file, problems in wrong.items())
    assert {case["source"] for case in cases["case"]} == TOOLS.keys() - {"json"}


def _checked(
    payloads: Path, case: Mapping[str, Any], received_at: str, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[Any], dict[str, int]]:
    """Facts and skips that `source check` prints for a case."""
    settings = {"checked": {"tool": case["source"], **case.get("config", {})}}
    monkeypatch.setenv("EVAL_ALIGNMENT_SOURCES", json.dumps(settings))
    options = ["--received-at", case.get("received_at", received_at), "--channel", case["channel"]]
    for before in case.get("after", ()):
        options += ["--after", str(payloads / before)]
    if "file_time" in case:
        options += ["--file-time", case["file_time"]]
    if case.get("complete"):
        options.append("--complete")
    result = CliRunner().invoke(cli, ["source", "check", "checked", str(payloads / case["file"]), *options, "--json"])
    assert result.exit_code == 0, (case["file"], result.output, result.exception)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert not [line for line in lines if line.keys().isdisjoint({"event", "skip"})], case["file"]
    return (
        [_fact(line["event"]) for line in lines if "event" in line],
        dict(Counter(line["skip"] for line in lines if "skip" in line)),
    )


def _fact(event: Mapping[str, Any]) -> Any:
    return Decoder().decode_line(json.dumps(event).encode())


def _differences(expected: list[Any], events: list[Any]) -> list[str]:
    width = max(len(expected), len(events))
    pairs = zip(expected + [None] * (width - len(expected)), events + [None] * (width - len(events)), strict=True)
    return [f"- {one}\n+ {other}" for one, other in pairs if one != other]
