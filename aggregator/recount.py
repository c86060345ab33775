"""The recount: counts of facts in any order, by plain nested loops.

It is the oracle of the shard and of everything that is computed from it, so it shares no counting with them. It is also
a way to use the product without Kafka.

What counts (tests/laws has an example of each rule):

- An annotation stands when it is not deleted and its item is not taken out of the queue. Under policy `latest`, only
  the newest standing annotation of a queue, item and criterion is compared; all standing ones are annotations.
- Under policy `majority` it is compared too, with the lower median of the standing ratings of its queue, item and
  criterion in place of its own.
- A verdict stands when its row is not deleted. The newest over all judges is the item's current verdict; the verdicts
  of the other judges are superseded.
- A failure shows only when no verdict of the metric stands on the item and no newer deletion of the same judge exists.
  Of several failures the newest shows.
- A failure that shows on an annotated item is counted with the criterion; it is no comparison.
- The coverage of a metric is over the items that queue items place in the queue.
- The day of a comparison is that of the annotation; the day of coverage is that of the evaluation (UTC).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from statistics import median_low
from typing import NamedTuple

from aggregator.days import Window, date_of, day_of, timestamp, window_start
from aggregator.facts import Annotation, Evaluation, Fact, QueueItem, key, version
from aggregator.policy import Policy
from aggregator.ratings import COUNTS, LEVELS, ORDER, cell_index, human_passes
from aggregator.snapshot.build import document
from aggregator.snapshot.inputs import (
    CountingRules,
    CriterionState,
    DocumentStamp,
    Funnel,
    JudgeFailures,
    JudgeVectors,
    MetricCoverage,
    PairCounts,
    QueueState,
)
from aggregator.snapshot.schema import SnapshotDocument
from aggregator.statistics.ceiling import Panel
from aggregator.statistics.judge_in_use import JudgePeriod
from aggregator.statistics.what_if import ScoredItems
from aggregator.tallies import COVERAGE, Coverage, TallyGroup

Vectors = tuple[list[int], list[int]]
"""Current and superseded cell vectors of a judge version."""


class StandingVerdict(NamedTuple):
    """A standing verdict on an item."""

    judge: str
    passed: bool
    current: bool
    """Whether it is the newest one on the item."""


class CriterionTotals:
    """Counters of one criterion."""

    def __init__(self) -> None:
        self.annotations = 0
        self.contributing = 0
        self.compared: set[str] = set()
        """Items with an on-topic comparison."""
        self.items: dict[str, set[str]] = defaultdict(set)
        """Compared items, by metric."""
        self.judged: dict[tuple[str, str], set[str]] = defaultdict(set)
        """Compared items, by metric and judge."""
        self.cells: dict[str, dict[str, Vectors]] = defaultdict(dict)
        """By metric and judge."""
        self.failed: dict[str, dict[str, set[str]]] = defaultdict(lambda: {"error": set(), "skipped": set()})
        """Annotated items on which a failure shows, by metric and status."""

    def state(self) -> CriterionState:
        """The counts as an input of a document."""
        metrics = {
            metric: PairCounts(
                len(self.items[metric]),
                {judge: JudgeVectors(*vectors, len(self.judged[metric, judge])) for judge, vectors in judges.items()},
            )
            for metric, judges in self.cells.items()
        }
        failures = {
            metric: JudgeFailures(len(items["error"]), len(items["skipped"])) for metric, items in self.failed.items()
        }
        return CriterionState(self.annotations, self.contributing, len(self.compared), metrics, failures)


class Recount:
    """Counts of facts, in any order and with any number of duplicates.

    Args:
        facts: all facts.
        policy: which annotations are compared.
    """

    def __init__(self, facts: Iterable[Fact], policy: Policy = Policy.EACH) -> None:
        self.policy = policy
        self.rows = winners(facts)
        """The current row of every identity, by `facts.key`."""
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
        self._current: dict[tuple[str, str], Evaluation] = {}
        """The current verdict, by item and metric."""
        self._coverage: dict[str, dict[str, tuple[Coverage, str]]] = defaultdict(dict)
        times: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for item, metrics in evaluations.items():
            for metric, rows in metrics.items():
                self._resolve(item, metric, rows)
                for row in rows:
                    if not (row.failed or row.deleted):
                        times[metric][row.judge].append(row.at)
        self._judges = {metric: _newest_in_use(judges) for metric, judges in times.items()}

    def _resolve(self, item: str, metric: str, rows: list[Evaluation]) -> None:
        failures = [row for row in rows if row.failed]
        verdicts = sorted((row for row in rows if not row.failed), key=version, reverse=True)
        standing = [row for row in verdicts if not row.deleted]
        if standing:
            self._verdicts[item][metric] = [
                StandingVerdict(row.judge, bool(row.passed), row is standing[0]) for row in standing
            ]
            self._current[item, metric] = standing[0]
            self._coverage[item][metric] = "pass" if standing[0].passed else "fail", day_of(standing[0].at)
            return
        deletions = {row.judge: version(row) for row in verdicts}
        shown = [row for row in failures if version(row) > deletions.get(row.judge, "")]
        if shown:
            newest = max(shown, key=version)
            self._coverage[item][metric] = "error" if newest.status == "error" else "skipped", day_of(newest.at)

    @property
    def queues(self) -> list[str]:
        """Every queue of an annotation or queue item, deleted ones included."""
        return sorted({row.queue for row in self.rows.values() if not isinstance(row, Evaluation)})

    @property
    def newest(self) -> int:
        """The latest `at` of all rows, in milliseconds; 0 without rows."""
        return max((row.at for row in self.rows.values()), default=0)

    def _standing(self, queue: str) -> Iterator[tuple[Annotation, int, dict[str, list[StandingVerdict]]]]:
        """Standing annotations of a queue, each with the rating and the verdicts that are compared, by metric."""
        annotations = self._annotations.get(queue, [])
        if self.policy == Policy.EACH:
            for annotation in annotations:
                yield annotation, annotation.rating, self._verdicts.get(annotation.item, {})
            return
        groups: dict[tuple[str, str], list[Annotation]] = defaultdict(list)
        for annotation in annotations:
            groups[annotation.item, annotation.criterion].append(annotation)
        for (item, _), group in groups.items():
            newest = max(group, key=version)
            for annotation in group:
                if annotation is not newest:
                    yield annotation, annotation.rating, {}
            rating = newest.rating
            if self.policy == Policy.MAJORITY:
                rating = LEVELS.index(ORDER[median_low(ORDER.index(LEVELS[each.rating]) for each in group)])
            yield newest, rating, self._verdicts.get(item, {})

    def state(self, queue: str, window: Window, today: date, rules: CountingRules) -> QueueState:
        """Counts of a queue in a window that ends on `today` (UTC)."""
        start = window_start(window, today)
        criteria: dict[str, CriterionTotals] = defaultdict(CriterionTotals)
        annotated: set[str] = set()
        for annotation, rating, verdicts in self._standing(queue):
            if day_of(annotation.at) < start:
                continue
            counts = criteria[annotation.criterion]
            counts.annotations += 1
            annotated.add(annotation.item)
            for metric, (coverage, _) in self._coverage.get(annotation.item, {}).items():
                if coverage in ("error", "skipped"):
                    counts.failed[metric][coverage].add(annotation.item)
            on_topic = [metric for metric in verdicts if rules.on_topic(annotation.criterion, metric)]
            if on_topic:
                counts.contributing += 1
                counts.compared.add(annotation.item)
            for metric, by_judge in verdicts.items():
                counts.items[metric].add(annotation.item)
                for verdict in by_judge:
                    counts.judged[metric, verdict.judge].add(annotation.item)
                _add(counts.cells[metric], rating, by_judge)
        return QueueState(
            queue=queue,
            items_compared=len(set().union(*(counts.compared for counts in criteria.values()))),
            items_annotated=len(annotated),
            criteria={criterion: counts.state() for criterion, counts in criteria.items()},
            funnel=self._funnel(queue, start),
            judges=self._judges,
        )

    def people(self, queue: str, criterion: str, start: str, pass_stars: int) -> dict[str, tuple[int, int]]:
        """Human passes and fails of each compared item since a UTC day (ISO text, empty for all days)."""
        people: dict[str, tuple[int, int]] = {}
        for annotation, rating, verdicts in self._standing(queue):
            if verdicts and annotation.criterion == criterion and day_of(annotation.at) >= start:
                passes, fails = people.get(annotation.item, (0, 0))
                passed = human_passes(rating, pass_stars)
                people[annotation.item] = passes + passed, fails + (not passed)
        return people

    def scored(self, people: Mapping[str, tuple[int, int]], metric: str) -> list[ScoredItems]:
        """The current verdicts of a metric on these items, an entry each."""
        return [
            ScoredItems(row.judge, row.score, row.threshold, row.direction, bool(row.passed), row.at, 1, passes, fails)
            for item, (passes, fails) in people.items()
            if (row := self._current.get((item, metric))) is not None
        ]

    def panels(self, queue: str, criterion: str, start: str) -> tuple[list[Panel], int]:
        """Items that two or more people rated since a UTC day, and the number of these people, under any policy."""
        rated: dict[str, list[Annotation]] = defaultdict(list)
        for annotation in self._annotations.get(queue, ()):
            if annotation.criterion == criterion and day_of(annotation.at) >= start:
                rated[annotation.item].append(annotation)
        shared = [annotations for annotations in rated.values() if len(annotations) > 1]
        counts = Counter(
            tuple(sum(each.rating == level for each in annotations) for level in range(len(LEVELS)))
            for annotations in shared
        )
        annotators = {each.annotator for annotations in shared for each in annotations}
        return [Panel(levels, items) for levels, items in counts.items()], len(annotators)

    def _funnel(self, queue: str, start: str) -> Funnel | None:
        items = self._placed.get(queue)
        if not items:
            return None
        by_item = {item: self._coverage.get(item, {}) for item in items}
        annotated = {annotation.item for annotation in self._annotations.get(queue, [])}
        metrics = {}
        for metric in {metric for of_item in by_item.values() for metric in of_item}:
            covered = [of_item[metric] for of_item in by_item.values() if metric in of_item]
            within = [coverage for coverage, day in covered if day >= start]
            metrics[metric] = MetricCoverage(
                passed=within.count("pass"),
                failed=within.count("fail"),
                errored=within.count("error"),
                skipped=within.count("skipped"),
                waiting=len(items) - len(covered),
            )
        return Funnel(
            items=len(items),
            waiting_evaluation=sum(not of_item for of_item in by_item.values()),
            errored=sum(
                bool(of_item) and all(coverage in ("error", "skipped") for coverage, _ in of_item.values())
                for of_item in by_item.values()
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
        """The snapshot document of a queue, as of the newest row. `today` (UTC) is the day of that row by default."""
        rules = rules or CountingRules()
        stamp = DocumentStamp(timestamp(self.newest), revision=0, ledger="", positions={}, policy=self.policy)
        state = self.state(queue, window, today or date_of(self.newest), rules)
        return document(state, window, stamp, rules)

    def tallies(self) -> dict[TallyGroup, dict[str, object]]:
        """The payload of every tally that counts anything, by group."""
        cells: dict[TallyGroup, dict[str, Vectors]] = defaultdict(dict)
        annotations: dict[TallyGroup, list[int]] = defaultdict(lambda: [0, 0])
        evaluations: dict[TallyGroup, list[Coverage]] = defaultdict(list)
        for queue in self.queues:
            for annotation, rating, verdicts in self._standing(queue):
                day = day_of(annotation.at)
                counts = annotations["annotations", queue, annotation.criterion, day]
                counts[0] += 1
                counts[1] += bool(verdicts)
                for metric, by_judge in verdicts.items():
                    _add(cells["cells", queue, annotation.criterion, metric, day], rating, by_judge)
            for item in self._placed.get(queue, ()):
                for metric, (coverage, day) in self._coverage.get(item, {}).items():
                    evaluations["evaluations", queue, metric, day].append(coverage)
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
        for group, covered in evaluations.items():
            payloads[group] = {coverage: covered.count(coverage) for coverage in COVERAGE}
        return payloads


def winners(facts: Iterable[Fact]) -> dict[bytes, Fact]:
    """The current row of every identity: its fact with the highest version."""
    rows: dict[bytes, tuple[str, Fact]] = {}
    for fact in facts:
        identity, candidate = key(fact), version(fact)
        if identity not in rows or candidate > rows[identity][0]:
            rows[identity] = candidate, fact
    return {identity: fact for identity, (_, fact) in rows.items()}


def _add(cells: dict[str, Vectors], rating: int, verdicts: list[StandingVerdict]) -> None:
    for verdict in verdicts:
        current, superseded = cells.setdefault(verdict.judge, ([0] * COUNTS, [0] * COUNTS))
        vector = current if verdict.current else superseded
        vector[cell_index(rating, verdict.passed)] += 1


def _newest_in_use(judges: Mapping[str, Sequence[int]]) -> JudgePeriod:
    """Of the versions with a verdict in the metric's last 24 hours the one whose first verdict came last."""
    last = max(max(times) for times in judges.values())
    in_use = sorted(
        (min(times), judge, max(times)) for judge, times in judges.items() if max(times) >= last - 24 * 3600 * 1000
    )
    first_at, judge, last_at = in_use[-1]
    return JudgePeriod(judge, first_at, last_at)
