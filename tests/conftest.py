"""Fixtures shared by all tests, and the summary that says what did not run."""

import contextlib
import shutil
import signal
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from sinks.store.store import Store
from tests.support import kafka as apache
from tests.support.requirements import Requirements

pytest_plugins = ["tests.support.reliability"]

ROOT = Path(__file__).resolve().parent.parent
SUMMEVAL = ROOT.parent / "shared" / "data" / "summeval"
# How long an example takes says more about what else runs on the machine than about the law.
settings.register_profile("project", deadline=None)
settings.load_profile("project")

_REQUIREMENTS = pytest.StashKey[Requirements]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_REQUIREMENTS] = Requirements.from_environment()
    # A shell has what it starts in the background ignore Ctrl-C, `nohup` a closed terminal; processes that tests start
    # would inherit that, but not a handler that does as much.
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    del error
    if told := getattr(node, "workeroutput", {}).get("requirements"):
        node.config.stash[_REQUIREMENTS].learn(told)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if (output := getattr(session.config, "workeroutput", None)) is not None:
        # One of several processes: the one that started them tells the end of the run.
        output["requirements"] = session.config.stash[_REQUIREMENTS].told()
        return
    passed = exitstatus == pytest.ExitCode.OK and not session.config.option.collectonly
    if passed and session.config.stash[_REQUIREMENTS].unmet():
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    skips = Counter(str(report.longrepr[2]).removeprefix("Skipped: ") for report in skipped)
    if lines := config.stash[_REQUIREMENTS].lines(skips):
        terminalreporter.section("NOT EVERYTHING RAN", red=True, bold=True)
        for line in lines:
            terminalreporter.line(line, red=True)


@pytest.fixture(scope="session")
def requirements(pytestconfig: pytest.Config) -> Requirements:
    """Where fixtures state what they need of the machine."""
    return pytestconfig.stash[_REQUIREMENTS]


@pytest.fixture(scope="session")
def kafka(requirements: Requirements) -> Iterator[apache.Kafka]:
    """A running Apache Kafka, shared by the whole run: use topics and groups of your own (`prefix`).

    A test that stops or kills the broker starts one for itself (`own_kafka`).
    """
    requirements.provide("kafka", apache.missing())
    with apache.Kafka() as broker:
        yield broker


@pytest.fixture
def own_kafka(requirements: Requirements) -> Iterator[apache.Kafka]:
    """A running Apache Kafka for one test, to be stopped, killed, paused and restarted."""
    requirements.provide("kafka", apache.missing())
    with apache.Kafka() as broker:
        yield broker


@pytest.fixture(scope="session")
def summeval(requirements: Requirements) -> Path:
    """The directory of the SummEval events and their expected counts."""
    here = (SUMMEVAL / "expected.json").is_file()
    requirements.provide("summeval", None if here else "no ../shared/data/summeval beside the repository")
    return SUMMEVAL


@pytest.fixture(scope="session")
def promtool(requirements: Requirements) -> str:
    """The path of Prometheus' promtool."""
    path = shutil.which("promtool")
    requirements.provide("promtool", None if path else "promtool is not on PATH")
    return str(path)


@pytest.fixture(scope="session")
def chromium(requirements: Requirements) -> str:
    """The path of Debian's chromium."""
    path = shutil.which("chromium")
    requirements.provide("chromium", None if path else "chromium is not on PATH")
    return str(path)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    with contextlib.closing(Store(tmp_path / "view.sqlite3")) as store:
        yield store


@pytest.fixture
def prefix() -> str:
    """A prefix for topics, groups and names that no other test uses."""
    return f"t{uuid.uuid4().hex[:12]}."
