"""The rules of the repository as data, and promtool's evaluation of them."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from tests.support.tree import ROOT

PROMETHEUS: Final = ROOT / "monitoring" / "prometheus"
RULES: Final = PROMETHEUS / "rules"
CASES: Final = PROMETHEUS / "tests"
_IN_ORDER: Final = ("recording.yml", "alerts.yml")


def load(path: Path) -> Any:
    """The content of a YAML file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@cache
def alerts() -> dict[str, dict[str, Any]]:
    """Every alert rule by its name. Fails when a name occurs twice."""
    rules: dict[str, dict[str, Any]] = {}
    for rule in every(RULES / "alerts.yml"):
        assert rules.setdefault(rule["alert"], rule) is rule, rule["alert"]
    return rules


@cache
def recorded() -> list[dict[str, Any]]:
    """Every recording rule."""
    return list(every(RULES / "recording.yml"))


def every(path: Path) -> Iterator[dict[str, Any]]:
    """The rules of a file."""
    for group in load(path)["groups"]:
        yield from group["rules"]


def promtool_test(promtool: str, *files: Path) -> subprocess.CompletedProcess[str]:
    """`promtool test rules` of these files."""
    return subprocess.run(
        [promtool, "test", "rules", *map(str, files)], capture_output=True, text=True, check=False, timeout=240
    )


def evaluate(
    promtool: str,
    directory: Path,
    series: Mapping[str, str],
    queries: Sequence[tuple[str, str, Sequence[Mapping[str, Any]]]],
    interval: str = "1m",
) -> None:
    """Fails unless promtool agrees: `series` are values by series, `queries` time, expression and expected samples."""
    file = directory / "case.yml"
    case = {
        "rule_files": sorted(map(str, RULES.glob("*.yml"))),
        # Prometheus does not order groups; here a record must exist when another rule reads it.
        "group_eval_order": [group["name"] for file in _IN_ORDER for group in load(RULES / file)["groups"]],
        "evaluation_interval": interval,
        "tests": [
            {
                "interval": interval,
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "promql_expr_test": [
                    {"expr": expression, "eval_time": time, "exp_samples": list(samples)}
                    for time, expression, samples in queries
                ],
            }
        ],
    }
    file.write_text(yaml.safe_dump(case, width=10_000), encoding="utf-8")
    done = promtool_test(promtool, file)
    assert done.returncode == 0, (done.stdout + done.stderr)[:5000]
