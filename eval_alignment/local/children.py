"""Child processes of `up`: started, watched, ended; never left behind."""

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """In a child, before it becomes its program: the kernel kills it when the parent is gone, however that ended.

    Linux only. At once and not in order: whoever ended the parent may start another one right now, and a worker of the
    old one must not meet the new broker.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Child:
    """One process of this command: `eval-alignment` with `arguments`, its output appended to `log`."""

    def __init__(self, name: str, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self._arguments = arguments
        self._log = log
        self._environment = environment
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the process, in a session of its own: Ctrl-C in a terminal reaches `up`, which ends all in order."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "eval_alignment",
                *self._arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self._environment},
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    async def wait(self) -> int:
        """Exit code of the process, once it has ended."""
        assert self._process is not None, "started"
        return await self._process.wait()

    async def stop(self, seconds: float) -> int:
        """SIGTERM, and SIGKILL when it has not ended in time; gives the exit code (negative: signal number)."""
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
        """The last lines of its log."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])
