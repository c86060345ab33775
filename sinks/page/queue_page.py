"""The page of one queue: its snapshot document by criterion, window and metrics."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from heapq import nsmallest
from typing import Final

from aggregator.days import Window, window_start
from aggregator.snapshot.schema import CriterionDocument, MetricDocument, SnapshotDocument
from aggregator.statistics.confusion import Confusion
from aggregator.statistics.gate import Gate
from sinks import budgets
from sinks.api.services import Services
from sinks.documents import first_criterion
from sinks.page.advice import Advice, Advisor
from sinks.page.alike_queues import alike_queues
from sinks.page.charts import Spark
from sinks.page.deep_dive import LIGHT, AnswerCache, CachedQueries, DeepDive, DeepDiveOptions
from sinks.page.empty_state import Waiting, waiting
from sinks.page.figures import (
    Figure,
    Margin,
    Scale,
    anchor,
    defined,
    figures,
    margins,
    metric_scale,
    pooled,
    queue_tone,
)
from sinks.page.findings import Highlight, find, newest_of_several
from sinks.page.hints import document_hints, queue_hints
from sinks.page.layout import Shell, shell
from sinks.page.page_details import details_of_page, scale_warnings_of, side_by_side_of_page
from sinks.page.remedies import remedies_of
from sinks.page.segments_card import SegmentsCard, segments_card
from sinks.page.side_by_side_card import SideBySideCard
from sinks.page.superseded_note import SupersededNote, superseded_note
from sinks.page.templating import unfolded
from sinks.page.urls import Value, address, queue_path
from sinks.page.wording import judge_failures
from sinks.queries.counts import count_unannounced
from sinks.queries.judge_versions import judge_periods
from sinks.queries.queues import QueueEntry
from sinks.queries.results import Ceiling
from sinks.queries.scope import Scope

WINDOW_NAMES: Final[Mapping[Window, tuple[str, str]]] = {
    Window.DAYS_7: ("7 d", "last 7 days"),
    Window.DAYS_30: ("30 d", "last 30 days"),
    Window.DAYS_90: ("90 d", "last 90 days"),
    Window.ALL: ("All", "all time"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRequest:
    """The reader's choices on the page of a queue."""

    queue: str
    criterion: str | None = None
    window: Window = Window.ALL
    view: str = "metrics"
    metrics: Sequence[str] = ()
    """Metrics in charts, tables and matrices; empty for all."""
    judge: str | None = None
    """Judge version whose current verdicts alone are counted; None for those of all versions."""
    live: bool = True
    options: DeepDiveOptions = field(default_factory=DeepDiveOptions)
    more: bool = False
    """Whether to include the slow parts of a large queue."""
    start: int = 0
    """Number of metrics with more comparisons that are left out."""

    def _parameters(self) -> dict[str, Value]:
        return {
            "criterion": self.criterion,
            "window": None if self.window is Window.ALL else self.window.value,
            "view": None if self.view == "metrics" else self.view,
            "metric": self.metrics,
            "judge": self.judge,
            "live": None if self.live else "off",
            "trend": self.options.trend_metric,
            "by": "publication" if self.options.published else None,
            "depth": self.options.metric,
            "cost": None if self.options.cost == 1 else repr(self.options.cost).removesuffix(".0"),
            "with": self.options.next_to,
            "segments": self.options.segments_by,
            "more": "1" if self.more else None,
            "from": str(self.start) if self.start else None,
        }

    def href(self, **changes: Value) -> str:
        """The address of this page with changes."""
        return address(queue_path(self.queue), {**self._parameters(), **changes})

    def file(self, name: str) -> str:
        """The address of a chart or table of this page as a file."""
        return address(queue_path(self.queue, f"/files/{name}"), {**self._parameters(), "more": None, "live": None})

    def fields(self) -> list[tuple[str, str]]:
        """Hidden fields of a form: names and values of the current choices."""
        pairs: list[tuple[str, str]] = []
        for name, value in self._parameters().items():
            if isinstance(value, str):
                pairs.append((name, value))
            elif value is not None and not isinstance(value, int):
                pairs += [(name, each) for each in value]
        return pairs

    def items(self, rest: str = "/items", /, **parameters: Value) -> str:
        """The address of the items that a number of this page counts, or of their export."""
        own: dict[str, Value] = {
            "criterion": self.criterion,
            "window": None if self.window is Window.ALL else self.window.value,
        }
        if self.judge is not None:
            own["judge"] = self.judge
        return address(queue_path(self.queue, rest), {**own, **parameters})


