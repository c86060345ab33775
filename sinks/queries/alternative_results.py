"""Results of `sinks.queries.alternative` as types."""

from typing import TypedDict

from aggregator.statistics.confusion import Undefined
from sinks.queries.results import WindowName


class MetricAlternative(TypedDict):
    """The test of one metric, by its current verdicts."""

    metric: str
    """Name of the metric."""
    people: int | None
    """Annotators who are tested: those with at least 30 items that others rated and the metric judged too."""
    won: int | None
    """Annotators against whom the metric wins."""
    winning_rate: float | None
    """`won / people`, 0 to 1."""
    advantage: float | None
    """Average advantage probability: how often the metric is at least as close to the other annotators as the one who
    is left out, 0 to 1.
    """
    may_replace: bool | None
    """Whether `winning_rate` is at least 0.5: the metric may replace one of the annotators."""
    undefined: dict[str, Undefined]
    """Reason for every field of this object that is null."""


class AlternativeAnnotator(TypedDict):
    """The alternative annotator test of the metrics on topic."""

    queue: str
    """Name of the queue."""
    criterion: str
    """Name of the criterion."""
    window: WindowName
    """Days that are counted: UTC days up to today, or all."""
    epsilon: float
    """How much worse than a person the metric may be, from the setting `alternative_epsilon`."""
    metrics: list[MetricAlternative]
    """Metrics with a verdict on an item that two people rated, by name."""
