"""The start page: the list of queues."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from aggregator.days import Window
from aggregator.snapshot.inputs import CountingRules
from aggregator.snapshot.schema import Cards, MetricDocument, SnapshotDocument
from aggregator.statistics.gate import Gate
from sinks import budgets
from sinks.api.services import Services
from sinks.page.alike_queues import alike_queues
from sinks.page.charts import SPARK_DAYS, Spark, spark
from sinks.page.deep_dive import AnswerCache
from sinks.page.empty_state import waiting_in_words
from sinks.page.figures import Scale, anchor, defined, pooled, queue_tone
from sinks.page.first_look import FirstLooks, first_look
from sinks.page.formats import age
from sinks.page.hints import queue_hints
from sinks.page.layout import Shell, shell
from sinks.page.urls import Value, address, queue_path
from sinks.queries.days import day_cells, recent_cells, weekly_alignment
from sinks.queries.queues import last_annotated_at
from sinks.queries.scope import Scope
from sinks.queue_index import QueueSort, divided, sort_queues

PAGE: Final = 50
"""Most queues on a page."""
_GATES: Final = (
    (Gate.TRUSTED, "trusted", "trusted"),
    (Gate.PROBATION, "probation", "on probation"),
    (Gate.NOT_TRUSTED, "untrusted", "not trusted"),
    (Gate.UNDECIDED, "undecided", "undecided"),
)


@dataclass(frozen=True, slots=True)
class IndexRow:
    """A queue in the list."""

    name: str
    key: str
    """Element id."""
    href: str
    cards: Cards
    baseline: float | None
    tone: str
    """Class of the style sheet."""
    lowest: tuple[str, float] | None
    """Name and alignment of the metric with the lowest alignment."""
    gates: list[tuple[str, str]]
    """Number of metrics in each state of the gate: tone and words."""
    last: str | None
    """Age of the newest annotation."""
    last_at: int | None
    """Its time in ms."""
    spark: Spark | None
    """Alignment over the last 30 days; None also where too many tallies have it."""


@dataclass(frozen=True, slots=True)
class IndexPage:
    """Content of the start page."""

    shell: Shell
    rows: list[IndexRow]
    first: int
    """Number of the first row, from 1."""
    total: int
    """Number of queues on all pages."""
    comparisons: int
    """Comparisons of these queues."""
    scale: Scale
    query: str
    sort: QueueSort
    empty: bool
    left_out: int
    """Number of queues that are not listed because nothing stands in them any more."""
    with_empty: str
    """Address of the list with them."""
    failed: list[str]
    """Queues whose numbers cannot be computed, in the order in which they were first seen."""
    hints: list[str]
    """Hints at queues whose names look alike."""
    first_look: FirstLooks
    """What to look at first, of all queues; only on the first page of the list without a search."""
    waiting: str
    """What waits for an annotation, in words; empty when nothing does."""
    request: "IndexRequest"
    earlier: str | None
    later: str | None

    @property
    def table(self) -> list[dict[str, Any]]:
        """The rows of the table, with the names of the HTTP API."""
        return [
            {
                "queue": row.name,
                **row.cards,
                "baseline": row.baseline,
                "lowest_metric": row.lowest[0] if row.lowest else None,
                "lowest_alignment": row.lowest[1] if row.lowest else None,
                "last_annotated_at": row.last_at,
            }
            for row in self.rows
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexRequest:
    """The reader's choice of queues."""

    query: str = ""
    """A part of the name."""
    sort: QueueSort = QueueSort.COMPARISONS
    page: int = 1
    empty: bool = False
    """Whether queues in which nothing stands any more are listed."""

    def href(self, path: str = "/", **changes: Value) -> str:
        """The address of this page, or of its table, with changes."""
        own: dict[str, Value] = {"q": self.query, "sort": self.sort.value, "empty": "1" if self.empty else None}
        return address(path, {**own, **changes})

    def file(self, name: str) -> str:
        """The address of the table as a file."""
        return self.href(f"/{name}", page=self.page)


