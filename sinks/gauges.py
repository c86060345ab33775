"""The product's Prometheus gauges: one immutable view of all documents, as text that is ready to be served.

A refresh makes the text anew from one state of the store; a scrape only hands it out. So a scrape is one
consistent cut, series of what vanished are gone, and undefined numbers are absent. Lines are rendered here
because a sample object per line costs thirty times as much; both text formats of Prometheus write gauges the
same way.

Series stand in the order in which queues were first seen, so when the cap is reached the oldest queues keep
theirs.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from aggregator.snapshot.inputs import Window
from aggregator.snapshot.schema import CriterionDocument, MetricDocument, SnapshotDocument
from aggregator.statistics.confusion import Confusion, Estimate, Undefined
from sinks.documents import Documents, QueueEntry, State, read_state
from sinks.queries.judge_versions import JudgeTimeline
from sinks.store.store import Store

PREFIX: Final = "eval_alignment_"

FAMILIES: Final = {
    "comparisons": "Comparisons by outcome: tp both pass, fn only people, tn both fail, fp only the metric.",
    "ratio": "Alignment: share of comparisons in which people and metric agree.",
    "low_ratio": "Lower bound of the Wilson 95 % interval of alignment, over distinct items.",
    "high_ratio": "Upper bound of the Wilson 95 % interval of alignment, over distinct items.",
    "baseline_ratio": "Alignment of a judge that always gives the more frequent human result.",
    "true_positive_ratio": "Share of the comparisons that people passed which the metric passed too.",
    "true_negative_ratio": "Share of the comparisons that people failed which the metric failed too.",
    "kappa": "Cohen's kappa, from -1 to 1.",
    "mcc": "Matthews correlation coefficient, from -1 to 1.",
    "gate": "Always 1; the verdict of the gate on the metric.",
    "annotations": "Standing annotations, by whether they take part in a comparison.",
    "window_comparisons": "Comparisons by outcome in a window.",
    "window_items": "Distinct items among the comparisons in a window: what its intervals rest on.",
    "newest_judge_first_timestamp_seconds": "First verdict of the metric's newest judge version that is in use.",
    "newest_judge_comparisons": "Comparisons of the metric's newest judge version in use, over all queues.",
    "judge_comparisons": "Comparisons by judge version and outcome; only with the setting `expose_judge_version`.",
}
"""Names without prefix, and their help. All are gauges."""

_RATIOS: Final = (
    "ratio",
    "low_ratio",
    "high_ratio",
    "baseline_ratio",
    "true_positive_ratio",
    "true_negative_ratio",
)
_OUTCOMES: Final = ("tp", "fn", "tn", "fp")
WINDOWS: Final = (Window.DAYS_7, Window.DAYS_30)
"""Windows of which the ratios are exposed too, with a label `window`; without the label they are of all
days.
"""

RECENT_DAYS: Final = 5
"""Alignment and its interval are exposed of these last days too (`window="5d"`), for the alert on a drop: in a
window of 7 days a drop would stay diluted by good days for longer than it may go unseen.
"""

SERIES_PER_PAIR: Final = len(_OUTCOMES) + (1 + len(WINDOWS)) * len(_RATIOS) + 3 + 3 + 5
"""Series of a criterion and metric of which everything is defined: outcomes, ratios, then kappa, mcc and gate,
alignment of the recent days, and the cells and items of 30 days. Without those by judge version.
"""

_ESCAPED: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})

SeriesLine = tuple[str, str]
"""A family and one of its lines."""
Recent = dict[tuple[str, str], Estimate]
"""Alignment of the last `RECENT_DAYS` by criterion and metric."""


@dataclass(frozen=True, slots=True)
class Gauges:
    """All gauges as text, how many series they are, how many the cap kept out, and the state's `as_of`."""

    text: bytes = b""
    series: int = 0
    suppressed: int = 0
    as_of: int | None = None


def label(value: str) -> str:
    r"""A label value, escaped and quoted.

    >>> print(label('say "hi"\n'))
    "say \"hi\"\n"
    """
    return f'"{value.translate(_ESCAPED)}"'


@dataclass(frozen=True, slots=True)
class _Block:
    """What a queue adds: groups of lines that are shown or kept out together, and comparisons by judge version."""

    revision: int
    day: date
    groups: list[list[SeriesLine]]
    judged: dict[tuple[str, str], int]


