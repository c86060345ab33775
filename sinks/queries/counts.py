"""The counts of one queue since several days: rates from tallies, distinct items from item profiles.

Tallies are summed over partitions and days. Distinct items do not add up over days, metrics or criteria, so they are
counted over the item profiles of the same state: there are as many profiles as items differ. Everything is read once,
for any number of windows.
"""

import sqlite3
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from aggregator.days import day_name, day_number
from aggregator.snapshot.inputs import (
    CountingRules,
    CriterionState,
    Funnel,
    JudgeFailures,
    JudgeVectors,
    MetricCoverage,
    PairCounts,
    QueueState,
    Vector,
    sum_vectors,
)
from aggregator.statistics.judge_in_use import JudgePeriod
from aggregator.tallies import COVERAGE
from sinks.queries.judge_versions import judges_in_use
from sinks.queries.profiles import CONTRIBUTING, item_profiles, json_rows

# Each query returns one row, a JSON array of all rows: see `sinks.queries.profiles`.
_TALLIES: Final = """
SELECT '[' || coalesce(group_concat(
    json_array(kind, criterion, metric, day, json(CAST(payload AS TEXT)))), '') || ']' FROM tallies WHERE queue = ?
"""


_Version = tuple[str, str]
"""A metric and a judge version of it."""
_Failure = tuple[str, str]
"""A metric and the status of its failure."""
_Rated = tuple[tuple[int, tuple[str, ...]], ...]
"""For each band of days the criteria whose newest rating of an item is in it."""


class _Sums:
    """Counts of the days of a band.

    Vectors are collected, current and superseded ones separately, and added up once.
    """

    def __init__(self) -> None:
        self.cells: dict[tuple[str, str], dict[str, tuple[list[Vector], list[Vector]]]] = defaultdict(dict)
        self.coverage: dict[str, Vector] = defaultdict(lambda: (0,) * len(COVERAGE))
        self.annotations: Counter[str] = Counter()
        self.contributing: Counter[str] = Counter()
        self.items: dict[str, Counter[str]] = defaultdict(Counter)
        """Distinct items by criterion and metric, each in the band of its newest day."""
        self.version_items: dict[str, Counter[_Version]] = defaultdict(Counter)
        """The same by criterion, metric and judge version."""
        self.failures: dict[str, Counter[_Failure]] = defaultdict(Counter)
        """The same by criterion, metric and status of the failure that is shown."""
        self.compared: Counter[str] = Counter()
        self.items_compared = 0
        self.items_annotated = 0

    def __bool__(self) -> bool:
        return any(vars(self).values())

    def metrics(self) -> set[str]:
        """The metrics that have something here."""
        compared = {metric for _, metric in self.cells}
        failed = {metric for failures in self.failures.values() for metric, _ in failures}
        return compared | failed | self.coverage.keys()

    def gather(self, criterion: str, metric: str, judge: str, current: Iterable[Vector], old: Iterable[Vector]) -> None:
        judges = self.cells[criterion, metric]
        vectors = judges.get(judge)
        if vectors is None:
            vectors = judges[judge] = ([], [])
        vectors[0].extend(current)
        vectors[1].extend(old)

    def add(self, other: "_Sums") -> None:
        for (criterion, metric), judges in other.cells.items():
            for judge, vectors in judges.items():
                self.gather(criterion, metric, judge, *vectors)
        for judges in self.cells.values():
            for judge, (current, old) in judges.items():
                judges[judge] = [sum_vectors(current)], [sum_vectors(old)]
        for metric, counts in other.coverage.items():
            self.coverage[metric] = sum_vectors((self.coverage[metric], counts))
        for criterion, items in other.items.items():
            self.items[criterion].update(items)
        for criterion, versions in other.version_items.items():
            self.version_items[criterion].update(versions)
        for criterion, failures in other.failures.items():
            self.failures[criterion].update(failures)
        self.annotations.update(other.annotations)
        self.contributing.update(other.contributing)
        self.compared.update(other.compared)
        self.items_compared += other.items_compared
        self.items_annotated += other.items_annotated


class _Placed:
    """Items that queue-item rows place in the queue, on any day."""

    def __init__(self) -> None:
        self.items = 0
        self.unevaluated = 0
        self.errored = 0
        self.unannotated = 0
        self.evaluated: Counter[str] = Counter()
        """Items with a verdict or failure, by metric."""

    def add(self, items: int, *, verdict: bool, failed: bool, rated: bool) -> None:
        self.items += items
        self.unevaluated += 0 if verdict or failed else items
        self.errored += items if failed and not verdict else 0
        self.unannotated += 0 if rated else items


