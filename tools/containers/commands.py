"""Commands of other programs: run, awaited, and shown with the end of their output when they fail."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

SECONDS: Final = 600.0
"""How long to wait for one thing. The machine may be busy with other work."""
COMMAND_SECONDS: Final = 1800.0
"""Time for one command, with the downloads that it makes."""
_LAST_CHARACTERS: Final = 3000


class ContainerError(Exception):
    """A step failed. The text names the step and has the end of its output."""


def note(text: str) -> None:
    """Show a line."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def run(command: Sequence[str], *, stdin: str | None = None, environment: Mapping[str, str] | None = None) -> str:
    """The standard output of a command, without white space at its ends. Raises ContainerError if it fails."""
    done = subprocess.run(
        command,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        env={**os.environ, **(environment or {})},
        timeout=COMMAND_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        output = (done.stdout + done.stderr)[-_LAST_CHARACTERS:]
        raise ContainerError(f"`{' '.join(command)}` ended with exit code {done.returncode}:\n{output}")
    return done.stdout.strip()


def await_that(what: str | Callable[[], str], condition: Callable[[], bool]) -> None:
    """Ask every second until the condition holds: each question starts programs. Raises ContainerError with `what`."""
    end = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > end:
            raise ContainerError(f"not within {SECONDS:g} s: {what if isinstance(what, str) else what()}")
        time.sleep(1)


def require(holds: bool, what: str) -> None:
    """Raise ContainerError with `what` was expected unless it holds."""
    if not holds:
        raise ContainerError(f"expected: {what}")
