"""A shard: all state of one source partition. Rows, the comparisons they take part in, tallies, and what changed.

Every change of a row follows one pattern: the comparisons it takes part in leave their cells, the row changes, its
comparisons enter their cells again. So the tallies are at every moment the fold of the rows, and a replay of the
ledger through the same merge gives the same tallies.

A shard does no I/O and knows no clock. The checkpoint takes `dirty` rows and touched tallies with `take`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from aggregator import tallies
from aggregator.cells import Counts, Place, Rubric, Verdict
from aggregator.facts import Annotation, Evaluation, Fact, QueueItem, encode, key, parse
from aggregator.facts import rest as rest_of
from aggregator.ratings import NO_RATING
from aggregator.rows import (
    APPLIED,
    DELETED,
    AnnotationRow,
    EvaluationRow,
    ItemRow,
    Judge,
    Merge,
    QueueRow,
    Row,
    Voice,
    settled,
    showing,
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


class Policy(StrEnum):
    """Which annotations of one item, queue and criterion are compared."""

    EACH = "each"
    LATEST = "latest"


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
        self._counts = Counts()
        self._items: dict[str, ItemRow] = {}
        self._voices: dict[tuple[str, str, str], Voice] = {}
        self._judges: dict[str, dict[str, Judge]] = {}
        self._failing: dict[str, dict[str, Judge]] = {}
        self.knows: Final = self._items.__contains__
        """Whether any row of this item is here."""
        self.touch: Final = self._counts.touch
        """Publish a tally, by its key, at the next `take`; a group that does not exist is published empty."""
        self.tallies: Final = self._counts.counted
        """All tallies that are not empty, as (key, payload)."""

    # ---- merging

    def apply(self, fact: Fact) -> Merge:
        """Merge a live fact; when it wins, its row is dirty until the next `take`."""
        outcome = _MERGES[type(fact)](self, fact)
        if outcome is APPLIED:
            self.dirty[key(fact)] = encode(fact)
        return outcome

    def replay(self, key: bytes, value: bytes) -> Merge:
        """Merge a row read from the ledger. It is not dirty: the log has it already.

        A key whose last replayed record is not the row is `losing`: compaction would keep the wrong record, so its
        winner must be written again (`repair`). Raises ValueError when key or value are not a ledger row.
        """
        fact = parse(key, value)
        outcome = _MERGES[type(fact)](self, fact)
        if outcome is not Merge.STALE:
            if self.losing:
                self.losing.discard(key)
        elif key not in self.dirty:
            self.losing.add(key)
        return outcome

    def repair(self, key: bytes, value: bytes) -> None:
        """Second reading of the ledger: where `value` is the winner of a losing key, it becomes dirty."""
        if key in self.losing:
            fact = parse(key, value)
            if self._row(fact).version == (fact.at, fact.id, rest_of(fact)):
                self.dirty[key] = value
                self.losing.discard(key)

    def take(self) -> Taken:
        """Dirty rows and touched tallies, as copies; nothing is dirty or touched afterwards."""
        rows, self.dirty = self.dirty, {}
        return Taken(rows, self._counts.take())

    @property
    def touched(self) -> int:
        """Number of tallies that the next `take` will publish."""
        return self._counts.touched

    @property
    def items(self) -> int:
        """Number of items with at least one row."""
        return len(self._items)

    def _new_item(self, name: str) -> ItemRow:
        item = self._items[name] = ItemRow({}, {}, [], [])
        return item

    def _new_voice(self, identity: tuple[str, str, str]) -> Voice:
        voice = self._voices[identity] = Voice(self._counts.rubric(identity[0], identity[1]))
        return voice

    def _merge_annotation(self, fact: Annotation) -> Merge:
        item = self._items.get(fact.item) or self._new_item(fact.item)
        at, id, rest = fact.at, fact.id, rest_of(fact)
        identity = (fact.queue, fact.criterion, fact.annotator)
        voice = self._voices.get(identity) or self._new_voice(identity)
        rubric = voice.rubric
        rating = _RATINGS[fact.thumbs or fact.stars]
        row = item.annotations.get(voice)
        if row is not None:
            outcome = row.against(at, id, rest)
            if outcome is not APPLIED:
                return outcome
            if row.place is not None:
                self._leave(item, row, row.place)
        place = None
        if rating >= 0 and self.policy is _EACH and (item.queues is None or item.holds(rubric.queue)):
            place = rubric.place(at // tallies.DAY_MS, rating)
        compared = place is not None
        if row is None:
            item.annotations[voice] = AnnotationRow(at, id, rest, rating, place, compared)
            self.rows += 1
        else:
            row.at, row.id, row.rest = at, id, rest
            row.rating, row.place, row.compared = rating, place, compared
        if place is not None:
            self._enter(item, place, compared=True)
        elif self.policy is not _EACH:
            self._rank(item, rubric)
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
            outcome = row.against(at, id, rest)
            if outcome is not APPLIED:
                return outcome
        if item.queues:
            self._cover(item, fact.metric, item.queues, -1)
        says = tallies.COVERAGE.index(fact.status) if fact.status != "ok" else _VERDICTS[fact.passed]
        if row is None:
            row = item.evaluations[judge] = EvaluationRow(at, id, rest, says)
            self.rows += 1
        else:
            row.at, row.id, row.rest, row.says = at, id, rest, says
        if not failed:
            self._decide(item, judges, judge, row)
        if item.queues:
            self._cover(item, fact.metric, item.queues, +1)
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
            outcome = row.against(at, id, rest)
            if outcome is not APPLIED:
                return outcome
            row.at, row.id, row.rest = at, id, rest
        annotations = {voice: row for voice, row in item.annotations.items() if voice.rubric.queue == fact.queue}
        metrics = {judge.metric for judge in item.evaluations}
        self._leave_all(item, annotations.values())
        for metric in metrics:
            self._cover(item, metric, (fact.queue,), -1)
        row.placed = not fact.deleted
        for metric in metrics:
            self._cover(item, metric, (fact.queue,), +1)
        for rubric in {voice.rubric for voice in annotations}:
            self._rank(item, rubric)
        return APPLIED

    def _row(self, fact: Fact) -> Row:
        """The row of a fact that was merged."""
        item = self._items[fact.item]
        if isinstance(fact, Annotation):
            return item.annotations[self._voices[fact.queue, fact.criterion, fact.annotator]]
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

    def _enter(self, item: ItemRow, place: Place, *, compared: bool) -> None:
        """A standing annotation is counted, and its comparisons when it is compared."""
        if compared:
            item.compared.append(place)
        self._count(item, place, compared, +1)

    def _leave(self, item: ItemRow, row: AnnotationRow, place: Place) -> None:
        self._count(item, place, row.compared, -1)
        if row.compared:
            row.compared = False
            item.compared.remove(place)
        row.place = None

    def _leave_all(self, item: ItemRow, rows: Iterable[AnnotationRow]) -> None:
        for row in rows:
            if row.place is not None:
                self._leave(item, row, row.place)

    def _rank(self, item: ItemRow, rubric: Rubric) -> None:
        """All annotations of one rubric leave; those that stand enter. The policy says which of them are compared."""
        rivals = [row for voice, row in item.annotations.items() if voice.rubric is rubric]
        self._leave_all(item, rivals)
        if not item.holds(rubric.queue):
            return
        standing = [row for row in rivals if row.rating >= 0]
        newest = max(standing, key=version, default=None)
        for row in standing:
            row.place = rubric.place(row.at // tallies.DAY_MS, row.rating)
            row.compared = self.policy is _EACH or row is newest
            self._enter(item, row.place, compared=row.compared)

    def _count(self, item: ItemRow, place: Place, compared: bool, sign: int) -> None:
        """Add `sign` for an annotation, and for its comparison with every standing verdict when it is compared."""
        if not compared or not item.verdicts:
            self._counts.annotate(place.tally, sign, 0)
            return
        self._counts.annotate(place.tally, sign, sign)
        if sign > 0:
            self.added += item.verdicts
        else:
            self.retracted += item.verdicts
        self._counts.compare(place, item.standing, sign)

    def _decide(self, item: ItemRow, judges: Mapping[str, Judge], judge: Judge, row: EvaluationRow) -> None:
        """An evaluation changed: it and its rivals leave the cells of what they were, and enter those of what they are.

        With the first standing verdict of the item its annotations begin to contribute, with the last one they end.
        """
        before = item.verdicts
        if len(judges) == 1:
            self._become(item, row, judge.verdict(row.says, current=True))
        else:
            for rival, verdict in settled(item.of(judges)):
                self._become(item, rival, verdict)
        if (before == 0) is not (item.verdicts == 0):
            for place in item.compared:
                self._counts.annotate(place.tally, 0, +1 if before == 0 else -1)

    def _become(self, item: ItemRow, row: EvaluationRow, verdict: Verdict | None) -> None:
        former = row.verdict
        if former is verdict:
            return
        row.verdict = verdict
        if former is not None:
            item.standing.remove(former)
            self._meet(item, former, -1)
        if verdict is not None:
            item.standing.append(verdict)
            self._meet(item, verdict, +1)

    def _meet(self, item: ItemRow, verdict: Verdict, sign: int) -> None:
        """Add `sign` for the comparison of a verdict with every annotation that is compared."""
        if verdict.current:
            item.verdicts += sign
            if sign > 0:
                self.added += len(item.compared)
            else:
                self.retracted += len(item.compared)
        if item.compared:
            self._counts.compare(verdict, item.compared, sign)

    def _cover(self, item: ItemRow, metric: str, queues: Iterable[str], sign: int) -> None:
        """Add `sign` to what the metric says of the item, in those of these queues in which the item was placed."""
        shown = showing(item.of(self._of(metric, failed=False)), item.of(self._of(metric, failed=True)))
        if shown is not None and item.queues is not None:
            for queue in queues:
                if item.queues[queue].placed:
                    self._counts.cover(queue, metric, shown.at // tallies.DAY_MS, shown.says, sign)


_EACH: Final = Policy.EACH
_MERGES: Final[Mapping[type[Fact], Callable[[Shard, Any], Merge]]] = {
    Annotation: Shard._merge_annotation,  # noqa: SLF001 its own
    Evaluation: Shard._merge_evaluation,  # noqa: SLF001 its own
    QueueItem: Shard._merge_queue_item,  # noqa: SLF001 its own
}
