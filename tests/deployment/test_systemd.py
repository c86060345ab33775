"""The systemd units: valid, hardened, and consistent with exit codes and settings."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from eval_alignment import settings
from eval_alignment.main import cli
from ingest.config import Limits
from streams.runtime.exit_codes import codes_without_restart
from streams.worker import DRAIN_SECONDS, END_SECONDS
from tests.support.requirements import Requirements
from tests.support.tree import ROOT

UNITS = ROOT / "deploy" / "systemd"
WORKER, VIEW = "eval-alignment-worker@.service", "eval-alignment-view.service"
INGEST = "eval-alignment-ingest.service"
SERVICES = (WORKER, VIEW, INGEST)
PROGRAM = "/opt/eval-alignment/bin/eval-alignment"
EXPOSURE_TENTHS = 15
"""Highest score of `systemd-analyze security` that is accepted; 100 is an unprotected service."""


def values(unit: str, key: str) -> list[str]:
    """All values of a key in a unit file."""
    return re.findall(rf"^{key}=(.*)$", (UNITS / unit).read_text(), re.MULTILINE)


@pytest.fixture
def analyze(requirements: Requirements) -> str:
    """The path of systemd-analyze."""
    path = shutil.which("systemd-analyze")
    requirements.provide("systemd", None if path else "not found on PATH")
    return str(path)


@pytest.fixture(params=["plain", "with secrets"])
def units(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The units with a program of this machine, without and with the drop-in."""
    for path in UNITS.iterdir():
        (tmp_path / path.name).write_text(path.read_text().replace(PROGRAM, shutil.which("true") or "true"))
    if request.param == "with secrets":
        for unit in SERVICES:
            (tmp_path / f"{unit}.d").mkdir()
            shutil.copy(UNITS / "secrets.conf", tmp_path / f"{unit}.d")
    return tmp_path


def instance(unit: str) -> str:
    """A unit with an instance name where it is a template."""
    return unit.replace("@.", "@worker-1.")


def test_systemd_accepts_the_units(analyze: str, units: Path) -> None:
    names = [f"./{instance(unit)}" for unit in (*SERVICES, "eval-alignment.target")]
    done = subprocess.run([analyze, "verify", *names], cwd=units, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("unit", SERVICES)
def test_systemd_rates_the_units_as_hardened(analyze: str, units: Path, unit: str) -> None:
    options = ("--no-pager", "--offline=true", f"--threshold={EXPOSURE_TENTHS}")
    command = [analyze, "security", *options, f"./{instance(unit)}"]
    done = subprocess.run(command, cwd=units, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Overall exposure level" in done.stdout


@pytest.mark.parametrize(("unit", "command"), [(WORKER, "worker"), (VIEW, "view"), (INGEST, "ingest")])
def test_a_unit_is_restarted_except_after_the_codes_that_a_restart_cannot_help(unit: str, command: str) -> None:
    kept_down = {int(code) for code in values(unit, "RestartPreventExitStatus")[0].split()}
    assert kept_down == codes_without_restart(command)
    assert values(unit, "Restart") == ["on-failure"]


def test_a_worker_is_restarted_without_end() -> None:
    # No limit on restarts while the broker is unavailable.
    assert values(WORKER, "StartLimitIntervalSec") == ["0"]


def test_a_worker_has_time_to_drain() -> None:
    assert float(values(WORKER, "TimeoutStopSec")[0]) > DRAIN_SECONDS + END_SECONDS


def test_ingest_has_time_to_answer_what_it_has_taken() -> None:
    limits = Limits()
    assert float(values(INGEST, "TimeoutStopSec")[0]) > limits.acknowledge_seconds + 1


@pytest.mark.parametrize("unit", SERVICES)
def test_the_unit_starts_an_existing_command_with_existing_options(unit: str) -> None:
    program, name, *options = values(unit, "ExecStart")[0].split()
    assert program == PROGRAM
    command = cli.commands.get(name) or cli.get_command(None, name)  # type: ignore[arg-type] # it asks for none
    assert command is not None
    known = {option for parameter in command.params for option in parameter.opts}
    assert {option for option in options if option.startswith("--")} <= known


def test_the_example_environment_is_valid_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (UNITS / "eval-alignment.env").read_text()
    examples = re.findall(r"^(?:# )?(EVAL_ALIGNMENT_\w+)=(.*)$", text, re.MULTILINE)
    assert examples
    for variable, value in examples:
        monkeypatch.setenv(variable, value)
    for line in values("secrets.conf", "Environment"):
        variable, _, value = line.partition("=")
        monkeypatch.setenv(variable, value)
    loaded = settings.load()
    assert loaded.sasl_username == "producer"
    assert loaded.http == "0.0.0.0:8390"
