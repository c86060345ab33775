"""Judge versions of a criterion with the counts of their comparisons.

Comparisons are in the tallies already, by judge version, and distinct items in the item profiles. No row is read.
"""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from aggregator.days import day_number
from aggregator.snapshot.inputs import Vector, sum_vectors
from aggregator.statistics.confusion import Confusion
from aggregator.statistics.versions import VersionCounts
from sinks.queries.days import PublishedCells, published_cells
from sinks.queries.judge_versions import judge_periods
from sinks.queries.profiles import item_profiles
from sinks.queries.scope import Scope

Judges = Mapping[str, Sequence[VersionCounts]]
"""Judge versions with the counts of their comparisons, by metric."""
_MetricVersion = tuple[str, str]
"""A metric and a judge version of it."""


def judge_versions(
    connection: sqlite3.Connection,
    scope: Scope,
    criterion: str,
    metric: str | None = None,
    *,
    cells: Sequence[PublishedCells] | None = None,
) -> Judges:
    """Judge versions of a criterion, of one metric or of all.

    Args:
        connection: sees one state.
        scope: its judge version is not used: all are counted.
        criterion: name of the criterion.
        metric: name of the metric; None for all.
        cells: the published cells of the criterion, where the caller has them.
    """
    vectors: dict[_MetricVersion, list[Vector]] = defaultdict(list)
    superseded: Counter[_MetricVersion] = Counter()
    first_days: dict[_MetricVersion, str] = {}
    for of_day in published_cells(connection, scope, criterion, metric) if cells is None else cells:
        for judge, of_judge in of_day.judges.items() if metric in (None, of_day.metric) else ():
            old = sum(of_judge["superseded"])
            if old or any(of_judge["current"]):
                version = of_day.metric, judge
                vectors[version] += of_judge.values()
                superseded[version] += old
                first_days[version] = min(of_day.day, first_days.get(version, of_day.day))
    items = _items(connection, scope, criterion)
    periods = judge_periods(connection, vectors)
    judges: dict[str, list[VersionCounts]] = defaultdict(list)
    for version, of_version in vectors.items():
        tp, fn, tn, fp = scope.rules.outcomes(criterion, sum_vectors(of_version))
        counts = Confusion(tp=tp, fn=fn, tn=tn, fp=fp, items=items[version])
        name, judge = version
        judges[name].append(
            VersionCounts(judge, periods[version].first_at, first_days[version], counts, superseded[version])
        )
    return judges


def _items(connection: sqlite3.Connection, scope: Scope, criterion: str) -> Counter[_MetricVersion]:
    """Distinct items of the window on which each version has a standing verdict."""
    first = day_number(scope.first_day) if scope.first_day else 0
    items: Counter[_MetricVersion] = Counter()
    alike: Counter[tuple[_MetricVersion, ...]] = Counter()
    for profile in item_profiles(connection, scope.queue):
        if any(name == criterion and day >= first for name, day in profile.days):
            alike[tuple(map(tuple, profile.versions))] += profile.items
    for versions, number in alike.items():
        for version in versions:
            items[version] += number
    return items
