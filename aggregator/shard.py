"""A shard: all state of one source partition. Rows, the comparisons they take part in, tallies, and what changed.

Every change of a row follows one pattern: the comparisons it takes part in leave their cells, the row changes, its
comparisons enter their cells again. So the tallies are at every moment the fold of the rows, and a replay of the
ledger through the same merge gives the same tallies.

A shard does no I/O and knows no clock. The checkpoint takes `dirty` rows and touched tallies with `drain`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from aggregator import tallies
from aggregator.cells import Bucket, CriterionCounts, ShardCounts, Verdict
from aggregator.days import DAY_MS
from aggregator.facts import Annotation, Evaluation, Fact, QueueItem, encode, key, parse
from aggregator.facts import rest as rest_of
from aggregator.policy import Policy
from aggregator.ratings import NO_RATING
from aggregator.rows import (
    APPLIED,
    DELETED,
    AnnotationRow,
    AnnotatorKey,
    EvaluationRow,
    ItemRow,
    Judge,
    Merge,
    QueueRow,
    Row,
    resolve_verdicts,
    shown_coverage,
    version,
)

_RATINGS: Final[Mapping[str | int | None, int]] = {
    rating: index for index, rating in enumerate((None, "down", "up", 1, 2, 3, 4, 5), start=NO_RATING)
}
"""Index of a rating in `ratings.LEVELS`, by thumbs or stars."""
_VERDICTS: Final[Mapping[bool | None, int]] = {
    True: tallies.COVERAGE.index("pass"),
    False: tallies.COVERAGE.index("fail"),
    None: DELETED,
}


@dataclass(frozen=True, slots=True)
class CheckpointDelta:
    """What one checkpoint writes: ledger rows (key to value) and tallies (key to absolute payload)."""

    rows: dict[bytes, bytes]
    tallies: dict[bytes, tallies.Payload]


class Shard:
    """Rows and tallies of one source partition.

    Args:
        partition: the source partition, for whoever reads a log line.
        policy: `Policy.EACH` compares every standing annotation, `Policy.LATEST` the newest per queue, item, criterion.
    """

    def __init__(self, partition: int, policy: Policy = Policy.EACH) -> None:
        self.partition = partition
        self.policy = policy
        self.dirty: dict[bytes, bytes] = {}
        self.needs_rewrite: set[bytes] = set()
        self.added = 0
        self.retracted = 0
        self.rows = 0
        self._counts = ShardCounts()
        self._items: dict[str, ItemRow] = {}
        self._annotator_keys: dict[tuple[str, str, str], AnnotatorKey] = {}
        self._judges: dict[str, dict[str, Judge]] = {}
        self._failing: dict[str, dict[str, Judge]] = {}
        self.has_item: Final = self._items.__contains__
        """Whether any row of this item is here."""
        self.touch: Final = self._counts.touch
        """Publish a tally, by its key, at the next `drain`; a group that does not exist is published empty."""
        self.tallies: Final = self._counts.counted
        """All tallies that are not empty, as (key, payload)."""

    # ---- merging

    def apply(self, fact: Fact) -> Merge:
        """Merge a live fact; when it wins, its row is dirty until the next `drain`."""
        outcome = _MERGES[type(fact)](self, fact)
        if outcome is APPLIED:
            self.dirty[key(fact)] = encode(fact)
        return outcome

    def replay(self, key: bytes, value: bytes) -> Merge:
        """Merge a row read from the ledger. It is not dirty: the log has it already.

        A key whose last replayed record is not the row is `needs_rewrite`: compaction would keep the wrong record, so its
        winner must be written again (`repair`). Raises ValueError when key or value are not a ledger row.
        """
        fact = parse(key, value)
        outcome = _MERGES[type(fact)](self, fact)
        if outcome is not Merge.SUPERSEDED:
            if self.needs_rewrite:
                self.needs_rewrite.discard(key)
        elif key not in self.dirty:
            self.needs_rewrite.add(key)
        return outcome

    def repair(self, key: bytes, value: bytes) -> None:
        """Second reading of the ledger: where `value` is the winner of a losing key, it becomes dirty."""
        if key in self.needs_rewrite:
            fact = parse(key, value)
            if self._row(fact).version == (fact.at, fact.id, rest_of(fact)):
                self.dirty[key] = value
                self.needs_rewrite.discard(key)

    def drain(self) -> CheckpointDelta:
        """Dirty rows and touched tallies, as copies; nothing is dirty or touched afterwards."""
        rows, self.dirty = self.dirty, {}
        return CheckpointDelta(rows, self._counts.drain())

    def clear_touched(self) -> None:
        """Publish no tally at the next `drain`, unless it is touched again."""
        self._counts.drain()

    @property
    def touched(self) -> int:
        """Number of tallies that the next `drain` will publish."""
        return self._counts.touched

    @property
    def items(self) -> int:
        """Number of items with at least one row."""
        return len(self._items)

    def _new_item(self, name: str) -> ItemRow:
        item = self._items[name] = ItemRow({}, {}, [], [])
        return item

    def _new_annotator(self, identity: tuple[str, str, str]) -> AnnotatorKey:
        annotator = self._annotator_keys[identity] = AnnotatorKey(self._counts.criterion(identity[0], identity[1]))
        return annotator

    def _merge_annotation(self, fact: Annotation) -> Merge:
        item = self._items.get(fact.item) or self._new_item(fact.item)
        at, id, rest = fact.at, fact.id, rest_of(fact)
        identity = (fact.queue, fact.criterion, fact.annotator)
        annotator = self._annotator_keys.get(identity) or self._new_annotator(identity)
        criterion = annotator.criterion
        rating = _RATINGS[fact.thumbs or fact.stars]
        row = item.annotations.get(annotator)
        if row is not None:
            outcome = row.compare_version(at, id, rest)
            if outcome is not APPLIED:
                return outcome
            if row.bucket is not None:
                self._leave_cells(item, row, row.bucket)
        bucket = None
        if rating >= 0 and self.policy is _EACH and (item.queues is None or item.is_queued(criterion.queue)):
            bucket = criterion.bucket(at // DAY_MS, rating)
        compared = bucket is not None
        if row is None:
            item.annotations[annotator] = AnnotationRow(at, id, rest, rating, bucket, compared)
            self.rows += 1
        else:
            row.at, row.id, row.rest = at, id, rest
            row.rating, row.bucket, row.compared = rating, bucket, compared
        if bucket is not None:
            self._enter_cells(item, bucket, compared=True)
        elif self.policy is not _EACH:
            self._rank(item, criterion)
        return APPLIED

    def _merge_evaluation(self, fact: Evaluation) -> Merge:
        item = self._items.get(fact.item) or self._new_item(fact.item)
        at, id, rest = fact.at, fact.id, rest_of(fact)
        failed = fact.status != "ok"
        judges = self._of(fact.metric, failed)
        judge = judges.get(fact.judge)
        if judge is None:
            judge = judges[fact.judge] = Judge.of(fact.metric, fact.judge)
        row = item.evaluations.get(judge)
        if row is not None:
            outcome = row.compare_version(at, id, rest)
            if outcome is not APPLIED:
                return outcome
        if item.queues:
            self._count_coverage(item, fact.metric, item.queues, -1)
        coverage = tallies.COVERAGE.index(fact.status) if fact.status != "ok" else _VERDICTS[fact.passed]
        if row is None:
            row = item.evaluations[judge] = EvaluationRow(at, id, rest, coverage)
            self.rows += 1
        else:
            row.at, row.id, row.rest, row.outcome = at, id, rest, coverage
        if not failed:
            self._resolve_metric(item, judges, judge, row)
        if item.queues:
            self._count_coverage(item, fact.metric, item.queues, +1)
        return APPLIED

    def _merge_queue_item(self, fact: QueueItem) -> Merge:
        item = self._items.get(fact.item) or self._new_item(fact.item)
        at, id, rest = fact.at, fact.id, rest_of(fact)
        queues = item.queues
        if queues is None:
            queues = item.queues = {}
        row = queues.get(fact.queue)
        if row is None:
            row = queues[fact.queue] = QueueRow(at, id, rest)
            self.rows += 1
        else:
            outcome = row.compare_version(at, id, rest)
            if outcome is not APPLIED:
                return outcome
            row.at, row.id, row.rest = at, id, rest
        annotations = {
            annotator: row for annotator, row in item.annotations.items() if annotator.criterion.queue == fact.queue
        }
        metrics = {judge.metric for judge in item.evaluations}
        self._leave_all_cells(item, annotations.values())
        for metric in metrics:
            self._count_coverage(item, metric, (fact.queue,), -1)
        row.placed = not fact.deleted
        for metric in metrics:
            self._count_coverage(item, metric, (fact.queue,), +1)
        for criterion in {annotator.criterion for annotator in annotations}:
            self._rank(item, criterion)
        return APPLIED

    def _row(self, fact: Fact) -> Row:
        """The row of a fact that was merged."""
        item = self._items[fact.item]
        if isinstance(fact, Annotation):
            return item.annotations[self._annotator_keys[fact.queue, fact.criterion, fact.annotator]]
        if isinstance(fact, Evaluation):
            return item.evaluations[self._of(fact.metric, fact.failed)[fact.judge]]
        assert item.queues is not None, "it was merged"
        return item.queues[fact.queue]

    def _of(self, metric: str, failed: bool) -> dict[str, Judge]:
        """The judges of a metric by name; of its verdicts, or of its failures."""
        metrics = self._failing if failed else self._judges
        judges = metrics.get(metric)
        if judges is None:
            judges = metrics[metric] = {}
        return judges

    # ---- comparisons: leave the old cells, enter the new ones

    def _enter_cells(self, item: ItemRow, bucket: Bucket, *, compared: bool) -> None:
        """A standing annotation is counted, and its comparisons when it is compared."""
        if compared:
            item.compared.append(bucket)
        self._count(item, bucket, compared, +1)

    def _leave_cells(self, item: ItemRow, row: AnnotationRow, bucket: Bucket) -> None:
        self._count(item, bucket, row.compared, -1)
        if row.compared:
            row.compared = False
            item.compared.remove(bucket)
        row.bucket = None

    def _leave_all_cells(self, item: ItemRow, rows: Iterable[AnnotationRow]) -> None:
        for row in rows:
            if row.bucket is not None:
                self._leave_cells(item, row, row.bucket)

    def _rank(self, item: ItemRow, criterion: CriterionCounts) -> None:
        """All annotations of one rubric leave; those that stand enter. The policy says which of them are compared."""
        rivals = [row for annotator, row in item.annotations.items() if annotator.criterion is criterion]
        self._leave_all_cells(item, rivals)
        if not item.is_queued(criterion.queue):
            return
        standing = [row for row in rivals if row.rating >= 0]
        newest = max(standing, key=version, default=None)
        for row in standing:
            row.bucket = criterion.bucket(row.at // DAY_MS, row.rating)
            row.compared = self.policy is _EACH or row is newest
            self._enter_cells(item, row.bucket, compared=row.compared)

    def _count(self, item: ItemRow, bucket: Bucket, compared: bool, sign: int) -> None:
        """Add `sign` for an annotation, and for its comparison with every standing verdict when it is compared."""
        if not compared or not item.verdicts:
            self._counts.annotate(bucket.tally, sign, 0)
            return
        self._counts.annotate(bucket.tally, sign, sign)
        if sign > 0:
            self.added += item.verdicts
        else:
            self.retracted += item.verdicts
        self._counts.compare(bucket, item.standing, sign)

    def _resolve_metric(self, item: ItemRow, judges: Mapping[str, Judge], judge: Judge, row: EvaluationRow) -> None:
        """An evaluation changed: it and its rivals leave the cells of what they were, and enter those of what they are.

        With the first standing verdict of the item its annotations begin to contribute, with the last one they end.
        """
        before = item.verdicts
        if len(judges) == 1:
            self._set_verdict(item, row, judge.verdict(row.outcome, current=True))
        else:
            for rival, verdict in resolve_verdicts(item.of(judges)):
                self._set_verdict(item, rival, verdict)
        if (before == 0) is not (item.verdicts == 0):
            for bucket in item.compared:
                self._counts.annotate(bucket.tally, 0, +1 if before == 0 else -1)

    def _set_verdict(self, item: ItemRow, row: EvaluationRow, verdict: Verdict | None) -> None:
        former = row.verdict
        if former is verdict:
            return
        row.verdict = verdict
        if former is not None:
            item.standing.remove(former)
            self._count_verdict(item, former, -1)
        if verdict is not None:
            item.standing.append(verdict)
            self._count_verdict(item, verdict, +1)

    def _count_verdict(self, item: ItemRow, verdict: Verdict, sign: int) -> None:
        """Add `sign` for the comparison of a verdict with every annotation that is compared."""
        if verdict.current:
            item.verdicts += sign
            if sign > 0:
                self.added += len(item.compared)
            else:
                self.retracted += len(item.compared)
        if item.compared:
            self._counts.compare(verdict, item.compared, sign)

    def _count_coverage(self, item: ItemRow, metric: str, queues: Iterable[str], sign: int) -> None:
        """Add `sign` to what the metric says of the item, in those of these queues in which the item was placed."""
        shown = shown_coverage(item.of(self._of(metric, failed=False)), item.of(self._of(metric, failed=True)))
        if shown is not None and item.queues is not None:
            for queue in queues:
                if item.queues[queue].placed:
                    self._counts.count_coverage(queue, metric, shown.at // DAY_MS, shown.outcome, sign)


_EACH: Final = Policy.EACH
_MERGES: Final[Mapping[type[Fact], Callable[[Shard, Any], Merge]]] = {
    Annotation: Shard._merge_annotation,  # noqa: SLF001 its own
    Evaluation: Shard._merge_evaluation,  # noqa: SLF001 its own
    QueueItem: Shard._merge_queue_item,  # noqa: SLF001 its own
}
