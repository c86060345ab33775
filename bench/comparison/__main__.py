"""`python -m bench.comparison`: run all contenders in turns on one broker. See docs/performance.md."""

import argparse
import asyncio
import contextlib
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.comparison.contenders import CONTENDERS, PEERS_PYTHON, Contender, Place
from bench.comparison.material import Load, items_for, preload
from bench.comparison.report import table, write
from bench.comparison.running import WARM_UP, Run, run
from tests.support import kafka
from tests.support.kafka import Kafka

_PACKAGES = ("aiokafka", "faust-streaming", "confluent-kafka", "orjson", "bytewax", "quixstreams")
_KAFKA = "Apache Kafka 4.1.1"
_MARGIN = 1.2


def load_items(contender: Contender, seconds: float) -> int:
    """The items that keep a contender busy for `seconds` after warm-up, at its expected rate."""
    events = contender.rate * seconds * _MARGIN / (1 - WARM_UP)
    return items_for(events if contender.most is None else min(events, contender.most / 2))


async def compare(
    broker: Kafka, contenders: Sequence[Contender], *, directory: Path, seconds: float, rounds: int, heap: str
) -> Mapping[str, Sequence[Run]]:
    """Runs by contender, in the order of the rounds; each round runs every contender once."""
    sizes = {contender.name: load_items(contender, seconds) for contender in contenders}
    loads: dict[int, Load] = {}
    for items in sorted(set(sizes.values())):
        started = time.monotonic()
        loads[items] = await preload(broker.bootstrap, "bench-", items)
        _log(f"load of {loads[items].events:,} events: {time.monotonic() - started:.0f} s")
    done: dict[str, list[Run]] = defaultdict(list)
    for number in range(rounds):
        for contender in contenders:
            group = f"bench-{contender.name}-{number}"
            place = Place(broker.bootstrap, loads[sizes[contender.name]], group, directory, heap)
            measured = await run(contender, place, broker)
            done[contender.name].append(measured)
            _log(
                f"round {number + 1}, {contender.title}: {measured.rate:,.0f} events/s in {measured.seconds:.0f} s, "
                f"{measured.cpu_us:.2f} us CPU per event, {measured.memory_mib:,.0f} MiB, exact"
            )
    return done


def machine(heap: str) -> str:
    """A paragraph with the date, the machine and the versions."""
    cpu = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    return (
        f"{datetime.now(UTC).date()}, {cpu.partition(':')[2].strip() or platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, {_KAFKA} (heap {heap}), "
        + ", ".join(f"{name} {_version(name)}" for name in _PACKAGES)
        + "."
    )


def _version(name: str) -> str:
    """The version in the environment of the peers, or else in that of the product."""
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        ask = f"import importlib.metadata as m; print(m.version({name!r}))"
        done = subprocess.run([PEERS_PYTHON, "-c", ask], check=True, capture_output=True, text=True)
        return done.stdout.strip()
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Measure, print, and update the page with `--write`."""
    parser = argparse.ArgumentParser(prog="python -m bench.comparison", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30, help="approximate duration of each run, after warm-up")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help=f"comma list of: {', '.join(each.name for each in CONTENDERS)}")
    parser.add_argument("--heap", default="1g", help="heap of Kafka Streams")
    parser.add_argument("--write", type=Path, help="page whose tables are replaced, between its markers")
    options = parser.parse_args()
    if reason := kafka.missing():
        raise SystemExit(f"Apache Kafka cannot run here: {reason}")
    selected = set(filter(None, options.only.split(",")))
    wanted = [each for each in CONTENDERS if each.name in selected or not (selected or each.by_name)]
    missing = {each.name: reason for each in wanted if (reason := each.missing())}
    for name, reason in missing.items():
        _log(f"NOT RUN, {name}: {reason}")
    with Kafka(heap="1g", brief=False) as broker, tempfile.TemporaryDirectory() as directory:
        able = [each for each in wanted if each.name not in missing]
        where = Path(directory)
        done = asyncio.run(
            compare(broker, able, directory=where, seconds=options.seconds, rounds=options.rounds, heap=options.heap)
        )
    content = f"{machine(options.heap)} {options.rounds} rounds.\n\n{table(done, missing)}"
    print(content)
    if options.write:
        write(options.write, content)


if __name__ == "__main__":
    main()
