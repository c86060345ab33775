"""A shard: all state of one source partition, with its rows, its tallies, and the changes since the last checkpoint.

Every change of a row follows one pattern: its comparisons leave their cells, the row changes, its comparisons enter
their new cells. So the tallies are always the fold of the rows, and replaying the ledger through the same merge
produces the same tallies. Changes of placement are counted before anything reads the counts; see `placements`.

A shard is pure: no I/O, no clock. Each checkpoint takes dirty rows and touched tallies with `drain`.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from math import inf
from typing import Any, Final

from aggregator import parts, tallies
from aggregator.cells import STEP, ShardCounts
from aggregator.day_tallies import CheckpointDelta
from aggregator.days import DAY_MS
from aggregator.facts import Annotation, Evaluation, Fact, QueueItem, encode, identity, key, parse
from aggregator.facts import rest as rest_of
from aggregator.largest import largest_item
from aggregator.many_rows import MANY
from aggregator.placements import ChangedPlacements
from aggregator.policy import Policy
from aggregator.ratings import RATINGS, lower_median
from aggregator.rivals import (
    Shown,
    criteria_of,
    index_annotation,
    index_evaluation,
    metrics_of,
    ratings_of,
    resolve_verdicts,
    rivals_of,
    shown_evaluation,
)
from aggregator.rows import (
    APPLIED,
    COVERAGE_OF_VERDICT,
    AnnotationRow,
    AnnotatorKey,
    EvaluationRow,
    ItemRow,
    Judge,
    Merge,
    QueueRow,
    Row,
    version,
)
from aggregator.sides import Bucket, CriterionCounts, numbers
from aggregator.verdicts import Verdict


class Shard:
    """Rows and tallies of one source partition.

    Args:
        partition: the number of the partition, for log lines.
        policy: which annotations are compared.
        record_bytes: most bytes of the judges in one record of a cells tally; see `parts`.
        many: an item with more annotations, or more evaluations, has an index of them; see `many_rows`.
        max_tallies: most tallies; see `full`.
    """

    def __init__(
        self,
        partition: int,
        policy: Policy = Policy.EACH,
        record_bytes: int = parts.RECORD_BYTES,
        many: int = MANY,
        max_tallies: float = inf,
    ) -> None:
        self.partition = partition
        self.policy = policy
        self.record_bytes = record_bytes
        self._many = many
        self.dirty: dict[bytes, bytes] = {}
        """Rows to write to the ledger, value by key."""
        self.needs_rewrite: set[bytes] = set()
        """Keys whose last record in the ledger is not the row."""
        self.added = 0
        """Number of comparisons added so far."""
        self.retracted = 0
        """Number of comparisons removed so far."""
        self.rows = 0
        """Number of rows."""
        self.conflicts = 0
        """Number of facts so far that had the time and the id of their row, and other content."""
        self.counts: Final = ShardCounts(record_bytes, max_tallies)
        """The counts as of the last `settle`."""
        self._placements = ChangedPlacements()
        self._items: dict[str, ItemRow] = {}
        self._apart: dict[str, ItemRow] = {}
        """Items that are not known: of a ledger that has their evaluations only."""
        self._annotator_keys: dict[tuple[str, str, str], AnnotatorKey] = {}
        self._judges: dict[str, dict[str, Judge]] = {}
        self._failing_judges: dict[str, dict[str, Judge]] = {}
        self.has_item: Final = self._items.__contains__
        """Whether an item is known: the shard has an annotation or a queue item of it, deleted or not."""
        self.largest: Final = partial(largest_item, self._items)
        """The item with most tallies."""
        self.full: Final = self.counts.full
        """Whether there are more tallies than `max_tallies`. The shard has its rows then, and wrong counts."""

    # ---- merging

    def apply(self, fact: Fact) -> Merge:
        """Merge a live fact. When it becomes the row, the row is dirty until the next `drain`."""
        result = _MERGES[type(fact)](self, fact)
        if result is APPLIED:
            self.dirty[key(fact)] = encode(fact)
        return result

    def replay(self, key: bytes, value: bytes) -> Merge:
        """Merge a record of the ledger. The row does not become dirty, because the ledger has it.

        A key whose last replayed record is not the row enters `needs_rewrite`: compaction would keep the wrong record,
        so the row must be written again (`repair`). Raises ValueError when the record is invalid.
        """
        fact = parse(key, value)
        result = _MERGES[type(fact)](self, fact)
        if result is not Merge.SUPERSEDED:
            if self.needs_rewrite:
                self.needs_rewrite.discard(key)
        elif key not in self.dirty:
            self.needs_rewrite.add(key)
        return result

    def hide(self, key: bytes) -> bool:
        """Replay a record of the ledger that is no row, such as a null value: compaction keeps it instead of the row.

        Returns whether there is a row of this key; it must be written again. Raises ValueError when no row can have
        this key.
        """
        known = self._find(identity(key)) is not None
        if known and key not in self.dirty:
            self.needs_rewrite.add(key)
        return known

    def repair(self, key: bytes, value: bytes) -> None:
        """Second pass over the ledger: a record that is the row of a key in `needs_rewrite` becomes dirty.

        Raises ValueError when the record is invalid.
        """
        if key in self.needs_rewrite:
            fact = parse(key, value)
            row = self._find(identity(key))
            if row is not None and row.version == (fact.at, fact.id, rest_of(fact)):
                self.dirty[key] = value
                self.needs_rewrite.discard(key)

    def has_another(self, fact: Evaluation) -> bool:
        """Whether the row of an evaluation has the same time and id, and other content."""
        row = self._find(identity(key(fact)))
        return row is not None and (row.at, row.id) == (fact.at, fact.id) and row.rest != rest_of(fact)

    def drain(self) -> CheckpointDelta:
        """Take dirty rows and touched tallies, as copies; nothing is dirty or touched afterwards."""
        rows, self.dirty = self.dirty, {}
        return CheckpointDelta(rows, self.settle().drain())

    def touch(self, key: bytes) -> None:
        """Include a tally in the next `drain`, empty if its group counts nothing; ValueError for an invalid key."""
        self.settle().touch(key)

    def tallies(self) -> Iterator[tuple[bytes, tallies.Payload]]:
        """All tallies that count anything, as (key, payload)."""
        return self.settle().all_tallies()

    @property
    def uncounted(self) -> int:
        """Number of rows of items whose changed placement is not counted yet."""
        return self._placements.rows

    @property
    def items(self) -> int:
        """Number of items with at least one row."""
        return len(self._items) + len(self._apart)

    @property
    def known_items(self) -> list[str]:
        """All items that are known."""
        return list(self._items)

    def _new_item(self, name: str) -> ItemRow:
        """Let an item become known; its evaluations count from now on."""
        item = self._items[name] = self._apart.pop(name) if name in self._apart else ItemRow({}, {}, [], [])
        return item

    def _any_item(self, name: str) -> ItemRow | None:
        return self._items.get(name) or self._apart.get(name)

    def _new_annotator(self, identity: tuple[str, str, str]) -> AnnotatorKey:
        annotator = self._annotator_keys[identity] = AnnotatorKey(self.counts.criterion(identity[0], identity[1]))
        return annotator

    def _merge_annotation(self, fact: Annotation) -> Merge:
        item = self._items.get(fact.item) or self._new_item(fact.item)
        at, id, rest = fact.at, fact.id, rest_of(fact)
        identity = (fact.queue, fact.criterion, fact.annotator)
        annotator = self._annotator_keys.get(identity) or self._new_annotator(identity)
        criterion = annotator.criterion
        rating = RATINGS[fact.thumbs or fact.stars]
        former = None
        row = item.annotations.get(annotator)
        if row is not None:
            if at == row.at and id == row.id and rest != row.rest:
                self.conflicts += 1
            result = row.compare_version(at, id, rest)
            if result is not APPLIED:
                return result
            former = row.rating
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
        if len(item.annotations) > self._many:
            index_annotation(item, annotator, former, self.policy)
        if bucket is not None:
            self._enter_cells(item, bucket)
        elif self.policy is not _EACH:
            self._choose_compared(item, criterion, annotator)
        return APPLIED

    def _merge_evaluation(self, fact: Evaluation) -> Merge:
        item = self._any_item(fact.item) or self._apart.setdefault(fact.item, ItemRow({}, {}, [], []))
        at, id, rest = fact.at, fact.id, rest_of(fact)
        failed = fact.status != "ok"
        judges = self._judges_of(fact.metric, failed)
        judge = judges.get(fact.judge)
        if judge is None:
            judge = judges[fact.judge] = Judge.of(fact.metric, fact.judge)
        row = item.evaluations.get(judge)
        if row is not None:
            if at == row.at and id == row.id and rest != row.rest:
                self.conflicts += 1
            result = row.compare_version(at, id, rest)
            if result is not APPLIED:
                return result
        former = self._coverage(item, fact.metric) if item.queues else None
        coverage = tallies.COVERAGE.index(fact.status) if fact.status != "ok" else COVERAGE_OF_VERDICT[fact.passed]
        if row is None:
            row = item.evaluations[judge] = EvaluationRow(at, id, rest, coverage)
            self.rows += 1
        else:
            row.at, row.id, row.rest, row.coverage = at, id, rest, coverage
        if len(item.evaluations) > self._many:
            index_evaluation(item, judge)
        if not failed:
            self._resolve_metric(item, judges, judge, row)
        if item.queues:
            self._move_coverage(item.queues, fact.metric, former, self._coverage(item, fact.metric))
        return APPLIED

    def _merge_queue_item(self, fact: QueueItem) -> Merge:
        item = self._items.get(fact.item) or self._new_item(fact.item)
        at, id, rest = fact.at, fact.id, rest_of(fact)
        queues = item.queues = item.queues or {}
        row = queues.get(fact.queue)
        if row is None:
            row = queues[fact.queue] = QueueRow(at, id, rest)
            self.rows += 1
            if fact.deleted:
                self._choose_of_queue(item, fact.queue)
            else:
                deque(self._moving_placement(item, fact.queue, row), 0)
            return APPLIED
        if at == row.at and id == row.id and rest != row.rest:
            self.conflicts += 1
        result = row.compare_version(at, id, rest)
        if result is APPLIED:
            row.at, row.id, row.rest = at, id, rest
            if row.placed is fact.deleted:
                self._placements.add(fact.item, fact.queue, len(item.annotations) + len(item.evaluations))
            else:
                self._placements.discard(fact.item, fact.queue)
        return result

    def _find(self, identity: tuple[str, ...]) -> Row | None:
        """The row of this identity."""
        match identity:
            case ("a", queue, item, criterion, annotator):
                whose = self._annotator_keys.get((queue, criterion, annotator))
                if whose is not None and item in self._items:
                    return self._items[item].annotations.get(whose)
            case (("e" | "x") as kind, item, metric, judge):
                by = (self._failing_judges if kind == "x" else self._judges).get(metric, {}).get(judge)
                if by is not None and (found := self._any_item(item)) is not None:
                    return found.evaluations.get(by)
            case ("q", queue, item) if item in self._items:
                return (self._items[item].queues or {}).get(queue)
        return None

    def _judges_of(self, metric: str, failed: bool) -> dict[str, Judge]:
        """The judges of a metric by name, for its verdicts or for its failures."""
        metrics = self._failing_judges if failed else self._judges
        return metrics.get(metric) or metrics.setdefault(metric, {})

    # ---- counting

    def _enter_cells(self, item: ItemRow, bucket: Bucket) -> None:
        """Count a compared annotation and its comparisons."""
        item.compared.append(bucket)
        self._count_annotations(item, bucket, compared=True, number=+1)

    def _leave_cells(self, item: ItemRow, row: AnnotationRow, bucket: Bucket) -> None:
        self._count_annotations(item, bucket, row.compared, -1)
        if row.compared:
            item.compared.remove(bucket)
        row.bucket, row.compared = None, False

    def settle(self) -> ShardCounts:
        """The counts, with all changes of placement."""
        deque(self.settling(), 0)
        return self.counts

    def settling(self) -> Iterator[None]:
        """Count all changes of placement, in steps; all of them must be done, and nothing applied between them."""
        for name, queue in self._placements.take():
            item = self._items[name]
            assert item.queues is not None, "only a queue item changes a placement"
            yield from self._moving_placement(item, queue, item.queues[queue])
            self._choose_of_queue(item, queue)
            yield

    def _moving_placement(self, item: ItemRow, queue: str, row: QueueRow) -> Iterator[None]:
        """Count the coverage of an item as in the queue if it is not counted so, or else as not in it, in steps."""
        row.placed = not row.placed
        for number, metric in enumerate(metrics_of(item), start=1):
            if (coverage := self._coverage(item, metric)) is not None:
                self.counts.count_coverage(queue, metric, *coverage, +1 if row.placed else -1)
            if number % STEP == 0:
                yield

    def _choose_of_queue(self, item: ItemRow, queue: str) -> None:
        for criterion in criteria_of(item, queue):
            self._choose_compared(item, criterion)

    def _choose_compared(self, item: ItemRow, criterion: CriterionCounts, changed: AnnotatorKey | None = None) -> None:
        """Count annotations of one item and criterion as the policy has them now.

        Those that may change with the annotation of `changed`; all of them without one.
        """
        rivals = rivals_of(item, criterion, changed)
        standing = [row for row in rivals if row.rating >= 0] if item.is_queued(criterion.queue) else []
        newest = max(standing, key=version) if standing and self.policy is not _EACH else None
        moves: dict[tuple[Bucket | None, bool], int] = defaultdict(int)
        for row in rivals:
            bucket, compared = None, False
            if standing and row.rating >= 0:
                rating = row.rating
                if row is newest and self.policy is _MAJORITY:
                    rating = lower_median(ratings_of(item, criterion, standing))
                bucket, compared = criterion.bucket(row.at // DAY_MS, rating), newest is None or row is newest
            if bucket is not row.bucket or compared is not row.compared:
                moves[row.bucket, row.compared] -= 1
                moves[bucket, compared] += 1
                row.bucket, row.compared = bucket, compared
        for (moved, compared), number in moves.items():
            if moved is not None and number:
                for _ in range(abs(number) * compared):
                    (item.compared.append if number > 0 else item.compared.remove)(moved)
                self._count_annotations(item, moved, compared, number)

    def _count_annotations(self, item: ItemRow, bucket: Bucket, compared: bool, number: int) -> None:
        """Add `number` for equal annotations, and for their comparisons with the standing verdicts if compared."""
        if not compared or not item.judged_metrics:
            self.counts.count_annotations(bucket.tally, number, 0)
            return
        self.counts.count_annotations(bucket.tally, number, number)
        if number > 0:
            self.added += number * item.judged_metrics
        else:
            self.retracted -= number * item.judged_metrics
        self.counts.count_comparisons(bucket, item.verdicts, number)

    def _resolve_metric(self, item: ItemRow, judges: Mapping[str, Judge], judge: Judge, row: EvaluationRow) -> None:
        """Set the verdicts of all judges of a metric after the evaluation `row` of one of them changed.

        Annotations contribute from the first standing verdict of their item to the last.
        """
        before = item.judged_metrics
        if len(judges) == 1 and type(item.verdicts) is list:
            self._set_verdict(item, row, judge.verdict(row.coverage, current=True))
        else:
            for rival, verdict in resolve_verdicts(item, judges, judge):
                self._set_verdict(item, rival, verdict)
        if (before == 0) is not (item.judged_metrics == 0):
            for bucket, number in numbers(item.compared):
                self.counts.count_annotations(bucket.tally, 0, number if before == 0 else -number)

    def _set_verdict(self, item: ItemRow, row: EvaluationRow, verdict: Verdict | None) -> None:
        former = row.verdict
        if former is verdict:
            return
        row.verdict = verdict
        if former is not None:
            item.verdicts.remove(former)
            self._count_verdict(item, former, -1)
        if verdict is not None:
            item.verdicts.append(verdict)
            self._count_verdict(item, verdict, +1)

    def _count_verdict(self, item: ItemRow, verdict: Verdict, sign: int) -> None:
        """Add `sign` for the comparisons of a verdict with the compared annotations."""
        if verdict.current:
            item.judged_metrics += sign
            if sign > 0:
                self.added += len(item.compared)
            else:
                self.retracted += len(item.compared)
        if item.compared:
            self.counts.count_comparisons(verdict, item.compared, sign)

    def _coverage(self, item: ItemRow, metric: str) -> Shown:
        shown = shown_evaluation(
            item, metric, self._judges_of(metric, failed=False), self._judges_of(metric, failed=True)
        )
        return None if shown is None else (shown.at // DAY_MS, shown.coverage)

    def _move_coverage(self, queues: Mapping[str, QueueRow], metric: str, former: Shown, current: Shown) -> None:
        """Count what the metric shows for an item now in place of what it showed, in each queue it is placed in."""
        if former == current:
            return
        for queue, row in queues.items():
            if row.placed:
                if former is not None:
                    self.counts.count_coverage(queue, metric, *former, -1)
                if current is not None:
                    self.counts.count_coverage(queue, metric, *current, +1)


_EACH: Final = Policy.EACH
_MAJORITY: Final = Policy.MAJORITY
_MERGES: Final[Mapping[type[Fact], Callable[[Shard, Any], Merge]]] = {
    Annotation: Shard._merge_annotation,  # noqa: SLF001 its own
    Evaluation: Shard._merge_evaluation,  # noqa: SLF001 its own
    QueueItem: Shard._merge_queue_item,  # noqa: SLF001 its own
}
