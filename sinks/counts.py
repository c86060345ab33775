"""One queue's counts in one window, from the store: rates from tallies, distinct items from rows.

Tallies are summed over partitions and days. Distinct items do not add up over days, metrics or criteria, so
they are counted over the rows of the same state.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from datetime import date
from typing import Final

import orjson

from aggregator.ratings import COUNTS
from aggregator.state import (
    Cell,
    CriterionState,
    Evaluated,
    Funnel,
    Pair,
    QueueState,
    Reading,
    Window,
    window_start,
)
from aggregator.tallies import DAY_MS

_EPOCH: Final = date(1970, 1, 1)
_COVERAGE: Final = ("pass", "fail", "error", "skipped")

_ITEMS: Final = """
SELECT criteria, metrics, count(*) FROM (
    SELECT json_group_array(r.criterion) AS criteria,
        (SELECT json_group_array(e.metric) FROM evaluations AS e WHERE e.item = r.item AND e.current = 1)
            AS metrics
    FROM rated AS r WHERE r.queue = ? AND r.day >= ? GROUP BY r.item
) GROUP BY criteria, metrics
"""

_FUNNEL: Final = """
SELECT count(*), sum(NOT verdict AND NOT failure), sum(NOT verdict AND failure), sum(NOT annotated) FROM (
    SELECT EXISTS (SELECT 1 FROM evaluations AS e WHERE e.item = q.item AND e.current = 1) AS verdict,
        EXISTS (SELECT 1 FROM evaluations AS e WHERE e.item = q.item AND e.shown = 1) AS failure,
        EXISTS (SELECT 1 FROM rated AS r WHERE r.queue = q.queue AND r.item = q.item) AS annotated
    FROM queue_items AS q WHERE q.queue = ? AND q.deleted = 0
)
"""

_CONTRIBUTING: Final = """
SELECT count(*) FROM annotations AS a WHERE a.queue = ? AND a.counted = 1 AND a.criterion = ? AND a.at >= ?
    AND EXISTS (
        SELECT 1 FROM evaluations AS e
        WHERE e.item = a.item AND e.current = 1 AND e.metric IN (SELECT value FROM json_each(?)))
"""


class _Sums:
    """Tallies of a queue, summed over partitions and the days of a window."""

    def __init__(self) -> None:
        self.cells: dict[tuple[str, str], dict[str, tuple[list[int], list[int]]]] = defaultdict(dict)
        self.annotations: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        self.coverage: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        self.heard: dict[str, int] = defaultdict(int)
        """Items of which a metric says anything, on whatever day."""

    def add(self, rows: Iterable[tuple[str, str, str, str, bytes]], start: str) -> None:
        for kind, criterion, metric, day, payload in rows:
            if kind == "evaluations":
                body = orjson.loads(payload)
                self.heard[metric] += sum(body.values())
                if day >= start:
                    _add(self.coverage[metric], [body[what] for what in _COVERAGE])
            elif day < start:
                continue
            elif kind == "annotations":
                body = orjson.loads(payload)
                _add(self.annotations[criterion], [body["annotations"], body["contributing"]])
            else:
                for judge, vectors in orjson.loads(payload)["judges"].items():
                    current, superseded = self.cells[criterion, metric].setdefault(judge, ([0] * COUNTS, [0] * COUNTS))
                    _add(current, vectors["current"])
                    _add(superseded, vectors["superseded"])


def _add(total: list[int], counts: list[int]) -> None:
    for index, count in enumerate(counts):
        total[index] += count


def queue_state(
    connection: sqlite3.Connection, queue: str, window: Window, today: date, reading: Reading
) -> QueueState:
    """The counts of a queue in a window that ends on `today` (UTC), on a connection that sees one state."""
    start = window_start(window, today)
    first_day = 0 if start is None else (date.fromisoformat(start) - _EPOCH).days
    sums = _Sums()
    sums.add(
        connection.execute("SELECT kind, criterion, metric, day, payload FROM tallies WHERE queue = ?", (queue,)),
        start or "",
    )
    pairs: dict[tuple[str, str], int] = defaultdict(int)
    compared: dict[str, int] = defaultdict(int)
    items_compared = items_annotated = 0
    for criteria_json, metrics_json, items in connection.execute(_ITEMS, (queue, first_day)):
        criteria, metrics = orjson.loads(criteria_json), orjson.loads(metrics_json)
        on_topic = 0
        for criterion in criteria:
            for metric in metrics:
                pairs[criterion, metric] += items
            if any(reading.on_topic(criterion, metric) for metric in metrics):
                compared[criterion] += items
                on_topic += 1
        items_annotated += items
        items_compared += items if on_topic else 0
    by_criterion: dict[str, dict[str, Pair]] = defaultdict(dict)
    for (criterion, metric), judges in sums.cells.items():
        by_criterion[criterion][metric] = Pair(
            pairs[criterion, metric], {judge: Cell(*vectors) for judge, vectors in judges.items()}
        )
    criteria_states = {}
    for criterion, (annotations, contributing) in sums.annotations.items():
        if annotations == 0:
            continue
        if criterion in reading.pairs:
            metrics_json = orjson.dumps(sorted(reading.pairs[criterion])).decode()
            (on_topic,) = connection.execute(
                _CONTRIBUTING, (queue, criterion, first_day * DAY_MS, metrics_json)
            ).fetchone()
        else:
            on_topic = contributing
        criteria_states[criterion] = CriterionState(annotations, on_topic, compared[criterion], by_criterion[criterion])
    return QueueState(queue, window, items_compared, items_annotated, criteria_states, _funnel(connection, queue, sums))


def _funnel(connection: sqlite3.Connection, queue: str, sums: _Sums) -> Funnel | None:
    items, unheard, errored, unannotated = connection.execute(_FUNNEL, (queue,)).fetchone()
    if not items:
        return None
    return Funnel(
        items=items,
        waiting_evaluation=unheard,
        errored=errored,
        waiting_annotation=unannotated,
        metrics={
            metric: _evaluated(sums.coverage[metric], items - heard) for metric, heard in sums.heard.items() if heard
        },
    )


def _evaluated(coverage: list[int], waiting: int) -> Evaluated:
    passed, failed, errored, skipped = coverage
    return Evaluated(passed, failed, errored, skipped, waiting)
