"""The two small programs of the image: `hold` keeps what no restart mends, `health` asks whether a process is ready."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from streams.runtime.failures import Failure
from tests.deployment.containers import CONTAINER
from tests.support.ports import free_port
from tests.support.processes import isolated

SECONDS = 30.0
ASLEEP = (
    "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(5)); print(1, flush=True); signal.pause()"
)


@contextmanager
def held(code: str) -> Iterator[subprocess.Popen[bytes]]:
    """`hold` around a Python that runs this code."""
    process = subprocess.Popen(
        [sys.executable, str(CONTAINER / "hold.py"), sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=isolated(CONTAINER),
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("code", [0, Failure.BROKER_LOST.value.code])
def test_an_ending_that_a_restart_mends_is_the_containers(code: int) -> None:
    with held(f"import sys; sys.exit({code})") as process:
        assert process.wait(SECONDS) == code


@pytest.mark.parametrize("code", [Failure.NOT_AUTHORISED.value.code, 64])
def test_an_ending_that_no_restart_mends_is_held_until_a_signal(code: int) -> None:
    with held(f"import sys; sys.exit({code})") as process:
        assert process.stderr is not None
        assert f"exit code {code}, which no restart can mend".encode() in process.stderr.readline()
        assert process.poll() is None
        process.terminate()
        assert process.wait(SECONDS) == code


def test_a_signal_is_handed_on() -> None:
    with held(ASLEEP) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()
        assert process.wait(SECONDS) == 5


def test_a_death_by_signal_is_told_as_a_shell_tells_it() -> None:
    with held("import os; os.kill(os.getpid(), 9)") as process:
        assert process.wait(SECONDS) == 128 + signal.SIGKILL


class Ready(BaseHTTPRequestHandler):
    """Ready or not, as its server's `status` says."""

    status = 200

    def do_GET(self) -> None:
        assert self.path == "/readyz"
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(b"said")

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def answering(status: int) -> Iterator[str]:
    """The port of a process that answers with this status."""
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


def test_health_is_readiness() -> None:
    with answering(200) as ready, answering(503) as waiting:
        assert health(ready) == (0, f"{ready}: said\n")
        assert health(waiting) == (1, f"{waiting}: 503 said\n")
        assert health(waiting, ready)[0] == 0
    code, said = health(ready)
    assert code == 1
    assert "refused" in said
