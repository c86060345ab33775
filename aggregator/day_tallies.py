"""The tallies of one UTC day, as a shard keeps them, and what a checkpoint takes of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from aggregator import tallies
from aggregator.days import day_name
from aggregator.ratings import COUNTS
from aggregator.verdicts import Cells, Verdict

if TYPE_CHECKING:
    from aggregator.many_cells import ManyCells

MAX_TALLIES: Final = 500_000
"""Most tallies of a partition, unless a setting has another number."""


class DayTally:
    """Annotations of one queue, criterion and UTC day, and the cells of their comparisons."""

    __slots__ = ("annotations", "cells", "contributing", "criterion", "day", "many", "metrics", "queue", "touched")

    def __init__(self, queue: str, criterion: str, day: int) -> None:
        self.queue = queue
        self.criterion = criterion
        self.day = day
        """Number of the day."""
        self.annotations = 0
        """Standing annotations."""
        self.contributing = 0
        """Those with at least one comparison."""
        self.cells: Cells = {}
        self.metrics: dict[str, int] = {}
        """Number of cells of each metric, so of each cells tally."""
        self.many: ManyCells | None = None
        """The cells as the last `drain` divided them, if they are many."""
        self.touched = False
        """Whether the next `drain` publishes the annotations."""

    @property
    def group(self) -> tallies.TallyGroup:
        """The group of the tally."""
        return tallies.annotations_group(self.queue, self.criterion, day_name(self.day))

    def cells_group(self, metric: str) -> tallies.TallyGroup:
        """The group of the day's comparisons with a metric."""
        return tallies.cells_group(self.queue, self.criterion, metric, day_name(self.day))

    @property
    def empty(self) -> bool:
        """Whether it counts nothing."""
        return self.annotations == 0

    def payload(self) -> tallies.AnnotationsPayload:
        """The counts as they are published."""
        return {"annotations": self.annotations, "contributing": self.contributing}

    def by_metric(self) -> dict[str, Cells]:
        """The cells of each metric."""
        metrics: dict[str, Cells] = {}
        for verdict, counts in self.cells.items():
            metrics.setdefault(verdict.metric, {})[verdict] = counts
        return metrics


class CoverageTally:
    """Coverage of a metric: the items placed in a queue by what the metric shows for them, on one UTC day."""

    __slots__ = ("counts", "day", "metric", "queue", "touched")

    def __init__(self, queue: str, metric: str, day: int) -> None:
        self.queue = queue
        self.metric = metric
        self.day = day
        """Number of the day of the evaluations."""
        self.counts = [0, 0, 0, 0]
        """In the order of `tallies.COVERAGE`."""
        self.touched = False
        """Whether the next `drain` publishes it."""

    @property
    def group(self) -> tallies.TallyGroup:
        """The group of the tally."""
        return tallies.evaluations_group(self.queue, self.metric, day_name(self.day))

    @property
    def empty(self) -> bool:
        """Whether it counts nothing."""
        return not any(self.counts)

    def payload(self) -> tallies.EvaluationsPayload:
        """The counts as they are published."""
        passed, failed, error, skipped = self.counts
        return {"pass": passed, "fail": failed, "error": error, "skipped": skipped}


@dataclass(frozen=True, slots=True)
class CheckpointDelta:
    """What one checkpoint writes."""

    rows: dict[bytes, bytes]
    """Ledger rows, value by key."""
    tallies: dict[bytes, tallies.Payload]
    """Absolute payloads of tallies by key; that of a group without counts is empty."""


_NONE: Final = [0] * COUNTS
"""A vector of one payload or of several, which nobody may change."""


def cells_payload(cells: Mapping[Verdict, list[int]]) -> tallies.CellsPayload:
    """The comparisons with one metric as they are published, without judges that count nothing."""
    judges: dict[str, tallies.JudgeCells] = {}
    for verdict, counts in cells.items():
        if any(counts):
            vectors = judges.get(verdict.judge)
            if vectors is None:
                vectors = judges[verdict.judge] = {"current": _NONE, "superseded": _NONE}
            side: Literal["current", "superseded"] = "current" if verdict.current else "superseded"
            if vectors[side] is _NONE:
                vectors[side] = [0] * COUNTS
            # The indexes that `ratings.cell_index` returns.
            vectors[side][verdict.passed :: 2] = counts
    return {"judges": judges}
