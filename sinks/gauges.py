"""The agreement gauges for Prometheus, rendered as text from one state of the store.

A refresh renders the text, a scrape serves it. So a scrape is consistent, series of queues and metrics that no longer
exist are gone, and undefined numbers are absent. Lines are rendered here because a sample object per line costs thirty
times as much; both text formats of Prometheus write gauges in the same way.

Which series the cap keeps is decided before they are built (`sinks.series_cap`): a queue that the cap keeps out costs
no document.
"""

import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from aggregator.days import Window, first_day
from aggregator.snapshot.schema import CriterionDocument, MetricDocument, SnapshotDocument
from aggregator.statistics.ceiling import ordered_pairs
from aggregator.statistics.confusion import OUTCOMES, Confusion, Estimate, Undefined
from sinks.documents import DocumentError, Documents
from sinks.queries.judge_versions import judges_in_use
from sinks.queries.queue_totals import QueueTotals
from sinks.queries.queues import QueueEntry, StoreState, read_state
from sinks.queries.rows import panels
from sinks.queries.scope import Scope
from sinks.segment_gauges import SEGMENT_FAMILIES, SegmentGauges
from sinks.series import SeriesLine, label, line
from sinks.series_cap import Pair, SeriesCap
from sinks.store.store import Store
from streams.runtime.metric_specs import gauge

_PAIR: Final = ("queue", "criterion", "metric")

_COMPARISONS: Final = gauge("comparisons", "Comparisons over all days, by outcome.", *_PAIR, "outcome")
_RATIOS: Final = tuple(
    gauge(name, help_text, *_PAIR, "window")
    for name, help_text in (
        ("agreement_ratio", "Alignment: share of comparisons in which people and metric agree."),
        ("agreement_ci_low", "Lower bound of the Wilson 95 % interval of alignment, over distinct items."),
        ("agreement_ci_high", "Upper bound of the Wilson 95 % interval of alignment, over distinct items."),
        ("baseline_ratio", "Alignment of a constant judge that always returns the more frequent human verdict."),
        ("true_positive_ratio", "Share of the human passes that the metric passes too."),
        ("true_negative_ratio", "Share of the human fails that the metric fails too."),
    )
)
_KAPPA: Final = gauge("kappa", "Cohen's kappa over all days, from -1 to 1.", *_PAIR)
_MCC: Final = gauge("mcc", "Matthews correlation coefficient over all days, from -1 to 1.", *_PAIR)
_GATE: Final = gauge("gate", "Always 1; the label `state` has the state of the gate.", *_PAIR, "state")
_ANNOTATIONS: Final = gauge(
    "annotations",
    "Annotations that are not deleted, by whether they are part of a comparison.",
    "queue",
    "criterion",
    "state",
)
_HUMAN_AGREEMENT: Final = gauge(
    "human_agreement_ratio",
    "Share of pairs of annotators that agree on pass or fail of the same item: the human ceiling.",
    "queue",
    "criterion",
)
_NEWEST_WINDOW_COMPARISONS: Final = gauge(
    "newest_judge_window_comparisons",
    "Comparisons of the newest judge version in use in a window, by outcome (people first).",
    *_PAIR,
    "window",
    "outcome",
)
_NEWEST_WINDOW_ITEMS: Final = gauge(
    "newest_judge_window_items",
    "Distinct items among these comparisons: the n of their intervals.",
    *_PAIR,
    "window",
)
_NEWEST_JUDGE_AGREEMENT: Final = tuple(
    gauge(f"newest_judge_{name}", help_text, *_PAIR, "window")
    for name, help_text in (
        ("agreement_ratio", "Alignment of the newest judge version in use, on its own comparisons."),
        ("agreement_ci_low", "Lower bound of its Wilson 95 % interval, over distinct items."),
        ("agreement_ci_high", "Upper bound of its Wilson 95 % interval, over distinct items."),
    )
)
_NEWEST_JUDGE_FIRST: Final = gauge(
    "newest_judge_first_timestamp_seconds", "Time of the first verdict of the metric's newest judge version.", "metric"
)
_NEWEST_JUDGE_COMPARISONS: Final = gauge(
    "newest_judge_comparisons", "Comparisons of the metric's newest judge version, over all queues.", "metric"
)
_JUDGE_COMPARISONS: Final = gauge(
    "judge_comparisons",
    "Comparisons by judge version and outcome; only with the setting `expose_judge_version`.",
    *_PAIR,
    "judge",
    "outcome",
)

