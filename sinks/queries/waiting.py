"""Evaluations whose item no annotation and no queue item names yet, as the workers report them.

They are on the workers' disks and in no row or tally. A worker that lacks some of them reads them again from their
topic: until then, comparisons of items that became known since it started may be missing, which is `rebuilding`.
"""

import sqlite3
from typing import Final

import orjson

from aggregator.days import timestamp
from aggregator.tallies import WAITING_JUDGES, WAITING_SAMPLE
from sinks.queries.results import JudgeWaiting, WaitingTotals

_REPORTS: Final = "SELECT waiting FROM partitions WHERE waiting IS NOT NULL ORDER BY partition"
_METRICS: Final = "SELECT count(DISTINCT metric) FROM waiting_judges"
_JUDGES: Final = """
SELECT metric, judge, min(first_at), max(last_at), sum(verdicts) FROM waiting_judges
GROUP BY metric, judge ORDER BY sum(verdicts) DESC, metric, judge LIMIT ?
"""


def waiting_evaluations(connection: sqlite3.Connection) -> WaitingTotals | None:
    """What waits in all partitions; None while no worker reports anything."""
    reports = [orjson.loads(report) for (report,) in connection.execute(_REPORTS)]
    if not reports:
        return None
    (metrics,) = connection.execute(_METRICS).fetchone()
    return WaitingTotals(
        evaluations=sum(report["evaluations"] for report in reports),
        metrics=metrics,
        rebuilding=sum(report["rebuilding"] for report in reports),
        missing=sum(report["missing"] for report in reports),
        since=timestamp(since) if (since := max(report["since"] for report in reports)) else None,
        sample=[item for report in reports for item in report["sample"]][:WAITING_SAMPLE],
        judges=[
            JudgeWaiting(
                metric=metric, judge=judge, first_at=timestamp(first), last_at=timestamp(last), verdicts=verdicts
            )
            for metric, judge, first, last, verdicts in connection.execute(_JUDGES, (WAITING_JUDGES,))
        ],
    )
