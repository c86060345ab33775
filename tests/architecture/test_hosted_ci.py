"""The files for the repository's host are valid, name locked actions, and cover every Python version."""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.support.requirements import Requirements
from tests.support.tree import ROOT

GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = [GITHUB / "ISSUE_TEMPLATE" / "bug.yml", GITHUB / "ISSUE_TEMPLATE" / "feature.yml"]
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")


def jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every job of every workflow by its name."""
    for path in WORKFLOWS:
        yield from yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].items()


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("vendor.github-workflows", WORKFLOWS),
        ("vendor.github-issue-forms", FORMS),
        ("vendor.github-issue-config", [GITHUB / "ISSUE_TEMPLATE" / "config.yml"]),
    ],
)
def test_a_file_for_the_host_is_valid(schema: str, files: list[Any]) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert files
    assert done.returncode == 0, done.stdout + done.stderr


def test_actionlint_finds_nothing_in_the_workflows(requirements: Requirements) -> None:
    actionlint = shutil.which("actionlint")
    requirements.provide("actionlint", None if actionlint else "not found on PATH")
    command = [str(actionlint), "-no-color", "-shellcheck=", "-pyflakes=", *map(str, WORKFLOWS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_action_is_pinned_by_its_commit() -> None:
    actions = [step["uses"] for _, job in jobs() for step in job["steps"] if "uses" in step]
    assert actions
    assert [action for action in actions if not PINNED.fullmatch(action)] == []


def test_every_job_has_a_timeout_and_no_right_to_write() -> None:
    assert [name for name, job in jobs() if "timeout-minutes" not in job] == []
    for path in WORKFLOWS:
        assert yaml.safe_load(path.read_text(encoding="utf-8"))["permissions"] == {"contents": "read"}, path


def test_jobs_with_a_matrix_run_on_every_python_of_the_classifiers() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    minor = re.compile(r"Programming Language :: Python :: (3\.\d+)")
    supported = [match[1] for name in project["classifiers"] if (match := minor.fullmatch(name))]
    assert len(supported) > 1
    matrices = {name: job["strategy"]["matrix"]["python"] for name, job in jobs() if "strategy" in job}
    assert matrices == dict.fromkeys(("unit", "test", "install"), supported)


def test_hooks_run_the_tools_of_the_environment() -> None:
    configuration = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    hooks = [hook for repository in configuration["repos"] for hook in repository["hooks"]]
    assert {repository["repo"] for repository in configuration["repos"]} == {"local"}
    assert [hook["id"] for hook in hooks if not hook["entry"].startswith(".venv/bin/")] == []
    assert {hook["language"] for hook in hooks} == {"system"}
