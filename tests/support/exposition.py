"""Samples of a scrape, read by the parsers of prometheus-client."""

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]
"""Value by name and labels."""


def series(text: str, *, openmetrics: bool = False) -> Series:
    """Every sample of a scrape. Fails when a series occurs twice."""
    samples: Series = {}
    families = openmetrics_families(text) if openmetrics else text_families(text)  # type: ignore[no-untyped-call]
    for family in families:
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in samples, f"twice: {key}"
            samples[key] = sample.value
    return samples


def value(of: Series, name: str, **labels: str) -> float | None:
    """The value of one series, None when it is absent."""
    return of.get((name, frozenset(labels.items())))


def total(of: Series, name: str, **labels: str) -> float:
    """Sum of the series with this name and at least these labels."""
    return sum(
        number for (of_name, has), number in of.items() if of_name == name and labels.items() <= dict(has).items()
    )


def families(text: str) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Type and label names (sorted, without the `le` of buckets) of every family of a scrape that has samples.

    Counters have the name that queries use, with `_total`. Fails when series of a family differ in their labels.
    """
    families: dict[str, tuple[str, tuple[str, ...]]] = {}
    for family in text_families(text):
        labels = {tuple(sorted(sample.labels.keys() - {"le"})) for sample in family.samples}
        assert len(labels) <= 1, f"{family.name}: {labels}"
        name = f"{family.name}_total" if family.type == "counter" else family.name
        if labels:
            families[name] = (family.type, labels.pop())
    return families
