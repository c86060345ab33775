"""What takes a look at rows: the human ceiling, alignment over time, and one metric in depth.

Made when asked for and kept while nothing of the queue changed, so many readers cost one.
"""

import sqlite3
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar, cast

from sinks.page.charts import Lab, Spark, TrendChart, history, lab, spark
from sinks.queries import deep_dive
from sinks.queries.days import Tallied, tallied
from sinks.queries.deep_dive import Scope
from sinks.queries.results import Ceiling, Corrected, Trend, Versions, WhatIf
from sinks.queries.rows import Judges, judge_versions

LIGHT: Final = 20_000
"""Comparisons of a queue up to which everything is on the page at once; above, the slow parts are loaded afterwards."""
_KEPT: Final = 256
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class DeepDive:
    """The slow parts. `metric` is the one that is looked at; `lab` is None where its scores cannot be swept."""

    trend: Trend
    history: TrendChart | None
    metric: str | None
    what_if: WhatIf | None
    lab: Lab | None
    versions: Versions | None
    corrected: Corrected | None


class Insights:
    """Answers that were made, by what they are of. For any thread."""

    def __init__(self) -> None:
        self._made: OrderedDict[tuple[object, ...], object] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, key: tuple[object, ...], make: Callable[[], _T]) -> _T:
        """The answer of a key, made when it is not there."""
        with self._lock:
            if key in self._made:
                self._made.move_to_end(key)
                return cast("_T", self._made[key])
        made = make()
        with self._lock:
            self._made[key] = made
            while len(self._made) > _KEPT:
                self._made.popitem(last=False)
        return made


def aligned(tallies: Iterable[Tallied], scope: Scope) -> dict[str, list[int]]:
    """Aligned comparisons and all, by day."""
    days: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for tally in tallies:
        tp, _, tn, _ = scope.rules.outcomes(tally.vector)
        days[tally.day][0] += tp + tn
        days[tally.day][1] += sum(tally.vector)
    return days


@dataclass(frozen=True, slots=True)
class DeepDiveQueries:
    """A look at one criterion of a queue in one window, at a revision of it."""

    kept: Insights
    connection: sqlite3.Connection
    scope: Scope
    revision: int
    criterion: str

    def ceiling(self) -> Ceiling:
        """How well people agree with each other."""
        return self._keep("ceiling", lambda: deep_dive.ceiling(self.connection, self.scope, self.criterion))

    def sparks(self) -> Mapping[str, Spark]:
        """Alignment over time of every on-topic metric with enough days, in small."""

        def make() -> Mapping[str, Spark]:
            by_metric: dict[str, list[Tallied]] = defaultdict(list)
            for tally in tallied(self.connection, self.scope, self.criterion):
                by_metric[tally.metric].append(tally)
            drawn = {metric: spark(aligned(found, self.scope)) for metric, found in by_metric.items()}
            return {metric: line for metric, line in drawn.items() if line is not None}

        return self._keep("sparks", make)

    def trend(self, metric: str | None, *, published: bool) -> Trend:
        """Alignment over time, by day of annotation or as it was published."""
        ask = deep_dive.published if published else deep_dive.trend
        return self._keep(
            f"trend {published}",
            lambda: ask(self.connection, self.scope, self.criterion, metric, self._judges()),
            metric,
        )

    def what_if(self, metric: str, cost: float) -> WhatIf:
        """Other thresholds of a metric, with the stated cost of a false positive in false negatives."""
        return self._keep(
            f"what-if {cost!r}",
            lambda: deep_dive.what_if(self.connection, self.scope, self.criterion, metric, cost=cost),
            metric,
        )

    def judged(self, metric: str) -> tuple[Versions, Corrected]:
        """The judge versions of a metric, and its pass rate corrected."""
        asked = (self.connection, self.scope, self.criterion, metric)
        return self._keep(
            "judged",
            lambda: (deep_dive.versions(*asked, self._judges()), deep_dive.corrected(*asked, self._judges())),
            metric,
        )

    def _judges(self) -> Judges:
        return self._keep("judges", lambda: judge_versions(self.connection, self.scope, self.criterion))

    def _keep(self, what: str, make: Callable[[], _T], metric: str | None = None) -> _T:
        scope = self.scope
        key = (scope.queue, scope.window, scope.today, self.revision, self.criterion, what, metric)
        return self.kept.keep(key, make)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepDiveOptions:
    """What of the slow parts: the trend of a metric or of all, as published or not; a metric in depth, a cut of it, and
    how many false negatives one false positive is worth.
    """

    over_time: str | None = None
    published: bool = False
    metric: str | None = None
    cut: int | None = None
    cost: float = 1.0


def deep_dive_section(
    look: DeepDiveQueries, wanted: DeepDiveOptions, baseline: float | None, ceiling: float | None
) -> DeepDive:
    """The slow parts; `baseline` and `ceiling` are lines beside the trend."""
    found = look.trend(wanted.over_time, published=wanted.published)
    drawn = history(found, baseline, ceiling)
    if wanted.metric is None:
        return DeepDive(found, drawn, None, None, None, None, None)
    what_if = look.what_if(wanted.metric, wanted.cost)
    versions, corrected = look.judged(wanted.metric)
    return DeepDive(found, drawn, wanted.metric, what_if, lab(what_if, wanted.cut), versions, corrected)
