"""Child processes of `up`: start, wait, stop. None outlives its parent."""

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from eval_alignment.local.log_files import last_lines, open_log

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Make the kernel kill this process when its parent ends. Runs in a child before it executes its program.

    Linux only. The child is killed without a clean stop: a new parent may start immediately, and a worker of the old
    one must not connect to the new broker.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Child:
    """One `eval-alignment` process with `arguments`, which serves at `http`; its output is appended to `log`."""

    def __init__(
        self, name: str, http: str, arguments: Sequence[str], log: Path, environment: Mapping[str, str]
    ) -> None:
        self.name = name
        self.http = http
        self._arguments = arguments
        self._log = log
        self._environment = environment
        self.inherits: Sequence[int] = ()
        """File descriptors that the process inherits."""
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the process in its own session: Ctrl-C in a terminal reaches only `up`, which stops all in order."""
        with open_log(self._log) as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "eval_alignment",
                *self._arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self._environment},
                pass_fds=self.inherits,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    async def wait(self) -> int:
        """Wait for the end of the process; returns its exit code."""
        assert self._process is not None, "started"
        return await self._process.wait()

    async def stop(self, seconds: float) -> int:
        """Send SIGTERM, and SIGKILL after `seconds`; returns the exit code (negative: signal number)."""
        if self._process is None:
            return 0
        if self._process.returncode is None:
            self._process.terminate()
            try:
                async with asyncio.timeout(seconds):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
        return await self._process.wait()

    def tail(self, lines: int = 8) -> str:
        """The last lines of its log, or why they cannot be read."""
        try:
            return last_lines(self._log, lines)
        except OSError as error:
            return f"its log cannot be read: {error}"
