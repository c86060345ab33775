"""How much each queue has: what lists of all queues are sorted by, and what shares of the gauges are given by.

Only tallies are read, so totals of a queue cost a part of its document. They are over all days, so no midnight changes
them, and a queue whose revision is the same has the same totals.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import orjson

from aggregator.snapshot.inputs import CountingRules, Vector, sum_vectors
from sinks.queries.queues import QueueEntry

_QUEUES: Final = """
SELECT q.id, q.queue, q.revision,
    EXISTS (SELECT 1 FROM annotations AS a WHERE a.queue = q.queue)
        OR EXISTS (SELECT 1 FROM queue_items AS i WHERE i.queue = q.queue),
    EXISTS (SELECT 1 FROM annotations AS a WHERE a.queue = q.queue AND a.counted = 1)
        OR EXISTS (SELECT 1 FROM queue_items AS i WHERE i.queue = q.queue AND i.deleted = 0)
FROM json_each(?) AS wanted CROSS JOIN queues AS q ON q.queue = wanted.value
"""
_ANNOTATED: Final = """
SELECT t.queue, t.criterion
FROM json_each(?) AS wanted CROSS JOIN tallies AS t ON t.queue = wanted.value AND t.kind = 'annotations'
GROUP BY t.queue, t.criterion HAVING sum(json_extract(CAST(t.payload AS TEXT), '$.annotations')) > 0
"""
# One row for a pair, with all its cells, because sqlite3 releases the GIL between rows.
_CELLS: Final = """
SELECT t.queue, t.criterion, t.metric, '[' || group_concat(CAST(t.payload AS TEXT)) || ']'
FROM json_each(?) AS wanted CROSS JOIN tallies AS t ON t.queue = wanted.value AND t.kind = 'cells'
GROUP BY t.queue, t.criterion, t.metric
"""
_SQUARE: Final = 3.84
"""The 95 % point of the chi-squared distribution with one degree of freedom."""


@dataclass(slots=True)
class QueueTotals:
    """A queue's totals over all days and on-topic pairs."""

    entry: QueueEntry
    named: bool
    """Whether at least one row names the queue."""
    standing: bool
    """Whether anything stands in the queue: an annotation that is not retracted, or an item that is not removed."""
    criteria: list[str]
    """Criteria with a standing annotation, by name."""
    pairs: dict[tuple[str, str], int]
    """Comparisons by criterion and metric, where there are any."""
    comparisons: int = 0
    misaligned: int = 0
    apart: float = 0.0
    """How far the worst metric is from people, 0 to 1: its excess of errors on one side, or what it is below a constant
    judge, as a share of comparisons. Of its judge versions the worst, of those with as many comparisons as the gate
    needs items. 0 where nothing stands out.
    """

    @property
    def alignment(self) -> float | None:
        """Share of comparisons in which people and metric agree; None without comparisons."""
        return (self.comparisons - self.misaligned) / self.comparisons if self.comparisons else None


def queue_revisions(connection: sqlite3.Connection) -> list[tuple[str, int]]:
    """Names and revisions of all queues that a row ever named, in the order in which they were first seen."""
    return connection.execute("SELECT queue, revision FROM queues ORDER BY id").fetchall()


def count_tallies(connection: sqlite3.Connection, queue: str, most: int) -> int:
    """Number of cells tallies of a queue; `most` + 1 if there are more than `most`."""
    sql = "SELECT count(*) FROM (SELECT 1 FROM tallies WHERE queue = ? AND kind = 'cells' LIMIT ?)"
    (tallies,) = connection.execute(sql, (queue, most + 1)).fetchone()
    return int(tallies)


def queue_totals(
    connection: sqlite3.Connection, queues: Iterable[str], rules: CountingRules, *, tallies: bool = True
) -> dict[str, QueueTotals]:
    """The totals of queues by name, in the state that a connection sees; without `tallies` they count nothing."""
    names = (orjson.dumps(list(queues)).decode(),)
    totals = {
        queue: QueueTotals(QueueEntry(place, queue, revision), bool(named), bool(standing), [], {})
        for place, queue, revision, named, standing in connection.execute(_QUEUES, names)
    }
    if not tallies:
        return totals
    for queue, criterion in connection.execute(_ANNOTATED, names):
        totals[queue].criteria.append(criterion)
    for queue, criterion, metric, cells in connection.execute(_CELLS, names):
        judges: dict[str, list[Vector]] = defaultdict(list)
        for cell in orjson.loads(cells):
            for judge, of_judge in cell["judges"].items():
                judges[judge].append(of_judge["current"])
        vectors = [vector for of_judge in judges.values() for vector in of_judge]
        if vectors and rules.on_topic(criterion, metric):
            tp, fn, tn, fp = rules.outcomes(criterion, sum_vectors(vectors))
            if comparisons := tp + fn + tn + fp:
                total = totals[queue]
                total.pairs[criterion, metric] = comparisons
                total.comparisons += comparisons
                total.misaligned += fn + fp
                total.apart = max(
                    total.apart, *(_apart(rules, criterion, sum_vectors(of_judge)) for of_judge in judges.values())
                )
    return totals


def _apart(rules: CountingRules, criterion: str, vector: Vector) -> float:
    """How far one judge version is from people."""
    tp, fn, tn, fp = rules.outcomes(criterion, vector)
    comparisons = tp + fn + tn + fp
    if comparisons < rules.limits.items:
        return 0.0
    excess = abs(fp - fn)
    # About the test of `error_side`, which takes long for large counts.
    one_sided = excess if excess * excess > _SQUARE * (fp + fn) else 0
    # As often as a constant judge is not enough either.
    below = max(tp + fn, tn + fp) - (tp + tn) + 1
    return max(one_sided, below) / comparisons