class GaugeCollector:
    """Makes `Gauges` from the documents of a store. Its methods block: call them in a thread, one at a time.

    Args:
        store: where the documents come from.
        documents: makes them.
        limit: the cap on series.
        judge_label: whether comparisons are exposed by judge version too, with its id as a label.
    """

    def __init__(self, store: Store, documents: Documents, limit: int, *, expose_judge_version: bool = False) -> None:
        self._store = store
        self._documents = documents
        self._limit = limit
        self._judge_label = expose_judge_version
        self._judges = JudgeTimeline()
        self._blocks: dict[str, _Block] = {}

    def collect(self, today: date) -> Gauges:
        """The gauges of the store's current state on a UTC day."""
        families: dict[str, list[str]] = defaultdict(list)
        blocks: dict[str, _Block] = {}
        series = suppressed = 0

        def show(groups: Iterable[list[SeriesLine]]) -> None:
            nonlocal series, suppressed
            for group in groups:
                # Once one is kept out all later ones are: what is shown does not depend on who is small.
                if suppressed or series + len(group) > self._limit:
                    suppressed += len(group)
                    continue
                series += len(group)
                for family, line in group:
                    families[family].append(line)

        with self._store.read() as connection:
            state = read_state(connection)
            last = 0
            for entry in self._documents.queues(connection):
                block = self._blocks.get(entry.queue)
                if block is None or (block.revision, block.day) != (entry.revision, today):
                    block = self._block(connection, entry, state, today)
                blocks[entry.queue] = block
                show(block.groups)
                last = entry.place
                if suppressed:
                    break
            if suppressed:
                # The documents of the queues behind are not made only to be thrown away.
                (pairs,) = connection.execute(
                    "SELECT count(*) FROM (SELECT DISTINCT t.queue, t.criterion, t.metric FROM queues AS q "
                    "CROSS JOIN tallies AS t ON t.queue = q.queue AND t.kind = 'cells' WHERE q.id > ?)",
                    (last,),
                ).fetchone()
                suppressed += pairs * SERIES_PER_PAIR
            else:
                # Over all queues, so only where all of them were looked at.
                self._judges.update(connection)
                show(self._newest(blocks.values()))
        self._blocks = blocks
        unique = {line.rsplit(" ", 1)[0] for lines in families.values() for line in lines}
        if len(unique) != series:
            raise AssertionError("a series was made twice")
        return Gauges("".join(_text(families)).encode(), series, suppressed, state.as_of)

    def _block(self, connection: sqlite3.Connection, entry: QueueEntry, state: State, today: date) -> _Block:
        recent = self._recent(connection, entry, today)
        made = {window: self._documents.make(connection, entry, state, window) for window in (Window.ALL, *WINDOWS)}
        whole = made[Window.ALL]
        if whole is None:
            return _Block(entry.revision, today, [], {})
        judged: dict[tuple[str, str], int] = defaultdict(int)
        for metric in (metric for criterion in whole["criteria"] for metric in _compared(criterion)):
            for judge, counts in metric["judges"].items():
                judged[metric["metric"], judge] += sum(counts[name] for name in _OUTCOMES) - counts["superseded"]
        groups = list(_groups(entry.queue, whole, made, recent, expose_judge_version=self._judge_label))
        return _Block(entry.revision, today, groups, judged)

    def _recent(self, connection: sqlite3.Connection, entry: QueueEntry, today: date) -> Recent:
        rules = self._documents.rules
        first = today - timedelta(days=RECENT_DAYS - 1)
        counts = self._documents.counts(connection, entry, first.isoformat())
        found: Recent = {}
        for criterion, of_criterion in counts.criteria.items():
            for metric, pair in of_criterion.metrics.items():
                outcomes = (rules.outcomes(cell.current) for cell in pair.judges.values())
                tp, fn, tn, fp = map(sum, zip(*outcomes, strict=True))
                confusion = Confusion(tp, fn, tn, fp, pair.items)
                if not isinstance(confusion.alignment, Undefined):
                    found[criterion, metric] = confusion.alignment
        return found

    def _newest(self, blocks: Collection[_Block]) -> Iterator[list[SeriesLine]]:
        metrics = sorted({metric for block in blocks for metric, _ in block.judged})
        for metric in metrics:
            if (judge := self._judges.newest(metric)) is not None:
                comparisons = sum(block.judged.get((metric, judge.name), 0) for block in blocks)
                labels = f"metric={label(metric)}" + (f",judge={label(judge.name)}" if self._judge_label else "")
                yield [
                    _line("newest_judge_first_timestamp_seconds", labels, judge.first / 1000),
                    _line("newest_judge_comparisons", labels, comparisons),
                ]


