#!/usr/bin/env python3
"""Runs a process in a container whose engine restarts whatever ends: what no restart can mend, it holds.

    hold eval-alignment worker

The container then stays as it is, unhealthy and with the reason at the end of its log, until it is stopped or
restarted by hand. Every other ending, and every ending that was asked for, is the container's.
"""

import signal
import subprocess
import sys
from collections.abc import Sequence

from eval_alignment.main import USAGE
from streams.runtime.failures import Failure

ASKS = (signal.SIGTERM, signal.SIGINT)
VIEW_CANNOT_START = 2
HELD = {USAGE, VIEW_CANNOT_START, *(failure.value.code for failure in Failure if not failure.value.restart)}


def main(command: Sequence[str]) -> int:
    """Run the command, hand signals on, and give its exit code: at once, or after the signal that ends a hold."""
    asked: list[int] = []
    child: subprocess.Popen[bytes] | None = None

    def hand_on(number: int, _: object) -> None:
        asked.append(number)
        if child is not None:
            child.send_signal(number)

    for number in ASKS:
        signal.signal(number, hand_on)
    child = subprocess.Popen(command)
    for early in asked:
        child.send_signal(early)
    code = child.wait()
    # From here a signal waits for `sigwait`: none is lost between the look at `asked` and the wait.
    signal.pthread_sigmask(signal.SIG_BLOCK, ASKS)
    if code in HELD and not asked:
        told = f"hold: {command[0]} ended with exit code {code}, which no restart can mend. Mend it, then restart this."
        sys.stderr.write(f"{told}\n")
        sys.stderr.flush()
        signal.sigwait(ASKS)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
