#!/usr/bin/env python3
"""Runs a process, and parks the container instead of ending it when a restart cannot help.

    run-or-park eval-alignment worker

A container engine restarts every process that ends, with any exit code. After an exit code that no restart can
mend this program therefore waits: the container stays up and unhealthy, with the reason at the end of its log, until
somebody stops or restarts it. It passes on every other exit code, and that of a process that was asked to stop.
"""

import signal
import subprocess
import sys
from collections.abc import Sequence

from streams.runtime.exit_codes import VIEW, WORKER, codes_without_restart

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
PARKED = codes_without_restart(WORKER, VIEW)


def main(command: Sequence[str]) -> int:
    """Run the command and forward signals to it; returns its exit code, when parked only after a signal."""
    received: list[int] = []
    child: subprocess.Popen[bytes] | None = None

    def forward(number: int, _: object) -> None:
        received.append(number)
        if child is not None:
            child.send_signal(number)

    for number in STOP_SIGNALS:
        signal.signal(number, forward)
    child = subprocess.Popen(command)
    for early in received:
        child.send_signal(early)
    code = child.wait()
    # From here a signal waits for `sigwait`: none is lost between the look at `received` and the wait.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    if code in PARKED and not received:
        sys.stderr.write(
            f"run-or-park: on hold: {command[0]} ended with exit code {code}, which no restart can mend. "
            "Fix the cause (docs/exit-codes.md), then restart the container.\n"
        )
        sys.stderr.flush()
        signal.sigwait(STOP_SIGNALS)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
