"""Recording rules: promtool evaluates them to the product's statistics of the same cells."""

import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from aggregator.statistics.confusion import Confusion, Estimate, Undefined
from ingest import metrics as ingest_metrics
from sinks.gauges import FAMILIES, RECENT_DAYS, WINDOWS
from sinks.metrics import ViewMetrics
from streams.runtime.metrics import METRICS
from tests.support.rules import PROMETHEUS, RULES, alerts, evaluate, load, recorded

OUTCOMES: Final = ("tp", "fn", "tn", "fp")
EXACT: Final = 1e-12


def confusions() -> list[Confusion]:
    """The golden cells, edges, and a hundred at random with several annotators an item."""
    draw = random.Random(6)
    cases = [
        Confusion(40, 10, 45, 5, 100), Confusion(90, 0, 0, 10, 100), Confusion(85, 5, 5, 5, 100),
        Confusion(45, 5, 20, 30, 100), Confusion(93, 4, 1, 2, 100), Confusion(0, 3, 0, 2, 5),
        Confusion(1, 0, 0, 0, 1), Confusion(0, 0, 7, 0, 3), Confusion(0, 0, 0, 0, 0),
    ]  # fmt: skip
    for _ in range(100):
        tp, fn, tn, fp = (draw.choice((0, draw.randrange(5), draw.randrange(500))) for _ in OUTCOMES)
        n = tp + fn + tn + fp
        cases.append(Confusion(tp, fn, tn, fp, draw.randint(min(n, 1), n)))
    return cases


def series(of: Confusion, queue: str, view: str = "a") -> Iterator[tuple[str, str]]:
    """The gauges of 30 days as the view at `view` exposes them."""
    pair = f'queue="{queue}",criterion="c",metric="m",window="30d",instance="{view}"'
    for outcome in OUTCOMES:
        yield f'eval_alignment_newest_judge_window_comparisons{{{pair},outcome="{outcome}"}}', str(getattr(of, outcome))
    yield f"eval_alignment_newest_judge_window_items{{{pair}}}", str(of.items)


def expectation(
    queue: str, name: str, labels: str, expected: float | Undefined
) -> tuple[str, str, list[dict[str, object]]]:
    """The expectation that the rule yields this number, or no sample where it is undefined."""
    rule = f'sum ({name}{{queue="{queue}"{labels}}})'
    if isinstance(expected, Undefined):
        return "0m", rule, []
    return "0m", f"abs({rule} - {expected!r}) < bool {EXACT!r}", [{"labels": "{}", "value": 1}]


def test_rates_and_intervals_are_those_of_the_page(promtool: str, tmp_path: Path) -> None:
    cells = dict(enumerate(confusions()))
    inputs = dict(line for number, of in cells.items() for line in series(of, f"q{number}"))
    queries = []
    for number, of in cells.items():
        queue = f"q{number}"
        queries.append(
            expectation(queue, "pair:eval_alignment_newest_judge_window_comparisons:baseline_ratio", "", of.baseline)
        )
        for rate, share in (("alignment", of.alignment), ("true_positive", of.tpr), ("true_negative", of.tnr)):
            labels = f',rate="{rate}"'
            three: tuple[float | Undefined, ...] = share if isinstance(share, Estimate) else (share, share, share)
            for operation, expected in zip(("ratio", "wilson_low", "wilson_high"), three, strict=True):
                name = f"pair_rate:eval_alignment_newest_judge_window_comparisons:{operation}"
                queries.append(expectation(queue, name, labels, expected))
    evaluate(promtool, tmp_path, inputs, queries)


def test_levels_add_cells_before_they_divide_and_count_two_views_once(promtool: str, tmp_path: Path) -> None:
    pairs = {
        ("one", "c", "m"): Confusion(1, 0, 0, 0, 1), ("one", "d", "m"): Confusion(30, 30, 30, 10, 100),
        ("one", "d", "n"): Confusion(5, 2, 2, 1, 10), ("two", "c", "m"): Confusion(0, 7, 0, 3, 10),
        ("none", "c", "o"): Confusion(0, 0, 0, 0, 0),
    }  # fmt: skip
    inputs = {
        f'eval_alignment_comparisons{{queue="{queue}",criterion="{criterion}",metric="{metric}",instance="{view}",'
        f'outcome="{outcome}"}}': str(getattr(of, outcome))
        for (queue, criterion, metric), of in pairs.items()
        for outcome in OUTCOMES
        for view in ("a", "b")
    }
    queries = []
    for level in ("queue", "metric", "queue_metric"):
        names = level.split("_")
        sums: dict[tuple[str, ...], list[int]] = {}
        for key, of in pairs.items():
            labelled = dict(zip(("queue", "criterion", "metric"), key, strict=True))
            total = sums.setdefault(tuple(labelled[name] for name in names), [0, 0])
            total[0] += of.tp + of.tn
            total[1] += of.n
        name = f"{level}:eval_alignment_comparisons:aligned_ratio"
        expected = []
        for values, (aligned, n) in sums.items():
            labels = ",".join(f'{label}="{value}"' for label, value in zip(names, values, strict=True))
            if n:
                expected.append({"labels": f"{name}{{{labels}}}", "value": aligned / n})
        queries.append(("0m", name, expected))
    evaluate(promtool, tmp_path, inputs, queries)


def test_rules_ask_only_for_what_exists() -> None:
    view = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in ViewMetrics("0").registry.collect()
    }
    known = view | {spec.name for spec in (*FAMILIES, *METRICS, *ingest_metrics.METRICS)}
    records = {rule["record"] for rule in recorded()}
    for rule in (*recorded(), *alerts().values()):
        expression = re.sub(r'"[^"]*"', '""', rule["expr"])
        assert set(re.findall(r"(?<![\w:])eval_alignment_\w+", expression)) <= known, rule
        assert set(re.findall(r"\w+:\w+:\w+", expression)) <= records, rule
        windows = set(re.findall(r'window="(\w+)"', rule["expr"]))
        assert windows <= {*(window.value for window in WINDOWS), f"{RECENT_DAYS}d"}, rule


def test_records_are_named_by_level_metric_and_operations() -> None:
    names = [rule["record"] for rule in recorded()]
    assert [name for name in names if not re.fullmatch(r"[a-z_]+:eval_alignment_[a-z_]+:[a-z_]+", name)] == []


def test_promtool_accepts_rules_and_configuration(promtool: str, tmp_path: Path) -> None:
    # The token is the only thing that an operator has to add.
    shutil.copytree(PROMETHEUS, tmp_path / "prometheus")
    (tmp_path / "prometheus" / "token").write_text("x" * 32)
    for arguments in (
        ["check", "config", "--lint=all", str(tmp_path / "prometheus" / "prometheus.yml")],
        ["check", "rules", "--lint=all", *map(str, sorted(RULES.glob("*.yml")))],
    ):
        done = subprocess.run([promtool, *arguments], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), done
        assert "FAILED" not in done.stdout


def test_the_jobs_are_those_that_rules_ask_for() -> None:
    configuration = load(PROMETHEUS / "prometheus.yml")
    jobs = {job["job_name"] for job in configuration["scrape_configs"]}
    expressions = {rule["expr"] for rule in alerts().values() if "job" in rule["expr"]}
    assert {"eval-alignment-view", "eval-alignment-worker", "eval-alignment-ingest"} <= jobs
    assert set(re.findall(r'job="([\w-]+)"', " ".join(expressions))) <= jobs
