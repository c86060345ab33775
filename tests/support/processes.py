"""The command as real processes: started, awaited, killed and ended.

`Command` is one process with a log, `run` one that ends by itself. All functions block; an event loop calls them by
`asyncio.to_thread`.
"""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

from eval_alignment.local.guarded_process import guard

READY_SECONDS = 60.0
STOP_SECONDS = 45.0
RUN_SECONDS = 120.0
TOKEN = "EVAL_ALIGNMENT_TEST_PROCESSES"
_ROOT = Path(__file__).resolve().parents[2]
LOOPBACK = "127.0.0.1"
_T = TypeVar("_T")


def wait_until(condition: Callable[[], _T], deadline: float, what: str | Callable[[], str]) -> _T:
    """Poll until `condition` returns something true, and return that; fails with `what` after `deadline` seconds."""
    end = time.monotonic() + deadline
    while not (result := condition()):
        if time.monotonic() > end:
            expected = what if isinstance(what, str) else what()
            raise AssertionError(f"not within {deadline:g} s: {expected}; the last result was {result!r}"[:4000])
        time.sleep(0.05)
    return result


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers (names in lower case) and body of an HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def get(url: str, headers: Mapping[str, str] | None = None) -> Answer:
    """The answer to a GET, with any status. Raises OSError or HTTPException where nothing answers."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or LOOPBACK, parts.port, timeout=30)
    with contextlib.closing(connection):
        connection.request("GET", f"{parts.path or '/'}?{parts.query}", headers=dict(headers or {}))
        answer = connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())


def get_json(url: str) -> Any:
    """The JSON at an address; fails with the answer when its status is not 200."""
    answer = get(url)
    assert answer.status == 200, f"{url}: {answer.status} {answer.body[:500]!r}"
    return answer.json()


def alive(url: str) -> bool:
    """Whether the process that serves at `url` answers `/healthz` with 200."""
    try:
        return get(f"{url}/healthz").status == 200
    except (OSError, http.client.HTTPException):
        return False


def ready(url: str) -> bool:
    """Whether the process that serves at `url` answers `/readyz` with 200."""
    try:
        return get(f"{url}/readyz").status == 200
    except (OSError, http.client.HTTPException):
        return False


def resident_bytes(pid: int) -> int:
    """Resident memory of a process in bytes, 0 for a zombie. Needs /proc; raises OSError when the process is gone."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def marked(token: str, listener: str) -> dict[int, str]:
    """Process id and command line of every process that has this token in its environment, or (the embedded broker,
    which gets no environment) listens for Kafka clients at this address. Needs /proc.
    """
    mark = f"{TOKEN}={token}".encode()
    processes = {}
    for directory in Path("/proc").glob("[0-9]*"):
        # A process may end meanwhile; a zombie has neither file.
        with contextlib.suppress(OSError):
            words = (directory / "cmdline").read_bytes().split(b"\0")
            embedded = b"--listener-url" in words and f"tcp://{listener}".encode() in words
            if embedded or mark in (directory / "environ").read_bytes().split(b"\0"):
                processes[int(directory.name)] = b" ".join(words).decode()
    return processes


class Command:
    """One process of `eval-alignment` with `arguments`, its output appended to `log`.

    Settings come from `environment` alone: nothing of the tests' own environment gets in. Context manager: ends
    the process by SIGTERM, and kills it when that takes too long.
    """

    def __init__(self, *arguments: str, log: Path, environment: Mapping[str, str] | None = None) -> None:
        self.arguments = arguments
        self.log = log
        self.environment = isolated(log.parent, environment)
        self.process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id; fails when it does not run."""
        assert self.process is not None and self.process.poll() is None, f"not running:\n{self.text()[-3000:]}"
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> Self:
        """Start or restart it."""
        assert not self.running, "runs already"
        self._release()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "eval_alignment", *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.log.parent,
                env=self.environment,
                start_new_session=True,
            )
        self._guard = guard(self.process.pid)
        return self

    def wait_ready(self, url: str, deadline: float = READY_SECONDS) -> Self:
        """Return when `url`/readyz answers 200; fails with the log when the process ends, or after the deadline."""
        end = time.monotonic() + deadline
        while not ready(url):
            assert self.running, f"ended before it was ready:\n{self.text()[-3000:]}"
            assert time.monotonic() < end, f"not ready after {deadline:g} s:\n{self.text()[-3000:]}"
            time.sleep(0.05)
        return self

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL; returns when the process is gone. Does nothing when it does not run."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self._release()

    def wait(self, deadline: float = STOP_SECONDS) -> int:
        """The exit code, once it has ended; fails when it does not in time."""
        assert self.process is not None, "started"
        try:
            code = self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still runs after {deadline:g} s:\n{self.text()[-3000:]}") from None
        self._release()
        return code

    def terminate(self, deadline: float = STOP_SECONDS, number: signal.Signals = signal.SIGTERM) -> int:
        """SIGTERM (or `number`), and the exit code; fails when it does not end in time."""
        if self.running:
            self.send(number)
        return self.wait(deadline)

    def text(self) -> str:
        """Its log so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def close(self) -> None:
        """End it if it runs: SIGTERM first."""
        try:
            if self.running:
                self.terminate()
        finally:
            self.kill()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _release(self) -> None:
        # The guard ends with the process: its id may then belong to another one.
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
            self._guard = None


def isolated(home: Path, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a process: an empty home, logs as text, and `environment`, without settings of the tests."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("EVAL_ALIGNMENT_")}
    # Tests search the logs for text.
    own |= {"HOME": str(home), "PYTHONPATH": str(_ROOT), "PYTHONUNBUFFERED": "1", "EVAL_ALIGNMENT_LOG_FORMAT": "text"}
    return own | dict(environment or {})


def run(
    *arguments: str, home: Path, environment: Mapping[str, str] | None = None, stdin: bytes = b"", expect: int = 0
) -> subprocess.CompletedProcess[bytes]:
    """Run the command to its end; fails with its output when the exit code is not `expect`."""
    done = subprocess.run(
        [sys.executable, "-m", "eval_alignment", *arguments],
        input=stdin,
        capture_output=True,
        cwd=home,
        env=isolated(home, environment),
        timeout=RUN_SECONDS,
        check=False,
    )
    output = f"{(done.stdout + done.stderr)[-10_000:].decode(errors='replace')}"
    assert done.returncode == expect, (
        f"{' '.join(arguments)[:500]}: exit code {done.returncode}, not {expect}\n{output}"
    )
    return done
