"""The batch answer: facts in any order, counted by plain nested loops.

It is the oracle of the shard and of everything behind it, so it shares no counting with them. It is also a
way to try the product without Kafka.

What counts:

- An annotation stands when it is not deleted and its item was not taken out of the queue. Under policy
  `latest` only the newest standing one of a queue, item and criterion is compared; all of them are
  annotations.
- A verdict stands when its row is not deleted. The newest over judges is the item's current one, the other
  judges' are superseded.
- A failure shows only where no verdict of the metric stands on the item and the same judge's deletion is
  not newer; the newest of several.
- A metric's coverage is over the items that standing queue-item rows place in the queue.
- The day of a comparison is the annotation's, the day of coverage the evaluation's (UTC).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date
from typing import NamedTuple

from aggregator.days import Window, date_of, day_of, timestamp, window_start
from aggregator.facts import Annotation, Evaluation, Fact, QueueItem, key, version
from aggregator.policy import Policy
from aggregator.ratings import COUNTS, LEVELS
from aggregator.snapshot.build import document
from aggregator.snapshot.inputs import (
    Cell,
    CountingRules,
    CriterionState,
    DocumentStamp,
    Evaluated,
    Funnel,
    Pair,
    QueueState,
)
from aggregator.snapshot.schema import SnapshotDocument
from aggregator.tallies import COVERAGE, Coverage, TallyGroup

Vectors = tuple[list[int], list[int]]
"""Counts of a judge version: current, superseded."""


class StandingVerdict(NamedTuple):
    """A standing verdict on an item, and whether it is the item's current one."""

    judge: str
    passed: bool
    current: bool


class CriterionTotals:
    """Counters of one criterion while its annotations are gone through."""

    def __init__(self) -> None:
        self.annotations = 0
        self.contributing = 0
        self.compared: set[str] = set()
        self.items: dict[str, set[str]] = defaultdict(set)
        self.cells: dict[str, dict[str, Vectors]] = defaultdict(dict)

    def state(self) -> CriterionState:
        """The counts so far."""
        metrics = {
            metric: Pair(len(self.items[metric]), {judge: Cell(*vectors) for judge, vectors in judges.items()})
            for metric, judges in self.cells.items()
        }
        return CriterionState(self.annotations, self.contributing, len(self.compared), metrics)


