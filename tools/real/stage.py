"""What a tool is connected to: a cluster with `ingest` and the settings of its source, and a plain recount."""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.support.deployments import Cluster
from tests.support.ports import free_port
from tests.support.processes import LOOPBACK, Command, get, wait_until
from tests.support.wire import Wire
from tools.real import RealTool
from tools.records import ROOT

SECONDS: Final = 600.0
"""Time for one program, and for a tool to start."""
PROGRAMS: Final = ROOT / "tools" / "real" / "programs"

OutcomeCounts = dict[str, int]
"""Comparisons by outcome: `tp`, `fn`, `fp` and `tn`."""
HumanVerdicts = Mapping[tuple[str, str, str], bool]
"""Whether a person accepts, by item, criterion and annotator."""
JudgeVerdicts = Mapping[tuple[str, str], bool]
"""Whether a judge passes, by item and metric."""


def note(text: str) -> None:
    """Show a line."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def plain_recount(annotations: HumanVerdicts, verdicts: JudgeVerdicts) -> dict[tuple[str, str], OutcomeCounts]:
    """The comparisons by criterion and metric, counted without anything of the product.

    >>> plain_recount({("a", "helpful", "ada"): True}, {("a", "quality"): False})
    {('helpful', 'quality'): {'tp': 0, 'fn': 1, 'fp': 0, 'tn': 0}}
    """
    names = {(True, True): "tp", (True, False): "fn", (False, True): "fp", (False, False): "tn"}
    counts: dict[tuple[str, str], Counter[str]] = {}
    for (item, criterion, _), accepts in annotations.items():
        for (judged, metric), passes in verdicts.items():
            if judged == item:
                counts.setdefault((criterion, metric), Counter())[names[accepts, passes]] += 1
    return {pair: {name: counted[name] for name in names.values()} for pair, counted in counts.items()}


def recount_of(read: Mapping[str, list[list[Any]]]) -> dict[tuple[str, str], OutcomeCounts]:
    """The recount of what a program read: lists whose last value is whether someone accepts; the latest counts."""
    annotations = {
        (item, criterion, annotator): bool(accepts) for item, criterion, annotator, accepts in read["annotations"]
    }
    verdicts = {(item, metric): bool(passes) for item, metric, passes in read["verdicts"]}
    return plain_recount(annotations, verdicts)


class Stage:
    """A cluster for one tool, and the tool's environment. A context manager that starts and stops it.

    Args:
        tool: the tool.
        bootstrap: of a running Kafka.
        directory: for data, logs and settings; created.
    """

    def __init__(self, tool: RealTool, bootstrap: str, directory: Path) -> None:
        self.tool = tool
        self.directory = directory
        self.settings = directory / "settings.toml"
        """The file with the settings of all commands; a tool writes its source into it by `configure`."""
        self.token = secrets.token_urlsafe(32)
        """The token of `ingest`."""
        self.ingest_http = f"{LOOPBACK}:{free_port()}"
        self.url = f"http://{self.ingest_http}"
        """The address of `ingest`."""
        directory.mkdir(parents=True)
        tokens = directory / "tokens"
        tokens.write_text(f"tools {self.token}\n")
        tokens.chmod(0o600)
        self.settings.touch()
        environment = {
            "EVAL_ALIGNMENT_CONFIG": str(self.settings),
            "EVAL_ALIGNMENT_INGEST_TOKEN_FILE": str(tokens),
            "EVAL_ALIGNMENT_DATA_DIR": str(directory / "data"),
            "EVAL_ALIGNMENT_INGEST_HTTP": self.ingest_http,
        }
        self.cluster = Cluster(bootstrap, f"{tool.name}.", directory / "cluster", environment=environment)

    def __enter__(self) -> Self:
        self.cluster.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cluster.stop()

    def configure(self, settings: str) -> None:
        """Write the settings of all commands that are started from now on, in TOML."""
        self.settings.write_text(settings)

    @contextlib.contextmanager
    def ingest(self) -> Iterator[Command]:
        """`ingest`, running and ready."""
        arguments = ("ingest", "--broker", self.cluster.broker, "--http", self.ingest_http)
        log = self.directory / "ingest.log"
        with Command(*arguments, log=log, environment=self.cluster.environment) as process:
            yield process.wait_ready(self.url)

    def run(self, *arguments: str, expect: int = 0) -> str:
        """The output of a command of the product on this cluster."""
        done = self.cluster.run(*arguments, "--broker", self.cluster.broker, expect=expect)
        return done.stdout.decode()

    def load(self, source: str, *files: Path) -> None:
        """Let a source take files."""
        self.run("load", "--source", source, *map(str, files))

    def program(self, name: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Any:
        """Run a program of `programs/` in the tool's environment; its output as JSON."""
        done = subprocess.run(
            [str(self.tool.python), str(PROGRAMS / name), *arguments],
            cwd=self.directory,
            env=self.environment(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{name}: exit code {done.returncode}:\n{done.stdout}{done.stderr}"
        return json.loads(done.stdout)

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment of the tool's own processes, with its programs on PATH and an empty home."""
        path = f"{self.tool.python.parent}{os.pathsep}{os.environ['PATH']}"
        own = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        return {**own, "PATH": path, "HOME": str(self.directory), "PYTHONUNBUFFERED": "1", **(more or {})}

    @contextlib.contextmanager
    def server(self, *command: str, health: str, environment: Mapping[str, str] | None = None) -> Iterator[None]:
        """A server of the tool, running; `health` is the address that answers with 200 when it is ready."""
        log = self.directory / "server.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [str(self.tool.python.parent / command[0]), *command[1:]],
                cwd=self.directory,
                env=self.environment(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            end = time.monotonic() + SECONDS
            while not _answers(health):
                text = log.read_text(errors="replace")
                assert process.poll() is None, f"ended before it was ready:\n{text[-3000:]}"
                assert time.monotonic() < end, f"not ready after {SECONDS:g} s:\n{text[-3000:]}"
                time.sleep(0.2)
            yield
        finally:
            # A server has children of its own in its session.
            for number, seconds in ((signal.SIGTERM, 30), (signal.SIGKILL, 30)):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(seconds)

    def counts(self, queue: str) -> dict[tuple[str, str], OutcomeCounts]:
        """What the view shows of a queue, by criterion and metric; pairs without comparisons are left out."""
        document = self.cluster.document(queue)
        return {
            (criterion["criterion"], metric["metric"]): {name: metric[name] for name in ("tp", "fn", "fp", "tn")}
            for criterion in (document["criteria"] if document else ())
            for metric in criterion["metrics"]
            if metric["comparisons"]
        }

    def await_counts(self, queue: str, expected: Callable[[], Mapping[tuple[str, str], OutcomeCounts]]) -> int:
        """Return when the view shows exactly what the tool has; the number of comparisons.

        Args:
            queue: the queue of the annotations.
            expected: recounts the tool, without cells of nothing.
        """
        wanted = dict(expected())
        wait_until(
            lambda: self.counts(queue) == wanted,
            90,
            lambda: f"the view to show {wanted}; it shows {self.counts(queue)}",
        )
        return sum(sum(cells.values()) for cells in wanted.values())

    def await_evaluations(self, expected: int) -> None:
        """Return when the ledger has this number of evaluations, failed ones too."""
        wait_until(
            lambda: self._evaluations() == expected, 90, lambda: f"{expected} evaluations; found {self._evaluations()}"
        )

    def _evaluations(self) -> int:
        with Wire(self.cluster.broker) as wire:
            keys = {record.key for record in wire.read(self.cluster.topic("facts")) if record.value}
        return sum(key is not None and json.loads(key)[0] in ("e", "x") for key in keys)

    def dead_letters(self) -> int:
        """Number of dead letters."""
        with Wire(self.cluster.broker) as wire:
            return len(wire.read(self.cluster.topic("dead-letters")))


def _answers(url: str) -> bool:
    try:
        return get(url).status == 200
    except OSError:
        return False
