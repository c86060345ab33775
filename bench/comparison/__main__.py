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
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from operator import attrgetter
from pathlib import Path

from bench.comparison.contenders import CONTENDERS, PEERS_PYTHON, Contender, Place, java_version
from bench.comparison.material import SHAPES, Load, Shape, preload
from bench.comparison.report import Compared, killed_table, table, write
from bench.comparison.running import WARM_UP, Killed, Run, run, run_killed
from tests.support import kafka
from tests.support.kafka import Kafka

_PACKAGES = ("aiokafka", "faust-streaming", "confluent-kafka", "orjson", "bytewax", "quixstreams")
_MARGIN = 1.2


def load_items(contender: Contender, shape: Shape, seconds: float) -> int:
    """The items that keep a contender busy for `seconds` after warm-up, at its expected rate."""
    return shape.items(contender.rate * seconds * _MARGIN / (1 - WARM_UP))


async def compare(
    broker: Kafka, contenders: Sequence[Contender], shape: Shape, *, directory: Path, seconds: float, rounds: int
) -> Compared:
    """Each round runs every contender once; afterwards each one is killed once, in the middle of another run."""
    sizes = {contender.name: load_items(contender, shape, seconds) for contender in contenders}
    loads: dict[int, Load] = {}
    for items in sorted(set(sizes.values())):
        started = time.monotonic()
        loads[items] = await preload(broker.bootstrap, "bench-", shape, items)
        _log(f"{shape.name} load of {loads[items].events:,} events: {time.monotonic() - started:.0f} s")

    def place(contender: Contender, run: str) -> Place:
        group = f"bench-{shape.name}-{contender.name}-{run}"
        return Place(broker.bootstrap, loads[sizes[contender.name]], group, directory)

    done: dict[str, list[Run]] = defaultdict(list)
    killed: dict[str, Killed] = {}
    for number in range(rounds):
        for contender in contenders:
            measured = await run(contender, place(contender, str(number)), broker)
            done[contender.name].append(measured)
            _log(
                f"{shape.name}, round {number + 1}, {contender.title}: {measured.rate:,.0f} events/s in "
                f"{measured.seconds:.0f} s, {measured.cpu_us:.2f} us CPU per event, "
                f"{measured.memory_mib:,.0f} MiB, exact"
            )
    for contender in filter(attrgetter("restores"), contenders):
        killed[contender.name] = came = await run_killed(contender, place(contender, "killed"), broker)
        _log(f"{shape.name}, killed, {contender.title}: {came.seconds or 0:.1f} s, {came.problem or 'exact'}")
    return Compared(done, killed)


def machine() -> str:
    """A paragraph with the date, the machine and the versions."""
    cpu = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    return (
        f"{datetime.now(UTC).date()}, {cpu.partition(':')[2].strip() or platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, Apache Kafka {kafka.version()}, "
        f"Kafka Streams {java_version('kafka_streams')}, Flink {java_version('flink')}, "
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


def _selected(names: str, what: str, all_names: Sequence[str]) -> set[str]:
    selected = set(filter(None, names.split(","))) or set(all_names)
    if unknown := selected - set(all_names):
        raise SystemExit(f"unknown {what}: {', '.join(sorted(unknown))}; known: {', '.join(all_names)}")
    return selected


def main() -> None:
    """Measure, print, and update the page with `--write`."""
    contenders, shapes = [each.name for each in CONTENDERS], [each.name for each in SHAPES]
    parser = argparse.ArgumentParser(prog="python -m bench.comparison", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30, help="approximate duration of each run, after warm-up")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help=f"comma list of: {', '.join(contenders)}")
    parser.add_argument("--shapes", default="", help=f"comma list of: {', '.join(shapes)}")
    parser.add_argument("--write", type=Path, help="page whose tables are replaced, between its markers")
    options = parser.parse_args()
    if reason := kafka.missing():
        raise SystemExit(f"Apache Kafka cannot run here: {reason}")
    names = _selected(options.only, "contenders", contenders)
    wanted = [each for each in CONTENDERS if each.name in names]
    missing = {each.name: reason for each in wanted if (reason := each.missing())}
    for name, reason in missing.items():
        _log(f"NOT RUN, {name}: {reason}")
    able = [each for each in wanted if each.name not in missing]
    parts = [f"{machine()} Rounds: {options.rounds}."]
    for shape in [each for each in SHAPES if each.name in _selected(options.shapes, "shapes", shapes)]:
        # A broker of its own: what the other load left costs memory and time.
        with Kafka(heap="1g", brief=False) as broker, tempfile.TemporaryDirectory() as directory:
            compared = asyncio.run(
                compare(broker, able, shape, directory=Path(directory), seconds=options.seconds, rounds=options.rounds)
            )
        parts += [f"**{shape.title}**", table(shape, compared, missing), killed_table(compared)]
    content = "\n\n".join(parts)
    print(content)
    if options.write:
        write(options.write, content)


if __name__ == "__main__":
    main()
