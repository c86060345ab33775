"""Rows 12, 14, 18 and 19: every gauge that these tests read has an alert."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from sinks.metrics import ViewMetrics
from streams.runtime.metrics import AUDIT_MISMATCHES, CIRCUIT_BREAKER_OPEN, METRICS, UNCOMMITTED

RULES = Path(__file__).resolve().parents[2] / "monitoring" / "prometheus" / "rules" / "alerts.yml"
SUPPRESSED = "eval_alignment_series_suppressed_total"


def alerts_on(metric: str) -> list[Any]:
    """Names of the alerts whose expression reads this metric."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    rules = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    return [rule for rule in rules if re.search(rf"\b{metric}\b", rule["expr"])]


@pytest.mark.parametrize(
    "metric",
    [
        pytest.param(CIRCUIT_BREAKER_OPEN.name, marks=pytest.mark.row(12)),
        pytest.param(SUPPRESSED, marks=pytest.mark.row(14)),
        pytest.param(UNCOMMITTED.name, marks=pytest.mark.row(18)),
        pytest.param(AUDIT_MISMATCHES.name, marks=pytest.mark.row(19)),
    ],
)
def test_a_metric_of_a_fault_has_an_alert(metric: str) -> None:
    of_view = {sample.name for family in ViewMetrics("0").registry.collect() for sample in family.samples}
    assert metric in of_view | {spec.name for spec in METRICS}
    alerts = alerts_on(metric)
    assert alerts
    assert all(rule["labels"]["severity"] in ("critical", "warning", "info") for rule in alerts)
