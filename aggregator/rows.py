"""What a shard holds in memory: one row per item with its annotations, evaluations and queues, and the tallies.

Rows point to the tallies they count in, so that entering and leaving a cell is two look-ups.
"""

from typing import Final

from aggregator import tallies
from aggregator.facts import Status
from aggregator.ratings import COUNTS, NO_RATING


class CellsTally:
    """Comparisons of one day with one metric: per judge 28 counts, the current vector before the superseded one."""

    __slots__ = ("day", "judges", "metric", "touched")

    def __init__(self, day: "DayTally", metric: str) -> None:
        self.day = day
        self.metric = metric
        self.judges: dict[str, list[int]] = {}
        self.touched = False

    def vector(self, judge: str) -> list[int]:
        """The 28 counts of a judge, made when it is the first time."""
        vector = self.judges.get(judge)
        if vector is None:
            vector = self.judges[judge] = [0] * (2 * COUNTS)
        return vector

    @property
    def group(self) -> tallies.Group:
        """The tally's group."""
        return tallies.cells_group(self.day.queue, self.day.criterion, self.metric, self.day.name)

    @property
    def empty(self) -> bool:
        """Whether nothing is counted."""
        return not any(any(vector) for vector in self.judges.values())

    def payload(self) -> tallies.CellsPayload:
        """The counts as they are published; judges without a count are left out."""
        return {
            "judges": {
                judge: {"current": vector[:COUNTS], "superseded": vector[COUNTS:]}
                for judge, vector in self.judges.items()
                if any(vector)
            }
        }


class DayTally:
    """Annotations of one queue, criterion and UTC day, and the cells of their comparisons by metric."""

    __slots__ = ("annotations", "cells", "contributing", "criterion", "name", "queue", "touched")

    def __init__(self, queue: str, criterion: str, name: str) -> None:
        self.queue = queue
        self.criterion = criterion
        self.name = name
        self.annotations = 0
        self.contributing = 0
        self.cells: dict[str, CellsTally] = {}
        self.touched = False

    @property
    def group(self) -> tallies.Group:
        """The tally's group."""
        return tallies.annotations_group(self.queue, self.criterion, self.name)

    @property
    def empty(self) -> bool:
        """Whether no annotation stands."""
        return self.annotations == 0

    def payload(self) -> tallies.AnnotationsPayload:
        """The counts as they are published."""
        return {"annotations": self.annotations, "contributing": self.contributing}


class QueueTally:
    """What a metric said of the items placed in a queue, by the UTC day of the evaluation."""

    __slots__ = ("counts", "metric", "name", "queue", "touched")

    def __init__(self, queue: str, metric: str, name: str) -> None:
        self.queue = queue
        self.metric = metric
        self.name = name
        self.counts = [0, 0, 0, 0]
        self.touched = False

    @property
    def group(self) -> tallies.Group:
        """The tally's group."""
        return tallies.evaluations_group(self.queue, self.metric, self.name)

    @property
    def empty(self) -> bool:
        """Whether nothing is counted."""
        return not any(self.counts)

    def payload(self) -> tallies.EvaluationsPayload:
        """The counts as they are published."""
        passed, failed, error, skipped = self.counts
        return {"pass": passed, "fail": failed, "error": error, "skipped": skipped}


class AnnotationRow:
    """An annotation: its version, rating (`NO_RATING` when deleted) and day.

    `tally`: where it counts while it stands, else None. `compared`: it is paired with the verdicts of its item; every
    compared annotation stands, and under policy `latest` only the newest standing one of a rubric is compared.
    """

    __slots__ = ("compared", "criterion", "day", "queue", "rating", "tally", "version")

    def __init__(self, queue: str, criterion: str) -> None:
        self.queue = queue
        self.criterion = criterion
        self.version = ""
        self.rating = NO_RATING
        self.day = ""
        self.tally: DayTally | None = None
        self.compared = False


class VerdictRow:
    """An evaluation of one judge: a verdict, its deletion, or (in the failures) an error or skip."""

    __slots__ = ("day", "deleted", "passed", "status", "version")

    def __init__(self, version: str, passed: bool | None, status: Status, day: str, deleted: bool) -> None:
        self.version = version
        self.passed = passed
        self.status = status
        self.day = day
        self.deleted = deleted


_FAILURE_INDEX: Final = {
    "error": tallies.COVERAGE.index("error"),
    "skipped": tallies.COVERAGE.index("skipped"),
}
_VERDICT_INDEX: Final = (tallies.COVERAGE.index("fail"), tallies.COVERAGE.index("pass"))


class MetricRow:
    """All evaluations of one item by one metric, by judge; verdicts and failures apart.

    `resolve` derives from the rows: `current`, the judge whose standing verdict is the latest; `standing`, every
    standing verdict as (judge, passed, offset of its vector); `says`, the index in `tallies.COVERAGE` and the day.
    """

    __slots__ = ("current", "failures", "name", "says", "standing", "verdicts")

    def __init__(self, name: str) -> None:
        self.name = name
        self.verdicts: dict[str, VerdictRow] = {}
        self.failures: dict[str, VerdictRow] = {}
        self.current: str | None = None
        self.standing: tuple[tuple[str, bool, int], ...] = ()
        self.says: tuple[int, str] | None = None

    def resolve(self) -> None:
        """Derive `current`, `standing` and `says` after a row changed."""
        standing = [(row.version, judge) for judge, row in self.verdicts.items() if not row.deleted]
        if not standing:
            self.current = None
            self.standing = ()
            self.says = self._showing_failure()
            return
        self.current = max(standing)[1]
        self.standing = tuple(
            (judge, bool(self.verdicts[judge].passed), 0 if judge == self.current else COUNTS) for _, judge in standing
        )
        row = self.verdicts[self.current]
        self.says = (_VERDICT_INDEX[bool(row.passed)], row.day)

    def _showing_failure(self) -> tuple[int, str] | None:
        """The newest failure which the same judge's deletion does not outdate."""
        newest: VerdictRow | None = None
        for judge, row in self.failures.items():
            deletion = self.verdicts.get(judge)
            if deletion is not None and deletion.version > row.version:
                continue
            if newest is None or row.version > newest.version:
                newest = row
        return None if newest is None else (_FAILURE_INDEX[newest.status], newest.day)


class ItemRow:
    """One item: annotations by (queue, criterion, annotator), metrics by name, queues by name.

    `queues` holds (version, placed) of queue-item rows; `verdicts` is the number of metrics with a standing verdict.
    """

    __slots__ = ("annotations", "metrics", "queues", "verdicts")

    def __init__(self) -> None:
        self.annotations: dict[tuple[str, str, str], AnnotationRow] = {}
        self.metrics: dict[str, MetricRow] = {}
        self.queues: dict[str, tuple[str, bool]] = {}
        self.verdicts = 0

    def holds(self, queue: str) -> bool:
        """Whether the item was not taken out of the queue; without a queue-item row it was not."""
        placed = self.queues.get(queue)
        return placed is None or placed[1]

    def rivals(self, queue: str, criterion: str) -> list[AnnotationRow]:
        """All annotations of one rubric: under policy `latest` one of them is compared."""
        return [row for row in self.annotations.values() if row.queue == queue and row.criterion == criterion]
