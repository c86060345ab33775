"""Rows that merge: what a shard holds of every identity, gathered by item.

There are millions of rows, so they are small and hidden from the garbage collector: no row points to its item, and
nothing that it points to points back. What many rows have in common is one object: judges, voices, places.
"""

from collections.abc import Iterator, Mapping
from enum import IntEnum
from typing import Final, Self

import msgspec

from aggregator import tallies
from aggregator.cells import Bucket, CriterionCounts, Verdict
from aggregator.ratings import NO_RATING


class Merge(IntEnum):
    """What became of a fact: it is the row now, it lost against a newer version, or it is the row already."""

    APPLIED = 0
    SUPERSEDED = 1
    DUPLICATE = 2


# A member of an enumeration is found by a search, too slow for once an event.
APPLIED: Final = Merge.APPLIED

DELETED: Final = len(tallies.COVERAGE)
"""What a deleted evaluation says."""

_LAST_VERDICT: Final = tallies.COVERAGE.index("fail")
"""The higher one of what a verdict says; a pass is below."""

RowVersion = tuple[int, str, str]
"""`at`, `id` and `facts.rest`: rows of one identity are ordered by it."""


class Row(msgspec.Struct, gc=False):
    """The version of one identity's fact."""

    at: int
    id: str
    rest: str

    @property
    def version(self) -> RowVersion:
        """What rows are ordered by."""
        return self.at, self.id, self.rest

    def compare_version(self, at: int, id: str, rest: str) -> Merge:
        """The merge law: the higher version is the row. What becomes of another version that meets this one."""
        if (at, id, rest) > (self.at, self.id, self.rest):
            return APPLIED
        return Merge.DUPLICATE if (at, id, rest) == (self.at, self.id, self.rest) else Merge.SUPERSEDED


class Judge(msgspec.Struct, gc=False, eq=False):
    """A judge version of a metric; of its verdicts and their deletions, or of its failures.

    There is one object of each in a shard, compared by identity. `current` and `superseded` are its verdicts, in the
    order of `tallies.COVERAGE`.
    """

    metric: str
    name: str
    current: tuple[Verdict, Verdict]
    superseded: tuple[Verdict, Verdict]

    @classmethod
    def of(cls, metric: str, name: str) -> Self:
        """A judge and its verdicts."""
        current, superseded = (
            (Verdict(metric, name, True, current), Verdict(metric, name, False, current)) for current in (True, False)
        )
        return cls(metric, name, current, superseded)

    def verdict(self, outcome: int, *, current: bool) -> Verdict | None:
        """The verdict that an evaluation counts as; None when it is no standing verdict."""
        if outcome > _LAST_VERDICT:
            return None
        return (self.current if current else self.superseded)[outcome]


class AnnotationRow(Row, gc=False):
    """An annotation, with the index of its rating in `ratings.LEVELS`; `NO_RATING` when deleted.

    `bucket`: where it counts while it stands, else None. `compared`: it is paired with the verdicts of its item; every
    compared annotation stands, and under policy `latest` only the newest standing one of a rubric is compared.
    """

    rating: int = NO_RATING
    bucket: Bucket | None = None
    compared: bool = False


class EvaluationRow(Row, gc=False):
    """An evaluation by one judge. `outcome` is an index in `tallies.COVERAGE`, or `DELETED`.

    `verdict`: what it counts as while it is a standing verdict, else None.
    """

    outcome: int
    verdict: Verdict | None = None


class QueueRow(Row, gc=False):
    """Whether the item is placed in a queue."""

    placed: bool = False


class AnnotatorKey(msgspec.Struct, gc=False, eq=False):
    """One annotator of one rubric: what identifies annotations within an item.

    There is one object of each in a shard, compared by identity.
    """

    criterion: CriterionCounts


class ItemRow(msgspec.Struct, gc=False, eq=False):
    """One item: its rows, and beside them, flat, what a change of a row is compared with.

    `compared`: the place of every compared annotation. `standing`: every standing verdict. `verdicts`: the number of
    metrics that have one.
    """

    annotations: dict[AnnotatorKey, AnnotationRow]
    evaluations: dict[Judge, EvaluationRow]
    compared: list[Bucket]
    standing: list[Verdict]
    queues: dict[str, QueueRow] | None = None
    verdicts: int = 0

    def is_queued(self, queue: str) -> bool:
        """Whether the item was not taken out of the queue; without a queue-item row it was not."""
        if self.queues is None:
            return True
        row = self.queues.get(queue)
        return row is None or row.placed

    def of(self, judges: Mapping[str, Judge]) -> dict[Judge, EvaluationRow]:
        """The item's evaluations by these judges; quick while there are few of either."""
        evaluations = self.evaluations
        if len(judges) <= len(evaluations):
            return {judge: evaluations[judge] for judge in judges.values() if judge in evaluations}
        return {judge: row for judge, row in evaluations.items() if judges.get(judge.name) is judge}


def resolve_verdicts(rows: Mapping[Judge, EvaluationRow]) -> Iterator[tuple[EvaluationRow, Verdict | None]]:
    """What each evaluation of one item and metric counts as: the newest verdict that stands is the current one."""
    newest: EvaluationRow | None = None
    for row in rows.values():
        if row.outcome <= _LAST_VERDICT and (newest is None or newest.version < row.version):
            newest = row
    for judge, row in rows.items():
        yield row, judge.verdict(row.outcome, current=row is newest)


def shown_coverage(
    verdicts: Mapping[Judge, EvaluationRow], failures: Mapping[Judge, EvaluationRow]
) -> EvaluationRow | None:
    """What a metric says of an item: its current verdict, or else the newest failure that no deletion outdates."""
    for row in verdicts.values():
        if row.verdict is not None and row.verdict.current:
            return row
    deletions = {judge.name: row.version for judge, row in verdicts.items()}
    shown = [row for judge, row in failures.items() if row.version >= deletions.get(judge.name, row.version)]
    return max(shown, key=version, default=None)


def version(row: Row) -> RowVersion:
    """The row's version, as a key to order by."""
    return row.version
