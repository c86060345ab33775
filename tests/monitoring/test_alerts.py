"""Alerts: complete, written alike, each with a section in the runbook and the cases that promtool runs."""

import re
import shutil
import subprocess
import sys
from argparse import ArgumentTypeError
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from monitoring.runbook import address
from tests.support.rules import CASES, PROMETHEUS, alerts, load, promtool_test
from tests.support.tree import ROOT

EXPECTED: Final = {
    "product": {
        "Low", "Dropped", "BelowBaseline", "TooLenient", "TooStrict", "SegmentWorse", "StaleLabels", "JudgeChanged",
    },
    "service": {
        "Down", "WorkerDown", "Absent", "NotReady", "Lag", "CommitsStalled", "RejectsHigh", "CircuitBreakerOpen",
        "PartitionQuarantined", "TalliesNearLimit",
        "SnapshotStale", "StateStale", "SeriesSuppressed", "SnapshotsTooLarge", "Misrouted", "AuditMismatch",
        "IngestDown", "IngestNotReady", "IngestBusy", "IngestRejectsHigh",
        "SourcePullFails", "SourceStale", "SourceRejects",
        "RebuildLong", "WaitingStoreFails", "WaitingMissing", "WaitingHorizonShort", "WaitingDisk",
    },
}  # fmt: skip
RUNBOOK: Final = ROOT / "docs" / "runbook.md"
FILES: Final = sorted(CASES.glob("*.yml"))


def test_the_alerts_are_the_expected_ones() -> None:
    names: dict[str, set[str]] = defaultdict(set)
    for name, rule in alerts().items():
        names[rule["labels"]["area"]].add(name.removeprefix("EvalAlignment"))
    assert names == EXPECTED


@pytest.mark.parametrize("name", alerts())
def test_an_alert_has_severity_summary_description_and_runbook(name: str) -> None:
    rule = alerts()[name]
    assert re.fullmatch(r"EvalAlignment([A-Z][a-z]+)+", name)
    assert rule["for"] != "0s"
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    annotations = rule["annotations"]
    assert annotations.keys() == {"summary", "description", "runbook_url"}
    assert "$value" in annotations["description"]
    assert "$labels" in annotations["summary"] or name == "EvalAlignmentStateStale"


@pytest.mark.parametrize("name", alerts())
def test_an_alert_has_a_section_in_the_runbook(name: str) -> None:
    sections = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", RUNBOOK.read_text(), re.MULTILINE | re.DOTALL))
    assert sections.keys() == alerts().keys()
    assert re.findall(r"^- \*\*(\w+)\*\*:", sections[name], re.MULTILINE) == ["Means", "See", "Do", "Close"]


def test_every_runbook_url_is_absolute_with_one_base_and_the_section_of_its_alert() -> None:
    sections = {heading.lower() for heading in re.findall(r"^### (\w+)$", RUNBOOK.read_text(), re.MULTILINE)}
    urls = {name: rule["annotations"]["runbook_url"] for name, rule in alerts().items()}
    (base,) = {url.partition("#")[0] for url in urls.values()}
    assert re.fullmatch(r"https?://[\w.-]+/\S+", base)
    for name, url in urls.items():
        assert url.partition("#")[2] == name.lower()
        assert name.lower() in sections


@pytest.mark.slow
def test_make_rules_writes_the_address_of_a_runbook_into_rules_and_cases(promtool: str, tmp_path: Path) -> None:
    shutil.copytree(PROMETHEUS, tmp_path / "prometheus")
    own = "https://wiki.example.org/runbook"
    command = [sys.executable, "-m", "monitoring.runbook", own, "--directory", str(tmp_path / "prometheus")]
    subprocess.run(command, cwd=ROOT, check=True)
    rules = load(tmp_path / "prometheus" / "rules" / "alerts.yml")
    written = {
        rule["alert"]: rule["annotations"]["runbook_url"] for group in rules["groups"] for rule in group["rules"]
    }
    assert written == {name: f"{own}#{name.lower()}" for name in alerts()}
    # The smallest file is enough to see that the cases have the address too.
    cases = min((tmp_path / "prometheus" / "tests").glob("*.yml"), key=lambda file: file.stat().st_size)
    assert own in cases.read_text()
    done = promtool_test(promtool, cases)
    assert done.returncode == 0, (done.stdout + done.stderr)[:5000]


@pytest.mark.parametrize("url", ["", "docs/runbook.md", "https://wiki.example.org/a b", "https://wiki.example.org/a#b"])
def test_make_rules_refuses_what_is_not_an_address(url: str) -> None:
    with pytest.raises(ArgumentTypeError, match="is not an address"):
        address(url)


def minutes(text: str) -> float:
    """A duration of promtool in minutes."""
    return sum(
        float(number) * {"d": 1440, "h": 60, "m": 1, "s": 1 / 60}[unit]
        for number, unit in re.findall(r"(\d+)([dhms])", text)
    )


@cache
def groups() -> list[dict[str, Any]]:
    """Every group of cases: one history and its expected alerts."""
    return [group for file in FILES for group in load(file)["tests"]]


@pytest.mark.parametrize("name", alerts())
def test_an_alert_has_its_four_cases(name: str) -> None:
    quiet_histories = 0
    kinds: Counter[str] = Counter()
    for group in groups():
        cases = [case for case in group["alert_rule_test"] if case["alertname"] == name]
        firing = [minutes(case["eval_time"]) for case in cases if case["exp_alerts"]]
        quiet = [minutes(case["eval_time"]) for case in cases if not case["exp_alerts"]]
        kinds["fires"] += len(firing)
        kinds["cases"] += len(cases)
        if firing:
            kinds["quiet before"] += sum(time < min(firing) for time in quiet)
            kinds["resolves"] += sum(time > max(firing) for time in quiet)
        elif quiet:
            quiet_histories += 1
    assert min(kinds["fires"], kinds["quiet before"], kinds["resolves"], quiet_histories) >= 1
    assert kinds["cases"] >= 4


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_promtool_agrees_with_every_case(file: Path, promtool: str) -> None:
    done = promtool_test(promtool, file)
    assert done.returncode == 0, (done.stdout + done.stderr)[:5000]


@pytest.mark.slow
def test_the_cases_see_when_an_alert_does_not_wait(promtool: str, tmp_path: Path) -> None:
    """Without `for` every alert fails a case: those that are quiet before it look at the right time."""
    shutil.copytree(PROMETHEUS, tmp_path / "prometheus")
    path = tmp_path / "prometheus" / "rules" / "alerts.yml"
    rules = load(path)
    for group in rules["groups"]:
        for rule in group["rules"]:
            del rule["for"]
    path.write_text(yaml.safe_dump(rules, width=1000))
    done = promtool_test(promtool, *sorted((tmp_path / "prometheus" / "tests").glob("*.yml")))
    assert done.returncode != 0
    assert set(re.findall(r"alertname: (\w+)", done.stdout + done.stderr)) == alerts().keys()
