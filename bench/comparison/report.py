"""The tables of the comparison: medians and ranges, and ratios with their targets, met or not."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from statistics import median
from typing import Final

from bench.comparison.contenders import CONTENDERS
from bench.comparison.running import Run

BEGIN: Final = "<!-- comparison: made by `make bench` -->"
END: Final = "<!-- comparison: end -->"

Rounds = Mapping[str, Sequence[Run]]
"""Runs by contender, in the order of the rounds."""


@dataclass(frozen=True, slots=True)
class Target:
    """A lower or upper bound on the ratio of one contender to another."""

    ours: str
    theirs: str
    what: str
    field: str
    bound: float
    at_least: bool


TARGETS: Final = (
    Target("worker", "own_loop", "rate", "rate", 0.95, at_least=True),
    Target("worker", "own_loop", "CPU per event", "cpu_us", 1.1, at_least=False),
    Target("worker", "faust", "rate", "rate", 80, at_least=True),
    Target("worker", "confluent", "rate", "rate", 1.8, at_least=True),
    Target("worker", "confluent", "CPU per event", "cpu_us", 0.7, at_least=False),
)
CPU_TARGET_US: Final = 4.0


def table(rounds: Rounds, missing: Mapping[str, str]) -> str:
    """Both tables in Markdown."""
    return "\n".join([*_rows(rounds, missing), "", *_targets(rounds)])


def _rows(rounds: Rounds, missing: Mapping[str, str]) -> list[str]:
    lines = [
        "| contender | events | measured s | events/s | CPU us per event | broker CPU us per event | peak memory MiB |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for contender in CONTENDERS:
        runs = rounds.get(contender.name, ())
        # The Kafka Streams job has no row until it is rebuilt as its most experienced users would build it.
        if contender.jvm or (not runs and contender.by_name):
            continue
        if not runs:
            lines.append(f"| {contender.title} | not run: {missing.get(contender.name, 'not selected')} | | | | | |")
            continue
        cells = [
            f"{runs[0].events:,}",
            _spread(runs, "seconds", "{:.0f}"),
            _spread(runs, "rate", "{:,.0f}"),
            _spread(runs, "cpu_us", "{:.2f}"),
            _spread(runs, "broker_us", "{:.2f}"),
            _spread(runs, "memory_mib", "{:,.0f}"),
        ]
        lines.append(f"| {contender.title} | {' | '.join(cells)} |")
    return lines


def _targets(rounds: Rounds) -> list[str]:
    titles = {contender.name: contender.title for contender in CONTENDERS}
    lines = ["| ratio | measured | target | |", "| --- | ---: | ---: | --- |"]
    for target in TARGETS:
        pairs = list(zip(rounds.get(target.ours, ()), rounds.get(target.theirs, ()), strict=False))
        if pairs:
            value = attrgetter(target.field)
            ratios = [value(our) / value(their) for our, their in pairs]
            name = f"{titles[target.ours]} / {titles[target.theirs]}: {target.what}"
            met = median(ratios) >= target.bound if target.at_least else median(ratios) <= target.bound
            lines.append(f"| {name} | {_range(ratios, '{:.2f}')} | {_bound(target)} | {_met(met)} |")
    if runs := rounds.get("worker"):
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
