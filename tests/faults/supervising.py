"""A supervisor for tests: restarts processes that ended with an exit code after which a restart helps."""

import asyncio
import contextlib
import logging
import subprocess
import time
from collections.abc import Callable, Iterable
from typing import Generic, Protocol, Self, TypeVar

from streams.runtime.exit_codes import ExitCode

RESTARTED = frozenset(ending.code for ending in ExitCode if ending.restart)
_LOOK_SECONDS = 0.2

log = logging.getLogger("soak")


class Supervised(Protocol):
    """A process and its log."""

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """The running process; None before its start."""

    def text(self) -> str:
        """Its log so far."""


_P = TypeVar("_P", bound=Supervised)


class Supervisor(Generic[_P]):
    """Keeps named processes running. An async context manager.

    `endings` are the exit codes that it saw, `started` has the time of each process's last start by `time.monotonic`.
    """

    def __init__(self, start: Callable[[str], _P], names: Iterable[str]) -> None:
        self.endings: list[int] = []
        self.started: dict[str, float] = {}
        self._start = start
        self.workers: dict[str, _P] = {}
        for name in names:
            self.add(name)

    def add(self, name: str) -> None:
        """Start or restart a process."""
        self.started[name] = time.monotonic()
        self.workers[name] = self._start(name)

    def remove(self, name: str) -> _P:
        """Do not restart it from now on."""
        return self.workers.pop(name)

    def check(self) -> None:
        """Raise the exception that ended the supervisor, if any."""
        if self._task.done():
            self._task.result()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        failed = self._task.done()
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        assert not failed, "the supervisor ended"

    async def _run(self) -> None:
        while True:
            for name, worker in list(self.workers.items()):
                assert worker.process is not None
                if (code := worker.process.poll()) is not None:
                    assert code in RESTARTED, f"{name} ended with {code}:\n{worker.text()[-3000:]}"
                    log.info("%s ended with %d and is started again", name, code)
                    self.endings.append(code)
                    self.add(name)
            await asyncio.sleep(_LOOK_SECONDS)
