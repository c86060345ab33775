"""`python -m bench.waiting_fold`: what a worker pays for evaluations that wait, against the commit before they did.

The steps are the worker's own code, without a broker (`bench.worker`); the code of the other commit comes from git, and
makes rows of all evaluations. Three loads (`bench.waiting_load`): of production, where few items are annotated, and the
reference load, where all are, in random order and with all evaluations first. Each side runs in a process of its own,
in turn, and of each doing of a step the least of all rounds counts, because noise only adds. Instructions are counted
as well: what a long load takes more than a short one, under valgrind. The ratios of one run compare.
"""

import argparse
import io
import os
import platform
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from bench.end_to_end.report import table
from bench.end_to_end.site import Row
from bench.production import OF_ITEM
from bench.reference import EVENTS_PER_ITEM
from bench.waiting_load import annotated_items, production, summeval
from bench.waiting_worker import AGAIN, WAIT
from bench.worker import Costs, Fetch, write_load

BEFORE: Final = "c5bc0a2^"
"""The last commit whose worker keeps all evaluations as rows."""
ROOT: Final = Path(__file__).parents[1]
PRODUCTION, RANDOM, FIRST = "production", "reference", "reference, evaluations first"
ROWS: Final = "rows"

_MOST_OF_ALL_THREADS: Final = 0.75
_TOTALS: Final = re.compile(r"^(?:totals|summary): (\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Load:
    """A load of any size."""

    make: Callable[[int], Iterator[Fetch]]
    """Makes it with about so many events; of production, so many evaluations."""
    of: int
    """It has a multiple of so many."""
    counted: tuple[int, int]
    """Two sizes for which instructions are counted."""
    most: float
    """Its target: of the worker's thread in production, else of all steps."""

    def events(self, count: int) -> int:
        """The exact number."""
        return count // self.of * self.of


LOADS: Final = {
    # From the shorter one on, annotations come.
    PRODUCTION: Load(production, 1, (26_000, 50_000), 0.55),
    RANDOM: Load(lambda count: summeval(count // EVENTS_PER_ITEM), EVENTS_PER_ITEM, (5_000, 15_000), 1.03),
    FIRST: Load(
        lambda count: summeval(count // EVENTS_PER_ITEM, evaluations_first=True),
        EVENTS_PER_ITEM,
        (5_000, 15_000),
        1.25,
    ),
}


@dataclass(frozen=True, slots=True)
class Side:
    """One way to do a load."""

    tree: Path
    """Of its code."""
    command: Sequence[str]

    def costs(self, load: Path) -> Costs:
        """Do it once. Raises CalledProcessError when that fails; what it printed is shown."""
        return Costs(**orjson.loads(self._run([], load)))

    def instructions(self, load: Path) -> tuple[int, int]:
        """Those of the worker's thread, and of all threads, with start and end of the process."""
        with tempfile.TemporaryDirectory() as directory:
            valgrind = ["valgrind", "-q", "--tool=callgrind", "--separate-threads=yes"]
            self._run([*valgrind, f"--callgrind-out-file={directory}/of"], load)
            totals = {out.name: int(_TOTALS.findall(out.read_text())[-1]) for out in Path(directory).glob("of-*")}
        return totals["of-01"], sum(totals.values())

    def _run(self, before: Sequence[str], load: Path) -> bytes:
        environment = os.environ | {"PYTHONPATH": str(self.tree), "PYTHONHASHSEED": "0"}
        command = [*before, sys.executable, *self.command, str(load)]
        return subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True).stdout


def sides(before: Path) -> Mapping[str, Side]:
    """Rows by the code in this directory, and both ways of today's."""
    as_rows = ["-P", str(ROOT / "bench" / "worker.py"), str(before)]
    today = {how: Side(ROOT, ["-m", "bench.waiting_worker", how]) for how in (WAIT, AGAIN)}
    return {ROWS: Side(before, as_rows), **today}


def checkout(commit: str, directory: Path) -> Path:
    """The files of a commit. Exits without it."""
    packed = subprocess.run(["git", "archive", commit], cwd=ROOT, stdout=subprocess.PIPE, check=False)
    if packed.returncode:
        sys.exit(f"git does not have {commit}: fetch the whole history, or pass another one with --before")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as files:
        files.extractall(directory, filter="data")
    return directory


def least(rounds: Sequence[Costs]) -> Costs:
    """Of each cost the least. All rounds do the same steps equally often."""
    return Costs(
        {
            step: [min(taken) for taken in zip(*(each.steps[step] for each in rounds), strict=True)]
            for step in rounds[0].steps
        },
        min(each.others for each in rounds),
        min(each.sealing for each in rounds),
        min(each.memory_mib for each in rounds),
        rounds[0].ledger_bytes,
        rounds[0].rows,
    )


def thread(costs: Costs) -> float:
    """CPU seconds of the worker's thread."""
    return sum(map(sum, costs.steps.values()))


def everything(costs: Costs) -> float:
    """CPU seconds of all threads."""
    return thread(costs) + costs.others + costs.sealing


def _compared(name: str, value: float, of: float, unit: str, most: float) -> Row:
    return Row(name, f"{value / of:.2f} ({value:.3g} / {of:.3g} {unit})", f"<= {most:g}", value / of <= most)


def rows_of_production(count: int, before: Costs, now: Costs, again: Costs) -> Iterator[Row]:
    """What so many evaluations took, most of which wait now."""
    each, mib = 1e6 / count, (1 << 20) / count
    yield _compared("production: CPU of the worker's thread", thread(now) * each, thread(before) * each, "us", 0.55)
    for step, taken in now.steps.items():
        yield Row(f"- {step}", f"{sum(taken) * each:.2f} / {sum(before.steps.get(step, ())) * each:.2f} us")
    yield Row("- other threads: flush", f"{now.others * each:.2f} / {before.others * each:.2f} us")
    yield Row("- other threads: sealing", f"{now.sealing * each:.2f} us")
    yield _compared(
        "production: CPU of all threads, with flush and sealing",
        everything(now) * each,
        everything(before) * each,
        "us",
        _MOST_OF_ALL_THREADS,
    )
    yield _compared("memory", now.memory_mib * mib, before.memory_mib * mib, "bytes an evaluation", 0.5)
    yield _compared(
        "ledger, keys and values", now.ledger_bytes / count, before.ledger_bytes / count, "bytes an evaluation", 0.1
    )
    known = annotated_items(count) * (1 + OF_ITEM)
    counted = f"{now.rows - known} ({now.rows:,} rows of {known // (1 + OF_ITEM):,} annotated items)"
    yield Row("ledger rows, and view facts, of evaluations that wait", counted, "0", now.rows == known)
    rate, live = count / (thread(again) + again.others) / 1000, count / thread(now) / 1000
    measured = f"{rate / live:.2f} ({rate:,.0f} / {live:,.0f} thousand/s)"
    yield Row("reading again, of a core / live rate of a worker", measured, ">= 1.5", rate >= 1.5 * live)


def rows_of_reference(name: str, count: int, before: Costs, now: Costs) -> Iterator[Row]:
    """What so many events took, of items that are all annotated."""
    each = 1e6 / count
    most = LOADS[name].most
    yield _compared(f"{name}: CPU of all steps", everything(now) * each, everything(before) * each, "us", most)
    for step, taken in now.steps.items():
        yield Row(f"- {step}", f"{sum(taken) * each:.2f} / {sum(before.steps.get(step, ())) * each:.2f} us")


def time_rows(name: str, by_name: Mapping[str, Side], load: Path, options: argparse.Namespace) -> Iterator[Row]:
    """CPU time, memory and ledger of a load."""
    of = LOADS[name]
    count = options.evaluations if name == PRODUCTION else options.evaluations // 4
    write_load(load, of.make(count))
    ways = by_name if name == PRODUCTION else (ROWS, WAIT)
    rounds: dict[str, list[Costs]] = {how: [] for how in ways}
    for _ in range(options.rounds):
        for how, costs in rounds.items():
            costs.append(by_name[how].costs(load))
    before, now, *again = map(least, rounds.values())
    if again:
        yield from rows_of_production(count, before, now, *again)
    else:
        yield from rows_of_reference(name, of.events(count), before, now)


def instruction_rows(name: str, by_name: Mapping[str, Side], load: Path) -> Iterator[Row]:
    """Instructions of a load: what more events of it take."""
    of = LOADS[name]
    counted: dict[str, list[tuple[int, int]]] = {ROWS: [], WAIT: []}
    for size in of.counted:
        write_load(load, of.make(size))
        for how, counts in counted.items():
            counts.append(by_name[how].instructions(load))
    events = of.events(of.counted[1]) - of.events(of.counted[0])
    (before, before_all), (now, now_all) = (
        ((long[0] - short[0]) / events, (long[1] - short[1]) / events) for short, long in counted.values()
    )
    if name == PRODUCTION:
        yield _compared(f"{name}: instructions of the worker's thread", now, before, "an event", of.most)
        yield _compared(f"{name}: instructions of all threads", now_all, before_all, "an event", _MOST_OF_ALL_THREADS)
    else:
        yield _compared(f"{name}: instructions of all steps", now_all, before_all, "an event", of.most)


def measure(scratch: Path, options: argparse.Namespace) -> Iterator[Row]:
    """All rows."""
    by_name = sides(checkout(options.before, scratch / "before"))
    chosen = [name for name in LOADS if options.only in (None, name)]
    for name in chosen:
        if options.rounds:
            yield from time_rows(name, by_name, scratch / "load", options)
    for name in chosen:
        if options.instructions:
            yield from instruction_rows(name, by_name, scratch / "load")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.waiting_fold", description=__doc__)
    parser.add_argument("--before", default=BEFORE, metavar="COMMIT", help="whose worker to compare with: %(default)s")
    parser.add_argument("--evaluations", type=int, default=600_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=(PRODUCTION, RANDOM, FIRST), help="one of the loads")
    parser.add_argument("--instructions", action="store_true", help="count instructions too, with valgrind")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        measured = list(measure(Path(scratch), options))
    of = f"{options.evaluations:,} evaluations, now / {options.before}, the least of {options.rounds} rounds"
    print(f"Python {platform.python_version()}, {of}\n\n{table(measured)}")


if __name__ == "__main__":
    main()
