"""The details of a queue's page, from its choices."""

from collections.abc import Sequence
from dataclasses import replace

from aggregator.snapshot.schema import CriterionDocument
from sinks.page.deep_dive import CachedQueries, DeepDive, DeepDiveOptions, deep_dive_section
from sinks.page.figures import Figure
from sinks.page.side_by_side_card import SideBySideCard, opponents, side_by_side_card
from sinks.page.wording import scale_warning
from sinks.queries.results import Ceiling
from sinks.queries.side_by_side import JudgedBy


def details_of_page(
    queries: CachedQueries,
    options: DeepDiveOptions,
    criterion: CriterionDocument,
    drawn: Sequence[Figure],
    ceiling: Ceiling,
) -> DeepDive:
    """The slow parts of a criterion. Without a choice the metric is the one with the most disagreement."""
    known = {figure.document["metric"]: figure.document for figure in drawn}
    trend_metric = options.trend_metric if options.trend_metric in known else None
    human, total = criterion["human"], criterion["comparisons"]
    baseline = max(human["pass"], human["fail"]) / total if total else None
    return deep_dive_section(
        queries,
        replace(
            options, trend_metric=trend_metric, metric=options.metric if options.metric in known else _worst(drawn)
        ),
        baseline if trend_metric is None else known[trend_metric]["baseline"],
        ceiling["agreement"],
    )


def side_by_side_of_page(
    queries: CachedQueries, slow_parts: DeepDive, metrics: list[str], next_to: str | None
) -> SideBySideCard | None:
    """The metric of the details next to another judge, `next_to` in the words of the form; None where none exists."""
    if slow_parts.metric is None or slow_parts.versions is None:
        return None
    versions = [version["judge"] for version in slow_parts.versions["versions"]]
    choices = opponents(slow_parts.metric, metrics, versions)
    if not choices:
        return None
    chosen = next((each for each in choices if each.value == next_to), choices[0])
    # An earlier version is set next to the newest one.
    version = versions[-1] if chosen.judge.metric == slow_parts.metric else None
    answer = queries.side_by_side(JudgedBy(slow_parts.metric, version), chosen.judge)
    return side_by_side_card(answer, choices, chosen)


def scale_warnings_of(queries: CachedQueries) -> dict[str, str]:
    """Warnings about thresholds and scales, by metric."""
    checks = queries.scales().items()
    warnings = {metric: scale_warning(check.thresholds, check.two_scales) for metric, check in checks}
    return {metric: warning for metric, warning in warnings.items() if warning is not None}


def _worst(drawn: Sequence[Figure]) -> str | None:
    """The metric with the most disagreement; None without comparisons."""
    worst = max(drawn, key=lambda figure: figure.document["misaligned"])
    return worst.document["metric"] if worst.document["comparisons"] else None