class Recount:
    """Counts of all facts given, whatever their order and however often each comes."""

    def __init__(self, facts: Iterable[Fact], policy: Policy = Policy.EACH) -> None:
        self.policy = policy
        self.rows = winners(facts)
        out = {(row.queue, row.item) for row in self.rows.values() if isinstance(row, QueueItem) and row.deleted}
        self._annotations: dict[str, list[Annotation]] = defaultdict(list)
        self._placed: dict[str, set[str]] = defaultdict(set)
        evaluations: dict[str, dict[str, list[Evaluation]]] = defaultdict(lambda: defaultdict(list))
        for row in self.rows.values():
            if isinstance(row, Evaluation):
                evaluations[row.item][row.metric].append(row)
            elif row.deleted:
                continue
            elif isinstance(row, QueueItem):
                self._placed[row.queue].add(row.item)
            elif (row.queue, row.item) not in out:
                self._annotations[row.queue].append(row)
        self._verdicts: dict[str, dict[str, list[StandingVerdict]]] = defaultdict(dict)
        self._says: dict[str, dict[str, tuple[Coverage, str]]] = defaultdict(dict)
        for item, metrics in evaluations.items():
            for metric, rows in metrics.items():
                self._resolve(item, metric, rows)

    def _resolve(self, item: str, metric: str, rows: list[Evaluation]) -> None:
        failures = [row for row in rows if row.failed]
        verdicts = sorted((row for row in rows if not row.failed), key=version, reverse=True)
        standing = [row for row in verdicts if not row.deleted]
        if standing:
            self._verdicts[item][metric] = [
                StandingVerdict(row.judge, bool(row.passed), row is standing[0]) for row in standing
            ]
            self._says[item][metric] = "pass" if standing[0].passed else "fail", day_of(standing[0].at)
            return
        deletions = {row.judge: version(row) for row in verdicts}
        showing = [row for row in failures if version(row) > deletions.get(row.judge, "")]
        if showing:
            newest = max(showing, key=version)
            self._says[item][metric] = "error" if newest.status == "error" else "skipped", day_of(newest.at)

    @property
    def queues(self) -> list[str]:
        """Every queue that a row names, also where nothing stands any more."""
        return sorted({row.queue for row in self.rows.values() if not isinstance(row, Evaluation)})

    @property
    def newest(self) -> int:
        """The latest `at` of all rows, in milliseconds; 0 without rows."""
        return max((row.at for row in self.rows.values()), default=0)

    def _standing(self, queue: str) -> Iterator[tuple[Annotation, dict[str, list[StandingVerdict]]]]:
        """Standing annotations of a queue, each with the verdicts it is compared with, by metric."""
        annotations = self._annotations.get(queue, [])
        compared = annotations
        if self.policy == Policy.LATEST:
            newest: dict[tuple[str, str], Annotation] = {}
            for annotation in annotations:
                rival = newest.setdefault((annotation.item, annotation.criterion), annotation)
                if version(annotation) > version(rival):
                    newest[annotation.item, annotation.criterion] = annotation
            compared = list(newest.values())
        chosen = {id(annotation) for annotation in compared}
        for annotation in annotations:
            yield annotation, self._verdicts.get(annotation.item, {}) if id(annotation) in chosen else {}

    def state(self, queue: str, window: Window, today: date, rules: CountingRules) -> QueueState:
        """Counts of a queue in a window that ends on `today` (UTC)."""
        start = window_start(window, today)
        criteria: dict[str, CriterionTotals] = defaultdict(CriterionTotals)
        annotated: set[str] = set()
        for annotation, verdicts in self._standing(queue):
            if day_of(annotation.at) < start:
                continue
            counts = criteria[annotation.criterion]
            counts.annotations += 1
            annotated.add(annotation.item)
            on_topic = [metric for metric in verdicts if rules.on_topic(annotation.criterion, metric)]
            if on_topic:
                counts.contributing += 1
                counts.compared.add(annotation.item)
            for metric, by_judge in verdicts.items():
                counts.items[metric].add(annotation.item)
                _add(counts.cells[metric], annotation, by_judge)
        return QueueState(
            queue=queue,
            items_compared=len(set().union(*(counts.compared for counts in criteria.values()))),
            items_annotated=len(annotated),
            criteria={criterion: counts.state() for criterion, counts in criteria.items()},
            funnel=self._funnel(queue, start),
        )

    def _funnel(self, queue: str, start: str) -> Funnel | None:
        items = self._placed.get(queue)
        if not items:
            return None
        says = {item: self._says.get(item, {}) for item in items}
        annotated = {annotation.item for annotation in self._annotations.get(queue, [])}
        metrics = {}
        for metric in {metric for said in says.values() for metric in said}:
            heard = [said[metric] for said in says.values() if metric in said]
            within = [what for what, day in heard if day >= start]
            metrics[metric] = Evaluated(
                passed=within.count("pass"),
                failed=within.count("fail"),
                errored=within.count("error"),
                skipped=within.count("skipped"),
                waiting=len(items) - len(heard),
            )
        return Funnel(
            items=len(items),
            waiting_evaluation=sum(not said for said in says.values()),
            errored=sum(
                bool(said) and all(what in ("error", "skipped") for what, _ in said.values()) for said in says.values()
            ),
            waiting_annotation=len(items - annotated),
            metrics=metrics,
        )

    def document(
        self,
        queue: str,
        *,
        window: Window = Window.ALL,
        today: date | None = None,
        rules: CountingRules | None = None,
    ) -> SnapshotDocument:
        """The snapshot document of a queue, as of the newest row; `today` (UTC) is that row's day unless
        given.
        """
        rules = rules or CountingRules()
        stamp = DocumentStamp(timestamp(self.newest), revision=0, ledger="", positions={}, policy=self.policy)
        state = self.state(queue, window, today or date_of(self.newest), rules)
        return document(state, window, stamp, rules)

    def tallies(self) -> dict[TallyGroup, dict[str, object]]:
        """Every tally that is not empty, keyed by kind, names and day, with the payload that tally records
        carry.
        """
        cells: dict[TallyGroup, dict[str, Vectors]] = defaultdict(dict)
        annotations: dict[TallyGroup, list[int]] = defaultdict(lambda: [0, 0])
        evaluations: dict[TallyGroup, list[Coverage]] = defaultdict(list)
        for queue in self.queues:
            for annotation, verdicts in self._standing(queue):
                day = day_of(annotation.at)
                counts = annotations["annotations", queue, annotation.criterion, day]
                counts[0] += 1
                counts[1] += bool(verdicts)
                for metric, by_judge in verdicts.items():
                    _add(cells["cells", queue, annotation.criterion, metric, day], annotation, by_judge)
            for item in self._placed.get(queue, ()):
                for metric, (what, day) in self._says.get(item, {}).items():
                    evaluations["evaluations", queue, metric, day].append(what)
        payloads: dict[TallyGroup, dict[str, object]] = {}
        for group, judges in cells.items():
            payloads[group] = {
                "judges": {
                    judge: {"current": current, "superseded": superseded}
                    for judge, (current, superseded) in judges.items()
                }
            }
        for group, (standing, contributing) in annotations.items():
            payloads[group] = {"annotations": standing, "contributing": contributing}
        for group, said in evaluations.items():
            payloads[group] = {what: said.count(what) for what in COVERAGE}
        return payloads


def winners(facts: Iterable[Fact]) -> dict[bytes, Fact]:
    """The current row of every identity: of its facts the one with the highest version."""
    rows: dict[bytes, tuple[str, Fact]] = {}
    for fact in facts:
        identity, candidate = key(fact), version(fact)
        if identity not in rows or candidate > rows[identity][0]:
            rows[identity] = candidate, fact
    return {identity: fact for identity, (_, fact) in rows.items()}


def _add(cells: dict[str, Vectors], annotation: Annotation, verdicts: list[StandingVerdict]) -> None:
    level = LEVELS.index(annotation.thumbs or str(annotation.stars))
    for verdict in verdicts:
        current, superseded = cells.setdefault(verdict.judge, ([0] * COUNTS, [0] * COUNTS))
        vector = current if verdict.current else superseded
        vector[2 * level + verdict.passed] += 1