@dataclass(frozen=True, slots=True)
class Choice:
    """A metric that the reader may choose."""

    metric: str
    key: str
    comparisons: int
    chosen: bool


@dataclass(frozen=True, slots=True)
class QueuePage:
    """Content of the page of a queue."""

    shell: Shell
    request: QueueRequest
    document: SnapshotDocument
    whole: Confusion
    """All on-topic comparisons."""
    tone: str
    """Class of the style sheet for their alignment."""
    criterion: CriterionDocument | None
    """With the metrics of this page; None when the window has no annotation of it."""
    listed: CriterionDocument | None
    """The criterion as the document has it."""
    figures: list[Figure]
    """Of the chosen metrics."""
    off_topic: list[Figure]
    judges: list[str]
    """Judge versions that the reader can choose, the newest first."""
    judges_total: int
    """Number of the criterion's judge versions that have a name."""
    every: list[Choice]
    """All metrics that this page can show."""
    detailed: list[str]
    """Metrics that the reader may see in detail."""
    margins: list[Margin]
    unannounced: int
    """Compared items that no queue item announced, in a queue that has queue items."""
    scale: Scale
    card_scale: Scale
    findings: list[Highlight]
    ceiling: Ceiling | None
    sparks: Mapping[str, Spark]
    deep_dive: DeepDive | None
    superseded: SupersededNote | None
    """Only where newer verdicts replaced some of the chosen judge version."""
    side_by_side: SideBySideCard | None
    """None where the metric has no other one, and no other version."""
    segments: SegmentsCard | None
    scale_warnings: Mapping[str, str]
    """Warnings about thresholds and scales, by metric; empty without the slow parts."""
    advice: Mapping[str, Advice | None]
    """What to do about the metrics whose matrices are unfolded, by metric; empty without the slow parts."""
    advice_follows: bool
    """Whether findings lack what to do, and may lack judge versions: that is one of the slow parts."""
    alike_queues: list[str]
    """The names of queues that look like this one's, this one included; empty without another."""
    waiting: Waiting | None
    """Only for a queue that never had a comparison."""
    metrics_total: int
    """Number of metrics of the criterion, of which `figures` and `off_topic` are a part."""
    details_of: str | None = None
    """Time of the earlier state that the slow parts are of; None when they are of this one."""
    details_follow: bool = False
    """Whether the slow parts are being computed."""

    @property
    def mixes_versions(self) -> bool:
        """Whether the numbers of a metric are of several judge versions."""
        every = (*self.figures, *self.off_topic)
        return self.request.judge is None and any(figure.document["judge_versions"] > 1 for figure in every)

    @property
    def trusted(self) -> set[str]:
        """The metrics that the gate trusts."""
        metrics = () if self.listed is None else self.listed["metrics"]
        return {metric["metric"] for metric in metrics if metric["gate_state"] is Gate.TRUSTED}

    @property
    def metrics_shown(self) -> int:
        """Number of metrics on this page."""
        return len(self.every)

    @property
    def later(self) -> str | None:
        """The address of the metrics with fewer comparisons; None on the last page."""
        metrics = self.listed["metrics"] if self.listed else []
        following = self.request.start + len(_of_page(metrics, self.request.start))
        return self.request.href(**{"from": str(following)}) if following < len(metrics) else None

    @property
    def listed_criteria(self) -> list[CriterionDocument]:
        """The criteria in the navigation, by name."""
        criteria = self.document["criteria"]
        if len(criteria) <= budgets.CRITERIA:
            return criteria
        chosen = self.criterion["criterion"] if self.criterion else None
        names = nsmallest(
            budgets.CRITERIA,
            criteria,
            key=lambda each: (each["criterion"] != chosen, -each["comparisons"], each["criterion"]),
        )
        return sorted(names, key=lambda each: each["criterion"])

    @property
    def failures(self) -> list[tuple[str, MetricDocument]]:
        """Criteria and metrics with annotated items on which the judge gave no verdict."""
        return [
            (criterion["criterion"], metric)
            for criterion in self.document["criteria"]
            for metric in criterion["metrics"]
            if judge_failures(metric)
        ]

    @property
    def hints(self) -> list[str]:
        """Hints at names that look alike."""
        queues = [self.alike_queues] if self.alike_queues else []
        return [*queue_hints(queues), *document_hints(self.document)]

    @property
    def stream(self) -> str:
        """Address of the event stream of this page's document."""
        return address("/api/v1/stream", {"queue": self.request.queue, "window": self.request.window.value})

    @property
    def depth_key(self) -> str:
        """Element id of the metric that is shown in detail."""
        return anchor(self.deep_dive.metric) if self.deep_dive is not None and self.deep_dive.metric is not None else ""

    @property
    def off_topic_chosen(self) -> bool:
        """Whether the reader chose an off-topic metric."""
        return any(figure.document["metric"] in self.request.metrics for figure in self.off_topic)


