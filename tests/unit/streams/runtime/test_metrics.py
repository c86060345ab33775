"""The worker's metrics are exactly those of the list."""

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from streams.runtime.metrics import METRICS, WorkerMetrics


def test_the_registry_has_exactly_the_metrics_of_the_list() -> None:
    metrics = WorkerMetrics("1.2.3", lambda: [("alignment.annotations.v1", 3, 17)])
    scraped = generate_latest(metrics.registry).decode()
    families = {family.name: family for family in text_string_to_metric_families(scraped)}
    for spec in METRICS:
        family = families.pop(spec.name.removesuffix("_total"))
        assert (family.type, family.documentation) == (spec.kind, spec.help)
    assert families == {}
    assert 'eval_alignment_build_info{component="worker",version="1.2.3"} 1.0' in scraped
    assert 'eval_alignment_lag_events{partition="3",topic="alignment.annotations.v1"} 17.0' in scraped


def test_a_partition_that_was_given_away_vanishes() -> None:
    owned = [("t", 0, 1), ("t", 1, 2)]
    metrics = WorkerMetrics("1", lambda: owned)
    assert b'partition="1"' in generate_latest(metrics.registry)
    owned.pop()
    assert b'partition="1"' not in generate_latest(metrics.registry)


def test_names_follow_the_conventions() -> None:
    for spec in METRICS:
        assert spec.name.startswith("eval_alignment_")
        assert (spec.kind == "counter") == spec.name.endswith("_total")
        assert spec.kind != "histogram" or spec.name.endswith("_seconds")
        assert spec.help.endswith(".")
