"""The slow parts of a queue's page: human ceiling, alignment over time, and the details of one metric.

They query rows. Answers are built on demand and cached until the queue changes, so many readers cost as much as one.
"""

import sqlite3
import threading
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, TypeVar, cast

from cachetools import LRUCache

from aggregator.statistics.confusion import Outcome
from aggregator.statistics.scales import ScaleCheck
from aggregator.statistics.what_if import ScoredItems
from sinks.page.charts import (
    SPARK_DAYS,
    Lab,
    Reliability,
    Spark,
    TrendChart,
    history,
    lab,
    reliability,
    several_years,
    spark,
)
from sinks.page.segments_card import first_division
from sinks.page.words import WordsSummary, summarize
from sinks.queries import deep_dive
from sinks.queries.alternative import alternative_annotator
from sinks.queries.alternative_results import AlternativeAnnotator
from sinks.queries.calibration import ScoreCalibration, calibration_of
from sinks.queries.comparisons import Query
from sinks.queries.days import DayCells, PublishedCells, day_cells, published_cells, weekly_alignment
from sinks.queries.judge_changes import successors
from sinks.queries.people import Annotators, annotators
from sinks.queries.results import Ceiling, Corrected, Trend, Versions, VersionTest, WhatIf
from sinks.queries.rows import scales, scored
from sinks.queries.scope import Scope
from sinks.queries.segments import TAG, Segments, segments
from sinks.queries.side_by_side import JudgedBy, SideBySide, side_by_side
from sinks.queries.version_counts import Judges, judge_versions
from sinks.queries.what_if_answer import what_if_of
from sinks.queries.written import written

LIGHT: Final = 20_000
"""Most comparisons of a queue whose page contains everything; the page of a larger one loads the slow parts later."""
_ANSWERS: Final = 256
"""Most answers in the cache."""
_LARGE_ANSWERS: Final = 4
"""Most of those that may have megabytes."""
DIVISIONS: Final = 4
"""Most tags that are looked through for a difference, those of most comparisons."""
_T = TypeVar("_T")


class AnswerCache:
    """Answers by what they depend on. Any thread may use it."""

    def __init__(self) -> None:
        self._answers: LRUCache[Hashable, object] = LRUCache(_ANSWERS)
        self._large: LRUCache[Hashable, object] = LRUCache(_LARGE_ANSWERS)
        self._lock = threading.Lock()

    def get(self, key: Hashable, build: Callable[[], _T], *, large: bool = False) -> _T:
        """The answer of a key; `build` returns it when it is not in the cache. Of `large` ones few are kept."""
        answers = self._large if large else self._answers
        with self._lock:
            if key in answers:
                return cast("_T", answers[key])
        answer = build()
        with self._lock:
            answers[key] = answer
        return answer