def queue_page(
    services: Services, cache: AnswerCache, connection: sqlite3.Connection, entry: QueueEntry, request: QueueRequest
) -> QueuePage | None:
    """The page of a queue in the state that a connection sees; None before the first checkpoint."""
    surrounding, state = shell(services, connection, request.queue)
    whole_document = services.documents.build(connection, entry, state, request.window)
    if whole_document is None:
        return None
    rules = services.config.rules
    scope = Scope(request.queue, request.window, services.today(), rules, request.judge)
    document = whole_document
    if request.judge is not None:
        of_judge = services.documents.build_of_judge(connection, entry, state, scope)
        assert of_judge is not None, "there was a checkpoint"
        document = of_judge
    criterion = _chosen(document, request.criterion)
    if criterion is not None:
        request = replace(request, criterion=criterion["criterion"])
    listed, criterion = criterion, None if criterion is None else _on_page(criterion, request)
    drawn, off_topic = figures(criterion, rules) if criterion is not None else ([], [])
    superseded = None
    if criterion is not None and request.judge is not None:
        of_criterion = CachedQueries(cache, connection, scope, entry.revision, criterion["criterion"])
        superseded = superseded_note(criterion, request.judge, of_criterion.successors(), request.href)
        if superseded is not None and not any(map(_shows_something, (*drawn, *off_topic))):
            drawn, off_topic = [], []
    every = [_choice(figure, request) for figure in (*drawn, *off_topic)]
    chosen = {each.metric for each in every if each.chosen}
    whole = pooled(document)
    whole_cards, start = whole_document["cards"], window_start(request.window, services.today())
    every_judge = _chosen(whole_document, request.criterion)
    judges = cache.get(
        (scope.queue, entry.revision, start, request.criterion, "judges"), lambda: _judges(connection, every_judge)
    )
    queries, ceiling, slow_parts = None, None, None
    findings: list[Highlight] = []
    advice: dict[str, Advice | None] = {}
    if criterion is not None and drawn:
        queries = CachedQueries(cache, connection, scope, entry.revision, criterion["criterion"])
        ceiling = queries.ceiling()
        slow = queries if request.more or whole_cards["comparisons"] <= LIGHT else None
        remedies = remedies_of(request, whole_cards, ceiling, slow)
        tests = slow.tests_of_newest(newest_of_several(request, drawn)) if slow is not None else {}
        advisor = None if slow is None else Advisor(remedies, slow, ceiling, tests, rules.limits.items)
        findings = find(drawn, ceiling, rules, remedies, advisor)
        if slow is not None and advisor is not None:
            matrices = [figure for figure in drawn if figure.document["metric"] in chosen]
            for figure in unfolded(matrices, request, budgets.MATRICES_UNFOLDED):
                advice[figure.document["metric"]] = advisor.of_metric(figure)
            # The details open on the metric of the first card.
            first = next((finding.metric for finding in findings if finding.metric is not None), None)
            options = replace(request.options, metric=request.options.metric or first)
            slow_parts = details_of_page(slow, options, criterion, drawn, ceiling)
    return QueuePage(
        shell=surrounding,
        request=request,
        document=document,
        whole=whole,
        tone=queue_tone(whole, rules.limits),
        criterion=criterion,
        listed=listed,
        metrics_total=0 if listed is None else len(listed["metrics"]) + listed["metrics_left_out"],
        figures=[figure for figure in drawn if figure.document["metric"] in chosen],
        off_topic=[figure for figure in off_topic if figure.document["metric"] in chosen],
        judges=judges[: budgets.VERSIONS],
        judges_total=len(judges),
        every=every,
        detailed=[figure.document["metric"] for figure in drawn],
        margins=margins(criterion, drawn, rules) if criterion is not None and criterion["comparisons"] else [],
        scale=metric_scale([*drawn, *off_topic], ceiling),
        card_scale=Scale.of([document["cards"]["alignment_low"], defined(whole.baseline)]),
        unannounced=cache.get(
            (scope.queue, entry.revision, start, "unannounced"),
            lambda: count_unannounced(connection, scope.queue, start, rules) if whole_cards["items_queued"] else 0,
        ),
        findings=findings,
        advice=advice,
        advice_follows=slow_parts is None and bool(drawn),
        ceiling=ceiling,
        sparks={} if queries is None else queries.sparks(),
        deep_dive=slow_parts,
        superseded=superseded,
        side_by_side=None
        if queries is None or slow_parts is None
        else side_by_side_of_page(
            queries, slow_parts, [figure.document["metric"] for figure in drawn], request.options.next_to
        ),
        segments=None
        if slow_parts is None or slow_parts.segments is None
        else segments_card(slow_parts.segments, request.items, show_annotators=services.config.show_annotators),
        scale_warnings=scale_warnings_of(queries) if queries is not None and slow_parts is not None else {},
        alike_queues=next((group for group in alike_queues(cache, connection) if request.queue in group), []),
        waiting=waiting(connection, request.queue, services.now()) if _empty(request, whole_document) else None,
    )


