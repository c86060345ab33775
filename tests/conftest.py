"""Fixtures shared by all tests, and the line of the summary on what did not run."""

import contextlib
import shutil
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from sinks.store.store import Store
from tests.support import kafka as apache
from tests.support.process_state import changes, freeze_heap, process_state
from tests.support.requirements import VARIABLE, Requirements, skipped_line
from tests.support.stores import open_store
from tests.support.tree import SHARED

pytest_plugins = ["tests.support.reliability"]

SUMMEVAL = SHARED / "summeval"
CASES = SHARED / "cases"
SOURCES = SHARED / "sources"
# The time of an example depends on what else runs on the machine.
settings.register_profile("project", deadline=None, max_examples=50)
settings.register_profile("quick", deadline=None, max_examples=20)
settings.load_profile("project")

_REQUIREMENTS = pytest.StashKey[Requirements]()
_USED = "requirements_used"


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_REQUIREMENTS] = Requirements.from_environment()
    # A shell makes its background jobs ignore SIGINT, and `nohup` makes its command ignore SIGHUP. The processes that
    # tests start would inherit that; they do not inherit a handler.
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


def pytest_collection_finish() -> None:
    # Modules and tests are half a million objects. A full collection would hold up what a test measures or awaits for
    # half a second.
    freeze_heap()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    del error
    node.config.stash[_REQUIREMENTS].used.update(getattr(node, "workeroutput", {}).get(_USED, ()))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    requirements = session.config.stash[_REQUIREMENTS]
    if (output := getattr(session.config, "workeroutput", None)) is not None:
        # One of several processes: the one that started them judges the run.
        output[_USED] = sorted(requirements.used)
        return
    passed = exitstatus == pytest.ExitCode.OK and not session.config.option.collectonly
    if passed and requirements.unmet():
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    if line := skipped_line(str(report.longrepr[2]).removeprefix("Skipped: ") for report in skipped):
        terminalreporter.line(line)
    if not config.option.collectonly and (names := config.stash[_REQUIREMENTS].unmet()):
        terminalreporter.line(f"Required by {VARIABLE}, but no test ran with it: {', '.join(names)}", red=True)


@pytest.fixture(autouse=True)
def _leaves_its_process_as_it_was() -> Iterator[None]:
    """Every test: others run in the same process, in any order."""
    before = process_state()
    yield
    assert changes(before, process_state()) == [], "the test changes what others of its process share"


@pytest.fixture(scope="session")
def requirements(pytestconfig: pytest.Config) -> Requirements:
    """Where fixtures declare what they need of the machine."""
    return pytestconfig.stash[_REQUIREMENTS]


@pytest.fixture(scope="session")
def kafka(requirements: Requirements) -> Iterator[apache.Kafka]:
    """A running Apache Kafka, shared by the whole run: prefix the names of topics and groups (`prefix`).

    A test that stops or kills the broker uses `own_kafka`.
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
    requirements.provide("summeval", None if here else "../shared/data/summeval is not found next to the repository")
    return SUMMEVAL


@pytest.fixture(scope="session")
def cases(requirements: Requirements) -> Path:
    """The directory of the inputs of reported faults, with a row for each in its README."""
    here = (CASES / "README.md").is_file()
    requirements.provide("cases", None if here else "../shared/data/cases is not found next to the repository")
    return CASES


@pytest.fixture(scope="session")
def source_payloads(requirements: Requirements) -> Path:
    """The directory of payloads of other tools, and of the events that they must become."""
    here = (SOURCES / "cases.toml").is_file()
    requirements.provide("sources", None if here else "../shared/data/sources is not found next to the repository")
    return SOURCES


@pytest.fixture(scope="session")
def promtool(requirements: Requirements) -> str:
    """The path of Prometheus' promtool."""
    path = shutil.which("promtool")
    requirements.provide("promtool", None if path else "not found on PATH")
    return str(path)


@pytest.fixture(scope="session")
def chromium(requirements: Requirements) -> str:
    """The path of Debian's chromium."""
    path = shutil.which("chromium")
    requirements.provide("chromium", None if path else "not found on PATH")
    return str(path)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    with contextlib.closing(open_store(tmp_path / "view.sqlite3")) as store:
        yield store


@pytest.fixture
def prefix() -> str:
    """A prefix for topics, groups and names that no other test uses."""
    return f"t{uuid.uuid4().hex[:12]}."
