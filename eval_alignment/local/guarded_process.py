"""A child process that ends with its owner, however the owner ends."""

import contextlib
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import IO


class GuardedProcess(subprocess.Popen[bytes]):
    """A process in its own session, so that Ctrl-C does not reach it, which is killed when this process ends.

    Raises OSError when the program cannot run.

    Args:
        arguments: program and arguments.
        output: receives standard output and standard error.
        environment: its environment; None is that of this process.
    """

    def __init__(
        self, arguments: Sequence[str], output: IO[bytes], environment: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        self._guard: subprocess.Popen[bytes] | None = guard(self.pid)

    def stop(self, seconds: float) -> None:
        """Send SIGTERM, and SIGKILL after `seconds`; returns when the process has ended."""
        self.terminate()
        # A paused process would take the signal only when it is resumed.
        self.send_signal(signal.SIGCONT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(seconds)
        self.destroy()

    def destroy(self) -> None:
        """Send SIGKILL; returns when the process has ended."""
        # End the guard first: later, the process id may belong to another process.
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
            self._guard = None
        self.kill()
        self.wait()


def guard(pid: int) -> subprocess.Popen[bytes]:
    """Start a shell that kills process `pid` when this process ends in any way: its standard input closes then."""
    return subprocess.Popen(
        ["sh", "-c", f"read _; kill -9 {pid}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
