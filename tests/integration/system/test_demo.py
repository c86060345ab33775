"""`demo`: becomes ready, its numbers move, and Ctrl-C stops all processes."""

import contextlib
import fcntl
import logging
import os
import pty
import signal
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

import pytest

from tests.support.exposition import series, total
from tests.support.ports import free_port
from tests.support.processes import Command, get, get_json, marked, wait_until

_log = logging.getLogger(__name__)

READY_SECONDS = 60.0
DEADLINE = 30.0
TOKEN = "EVAL_ALIGNMENT_TEST_PROCESSES"


@pytest.fixture
def demo(tmp_path: Path) -> Command:
    """The command, with its own directory for temporary files."""
    (tmp_path / "temporary").mkdir()
    return Command(
        *("demo", "--http", f"127.0.0.1:{free_port()}", "--embedded-broker-port", str(free_port())),
        log=tmp_path / "demo.log",
        environment={"TMPDIR": str(tmp_path / "temporary"), TOKEN: str(tmp_path)},
    )


def left(demo: Command) -> list[str]:
    """Remaining processes and files of a demo."""
    running = marked(demo.environment[TOKEN], f"127.0.0.1:{demo.arguments[-1]}")
    return [*running.values(), *map(str, Path(demo.environment["TMPDIR"]).iterdir())]


def test_demo_becomes_ready_publishes_and_ends_all_its_processes(demo: Command) -> None:
    http = demo.arguments[2]
    began = time.monotonic()
    with demo:
        wait_until(lambda: "is ready" in demo.text(), READY_SECONDS, "it reports that it is ready")
        _log.info("ready after %.2f s", time.monotonic() - began)
        wait_until(lambda: comparisons(http) > 100, DEADLINE, "the history is counted")
        _log.info("the history is counted after %.2f s", time.monotonic() - began)
        before = comparisons(http)
        wait_until(lambda: comparisons(http) > before, DEADLINE, "the numbers on the gauges move")
        queues = get_json(f"http://{http}/api/v1/queues")["queues"]
        assert len(queues) >= 3
        assert all(entry["cards"]["metrics"] >= 2 for entry in queues)
        wait_until(lambda: " comparisons" in demo.text(), DEADLINE, "the summary is printed")
        assert len(left(demo)) >= 5, "`up`, broker, worker, view and a directory"
        ended = time.monotonic()
        assert demo.terminate(number=signal.SIGINT) == 0
        _log.info("ended %.2f s after Ctrl-C", time.monotonic() - ended)
    assert left(demo) == []
    assert "The demo has stopped." in demo.text()
    assert "Traceback" not in demo.text()


@pytest.mark.slow
def test_ctrl_c_in_a_terminal_ends_all_processes(demo: Command) -> None:
    """The terminal sends the signal to all processes of its foreground group, three times."""
    screen, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "eval_alignment", *demo.arguments],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=demo.environment,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 -- the child's terminal
    )
    os.close(terminal)
    text = bytearray()

    def read() -> None:
        # Reading a terminal whose other end is closed raises an error instead of returning its end.
        with contextlib.suppress(OSError):
            while part := os.read(screen, 65536):
                text.extend(part)

    rules = threading.Thread(target=read)
    rules.start()
    try:
        wait_until(lambda: b"conciseness" in text, READY_SECONDS, "the live table is shown, with full names")
        for _ in range(3):
            os.write(screen, b"\x03")
        assert process.wait(DEADLINE) == 0
    finally:
        process.kill()
        process.wait()
        rules.join()
        os.close(screen)
    assert b"The demo has stopped." in text
    assert b"Traceback" not in text
    assert left(demo) == []


def comparisons(http: str) -> float:
    """All comparisons on the gauges."""
    return total(series(get(f"http://{http}/metrics").body.decode()), "eval_alignment_comparisons")