def index_page(
    services: Services, cache: AnswerCache, connection: sqlite3.Connection, request: IndexRequest
) -> IndexPage:
    """The start page in the state that a connection sees."""
    query, sort = request.query, request.sort
    queues = services.documents.index.queues(connection)
    # Now its navigation has all of them too.
    surrounding, state = shell(services, connection)
    part = query.casefold()
    matching = [totals for totals in queues if part in totals.entry.queue.casefold()]
    listed = [totals for totals in matching if totals.standing or request.empty]
    pages = divided(sort_queues(listed, sort), PAGE)
    # After the last page comes the last page: the list may have become shorter since the link was made.
    page = min(request.page, len(pages))
    first = sum(map(len, pages[: page - 1]))
    documents = [
        document
        for totals in pages[page - 1]
        if (document := services.documents.build_if_possible(connection, totals.entry, state, Window.ALL)) is not None
    ]
    rows = [_row(services, cache, connection, document) for document in documents]
    shown = {row.name for row in rows}
    failed = services.documents.failed - shown

    return IndexPage(
        shell=surrounding,
        rows=rows,
        first=first + 1,
        total=len(listed),
        comparisons=sum(totals.comparisons for totals in listed),
        scale=Scale.of(share for row in rows for share in (row.cards["alignment_low"], row.baseline)),
        query=query,
        sort=sort,
        empty=request.empty,
        left_out=len(matching) - len(listed),
        with_empty=request.href(empty="1"),
        failed=[totals.entry.queue for totals in listed if totals.entry.queue in failed],
        first_look=FirstLooks([], [])
        if part or page > 1
        else first_look(services, cache, connection, state, (totals for totals in listed if totals.standing)),
        hints=queue_hints(alike_queues(cache, connection)),
        waiting=waiting_in_words(connection),
        request=request,
        earlier=request.href(page=page - 1) if page > 1 else None,
        later=request.href(page=page + 1) if page < len(pages) else None,
    )


def _row(
    services: Services, cache: AnswerCache, connection: sqlite3.Connection, document: SnapshotDocument
) -> IndexRow:
    scope = Scope(document["queue"], Window.ALL, services.today(), services.config.rules)
    last = last_annotated_at(connection, document["queue"])
    metrics = [
        (criterion["criterion"], metric)
        for criterion in document["criteria"]
        for metric in criterion["metrics"]
        if not metric["off_topic"]
    ]
    whole = pooled(document)
    states = [metric["gate_state"] for _, metric in metrics]
    return IndexRow(
        name=document["queue"],
        key=anchor(document["queue"]),
        href=queue_path(document["queue"]),
        cards=document["cards"],
        baseline=defined(whole.baseline),
        tone=queue_tone(whole, services.config.rules.limits),
        lowest=_lowest(metrics, services.config.rules),
        gates=[(tone, f"{states.count(state)} {words}") for state, tone, words in _GATES if state in states],
        last=None if last is None else age(services.now() - last / 1000),
        last_at=last,
        spark=cache.get(
            (scope.queue, document["revision"], scope.today, "spark"),
            lambda: _spark(connection, scope),
        ),
    )


def _spark(connection: sqlite3.Connection, scope: Scope) -> Spark | None:
    cells = recent_cells(connection, scope, SPARK_DAYS, budgets.SPARK_TALLIES)
    return None if cells is None else spark(weekly_alignment(day_cells(cells, scope), scope, SPARK_DAYS))


def _lowest(metrics: Sequence[tuple[str, MetricDocument]], rules: CountingRules) -> tuple[str, float] | None:
    """The metric with the lowest alignment among those with enough items."""
    known = [
        (metric["alignment"], metric["metric"])
        for _, metric in metrics
        if metric["alignment"] is not None and metric["items_compared"] >= rules.limits.items
    ]
    if not known:
        return None
    alignment, name = min(known)
    return name, alignment