@dataclass(frozen=True)
class CachedQueries:
    """The deep-dive queries of one criterion in one request, answered from a cache where the queue has not changed."""

    cache: AnswerCache
    connection: sqlite3.Connection
    scope: Scope
    revision: int
    criterion: str
    _scores: dict[str, list[ScoredItems]] = field(default_factory=dict)
    """The scores that several answers of one request are made of, by metric."""

    def ceiling(self) -> Ceiling:
        """How well people agree with each other."""
        return self._cached(
            "ceiling", lambda: deep_dive.ceiling(self.connection, self.scope, self.criterion, cells=self._day_cells)
        )

    def sparks(self) -> Mapping[str, Spark]:
        """Small charts of alignment over time, by metric; on-topic metrics with enough days only."""

        def build() -> Mapping[str, Spark]:
            by_metric: dict[str, list[DayCells]] = defaultdict(list)
            for cells in self._day_cells:
                by_metric[cells.metric].append(cells)
            charts = {metric: spark(weekly_alignment(of, self.scope, SPARK_DAYS)) for metric, of in by_metric.items()}
            return {metric: chart for metric, chart in charts.items() if chart is not None}

        return self._cached("sparks", build)

    def trend(self, metric: str | None, *, published: bool) -> Trend:
        """Alignment over time, by day of annotation or of publication, of an on-topic metric; None: of all of them."""

        def build() -> Trend:
            of = self.connection, self.scope, self.criterion, metric, self._judges()
            if published:
                return deep_dive.published(*of)
            of_metric = [cells for cells in self._day_cells if metric in (None, cells.metric)]
            return deep_dive.trend(*of, cells=of_metric)

        return self._cached(f"trend {published}", build, metric)

    def what_if(self, metric: str, cost: float) -> WhatIf:
        """Other thresholds of a metric; `cost`: false negatives that one false positive is worth."""
        return self._cached(
            f"what-if {cost!r}",
            lambda: what_if_of(self._scored(metric), self.scope, self.criterion, metric, cost=cost),
            metric,
        )

    def scales(self) -> Mapping[str, ScaleCheck]:
        """Thresholds and scales of the scores, by metric."""
        return self._cached("scales", lambda: scales(self.connection, self.scope, self.criterion))

    def versions(self, metric: str) -> Versions:
        """The judge versions of a metric."""
        return self._cached(
            "versions",
            lambda: deep_dive.versions(self.connection, self.scope, self.criterion, metric, self._judges()),
            metric,
        )

    def successors(self) -> list[tuple[str, str, int]]:
        """The versions with newer verdicts on the items of the scope's version: version, metric, number of items."""
        return self._cached("successors", lambda: successors(self.connection, self.scope, self.criterion))

    def tests_of_newest(self, newest: Mapping[str, str]) -> Mapping[str, VersionTest]:
        """Tests of the newest judge versions, by metric, against the versions before."""
        return self._cached(
            f"tests of newest {sorted(newest.items())!r}",
            lambda: deep_dive.tests_of_newest(self.connection, self.scope, self.criterion, newest, self._judges()),
        )

    def corrected(self, metric: str) -> Corrected:
        """Pass rates of a metric, corrected for the judge's errors."""
        return self._cached(
            "corrected",
            lambda: deep_dive.corrected(self.connection, self.scope, self.criterion, metric, self._judges()),
            metric,
        )

    def segments(self, metric: str, by: str | None) -> Segments:
        """Comparisons of a metric by segment."""
        return self._cached(
            f"segments {by}",
            lambda: segments(self.connection, self.scope, self.criterion, metric, by),
            metric,
        )

    def divisions(self, metric: str) -> list[Segments]:
        """Comparisons of a metric by each of the tags of most comparisons."""
        first = self.segments(metric, None)
        return [self.segments(metric, f"{TAG}{name}") for name in first["tags"][:DIVISIONS]]

    def calibration(self, metric: str) -> ScoreCalibration:
        """Scores of a metric as probabilities."""
        return self._cached(
            "calibration", lambda: calibration_of(self._scored(metric), self.scope, self.criterion, metric), metric
        )

    def alternative(self, epsilon: float) -> AlternativeAnnotator:
        """Whether each metric may replace one of the annotators."""
        return self._cached(
            "alternative", lambda: alternative_annotator(self.connection, self.scope, self.criterion, epsilon)
        )

    def annotators(self) -> Annotators:
        """The annotators, compared with each other."""
        return self._cached("annotators", lambda: annotators(self.connection, self.scope, self.criterion))

    def side_by_side(self, first: JudgedBy, second: JudgedBy) -> SideBySide:
        """Two metrics, or two versions of one."""
        return self._cached(
            f"{first!r} next to {second!r}",
            lambda: side_by_side(self.connection, self.scope, self.criterion, first, second),
        )

    def words(self, metric: str, outcomes: Sequence[Outcome], judge: str | None) -> WordsSummary:
        """What is frequent in the texts about misaligned items of a metric, or of one of its versions."""
        scope = self.scope

        def build() -> WordsSummary:
            query = Query(
                queue=scope.queue,
                criterion=self.criterion,
                metric=metric,
                outcomes=outcomes,
                judge=judge or scope.judge,
                window=scope.window,
            )
            return summarize(*written(self.connection, query, scope.rules, scope.today))

        return self._cached(f"words {outcomes!r} {judge}", build, metric)

    def _judges(self) -> Judges:
        return self._cached(
            "judges", lambda: judge_versions(self.connection, self.scope, self.criterion, cells=self._cells)
        )

    @property
    def _day_cells(self) -> Sequence[DayCells]:
        """The current ones of on-topic metrics."""
        return self._of_days[1]

    def _scored(self, metric: str) -> list[ScoredItems]:
        if metric not in self._scores:
            self._scores[metric] = scored(self.connection, self.scope, self.criterion, metric)
        return self._scores[metric]

    @property
    def _cells(self) -> Sequence[PublishedCells]:
        """The published cells of the criterion; several answers are made of them."""
        return self._of_days[0]

    @cached_property
    def _of_days(self) -> tuple[Sequence[PublishedCells], Sequence[DayCells]]:
        def build() -> tuple[Sequence[PublishedCells], Sequence[DayCells]]:
            cells = published_cells(self.connection, self.scope, self.criterion)
            return cells, list(day_cells(cells, self.scope))

        return self._cached("cells", build, large=True)

    def _cached(self, name: str, build: Callable[[], _T], metric: str | None = None, *, large: bool = False) -> _T:
        scope = self.scope
        key = (scope.queue, scope.window, scope.today, scope.judge, self.revision, self.criterion, name, metric)
        return self.cache.get(key, build, large=large)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepDiveOptions:
    """The reader's choices in the slow parts."""

    trend_metric: str | None = None
    """Metric of the trend; None for all metrics together."""
    published: bool = False
    """Whether the trend is of published documents instead of today's rows."""
    metric: str | None = None
    """Metric shown in detail."""
    cut: int | None = None
    """Row of the table of thresholds that is tried; None for the best."""
    cost: float = 1.0
    """False negatives that one false positive is worth."""
    epsilon: float = 0.2
    """How much worse than a person a metric may be to replace one."""
    annotators: bool = False
    """Whether to show numbers of single annotators."""
    next_to: str | None = None
    """What the metric is set next to, as the form has it; None for the first choice."""
    segments_by: str | None = None
    """What divides the metric's comparisons into segments; None for the default."""


