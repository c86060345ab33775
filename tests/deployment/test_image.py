"""The programs of the image: `run-or-park` parks what no restart can mend, `health` is the health check."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from streams.runtime.exit_codes import ExitCode
from tests.support.ports import free_port
from tests.support.processes import isolated
from tests.support.tree import ROOT

CONTAINER = ROOT / "deploy" / "container"
SECONDS = 30.0
ASLEEP = (
    "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(5)); print(1, flush=True); signal.pause()"
)


@contextmanager
def run_or_park(code: str) -> Iterator[subprocess.Popen[bytes]]:
    """`run-or-park` with a Python process that runs this code."""
    process = subprocess.Popen(
        [sys.executable, str(CONTAINER / "run_or_park.py"), sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=isolated(CONTAINER),
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("code", [0, ExitCode.BROKER_LOST.code])
def test_an_exit_code_that_a_restart_can_mend_is_passed_on(code: int) -> None:
    with run_or_park(f"import sys; sys.exit({code})") as process:
        assert process.wait(SECONDS) == code


@pytest.mark.parametrize("code", [ExitCode.NOT_AUTHORISED.code, 64])
def test_an_exit_code_that_no_restart_can_mend_parks_the_container_until_a_signal(code: int) -> None:
    with run_or_park(f"import sys; sys.exit({code})") as process:
        assert process.stderr is not None
        line = process.stderr.readline().decode()
        assert f"run-or-park: on hold: {sys.executable} ended with exit code {code}, which no restart can mend" in line
        assert process.poll() is None
        process.terminate()
        assert process.wait(SECONDS) == code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_every_signal_to_stop_reaches_the_process_as_sigterm(number: signal.Signals) -> None:
    with run_or_park(ASLEEP) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(number)
        assert process.wait(SECONDS) == 5


def test_a_parked_container_ends_after_every_signal_to_stop() -> None:
    for number in (signal.SIGHUP, signal.SIGQUIT):
        with run_or_park("import sys; sys.exit(64)") as process:
            assert process.stderr is not None
            process.stderr.readline()
            process.send_signal(number)
            assert process.wait(SECONDS) == 64


def test_a_process_killed_by_a_signal_yields_the_exit_code_of_a_shell() -> None:
    with run_or_park("import os; os.kill(os.getpid(), 9)") as process:
        assert process.wait(SECONDS) == 128 + signal.SIGKILL


class Ready(BaseHTTPRequestHandler):
    """Answers `/readyz` with `status`."""

    status = 200

    def do_GET(self) -> None:
        assert self.path == "/readyz"
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(b"body")

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def answering(status: int) -> Iterator[str]:
    """A server that answers `/readyz` with this status; yields its port."""
    handler = type("Answering", (Ready,), {"status": status})
    with HTTPServer(("127.0.0.1", free_port()), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield str(server.server_port)
        server.shutdown()


def health(*ports: str) -> tuple[int, str]:
    """Exit code and output of `health`."""
    command = [sys.executable, str(CONTAINER / "health.py"), *ports]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    return done.returncode, done.stdout


def test_the_health_check_succeeds_when_one_port_is_ready() -> None:
    with answering(200) as ready, answering(503) as waiting:
        assert health(ready) == (0, f"{ready}: body\n")
        assert health(waiting) == (1, f"{waiting}: 503 body\n")
        assert health(waiting, ready)[0] == 0
    code, output = health(ready)
    assert code == 1
    assert "refused" in output