class _Bands:
    """Bands of days, divided by the starts of windows. A window is the band that starts with it and all later bands.

    `sums`: counts by band, oldest first. The first band precedes every window; its counts are not used.
    """

    def __init__(self, starts: Sequence[str]) -> None:
        self._starts = sorted(set(starts))
        self._index: dict[int | str, int] = {}
        self._cuts: dict[tuple[tuple[str, int], ...], _Rated] = {}
        self.sums = [_Sums() for _ in range(len(self._starts) + 1)]

    def index(self, day: int | str) -> int:
        """The band of a UTC day: ISO text, or days since epoch."""
        index = self._index.get(day)
        if index is None:
            text = day if isinstance(day, str) else day_name(day)
            index = self._index[day] = bisect_right(self._starts, text)
        return index

    def cut(self, rated: tuple[tuple[str, int], ...]) -> _Rated:
        """Rated criteria and their newest days (since epoch) by band."""
        bands = self._cuts.get(rated)
        if bands is None:
            by_band: dict[int, list[str]] = defaultdict(list)
            for criterion, day in rated:
                by_band[self.index(day)].append(criterion)
            bands = self._cuts[rated] = tuple((band, tuple(criteria)) for band, criteria in by_band.items())
        return bands

    def of(self, day: int | str) -> _Sums:
        """The counts of a UTC day's band."""
        return self.sums[self.index(day)]

    def totals(self) -> dict[str, _Sums]:
        """The counts since each start; the same object for starts with the same counts."""
        totals: dict[str, _Sums] = {}
        total = _Sums()
        for start, sums in zip(reversed(self._starts), reversed(self.sums), strict=False):
            if sums:
                sums.add(total)
                total = sums
            totals[start] = total
        return totals


def queue_states(
    connection: sqlite3.Connection, queue: str, starts: Sequence[str], rules: CountingRules
) -> list[QueueState]:
    """The counts of a queue since each of these UTC days (ISO text, empty for all days).

    Days with the same counts get the same object. The connection must see one state.
    """
    bands, placed = _Bands(starts), _Placed()
    _read_tallies(connection, queue, bands, placed, rules)
    _read_profiles(connection, queue, bands, placed, rules)
    totals = bands.totals()
    metrics = {metric for sums in totals.values() for metric in sums.metrics()}
    in_use = judges_in_use(connection, metrics)
    different = {id(sums): sums for sums in totals.values()}
    states = {key: _state(queue, sums, placed, in_use) for key, sums in different.items()}
    return [states[id(totals[start])] for start in starts]


def count_unannounced(connection: sqlite3.Connection, queue: str, start: str, rules: CountingRules) -> int:
    """Distinct items with an on-topic comparison since a UTC day (ISO text, empty for all days) that no queue-item row
    places in the queue.
    """
    first = day_number(start) if start else 0
    number = 0
    for _, items, is_placed, days, versions, _ in item_profiles(connection, queue):
        criteria = [criterion for criterion, day in days if day >= first]
        if not is_placed and _compared(criteria, [metric for metric, _ in versions], rules):
            number += items
    return number


def _read_tallies(
    connection: sqlite3.Connection, queue: str, bands: _Bands, placed: _Placed, rules: CountingRules
) -> None:
    for kind, criterion, metric, day, body in json_rows(connection, _TALLIES, queue):
        sums = bands.of(day)
        if kind == "cells":
            for judge, vectors in body["judges"].items():
                sums.gather(criterion, metric, judge, (vectors["current"],), (vectors["superseded"],))
        elif kind == "annotations":
            sums.annotations[criterion] += body["annotations"]
            if criterion not in rules.criterion_metrics:
                sums.contributing[criterion] += body["contributing"]
        else:
            sums.coverage[metric] = sum_vectors((sums.coverage[metric], [body[what] for what in COVERAGE]))
            placed.evaluated[metric] += sum(body.values())


def _read_profiles(
    connection: sqlite3.Connection, queue: str, bands: _Bands, placed: _Placed, rules: CountingRules
) -> None:
    # Profiles that differ only by days of one band, or by criteria rated in it, are added up first: far fewer are left.
    groups: Counter[tuple[_Rated, tuple[_Version, ...]]] = Counter()
    on_topic: dict[str, set[int]] = {criterion: set() for criterion in rules.criterion_metrics}
    for profile, items, is_placed, days, versions, failures in item_profiles(connection, queue):
        if is_placed:
            placed.add(items, verdict=bool(versions), failed=bool(failures), rated=bool(days))
        rated = bands.cut(tuple(map(tuple, days)))
        groups[rated, tuple(map(tuple, versions))] += items
        for metric, status in failures:
            for band, criteria in rated:
                for criterion in criteria:
                    bands.sums[band].failures[criterion][metric, status] += items
        for criterion, profiles in on_topic.items():
            if _compared((criterion,), [metric for metric, _ in versions], rules):
                profiles.add(profile)
    _add_items(groups, bands, rules)
    _read_contributing(connection, queue, bands, on_topic)


