"""`python -m tests.simulation SEED` repeats one history with its trace; `--soak N` runs N new ones."""

import argparse
import sys
import time

from tests.simulation.history import installed, simulate, simulate_waiting
from tests.simulation.survey import survey
from tests.simulation.viewer import Wrong
from tests.simulation.waiting_protections import WAITING_REMOVALS, broken_without

_CHUNK = 100
_MOST_SEEDS = 500


def main() -> int:
    """Run the command; returns 0 when every promise was kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seed", type=int, nargs="?", help="the history to repeat, or the first of a soak")
    parser.add_argument("--soak", type=int, metavar="N", help="this many histories; without a seed, from the time on")
    parser.add_argument("--waiting", action="store_true", help="histories with evaluations that wait on disks")
    parser.add_argument("--plot", default="", help="what a history with waiting evaluations is about")
    parser.add_argument("--protections", action="store_true", help="what breaks without each protection of them")
    options = parser.parse_args()
    if options.protections:
        return _protections()
    if options.soak is None:
        return _repeat(options.seed or 0, options.waiting, options.plot)
    return _soak(int(time.time()) if options.seed is None else options.seed, options.soak, options.waiting)


def _repeat(seed: int, waiting: bool, plot: str) -> int:
    with installed():
        try:
            if waiting:
                simulate_waiting(seed, print, plot)
            else:
                simulate(seed, print)
        except Wrong as wrong:
            print(f"seed {seed}: {wrong}")
            return 1
    print(f"seed {seed}: every promise was kept")
    return 0


def _protections() -> int:
    """For each protection of waiting evaluations, a history that breaks a promise without it."""
    unshown = 0
    for protection in WAITING_REMOVALS:
        found = broken_without(protection, most=_MOST_SEEDS)
        if found is None:
            unshown += 1
            print(f"{protection}: {_MOST_SEEDS} histories kept every promise without it", flush=True)
        else:
            plot, seed, wrong = found
            print(f"{protection}: {seed} --waiting{plot and ' --plot ' + plot}: {wrong[:120]}", flush=True)
    return 1 if unshown else 0


def _soak(first: int, count: int, waiting: bool) -> int:
    started = time.monotonic()
    failing = 0
    chunks = -(-count // _CHUNK)
    with survey(first, chunks, _CHUNK, waiting=waiting) as histories:
        for start, history in histories.items():
            for line in history.result():
                print(line, flush=True)
                failing += 1
            print(f"seeds {first} to {start + _CHUNK - 1}: {failing} failing", flush=True)
    print(f"{chunks * _CHUNK} histories in {time.monotonic() - started:.0f} s, {failing} failing")
    return 1 if failing else 0


if __name__ == "__main__":
    sys.exit(main())
