"""A view as a process."""

import contextlib
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from tests.support.ports import free_port

PROGRAM = textwrap.dedent(
    """
    import logging, sys
    from pathlib import Path
    from sinks.config import ViewConfig
    from sinks.view import run_view
    logging.basicConfig(level=logging.INFO)
    settings = eval(sys.argv[1])
    exec(sys.argv[2])
    sys.exit(run_view(ViewConfig(**settings)).code)
    """
)


class Process:
    """A running view and a client of it; `before` is Python that runs in it first."""

    def __init__(self, data_dir: Path, before: str = "", **settings: Any) -> None:
        self.port = settings.setdefault("port", free_port())
        self.log = data_dir.parent / "view.log"
        settings["data_dir"] = str(data_dir)
        text = repr(settings).replace(f"'data_dir': {str(data_dir)!r}", f"'data_dir': Path({str(data_dir)!r})")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([sys.executable, "-c", PROGRAM, text, before], stderr=log)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=10)

    def get(self, target: str) -> httpx.Response | None:
        """The reply, None while nothing listens."""
        try:
            return self.client.get(target)
        except httpx.TransportError:
            assert self.process.poll() is None, self.log.read_text()
            return None

    def answers(self, target: str, status: int = 200) -> bool:
        """Whether it replies with this status."""
        answer = self.get(target)
        return answer is not None and answer.status_code == status

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal; returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(20)


@contextlib.contextmanager
def view(data_dir: Path, before: str = "", **settings: Any) -> Iterator[Process]:
    process = Process(data_dir, before, **settings)
    try:
        yield process
    finally:
        process.client.close()
        if process.process.poll() is None:
            process.process.kill()
        process.process.wait()
