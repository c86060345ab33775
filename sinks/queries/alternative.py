"""The alternative annotator test of every metric of a criterion."""

# SQL is put together from constants of this file alone; values are always bound.
# ruff: noqa: S608

import sqlite3
from collections import defaultdict
from typing import Final

from aggregator.statistics.alternative import WINS, LeftOut, alternative
from aggregator.statistics.confusion import Undefined
from sinks.queries.alternative_results import AlternativeAnnotator, MetricAlternative
from sinks.queries.people import STANDING
from sinks.queries.scope import OF_JUDGE, OWN_PASS, Scope

# Where person and judge differ, the others agree with one of them: `apart` is above 0 where more agree with the person.
_LEFT_OUT: Final = f"""
WITH standing AS (
    SELECT a.item_id AS item_id, a.annotator AS annotator, {OWN_PASS} AS own, count(*) OVER item AS people,
        sum({OWN_PASS}) OVER item AS passes
    {STANDING} WINDOW item AS (PARTITION BY a.item_id)),
shared AS (
    SELECT item_id, annotator, own,
        2 * (CASE WHEN own THEN passes ELSE people - passes END - 1) - (people - 1) AS apart
    FROM standing WHERE people > 1)
SELECT e.metric, s.annotator, count(*), sum(e.passed <> s.own AND s.apart > 0), sum(e.passed <> s.own AND s.apart < 0)
FROM shared AS s CROSS JOIN evaluations AS e INDEXED BY evaluations_current
    ON e.item_id = s.item_id AND e.current = 1 AND {OF_JUDGE}
GROUP BY e.metric, s.annotator
"""


def alternative_annotator(
    connection: sqlite3.Connection, scope: Scope, criterion: str, epsilon: float
) -> AlternativeAnnotator:
    """Whether each metric may replace one of the annotators of a criterion."""
    left_out: dict[str, list[LeftOut]] = defaultdict(list)
    for metric, _, *counts in connection.execute(_LEFT_OUT, scope.values(criterion)):
        if scope.rules.on_topic(criterion, metric):
            left_out[metric].append(LeftOut(*counts))
    return AlternativeAnnotator(
        queue=scope.queue,
        criterion=criterion,
        window=scope.window.value,
        epsilon=epsilon,
        metrics=[_metric(metric, people, epsilon) for metric, people in sorted(left_out.items())],
    )


def _metric(metric: str, people: list[LeftOut], epsilon: float) -> MetricAlternative:
    result = alternative(people, epsilon)
    if isinstance(result, Undefined):
        names = ("people", "won", "winning_rate", "advantage", "may_replace")
        return MetricAlternative(
            metric=metric,
            people=None,
            won=None,
            winning_rate=None,
            advantage=None,
            may_replace=None,
            undefined=dict.fromkeys(names, result),
        )
    return MetricAlternative(
        metric=metric,
        people=result.people,
        won=result.won,
        winning_rate=result.winning_rate,
        advantage=result.advantage,
        may_replace=result.winning_rate >= WINS,
        undefined={},
    )