@dataclass(frozen=True, slots=True)
class DeepDive:
    """The slow parts of a queue's page."""

    trend: Trend
    alternative: AlternativeAnnotator
    """Whether the metrics may replace a person."""
    history: TrendChart | None
    years: bool
    """Whether the days that are shown are of more than one year."""
    metric: str | None
    """Metric shown in detail; None where no metric has comparisons."""
    what_if: WhatIf | None
    lab: Lab | None
    """None where the metric has no scores to move a threshold over."""
    versions: Versions | None
    corrected: Corrected | None
    calibration: ScoreCalibration | None
    reliability: list[Reliability]
    """Dots of the diagram."""
    segments: Segments | None
    annotators: Annotators | None


def deep_dive_section(
    queries: CachedQueries, options: DeepDiveOptions, baseline: float | None, ceiling: float | None
) -> DeepDive:
    """The slow parts; `baseline` and `ceiling` are lines in the chart of the trend."""
    trend = queries.trend(options.trend_metric, published=options.published)
    metric = options.metric
    versions = None if metric is None else queries.versions(metric)
    days = [each["day"] for each in (*trend["days"], *trend["epochs"])]
    years = several_years([*days, *(each["first_day"] for each in (versions["versions"] if versions else ()))])
    alternative = queries.alternative(options.epsilon)
    chart = history(trend, baseline, ceiling, years=years)
    if metric is None:
        return DeepDive(trend, alternative, chart, years, None, None, None, None, None, None, [], None, None)
    answer, scores = queries.what_if(metric, options.cost), queries.calibration(metric)
    return DeepDive(
        trend=trend,
        alternative=alternative,
        history=chart,
        years=years,
        metric=metric,
        what_if=answer,
        lab=lab(answer, options.cut),
        versions=versions,
        corrected=queries.corrected(metric),
        calibration=scores,
        reliability=reliability(scores),
        segments=queries.segments(metric, options.segments_by or first_division(queries.divisions(metric))),
        annotators=queries.annotators() if options.annotators else None,
    )
