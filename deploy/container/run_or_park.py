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

from streams.runtime.exit_codes import INGEST, VIEW, WORKER, codes_without_restart

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
"""Each stops the process in order: it gets SIGTERM, because the last two would end it without a drain."""
PARKED = codes_without_restart(WORKER, VIEW, INGEST)


def main(command: Sequence[str]) -> int:
    """Run the command and stop it after a signal; returns its exit code, when parked only after a signal."""
    stopping = False
    child: subprocess.Popen[bytes] | None = None

    def stop(_number: int, _frame: object) -> None:
        nonlocal stopping
        stopping = True
        if child is not None:
            child.terminate()

    for number in STOP_SIGNALS:
        signal.signal(number, stop)
    child = subprocess.Popen(command)
    if stopping:
        child.terminate()
    code = child.wait()
    # From here a signal waits for `sigwait`: none is lost between the look at `stopping` and the wait.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    if code in PARKED and not stopping:
        sys.stderr.write(
            f"run-or-park: on hold: {command[0]} ended with exit code {code}, which no restart can mend. "
            "Fix the cause (docs/exit-codes.md), then restart the container.\n"
        )
        sys.stderr.flush()
        signal.sigwait(STOP_SIGNALS)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