FAMILIES: Final = (
    _COMPARISONS,
    *_RATIOS,
    _KAPPA,
    _MCC,
    _GATE,
    _ANNOTATIONS,
    _HUMAN_AGREEMENT,
    _NEWEST_WINDOW_COMPARISONS,
    _NEWEST_WINDOW_ITEMS,
    *_NEWEST_JUDGE_AGREEMENT,
    _NEWEST_JUDGE_FIRST,
    _NEWEST_JUDGE_COMPARISONS,
    _JUDGE_COMPARISONS,
    *SEGMENT_FAMILIES,
)
"""Every agreement gauge, in the order of a scrape."""

WINDOWS: Final = (Window.ALL, Window.DAYS_7, Window.DAYS_30)
"""Windows of the ratios: values of the label `window`."""

RECENT_DAYS: Final = 5
"""Days of the additional window `5d` of the newest judge version's alignment, for the alert on a drop: in a window of 7
days good days would hide a drop for too long.
"""

SERIES_PER_PAIR: Final = len(OUTCOMES) + len(WINDOWS) * len(_RATIOS) + 3 + 5 + 2 * len(_NEWEST_JUDGE_AGREEMENT)
"""Series of a criterion and metric without undefined numbers: outcomes, ratios, then kappa, MCC and gate; of the newest
judge version outcomes and items of 30 days, and alignment of these and of the recent days. Series by judge version are
not included.
"""

HUMAN_AGREEMENT_SECONDS: Final = 15.0
"""Minimum time between two computations of a queue's human agreement, which reads rows instead of counts."""

SERIES_PER_CRITERION: Final = 3
"""Series of a criterion itself: annotations by state, and human agreement."""

Recent = dict[tuple[str, str], Estimate]
"""Alignment of the last `RECENT_DAYS` by criterion and metric."""


@dataclass(frozen=True, slots=True)
class Gauges:
    """All agreement gauges of one state."""

    text: bytes = b""
    """The gauges in the text format of Prometheus."""
    series: int = 0
    """Number of series in `text`."""
    suppressed: int = 0
    """Number of series that the cap leaves out, at most: a pair counts with all series that it can have."""
    as_of: int | None = None
    """Time of the state in ms; None before the first checkpoint."""
    complete: Mapping[int, int] = field(default_factory=dict)
    """Time in ms up to which each partition is complete."""


@dataclass(frozen=True, slots=True)
class _QueueSeries:
    """The series of a queue."""

    revision: int
    day: date
    lines: dict[Pair, list[SeriesLine]]
    """Lines by pair; a pair is exposed or suppressed as a whole."""
    judged: dict[tuple[str, str], int]
    """Current comparisons by metric and judge version."""


@dataclass(frozen=True, slots=True)
class _HumanAgreement:
    """Human agreement of a queue."""

    revision: int
    at: float
    """Monotonic time of the computation."""
    lines: dict[Pair, list[SeriesLine]]
    """By criterion."""