def _judges(connection: sqlite3.Connection, criterion: CriterionDocument | None) -> list[str]:
    """The judge versions of a criterion's metrics, those with the latest first verdict first. A version without a name
    cannot be chosen.
    """
    metrics = () if criterion is None else criterion["metrics"]
    versions = [(metric["metric"], judge) for metric in metrics for judge in metric["judges"] if judge]
    periods = judge_periods(connection, versions)
    first_at: dict[str, int] = {}
    for metric, judge in versions:
        period = periods.get((metric, judge))
        first_at[judge] = max(first_at.get(judge, 0), 0 if period is None else period.first_at)
    return sorted(first_at, key=lambda judge: (first_at[judge], judge), reverse=True)


def _on_page(criterion: CriterionDocument, request: QueueRequest) -> CriterionDocument:
    """The criterion with the metrics of one page: those that the reader chose, then those with most comparisons."""
    metrics = criterion["metrics"]
    page = _of_page(metrics, request.start)
    if len(page) == len(metrics):
        return criterion
    chosen = {*request.metrics, request.options.metric, request.options.trend_metric}
    names = {metric["metric"] for metric in page}
    extra = [metric for metric in metrics if metric["metric"] in chosen - names][: budgets.METRICS]
    names = {metric["metric"] for metric in _fitting([*extra, *page])}
    shown = criterion.copy()
    shown["metrics"] = [metric for metric in metrics if metric["metric"] in names]
    return shown


def _of_page(metrics: Sequence[MetricDocument], start: int) -> list[MetricDocument]:
    """The metrics of a page that leaves out `start` metrics with more comparisons."""
    ranked = sorted(metrics, key=lambda metric: (-metric["comparisons"], metric["metric"]))
    return _fitting(ranked[start:])


def _fitting(metrics: Sequence[MetricDocument]) -> list[MetricDocument]:
    fitting: list[MetricDocument] = []
    room = budgets.PAGE_NAME_BYTES
    for metric in metrics[: budgets.METRICS]:
        if room <= 0:
            break
        room -= len(metric["metric"].encode())
        fitting.append(metric)
    return fitting


def _choice(figure: Figure, request: QueueRequest) -> Choice:
    metric = figure.document["metric"]
    chosen = not request.metrics or metric in request.metrics
    return Choice(metric, figure.key, figure.document["comparisons"], chosen)


def _shows_something(figure: Figure) -> bool:
    """Whether a metric has current comparisons, or items that its judge failed on."""
    return bool(figure.document["comparisons"]) or judge_failures(figure.document) is not None


def _empty(request: QueueRequest, document: SnapshotDocument) -> bool:
    """Whether the queue never had a comparison."""
    return request.window is Window.ALL and not any(
        metric["comparisons"] for criterion in document["criteria"] for metric in criterion["metrics"]
    )


def _chosen(document: SnapshotDocument, name: str | None) -> CriterionDocument | None:
    wanted = first_criterion(document) if name is None else name
    return next((criterion for criterion in document["criteria"] if criterion["criterion"] == wanted), None)
