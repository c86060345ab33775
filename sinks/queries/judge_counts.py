"""The counts of one judge version, from those of all versions and from rows.

A comparison is of the version that gave the current verdict on its item. Each comparison is of one version, so the
cells of all versions add up to the cells without a choice.
"""

# SQL is put together from constants of this file alone; values are always bound.
# ruff: noqa: S608

import sqlite3
from collections import defaultdict
from dataclasses import replace
from typing import Final

import orjson

from aggregator.snapshot.inputs import CriterionState, JudgeFailures, PairCounts, QueueState
from sinks.queries.judge_versions import judge_periods
from sinks.queries.scope import OF_JUDGE, Scope

# Items that the version judged with the same metrics are alike, and few differ: to group by metric would sort every
# comparison. Distinct items do not add up over criteria, so those of all criteria are counted by the list of these.
_ITEMS: Final = f"""
WITH rated AS (
    SELECT a.item_id AS item_id, a.criterion AS criterion, count(*) AS annotations
    FROM annotations AS a WHERE a.queue = :queue AND a.counted = 1 AND a.at >= :start GROUP BY a.item_id, a.criterion),
items AS MATERIALIZED (
    SELECT item_id, json_group_array(json_array(criterion, annotations)) AS criteria, (
        SELECT json_group_array(e.metric) FROM evaluations AS e INDEXED BY evaluations_current
        WHERE e.item_id = rated.item_id AND e.current = 1 AND {OF_JUDGE}) AS metrics
    FROM rated GROUP BY item_id)
SELECT criteria, metrics, count(*) FROM items WHERE metrics <> '[]' GROUP BY criteria, metrics
"""
_FAILURES: Final = f"""
SELECT a.criterion, e.metric, count(DISTINCT a.item_id) FILTER (WHERE e.status = 'error'),
    count(DISTINCT a.item_id) FILTER (WHERE e.status = 'skipped')
FROM annotations AS a CROSS JOIN evaluations AS e INDEXED BY evaluations_shown
    ON e.item_id = a.item_id AND e.shown = 1 AND {OF_JUDGE}
WHERE a.queue = :queue AND a.counted = 1 AND a.at >= :start
GROUP BY a.criterion, e.metric
"""


def judge_state(connection: sqlite3.Connection, state: QueueState, scope: Scope) -> QueueState:
    """The counts of the scope's judge version, which must not be None; a version without verdicts has no comparisons.

    Metrics without a comparison or failure of the version are left out. What has no judge version stays: annotations,
    criteria, and annotated items. Queue items are not counted by version.

    Args:
        connection: sees the state of the store that `state` is of.
        state: the counts of all versions in the scope's queue and window.
        scope: names the version.
    """
    judge = scope.judge
    assert judge is not None
    items: dict[tuple[str | None, str | None], int] = defaultdict(int)
    contributing: dict[str, int] = defaultdict(int)
    for rated, judged, number in connection.execute(_ITEMS, scope.values()):
        metrics_of_items, any_on_topic = orjson.loads(judged), False
        for criterion, annotations in orjson.loads(rated):
            for metric in metrics_of_items:
                items[criterion, metric] += number
            if any(scope.rules.on_topic(criterion, metric) for metric in metrics_of_items):
                items[criterion, None] += number
                contributing[criterion] += annotations * number
                any_on_topic = True
        items[None, None] += number * any_on_topic
    failures: dict[str, dict[str, JudgeFailures]] = defaultdict(dict)
    for criterion, metric, errored, skipped in connection.execute(_FAILURES, scope.values()):
        failures[criterion][metric] = JudgeFailures(errored, skipped)
    metrics = {metric for criterion in state.criteria.values() for metric in criterion.metrics}
    periods = judge_periods(connection, ((metric, judge) for metric in metrics))
    return replace(
        state,
        items_compared=items[None, None],
        criteria={
            name: CriterionState(
                annotations=criterion.annotations,
                contributing=contributing[name],
                items_compared=items[name, None],
                metrics={
                    metric: PairCounts(items[name, metric], {judge: pair.judges[judge]})
                    for metric, pair in criterion.metrics.items()
                    if judge in pair.judges
                },
                failures=failures[name],
            )
            for name, criterion in state.criteria.items()
        },
        funnel=None,
        judges={metric: period for (metric, _), period in periods.items()},
        judge=judge,
    )