class GaugeCollector:
    """Renders `Gauges` from the documents of a store. Methods queue_series: call them in a thread, one at a time.

    Args:
        store: the store.
        documents: builds the documents.
        limit: the cap on series.
        expose_judge_version: whether to expose comparisons by judge version too, with the version as a label.
        segment_tags: names of tags by whose values to expose alignment too.
        clock: returns monotonic seconds.
    """

    def __init__(
        self,
        store: Store,
        documents: Documents,
        limit: int,
        *,
        expose_judge_version: bool = False,
        segment_tags: Sequence[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._documents = documents
        self._limit = limit
        self._cap = SeriesCap(limit, clock)
        self._expose_judge_version = expose_judge_version
        self._clock = clock
        self._queues: dict[str, _QueueSeries] = {}
        self._people: dict[str, _HumanAgreement] = {}
        self._segments = SegmentGauges(segment_tags, documents.rules, clock)

    def collect(self, today: date, *, caught_up: bool = True) -> Gauges:
        """The gauges of the store's current state on a UTC day.

        `caught_up`: whether the view has read the topics to their end; see `SeriesCap.decide`.
        """
        queues: dict[str, _QueueSeries] = {}
        people: dict[str, _HumanAgreement] = {}
        with self._store.read() as connection:
            state = read_state(connection)
            totals = {each.entry.queue: each for each in self._documents.index.queues(connection)}

            def lines(pair: Pair) -> list[SeriesLine]:
                of_queue = totals[pair.queue]
                if pair.queue not in queues:
                    queues[pair.queue] = self._queue_series(connection, of_queue.entry, state, today)
                    people[pair.queue] = self._human_agreement(connection, of_queue, today)
                human = people[pair.queue].lines.get(pair) or []
                segments = self._segments.lines(connection, of_queue.entry, pair, today)
                return [*queues[pair.queue].lines.get(pair, ()), *human, *segments]

            shares = self._cap.decide(_pairs(totals.values()), lambda pair: len(lines(pair)), caught_up=caught_up)
            kept = dict.fromkeys(each for pair in shares.kept for each in (pair.of_criterion, pair))
            shown = [each for pair in kept for each in lines(pair)]
            suppressed = sum(SERIES_PER_PAIR if pair.metric else SERIES_PER_CRITERION for pair in shares.dropped)
            if not shares.dropped:
                # These count all queues, so they need the series of all queues.
                for of_metric in self._newest_judges(connection, queues.values()):
                    if len(shown) + len(of_metric) <= self._limit:
                        shown += of_metric
                    else:
                        suppressed += len(of_metric)
        self._queues, self._people = queues, people
        self._segments.forget(shares.dropped)
        if len({text.rsplit(" ", 1)[0] for _, text in shown}) != len(shown):
            raise AssertionError("duplicate series")
        return Gauges("".join(_text(shown)).encode(), len(shown), suppressed, state.as_of, state.complete)

    def _queue_series(
        self, connection: sqlite3.Connection, entry: QueueEntry, state: StoreState, today: date
    ) -> _QueueSeries:
        known = self._queues.get(entry.queue)
        if known is not None and (known.revision, known.day) == (entry.revision, today):
            return known
        try:
            recent = self._recent(connection, entry, today)
            documents = {window: self._documents.build(connection, entry, state, window) for window in WINDOWS}
        except DocumentError:
            return _QueueSeries(entry.revision, today, {}, {})
        all_days = documents[Window.ALL]
        if all_days is None:
            return _QueueSeries(entry.revision, today, {}, {})
        judged: dict[tuple[str, str], int] = defaultdict(int)
        for metric in (metric for criterion in all_days["criteria"] for metric in _compared(criterion)):
            for judge, counts in metric["judges"].items():
                judged[metric["metric"], judge] += sum(counts[name] for name in OUTCOMES) - counts["superseded"]
        lines = dict(_lines(entry.queue, documents, recent, expose_judge_version=self._expose_judge_version))
        return _QueueSeries(entry.revision, today, lines, judged)

    def _human_agreement(self, connection: sqlite3.Connection, totals: QueueTotals, today: date) -> _HumanAgreement:
        entry = totals.entry
        last, now = self._people.get(entry.queue), self._clock()
        if last is not None and (last.revision == entry.revision or now - last.at < HUMAN_AGREEMENT_SECONDS):
            return last
        rules = self._documents.rules
        lines = {}
        for criterion in totals.criteria:
            rated_items, _ = panels(connection, Scope(entry.queue, Window.ALL, today, rules), criterion)
            agreement = ordered_pairs(rated_items, rules.pass_limit(criterion)).alignment
            if not isinstance(agreement, Undefined):
                labels = f"queue={label(entry.queue)},criterion={label(criterion)}"
                lines[Pair(entry.queue, criterion, None)] = [line(_HUMAN_AGREEMENT, labels, agreement.value)]
        return _HumanAgreement(entry.revision, now, lines)

    def _recent(self, connection: sqlite3.Connection, entry: QueueEntry, today: date) -> Recent:
        rules = self._documents.rules
        counts = self._documents.counts(connection, entry, first_day(today, RECENT_DAYS))
        recent: Recent = {}
        for criterion, of_criterion in counts.criteria.items():
            for metric, pair in of_criterion.metrics.items():
                newest = counts.judges.get(metric)
                cell = None if newest is None else pair.judges.get(newest.judge)
                if cell is not None:
                    own = Confusion(*rules.outcomes(criterion, cell.own), cell.items)
                    if not isinstance(own.alignment, Undefined):
                        recent[criterion, metric] = own.alignment
        return recent

    def _newest_judges(
        self, connection: sqlite3.Connection, queues: Collection[_QueueSeries]
    ) -> Iterator[list[SeriesLine]]:
        metrics = sorted({metric for queue_series in queues for metric, _ in queue_series.judged})
        judges = judges_in_use(connection, metrics)
        for metric in metrics:
            if (newest := judges.get(metric)) is not None:
                comparisons = sum(queue_series.judged.get((metric, newest.judge), 0) for queue_series in queues)
                judge = f",judge={label(newest.judge)}" if self._expose_judge_version else ""
                labels = f"metric={label(metric)}{judge}"
                yield [
                    line(_NEWEST_JUDGE_FIRST, labels, newest.first_at / 1000),
                    line(_NEWEST_JUDGE_COMPARISONS, labels, comparisons),
                ]


def _pairs(queues: Iterable[QueueTotals]) -> dict[Pair, int]:
    """Comparisons by pair, and criteria without a pair."""
    pairs: dict[Pair, int] = {}
    for totals in queues:
        queue = totals.entry.queue
        pairs.update((Pair(queue, *names), comparisons) for names, comparisons in totals.pairs.items())
        compared = {criterion for criterion, _ in totals.pairs}
        pairs.update((Pair(queue, criterion, None), 0) for criterion in totals.criteria if criterion not in compared)
    return pairs


def _text(lines: Iterable[SeriesLine]) -> Iterator[str]:
    families: dict[str, list[str]] = defaultdict(list)
    for family, text in lines:
        families[family].append(text)
    for spec in FAMILIES:
        if spec.name in families:
            yield f"# HELP {spec.name} {spec.help}\n# TYPE {spec.name} {spec.kind}\n"
            yield from families[spec.name]


def _compared(criterion: CriterionDocument) -> list[MetricDocument]:
    """The metrics with gauges, by name: their order in a document changes with every comparison."""
    metrics = (metric for metric in criterion["metrics"] if metric["comparisons"] and not metric["off_topic"])
    return sorted(metrics, key=lambda metric: metric["metric"])


def _lines(
    name: str,
    documents: dict[Window, SnapshotDocument | None],
    recent: Recent,
    *,
    expose_judge_version: bool,
) -> Iterator[tuple[Pair, list[SeriesLine]]]:
    """Lines of a queue: those of a criterion, then those of each of its metrics."""
    windows = {
        window: {
            (criterion["criterion"], metric["metric"]): metric
            for criterion in of_window["criteria"]
            for metric in criterion["metrics"]
        }
        for window in WINDOWS
        if (of_window := documents[window]) is not None
    }
    queue = label(name)
    all_days = documents[Window.ALL]
    for criterion in all_days["criteria"] if all_days is not None else ():
        labels = f"queue={queue},criterion={label(criterion['criterion'])}"
        yield Pair(name, criterion["criterion"], None), list(_annotations(labels, criterion))
        for metric in _compared(criterion):
            key = criterion["criterion"], metric["metric"]
            pair = f"{labels},metric={label(metric['metric'])}"
            group = list(_pair(pair, metric))
            for window, metrics in windows.items():
                if (of_window_metric := metrics.get(key)) is not None:
                    group += _windowed(f'{pair},window="{window.value}"', window, of_window_metric)
            if (estimate := recent.get(key)) is not None:
                group += _newest_agreement(f'{pair},window="{RECENT_DAYS}d"', estimate)
            if expose_judge_version:
                group += _judged(pair, metric)
            yield Pair(name, *key), group


def _judged(labels: str, metric: MetricDocument) -> Iterator[SeriesLine]:
    for judge, counts in metric["judges"].items():
        for outcome in OUTCOMES:
            yield line(_JUDGE_COMPARISONS, f'{labels},judge={label(judge)},outcome="{outcome}"', counts[outcome])


def _windowed(labels: str, window: Window, metric: MetricDocument) -> Iterator[SeriesLine]:
    yield from _ratios(labels, metric)
    newest = metric["newest_judge"]
    if window is Window.DAYS_30 and newest is not None and newest["comparisons"]:
        # These have families of their own: a sum over `comparisons` must not count them twice.
        for outcome in OUTCOMES:
            yield line(_NEWEST_WINDOW_COMPARISONS, f'{labels},outcome="{outcome}"', newest[outcome])
        yield line(_NEWEST_WINDOW_ITEMS, labels, newest["items_compared"])
        yield from _newest_agreement(labels, (newest["alignment"], newest["alignment_low"], newest["alignment_high"]))


def _newest_agreement(labels: str, estimate: Iterable[float | None]) -> Iterator[SeriesLine]:
    for spec, value in zip(_NEWEST_JUDGE_AGREEMENT, estimate, strict=True):
        if value is not None:
            yield line(spec, labels, value)


def _annotations(labels: str, criterion: CriterionDocument) -> Iterator[SeriesLine]:
    contributing = criterion["annotations_contributing"]
    for state, count in (
        ("contributing", contributing),
        ("not_contributing", criterion["annotations"] - contributing),
    ):
        yield line(_ANNOTATIONS, f'{labels},state="{state}"', count)


def _pair(labels: str, metric: MetricDocument) -> Iterator[SeriesLine]:
    for outcome in OUTCOMES:
        yield line(_COMPARISONS, f'{labels},outcome="{outcome}"', metric[outcome])
    for spec, value in ((_KAPPA, metric["kappa"]), (_MCC, metric["mcc"])):
        if value is not None:
            yield line(spec, labels, value)
    if metric["gate_state"] is not None:
        yield line(_GATE, f'{labels},state="{metric["gate_state"].value}"', 1)


def _ratios(labels: str, metric: MetricDocument) -> Iterator[SeriesLine]:
    values = (
        metric["alignment"],
        metric["alignment_low"],
        metric["alignment_high"],
        metric["baseline"],
        metric["tpr"],
        metric["tnr"],
    )
    for spec, value in zip(_RATIOS, values, strict=True):
        if value is not None:
            yield line(spec, labels, value)
