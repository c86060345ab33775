"""The tables of the comparison: medians and ranges, ratios with their targets, and who is exact after a kill."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from statistics import median
from typing import Final

from bench.comparison.contenders import CONTENDERS
from bench.comparison.material import DENSE, PRODUCTION, Shape
from bench.comparison.running import Killed, Run

BEGIN: Final = "<!-- comparison: made by `make bench` -->"
END: Final = "<!-- comparison: end -->"


@dataclass(frozen=True, slots=True)
class Compared:
    """What came of one load: the runs of each contender in the order of the rounds, and what became of those killed."""

    rounds: Mapping[str, Sequence[Run]]
    killed: Mapping[str, Killed]


@dataclass(frozen=True, slots=True)
class Target:
    """A lower or upper bound on the ratio of one contender to another, on loads of one shape."""

    shape: Shape
    ours: str
    theirs: str
    field: str
    bound: float
    at_least: bool

    @property
    def what(self) -> str:
        """The ratio's name."""
        return _QUANTITIES[self.field]


_QUANTITIES: Final = {"rate": "rate", "cpu_us": "CPU per event", "memory_mib": "peak memory"}

TARGETS: Final = (
    Target(DENSE, "worker", "own_loop", "rate", 0.95, at_least=True),
    Target(DENSE, "worker", "own_loop", "cpu_us", 1.1, at_least=False),
    Target(DENSE, "worker", "faust", "rate", 80, at_least=True),
    Target(DENSE, "worker", "confluent", "rate", 1.8, at_least=True),
    Target(DENSE, "worker", "confluent", "cpu_us", 0.7, at_least=False),
    Target(DENSE, "workers", "streams_alos", "rate", 1.3, at_least=True),
    Target(DENSE, "workers", "streams_eos", "rate", 1.5, at_least=True),
    Target(DENSE, "workers", "streams_eos", "cpu_us", 0.65, at_least=False),
    *(
        target
        for peer in ("streams_alos", "streams_eos")
        for target in (
            Target(PRODUCTION, "workers", peer, "rate", 2.5, at_least=True),
            Target(PRODUCTION, "workers", peer, "cpu_us", 0.4, at_least=False),
            Target(PRODUCTION, "workers", peer, "memory_mib", 0.25, at_least=False),
        )
    ),
    Target(PRODUCTION, "workers", "confluent", "rate", 1, at_least=True),
    Target(PRODUCTION, "workers", "aiokafka", "rate", 1, at_least=True),
)
CPU_TARGET_US: Final = 4.0
"""Of one worker per event, dense."""


def table(shape: Shape, compared: Compared, missing: Mapping[str, str]) -> str:
    """The measurements, and the ratios that have a target, in Markdown."""
    return "\n".join([*_rows(compared.rounds, missing), "", *_targets(shape, compared.rounds)])


def killed_table(compared: Compared) -> str:
    """Who is still exact after `kill -9`, in Markdown."""
    lines = ["| contender | counts after `kill -9` | taken over after s |", "| --- | --- | ---: |"]
    for contender in CONTENDERS:
        if came := compared.killed.get(contender.name):
            seconds = "never" if came.seconds is None else f"{came.seconds:.1f}"
            lines.append(f"| {contender.title} | {came.problem or 'exact'} | {seconds} |")
    return "\n".join(lines)


_COLUMNS: Final = {
    "measured s": ("seconds", "{:.0f}"),
    "events/s": ("rate", "{:,.0f}"),
    "CPU us per event": ("cpu_us", "{:.2f}"),
    "broker CPU us per event": ("broker_us", "{:.2f}"),
    "peak memory MiB": ("memory_mib", "{:,.0f}"),
    "bytes to Kafka per event": ("kafka_bytes", "{:,.0f}"),
    "bytes to own disk per event": ("disk_bytes", "{:,.0f}"),
}


def _rows(rounds: Mapping[str, Sequence[Run]], missing: Mapping[str, str]) -> list[str]:
    lines = [
        f"| contender | events | {' | '.join(_COLUMNS)} |",
        f"| --- | ---: |{' ---: |' * len(_COLUMNS)}",
    ]
    for contender in CONTENDERS:
        if runs := rounds.get(contender.name):
            cells = [f"{runs[0].events:,}", *(_spread(runs, field, form) for field, form in _COLUMNS.values())]
            lines.append(f"| {contender.title} | {' | '.join(cells)} |")
        elif reason := missing.get(contender.name):
            lines.append(f"| {contender.title} | not run: {reason} |{' |' * len(_COLUMNS)}")
    return lines


def _targets(shape: Shape, rounds: Mapping[str, Sequence[Run]]) -> list[str]:
    titles = {contender.name: contender.title for contender in CONTENDERS}
    lines = ["| ratio | measured | target | |", "| --- | ---: | ---: | --- |"]
    for target in TARGETS:
        if target.shape is not shape:
            continue
        pairs = list(zip(rounds.get(target.ours, ()), rounds.get(target.theirs, ()), strict=False))
        if pairs:
            value = attrgetter(target.field)
            ratios = [value(our) / value(their) for our, their in pairs]
            name = f"{titles[target.ours]} / {titles[target.theirs]}: {target.what}"
            met = median(ratios) >= target.bound if target.at_least else median(ratios) <= target.bound
            lines.append(f"| {name} | {_range(ratios, '{:.2f}')} | {_bound(target)} | {_met(met)} |")
    if shape is DENSE and (runs := rounds.get("worker")):
        cpu = [run.cpu_us for run in runs]
        lines.append(
            f"| one worker: CPU per event | {_range(cpu, '{:.2f} us')} | < {CPU_TARGET_US:g} us "
            f"| {_met(median(cpu) < CPU_TARGET_US)} |"
        )
    return lines


def _bound(target: Target) -> str:
    return f"{'>=' if target.at_least else '<='} {target.bound:g}"


def _met(met: bool) -> str:
    return "met" if met else "**not met**"


def _spread(runs: Sequence[Run], field: str, form: str) -> str:
    value: Callable[[Run], float] = attrgetter(field)
    return _range([value(run) for run in runs], form)


def _range(numbers: Sequence[float], form: str) -> str:
    middle = form.format(median(numbers))
    if len(numbers) == 1:
        return middle
    return f"{middle} ({form.format(min(numbers))} to {form.format(max(numbers))})"


def write(page: Path, content: str) -> None:
    """Put the tables between the markers of the page. Raises ValueError when a marker is missing."""
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} has no place for the tables: {BEGIN} ... {END}")
    page.write_text(f"{before}{BEGIN}\n\n{content}\n\n{END}{after}")
