"""`python -m tests.simulation SEED` repeats one history with its trace; `--soak N` looks at N new ones."""

import argparse
import sys
import time

from tests.simulation.viewer import Wrong
from tests.simulation.world import installed, simulate


def main() -> int:
    """0 when every promise was kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seed", type=int, nargs="?", help="the history to repeat")
    parser.add_argument("--soak", type=int, metavar="N", help="this many histories, from the seed on or from the time")
    options = parser.parse_args()
    with installed():
        if options.soak is None:
            return _repeat(options.seed or 0)
        return _soak(time.time_ns() // 1_000_000 if options.seed is None else options.seed, options.soak)


def _repeat(seed: int) -> int:
    try:
        simulate(seed, print)
    except Wrong as wrong:
        print(f"seed {seed}: {wrong}")
        return 1
    print(f"seed {seed}: every promise was kept")
    return 0


def _soak(first: int, count: int) -> int:
    started = time.monotonic()
    for seed in range(first, first + count):
        try:
            simulate(seed)
        except BaseException:
            print(f"fails: python -m tests.simulation {seed}", flush=True)
            raise
    print(f"seeds {first} to {first + count - 1}: every promise was kept, {time.monotonic() - started:.1f} s")
    return 0


sys.exit(main())
