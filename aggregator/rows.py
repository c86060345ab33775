"""The rows of a shard: the current version of every identity, grouped by item.

A shard has millions of rows, so they are small and untracked by the garbage collector. That is safe because no
reference cycle goes through a row: a row does not refer to its item, and nothing that it refers to refers to it. What
many rows have in common is one shared object: judges, annotator keys, buckets.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final, Self

import msgspec

from aggregator import tallies
from aggregator.ratings import NO_RATING
from aggregator.sides import Bucket, CriterionCounts, Sides
from aggregator.verdicts import Verdict


class Merge(IntEnum):
    """The result of merging a fact."""

    APPLIED = 0
    """The fact is the row now."""
    SUPERSEDED = 1
    """The row has a higher version."""
    DUPLICATE = 2
    """The row is this fact already."""


# Members of an enumeration are looked up slowly, too slowly for once per event.
APPLIED: Final = Merge.APPLIED

DELETED: Final = len(tallies.COVERAGE)
"""The coverage of a deleted evaluation."""

LAST_VERDICT: Final = tallies.COVERAGE.index("fail")
"""Coverage up to this index is a verdict: pass or fail."""

COVERAGE_OF_VERDICT: Final[Mapping[bool | None, int]] = {
    True: tallies.COVERAGE.index("pass"),
    False: tallies.COVERAGE.index("fail"),
    None: DELETED,
}
"""Index in `tallies.COVERAGE`, or `DELETED`, by the verdict of an evaluation that did not fail."""

RowVersion = tuple[int, str, str]
"""`at`, `id` and `facts.rest`; rows of one identity are ordered by it."""


class Row(msgspec.Struct, gc=False):
    """The version of the fact that is the row."""

    at: int
    id: str
    rest: str

    @property
    def version(self) -> RowVersion:
        """The version as a tuple that compares."""
        return self.at, self.id, self.rest

    def compare_version(self, at: int, id: str, rest: str) -> Merge:
        """The merge law: the higher version is the row. Returns the result of merging a fact with this version."""
        if (at, id, rest) > (self.at, self.id, self.rest):
            return APPLIED
        return Merge.DUPLICATE if (at, id, rest) == (self.at, self.id, self.rest) else Merge.SUPERSEDED


class Judge(msgspec.Struct, gc=False, eq=False):
    """A judge version of a metric, for its verdicts or for its failures.

    A shard has one object for each, compared by identity.
    """

    metric: str
    name: str
    current: tuple[Verdict, Verdict]
    """Its current verdicts: pass and fail, in the order of `tallies.COVERAGE`."""
    superseded: tuple[Verdict, Verdict]
    """Its superseded verdicts, in the same order."""

    @classmethod
    def of(cls, metric: str, name: str) -> Self:
        """A judge with its four verdicts."""
        current, superseded = (
            (Verdict(metric, name, True, current), Verdict(metric, name, False, current)) for current in (True, False)
        )
        return cls(metric, name, current, superseded)

    def verdict(self, coverage: int, *, current: bool) -> Verdict | None:
        """The verdict of an evaluation with this coverage; None for a failure or a deletion."""
        if coverage > LAST_VERDICT:
            return None
        return (self.current if current else self.superseded)[coverage]


class AnnotationRow(Row, gc=False):
    """An annotation."""

    rating: int = NO_RATING
    """Index in `ratings.LEVELS`; `NO_RATING` when deleted."""
    bucket: Bucket | None = None
    """Where it is counted while it stands, else None. Under policy `majority` the bucket of a compared annotation has
    the median of the ratings of its group instead of its own.
    """
    compared: bool = False
    """Whether it is compared with the verdicts of its item. Every compared annotation stands; only under policy `each`
    more than the newest standing one of a queue, item and criterion is compared.
    """


class EvaluationRow(Row, gc=False):
    """An evaluation by one judge."""

    coverage: int
    """Index in `tallies.COVERAGE`, or `DELETED`."""
    verdict: Verdict | None = None
    """The verdict that it counts as; None for a failure or a deletion."""


class QueueRow(Row, gc=False):
    """A queue item."""

    placed: bool = False
    """Whether the item is in the queue, as it is counted; see `placements`."""


class AnnotatorKey(msgspec.Struct, gc=False, eq=False):
    """One annotator of one queue and criterion, which identifies an annotation within its item.

    A shard has one object for each, compared by identity.
    """

    criterion: CriterionCounts


class ItemRow(msgspec.Struct, gc=False, eq=False):
    """One item: its rows, and what a changed row is compared with."""

    annotations: dict[AnnotatorKey, AnnotationRow]
    evaluations: dict[Judge, EvaluationRow]
    compared: Sides[Bucket]
    """The bucket of every compared annotation; of many annotations a `many_rows.ManyAnnotations`."""
    verdicts: Sides[Verdict]
    """Every standing verdict; of many evaluations a `many_rows.ManyEvaluations`."""
    queues: dict[str, QueueRow] | None = None
    judged_metrics: int = 0
    """Number of metrics with a standing verdict."""

    def is_queued(self, queue: str) -> bool:
        """Whether the item counts in the queue: no queue item took it out."""
        if self.queues is None:
            return True
        row = self.queues.get(queue)
        return row is None or row.placed

    def evaluations_by(self, judges: Mapping[str, Judge]) -> dict[Judge, EvaluationRow]:
        """The item's evaluations by these judges; fast while there are few of either."""
        evaluations = self.evaluations
        if len(judges) <= len(evaluations):
            return {judge: evaluations[judge] for judge in judges.values() if judge in evaluations}
        return {judge: row for judge, row in evaluations.items() if judges.get(judge.name) is judge}


def version(row: Row) -> RowVersion:
    """The version of a row, as a sort key."""
    return row.version