def _text(families: dict[str, list[str]]) -> Iterator[str]:
    for name, documentation in FAMILIES.items():
        if lines := families.get(name):
            yield f"# HELP {PREFIX}{name} {documentation}\n# TYPE {PREFIX}{name} gauge\n"
            yield from lines


def _compared(criterion: CriterionDocument) -> list[MetricDocument]:
    """The metrics that gauges tell of, by name: the order of a document changes with every comparison."""
    metrics = (metric for metric in criterion["metrics"] if metric["comparisons"] and not metric["off_topic"])
    return sorted(metrics, key=lambda metric: metric["metric"])


def _groups(
    name: str,
    whole: SnapshotDocument,
    made: dict[Window, SnapshotDocument | None],
    recent: Recent,
    *,
    expose_judge_version: bool,
) -> Iterator[list[SeriesLine]]:
    """Lines of a queue, in groups that are shown or kept out together: a criterion's, then those of its pairs."""
    windows = {
        window: {
            (criterion["criterion"], metric["metric"]): metric
            for criterion in of_window["criteria"]
            for metric in criterion["metrics"]
        }
        for window in WINDOWS
        if (of_window := made[window]) is not None
    }
    queue = label(name)
    for criterion in whole["criteria"]:
        labels = f"queue={queue},criterion={label(criterion['criterion'])}"
        yield list(_annotations(labels, criterion))
        for metric in _compared(criterion):
            key = criterion["criterion"], metric["metric"]
            pair = f"{labels},metric={label(metric['metric'])}"
            group = list(_pair(pair, metric))
            for window, metrics in windows.items():
                if (of_window_metric := metrics.get(key)) is not None:
                    group += _windowed(f'{pair},window="{window.value}"', window, of_window_metric)
            if (estimate := recent.get(key)) is not None:
                group += [
                    _line(family, f'{pair},window="{RECENT_DAYS}d"', value)
                    for family, value in zip(_RATIOS, estimate, strict=False)
                ]
            if expose_judge_version:
                group += _judged(pair, metric)
            yield group


def _judged(labels: str, metric: MetricDocument) -> Iterator[SeriesLine]:
    for judge, counts in metric["judges"].items():
        for outcome in _OUTCOMES:
            yield _line("judge_comparisons", f'{labels},judge={label(judge)},outcome="{outcome}"', counts[outcome])


def _windowed(labels: str, window: Window, metric: MetricDocument) -> Iterator[SeriesLine]:
    yield from _ratios(labels, metric)
    if window is Window.DAYS_30 and metric["comparisons"]:
        # Families of their own: who adds up `comparisons` must not count them twice.
        for outcome in _OUTCOMES:
            yield _line("window_comparisons", f'{labels},outcome="{outcome}"', metric[outcome])
        yield _line("window_items", labels, metric["items_compared"])


def _annotations(labels: str, criterion: CriterionDocument) -> Iterator[SeriesLine]:
    contributing = criterion["annotations_contributing"]
    for state, count in (
        ("contributing", contributing),
        ("not_contributing", criterion["annotations"] - contributing),
    ):
        yield _line("annotations", f'{labels},state="{state}"', count)


def _pair(labels: str, metric: MetricDocument) -> Iterator[SeriesLine]:
    for outcome in _OUTCOMES:
        yield _line("comparisons", f'{labels},outcome="{outcome}"', metric[outcome])
    yield from _ratios(labels, metric)
    for name, value in (("kappa", metric["kappa"]), ("mcc", metric["mcc"])):
        if value is not None:
            yield _line(name, labels, value)
    if metric["gate"] is not None:
        yield _line("gate", f'{labels},verdict="{metric["gate"].value}"', 1)


def _ratios(labels: str, metric: MetricDocument) -> Iterator[SeriesLine]:
    values = (
        metric["alignment"],
        metric["alignment_low"],
        metric["alignment_high"],
        metric["baseline"],
        metric["tpr"],
        metric["tnr"],
    )
    for name, value in zip(_RATIOS, values, strict=True):
        if value is not None:
            yield _line(name, labels, value)


def _line(family: str, labels: str, value: float) -> SeriesLine:
    return family, f"{PREFIX}{family}{{{labels}}} {float(value)!r}\n"