def _add_items(groups: Mapping[tuple[_Rated, tuple[_Version, ...]], int], bands: _Bands, rules: CountingRules) -> None:
    """Add distinct items, each to the band of its newest rating."""
    by_metric: dict[tuple[int, tuple[str, ...]], Counter[str]] = defaultdict(Counter)
    by_version: dict[tuple[int, tuple[str, ...]], Counter[_Version]] = defaultdict(Counter)
    for (of_bands, versions), items in groups.items():
        newest = newest_compared = 0
        metrics = tuple(dict.fromkeys(metric for metric, _ in versions))
        for band, criteria in of_bands:
            newest = max(newest, band)
            of_metrics, of_versions = by_metric[band, criteria], by_version[band, criteria]
            for metric in metrics:
                of_metrics[metric] += items
            for version in versions:
                of_versions[version] += items
            for criterion in _compared(criteria, metrics, rules):
                newest_compared = max(newest_compared, band)
                bands.sums[band].compared[criterion] += items
        bands.sums[newest].items_annotated += items
        bands.sums[newest_compared].items_compared += items
    for (band, criteria), of_metrics in by_metric.items():
        for criterion in criteria:
            bands.sums[band].items[criterion].update(of_metrics)
            bands.sums[band].version_items[criterion].update(by_version[band, criteria])


def _compared(criteria: Sequence[str], metrics: Sequence[str], rules: CountingRules) -> Sequence[str]:
    """The criteria that one of these metrics is on topic for."""
    if not metrics:
        return ()
    if not rules.criterion_metrics:
        return criteria
    return [criterion for criterion in criteria if any(rules.on_topic(criterion, metric) for metric in metrics)]


def _read_contributing(
    connection: sqlite3.Connection, queue: str, bands: _Bands, on_topic: dict[str, set[int]]
) -> None:
    """Add the annotations with an on-topic comparison, by the profiles that have one.

    Which metrics are on topic is a setting of the view; the tallies count contributions to any metric.
    """
    for criterion, profiles in on_topic.items():
        for profile, items, days in json_rows(connection, CONTRIBUTING, queue, criterion):
            for day, annotations in days if profile in profiles else ():
                bands.of(day).contributing[criterion] += items * annotations


def _state(queue: str, sums: _Sums, placed: _Placed, in_use: Mapping[str, JudgePeriod]) -> QueueState:
    by_criterion: dict[str, dict[str, PairCounts]] = defaultdict(dict)
    for (criterion, metric), judges in sums.cells.items():
        items = sums.version_items[criterion]
        cells = {
            judge: JudgeVectors(current, old, items[metric, judge]) for judge, ((current,), (old,)) in judges.items()
        }
        by_criterion[criterion][metric] = PairCounts(sums.items[criterion][metric], cells)
    criteria = {
        criterion: CriterionState(
            annotations,
            sums.contributing[criterion],
            sums.compared[criterion],
            by_criterion[criterion],
            _failures(sums.failures[criterion]),
        )
        for criterion, annotations in sums.annotations.items()
        if annotations
    }
    return QueueState(queue, sums.items_compared, sums.items_annotated, criteria, _funnel(sums, placed), in_use)


def _failures(items: Counter[_Failure]) -> dict[str, JudgeFailures]:
    metrics = {metric for metric, _ in items}
    return {metric: JudgeFailures(items[metric, "error"], items[metric, "skipped"]) for metric in metrics}


def _funnel(sums: _Sums, placed: _Placed) -> Funnel | None:
    if not placed.items:
        return None
    metrics = {
        metric: _evaluated(sums.coverage[metric], placed.items - evaluated)
        for metric, evaluated in placed.evaluated.items()
        if evaluated
    }
    return Funnel(placed.items, placed.unevaluated, placed.errored, placed.unannotated, metrics)


def _evaluated(coverage: Sequence[int], waiting: int) -> MetricCoverage:
    passed, failed, errored, skipped = coverage
    return MetricCoverage(passed, failed, errored, skipped, waiting)
