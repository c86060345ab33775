"""`python -m bench.instructions`: instructions of a worker's steps, compared with those on record.

They are counted by `valgrind --tool=callgrind`, so that a busy machine makes no difference. The steps (`hot_path`) run
in forks of one process; what a fork executes more than one that does nothing is the step's, the least of three times.
Another interpreter needs another number of instructions, so each step is divided by a fixed loop of the same run.
`--write` puts new numbers on record: after a change that is worth its instructions.
"""

import argparse
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import orjson

from bench.hot_path import LOOP, NOTHING

RECORD: Final = Path(__file__).with_suffix(".json")
LIMIT: Final = 1.05
"""Most that a step may have grown since it was recorded."""
_COLLECTED: Final = re.compile(r"Collected : (\d+)")


def count() -> dict[str, float]:
    """Instructions for each event, by step. Raises CalledProcessError when a step fails; what it printed is shown."""
    with tempfile.TemporaryDirectory() as logs:
        valgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", f"--log-file={logs}/%p.log"]
        done = subprocess.run(
            [*valgrind, sys.executable, "-m", "bench.hot_path"],
            env=os.environ | {"PYTHONHASHSEED": "0"},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        totals: dict[str, int] = {}
        events: dict[str, int] = {}
        for line in done.stdout.splitlines():
            process, number, name = line.split(" ", 2)
            collected = _COLLECTED.search(Path(logs, f"{process}.log").read_text())
            assert collected is not None, f"valgrind counted nothing of: {name}"
            totals[name] = min(totals.get(name, sys.maxsize), int(collected[1]))
            events[name] = int(number)
    nothing = totals.pop(NOTHING)
    return {name: (total - nothing) / events[name] for name, total in totals.items()}


def relative(counted: Mapping[str, float]) -> dict[str, float]:
    """Each step as a multiple of the fixed loop."""
    return {name: value / counted[LOOP] for name, value in counted.items() if name != LOOP}


def grown(recorded: Mapping[str, float], now: Mapping[str, float]) -> Iterator[str]:
    """What is wrong: steps that have grown over the limit, and steps that are not on both sides."""
    for name in sorted(recorded.keys() | now.keys()):
        if name not in recorded or name not in now:
            yield f"{name}: {'not on record' if name in now else 'no longer a step'}"
        elif now[name] > LIMIT * recorded[name]:
            yield f"{name}: {now[name] / recorded[name] - 1:+.1%} instructions an event; the limit is {LIMIT - 1:+.0%}"


def main() -> None:
    """Count, print, and compare or write. Exits when a step has grown."""
    parser = argparse.ArgumentParser(prog="python -m bench.instructions", description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"put these on record in bench/{RECORD.name}")
    write = parser.parse_args().write
    python = ".".join(platform.python_version_tuple()[:2])
    counted = count()
    now = relative(counted)
    recorded = orjson.loads(RECORD.read_bytes()) if RECORD.exists() else {}
    before = recorded.get(python, {})
    print(f"Python {python}\n")
    print("| step | instructions an event | of the fixed loop | on record |\n| --- | ---: | ---: | ---: |")
    for name, value in now.items():
        print(f"| {name} | {counted[name]:,.0f} | {value:.3f} | {before.get(name, '')} |")
    if write:
        recorded[python] = {name: round(value, 3) for name, value in now.items()}
        RECORD.write_bytes(orjson.dumps(recorded, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n")
    elif not before:
        sys.exit(f"There is no record for Python {python}: run this with --write on the commit to compare with.")
    elif wrong := list(grown(before, now)):
        sys.exit("\n".join([*wrong, "Find the time, or put it on record with --write if the change is worth it."]))


if __name__ == "__main__":
    main()
