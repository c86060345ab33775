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

from aggregator.snapshot.inputs import CriterionState, JudgeFailures, PairCounts, QueueState
from sinks.queries.judge_versions import judge_periods
from sinks.queries.scope import OF_JUDGE, ON_TOPIC, Scope

# Distinct items do not add up over metrics or criteria, so each is counted on its own.
_ITEMS: Final = f"""
WITH compared AS MATERIALIZED (
    SELECT a.item_id AS item_id, a.criterion AS criterion, e.metric AS metric, {ON_TOPIC} AS on_topic,
        count(*) AS annotations
    FROM annotations AS a CROSS JOIN evaluations AS e INDEXED BY evaluations_current
        ON e.item_id = a.item_id AND e.current = 1 AND {OF_JUDGE}
    WHERE a.queue = :queue AND a.counted = 1 AND a.at >= :start
    GROUP BY a.item_id, a.criterion, e.metric),
by_criterion AS (
    SELECT criterion, item_id, max(annotations) AS annotations FROM compared WHERE on_topic GROUP BY criterion, item_id)
SELECT criterion, metric, count(*), 0 FROM compared GROUP BY criterion, metric
UNION ALL SELECT criterion, NULL, count(*), sum(annotations) FROM by_criterion GROUP BY criterion
UNION ALL SELECT NULL, NULL, count(DISTINCT item_id), 0 FROM by_criterion
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
    for criterion, metric, number, annotations in connection.execute(
        _ITEMS, {**scope.values(), **scope.topic_values()}
    ):
        items[criterion, metric] = number
        contributing[criterion] += annotations
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
