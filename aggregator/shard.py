"""A shard: all state of one source partition. Rows, the comparisons they take part in, tallies, and what changed.

Every change of a row follows one pattern: the comparisons it takes part in leave their cells, the row changes, its
comparisons enter their cells again. So the tallies are at every moment the fold of the rows, and a replay of the
ledger through the same merge gives the same tallies.

A shard does no I/O and knows no clock. The checkpoint takes `dirty` rows and touched tallies with `take`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from aggregator import tallies
from aggregator.facts import Annotation, Evaluation, Fact, QueueItem, encode, key, parse, version
from aggregator.ratings import NO_RATING
from aggregator.rows import AnnotationRow, CellsTally, DayTally, ItemRow, MetricRow, QueueTally, VerdictRow


class Policy(StrEnum):
    """Which annotations of one item, queue and criterion are compared."""

    EACH = "each"
    LATEST = "latest"


class Merge(IntEnum):
    """What became of a fact: it is the row now, it lost against a newer version, or it is the row already."""

    APPLIED = 0
    STALE = 1
    DUPLICATE = 2


@dataclass(frozen=True, slots=True)
class Taken:
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
        self.losing: set[bytes] = set()
        self.added = 0
        self.retracted = 0
        self.rows = 0
        self._items: dict[str, ItemRow] = {}
        self._days: dict[tuple[str, str, str], DayTally] = {}
        self._coverage: dict[tuple[str, str, str], QueueTally] = {}
        self._touched: list[DayTally | CellsTally | QueueTally] = []
        self._vanished: dict[tallies.Group, None] = {}

    # ---- merging

    def apply(self, fact: Fact) -> Merge:
        """Merge a live fact; when it wins, its row is dirty until the next `take`."""
        outcome = self._merge(fact, version(fact))
        if outcome is Merge.APPLIED:
            self.dirty[key(fact)] = encode(fact)
        return outcome

    def replay(self, key: bytes, value: bytes) -> Merge:
        """Merge a row read from the ledger. It is not dirty: the log has it already.

        A key whose last replayed record is not the row is `losing`: compaction would keep the wrong record, so its
        winner must be written again (`repair`). Raises ValueError when key or value are not a ledger row.
        """
        fact = parse(key, value)
        outcome = self._merge(fact, version(fact))
        if outcome is not Merge.STALE:
            self.losing.discard(key)
        elif key not in self.dirty:
            self.losing.add(key)
        return outcome

    def repair(self, key: bytes, value: bytes) -> None:
        """Second reading of the ledger: where `value` is the winner of a losing key, it becomes dirty."""
        if key in self.losing:
            fact = parse(key, value)
            if version(fact) == self._current_version(fact):
                self.dirty[key] = value
                self.losing.discard(key)

    def knows(self, item: str) -> bool:
        """Whether any row of this item is here."""
        return item in self._items

    @property
    def items(self) -> int:
        """Number of items with at least one row."""
        return len(self._items)

    def _merge(self, fact: Fact, version: str) -> Merge:
        if isinstance(fact, Annotation):
            return self._merge_annotation(fact, version)
        if isinstance(fact, Evaluation):
            return self._merge_evaluation(fact, version)
        return self._merge_queue_item(fact, version)

    def _item(self, name: str) -> ItemRow:
        item = self._items.get(name)
        if item is None:
            item = self._items[name] = ItemRow()
        return item

    def _merge_annotation(self, fact: Annotation, version: str) -> Merge:
        item = self._item(fact.item)
        identity = (fact.queue, fact.criterion, fact.annotator)
        row = item.annotations.get(identity)
        if row is not None and version <= row.version:
            return Merge.DUPLICATE if version == row.version else Merge.STALE
        if row is None:
            row = item.annotations[identity] = AnnotationRow(fact.queue, fact.criterion)
            self.rows += 1
        # Under `latest` a change can put another annotation of the same rubric in front.
        rivals = (row,) if self.policy is Policy.EACH else item.rivals(fact.queue, fact.criterion)
        self._leave(item, rivals)
        row.version = version
        row.rating = fact.rating
        row.day = tallies.day_of(fact.at)
        self._enter(item, rivals)
        return Merge.APPLIED

    def _merge_evaluation(self, fact: Evaluation, version: str) -> Merge:
        item = self._item(fact.item)
        metric = item.metrics.get(fact.metric)
        if metric is None:
            metric = item.metrics[fact.metric] = MetricRow(fact.metric)
        rows = metric.failures if fact.failed else metric.verdicts
        row = rows.get(fact.judge)
        if row is not None and version <= row.version:
            return Merge.DUPLICATE if version == row.version else Merge.STALE
        if row is None:
            self.rows += 1
        compared = () if fact.failed else [row for row in item.annotations.values() if row.compared]
        contributed = item.verdicts > 0
        self._cover(item, metric, -1)
        self._compare(compared, (metric,), -1)
        item.verdicts -= metric.current is not None
        rows[fact.judge] = VerdictRow(version, fact.passed, fact.status, tallies.day_of(fact.at), fact.deleted)
        metric.resolve()
        item.verdicts += metric.current is not None
        self._compare(compared, (metric,), +1)
        self._cover(item, metric, +1)
        contributes = item.verdicts > 0
        if contributes != contributed:
            self._contribute(compared, contributes - contributed)
        return Merge.APPLIED

    def _merge_queue_item(self, fact: QueueItem, version: str) -> Merge:
        item = self._item(fact.item)
        known = item.queues.get(fact.queue)
        if known is not None and version <= known[0]:
            return Merge.DUPLICATE if version == known[0] else Merge.STALE
        if known is None:
            self.rows += 1
        annotations = [row for row in item.annotations.values() if row.queue == fact.queue]
        self._leave(item, annotations)
        self._cover_queue(item, fact.queue, -1)
        item.queues[fact.queue] = (version, not fact.deleted)
        self._cover_queue(item, fact.queue, +1)
        self._enter(item, annotations)
        return Merge.APPLIED

    def _current_version(self, fact: Fact) -> str | None:
        item = self._items[fact.item]
        if isinstance(fact, Annotation):
            return item.annotations[fact.queue, fact.criterion, fact.annotator].version
        if isinstance(fact, Evaluation):
            metric = item.metrics[fact.metric]
            return (metric.failures if fact.failed else metric.verdicts)[fact.judge].version
        return item.queues[fact.queue][0]

    # ---- comparisons: leave the old cells, enter the new ones

    def _leave(self, item: ItemRow, rows: Iterable[AnnotationRow]) -> None:
        for row in rows:
            if row.tally is not None:
                self._count(item, row, row.tally, -1)
                row.tally = None
                row.compared = False

    def _enter(self, item: ItemRow, rows: Iterable[AnnotationRow]) -> None:
        standing = [row for row in rows if row.rating != NO_RATING and item.holds(row.queue)]
        newest: dict[str, AnnotationRow] = {}
        if self.policy is Policy.LATEST:
            for row in standing:
                if row.criterion not in newest or newest[row.criterion].version < row.version:
                    newest[row.criterion] = row
        for row in standing:
            row.compared = self.policy is Policy.EACH or newest[row.criterion] is row
            row.tally = self._day(row.queue, row.criterion, row.day)
            self._count(item, row, row.tally, +1)

    def _count(self, item: ItemRow, row: AnnotationRow, day: DayTally, sign: int) -> None:
        day.annotations += sign
        if row.compared and item.verdicts > 0:
            day.contributing += sign
        self._touch(day)
        if row.compared:
            self._compare((row,), item.metrics.values(), sign)

    def _contribute(self, rows: Iterable[AnnotationRow], sign: int) -> None:
        for row in rows:
            if row.tally is not None:
                row.tally.contributing += sign
                self._touch(row.tally)

    def _compare(self, rows: Iterable[AnnotationRow], metrics: Iterable[MetricRow], sign: int) -> None:
        """Add `sign` to the cell of every pair of a compared annotation and a standing verdict."""
        for row in rows:
            day = row.tally
            assert day is not None, "every compared annotation stands"
            for metric in metrics:
                if metric.current is None:
                    continue
                cells = day.cells.get(metric.name)
                if cells is None:
                    cells = day.cells[metric.name] = CellsTally(day, metric.name)
                for judge, passed, offset in metric.standing:
                    cells.vector(judge)[offset + 2 * row.rating + passed] += sign
                self._touch(cells)
                if sign > 0:
                    self.added += 1
                else:
                    self.retracted += 1

    def _cover(self, item: ItemRow, metric: MetricRow, sign: int) -> None:
        """Add `sign` to what the metric says of the item, in each queue in which the item was placed."""
        if item.queues and metric.says is not None:
            for queue, (_, placed) in item.queues.items():
                if placed:
                    self._cover_one(queue, metric, sign)

    def _cover_queue(self, item: ItemRow, queue: str, sign: int) -> None:
        placed = item.queues.get(queue)
        if placed is not None and placed[1]:
            for metric in item.metrics.values():
                if metric.says is not None:
                    self._cover_one(queue, metric, sign)

    def _cover_one(self, queue: str, metric: MetricRow, sign: int) -> None:
        assert metric.says is not None, "a metric that says nothing covers nothing"
        index, day = metric.says
        tally = self._coverage.get((queue, metric.name, day))
        if tally is None:
            tally = self._coverage[queue, metric.name, day] = QueueTally(queue, metric.name, day)
        tally.counts[index] += sign
        self._touch(tally)

    # ---- tallies

    def _day(self, queue: str, criterion: str, name: str) -> DayTally:
        day = self._days.get((queue, criterion, name))
        if day is None:
            day = self._days[queue, criterion, name] = DayTally(queue, criterion, name)
        return day

    def _touch(self, tally: DayTally | CellsTally | QueueTally) -> None:
        if not tally.touched:
            tally.touched = True
            self._touched.append(tally)

    def touch(self, key: bytes) -> None:
        """Publish this tally at the next `take`; a group that does not exist is published empty."""
        group = tallies.parse_key(key)
        tally: DayTally | CellsTally | QueueTally | None
        match group:
            case ("cells", queue, criterion, metric, name):
                day = self._days.get((queue, criterion, name))
                tally = None if day is None else day.cells.get(metric)
            case ("annotations", queue, criterion, name):
                tally = self._days.get((queue, criterion, name))
            case ("evaluations", queue, metric, name):
                tally = self._coverage.get((queue, metric, name))
            case _:
                raise ValueError(f"not a group of tallies: {group!r}")
        if tally is None:
            self._vanished[group] = None
        else:
            self._touch(tally)

    @property
    def touched(self) -> int:
        """Number of tallies that the next `take` will publish."""
        return len(self._touched) + len(self._vanished)

    def tallies(self) -> Iterator[tuple[bytes, tallies.Payload]]:
        """All tallies that are not empty, as (key, payload)."""
        for day in self._days.values():
            if not day.empty:
                yield tallies.group_key(day.group), day.payload()
            for cells in day.cells.values():
                if not cells.empty:
                    yield tallies.group_key(cells.group), cells.payload()
        for coverage in self._coverage.values():
            if not coverage.empty:
                yield tallies.group_key(coverage.group), coverage.payload()

    def take(self) -> Taken:
        """Dirty rows and touched tallies, as copies; nothing is dirty or touched afterwards."""
        rows, self.dirty = self.dirty, {}
        published = {tallies.group_key(group): tallies.empty(group) for group in self._vanished}
        for tally in self._touched:
            tally.touched = False
            published[tallies.group_key(tally.group)] = tally.payload()
            if tally.empty:
                self._forget(tally)
        self._touched = []
        self._vanished = {}
        return Taken(rows, published)

    def _forget(self, tally: DayTally | CellsTally | QueueTally) -> None:
        """Drop a tally that counts nothing: no annotation points to it, and its cells go in the same `take`."""
        if isinstance(tally, CellsTally):
            tally.day.cells.pop(tally.metric, None)
        elif isinstance(tally, QueueTally):
            self._coverage.pop((tally.queue, tally.metric, tally.name), None)
        else:
            self._days.pop((tally.queue, tally.criterion, tally.name), None)
