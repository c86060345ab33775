"""The page of items: human annotations next to the verdicts of metrics."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Final, NamedTuple, TypeVar

from aggregator.days import DAY_MS, Window, day_of, in_words
from aggregator.snapshot.inputs import CountingRules
from aggregator.snapshot.schema import CriterionDocument, MetricDocument, SnapshotDocument
from aggregator.statistics.confusion import OUTCOMES, Outcome
from sinks import budgets
from sinks.api.parameters import path_segment
from sinks.api.services import Services
from sinks.page.deep_dive import AnswerCache
from sinks.page.figures import RatingCounts, ratings
from sinks.page.item_entries import ItemEntry, entries
from sinks.page.layout import Shell, shell
from sinks.page.urls import Value, address, item_path, queue_path
from sinks.page.words import WordsSummary, summarize
from sinks.queries.comparisons import ComparisonsByOutcome, ComparisonSort, Query, count_outcomes, find
from sinks.queries.item_rows import RowChoice, find_item, item_rows
from sinks.queries.items import ItemTotals, chosen_items, count_items, newest_only
from sinks.queries.queues import QueueEntry, annotator_names
from sinks.queries.search import SearchState, search_words
from sinks.queries.written import written

PAGE: Final = 20
"""Items on a page."""
MOST_PAGES: Final = 50_000
_CHOICES: Final = 200
"""Most annotators, and most judge versions, in a menu."""
MISALIGNED: Final[tuple[Outcome, ...]] = ("fp", "fn")
TABS: Final[tuple[tuple[str, tuple[Outcome, ...]], ...]] = (
    ("All misaligned", MISALIGNED),
    ("Too lenient (FP)", ("fp",)),
    ("Too strict (FN)", ("fn",)),
    ("Both pass (TP)", ("tp",)),
    ("Both fail (TN)", ("tn",)),
    ("All", OUTCOMES),
)
_T = TypeVar("_T")
HEADS: Final[Mapping[tuple[Outcome, ...], str]] = {
    MISALIGNED: "where people and metrics disagree",
    ("fp",): "where people and metrics disagree",
    ("fn",): "where people and metrics disagree",
    ("tp",): "where people and metrics pass",
    ("tn",): "where people and metrics fail",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemsRequest:
    """The reader's choice of items. `page` counts from 1."""

    query: Query
    page: int = 1

    @property
    def first_day(self) -> str | None:
        """First UTC day of annotations, if one is chosen."""
        return day_of(self.query.since) if self.query.since else None

    @property
    def last_day(self) -> str | None:
        """Last UTC day of annotations, if one is chosen."""
        return None if self.query.until is None else day_of(self.query.until - DAY_MS)

    def with_tag(self, name: str, value: str) -> str:
        """The address of the items with a tag."""
        return self.href(tag=f"{name}:{value}")

    def item(self, item: str, place: int | None, revision: int) -> str:
        """The address of an item of this list; its place, from 1, and the revision of the queue lead to the next."""
        return self.href(f"/items/{path_segment(item)}", place=place, revision=revision)

    def href(self, rest: str = "/items", **changes: Value) -> str:
        """The address of this page, or of an export, with changes."""
        query = self.query
        parameters: dict[str, Value] = {
            "criterion": query.criterion,
            "metric": query.metric,
            "outcome": ",".join(query.outcomes),
            "annotator": query.annotator,
            "level": query.level,
            "judge": query.judge,
            "tag": ":".join(query.tag) if query.tag else None,
            "search": query.search,
            "from": self.first_day,
            "to": self.last_day,
            "window": None if query.window is Window.ALL else query.window.value,
            "sort": None if query.sort is ComparisonSort.DISSENT else query.sort.value,
            "page": None,
        }
        return address(queue_path(query.queue, rest), {**parameters, **changes})


@dataclass(frozen=True, slots=True)
class Tab:
    """A tab with a choice of outcomes."""

    name: str
    href: str
    number: int
    """Number of comparisons."""
    current: bool


class NewestOnly(NamedTuple):
    """The annotations that a list looks at are the newest."""

    since: str
    """Time of the first of them."""
    earlier: str | None
    """The address of the list of those before this day; None where all are of one day."""


@dataclass(frozen=True, slots=True)
class ItemsPage:
    """Content of the page of items."""

    shell: Shell
    request: ItemsRequest
    document: SnapshotDocument
    tabs: list[Tab]
    head: str
    """What the items have in common, after the name of metric or queue."""
    ratings: RatingCounts | None
    entries: list[ItemEntry]
    first: int
    total: int
    """Number of items on all pages."""
    chosen: int
    """Number of chosen comparisons of these items."""
    numbers: Mapping[Outcome, int]
    """Chosen comparisons by outcome, as a document counts them; empty where none does."""
    comparisons: int
    misaligned: int
    criteria: list[str]
    metrics: list[str]
    annotators: list[str]
    judges: list[str]
    """Judge versions with a comparison."""
    words: WordsSummary | None
    """What is written about misaligned items; None for a choice of others."""
    search: SearchState | None
    """What the search does not look at; None without a search."""
    newest_only: NewestOnly | None
    """Where the list begins, if the choice has too many comparisons to look at all of them."""
    wordless: bool
    """Whether the search has no letter or digit."""
    same_id: str | None
    """The address of the item whose id is the search."""
    earlier: str | None
    later: str | None

    @property
    def stream(self) -> str:
        """Address of the event stream that reports changes of the queue."""
        query = self.request.query
        return address("/api/v1/stream", {"queue": query.queue, "window": query.window.value})


def items_page(
    services: Services, cache: AnswerCache, connection: sqlite3.Connection, entry: QueueEntry, request: ItemsRequest
) -> ItemsPage | None:
    """The items of a queue in the state that a connection sees; None before the first checkpoint."""
    query, rules, today = request.query, services.config.rules, services.today()
    surrounding, state = shell(services, connection, query.queue)
    document = services.documents.build(connection, entry, state, query.window)
    if document is None:
        return None
    chosen = _chosen(document, query, rules)
    query, search = find(connection, query)
    query = answerable(connection, query, document, rules, today)
    totals = _totals(services, cache, connection, entry, query)
    found = chosen_items(connection, query, rules, today, totals)
    choice = RowChoice(
        standing=True,
        most=budgets.ITEM_READ,
        most_bytes=budgets.ANSWER_BYTES // PAGE,
        most_characters=budgets.ITEM_CHARACTERS,
        criterion=query.criterion,
        annotator=query.annotator,
        metric=query.metric,
    )
    rows = item_rows(connection, query.queue, found.items, rules, choice)
    pairs = [found.pairs[item] for item in found.items]
    documented = not query.narrowed and not _leaves_out(document, query)
    counts = (
        {outcome: sum(metric[outcome] for _, metric in chosen) for outcome in OUTCOMES}
        if documented
        else _outcomes(services, cache, connection, entry, query)
    )
    outcomes = tuple(query.outcomes) or OUTCOMES
    return ItemsPage(
        shell=surrounding,
        request=request,
        document=document,
        tabs=[
            Tab(
                name,
                request.href(outcome=",".join(of)),
                sum(counts[outcome] for outcome in of),
                set(of) == set(outcomes),
            )
            for name, of in TABS
        ],
        head=next((HEADS[of] for of in HEADS if set(of) == set(outcomes)), "comparisons"),
        ratings=ratings(chosen, outcomes) if documented else None,
        entries=[
            replace(each, href=request.item(each.item, place, entry.revision))
            for place, each in enumerate(
                entries(query, rows, pairs, rules, services.config.item_url), start=query.offset + 1
            )
        ],
        first=query.offset + 1,
        total=totals.items,
        chosen=totals.comparisons,
        numbers={outcome: counts[outcome] for outcome in outcomes} if documented else {},
        comparisons=sum(counts.values()),
        misaligned=sum(counts[outcome] for outcome in MISALIGNED),
        criteria=[criterion["criterion"] for criterion in document["criteria"]],
        metrics=sorted({metric["metric"] for criterion in document["criteria"] for metric in criterion["metrics"]}),
        judges=sorted({judge for _, metric in chosen for judge in metric["judges"] if judge})[:_CHOICES],
        annotators=cache.get(
            (query.queue, entry.revision, "annotator names"),
            lambda: annotator_names(connection, query.queue, _CHOICES),
        ),
        words=_words(services, cache, connection, entry, query),
        search=search,
        newest_only=None if query.oldest is None else _newest_only(request, query.oldest.at),
        wordless=query.search is not None and not search_words(query.search),
        same_id=_same_id(connection, query),
        earlier=request.href(page=request.page - 1) if request.page > 1 else None,
        later=request.href(page=request.page + 1) if query.offset + PAGE < totals.items else None,
    )


def answerable(
    connection: sqlite3.Connection, query: Query, document: SnapshotDocument, rules: CountingRules, today: date
) -> Query:
    """The query, of the newest annotations where it has so many comparisons that sorting them would take long.

    `document` is that of its queue and window.
    """
    chosen = _chosen(document, query, rules)
    comparisons = sum(metric["comparisons"] for _, metric in chosen)
    if query.search is not None or comparisons <= budgets.LISTED_COMPARISONS:
        return query
    metrics = len({metric["metric"] for _, metric in chosen})
    # To find the evaluations of an annotation costs about as much as one of them.
    return newest_only(connection, query, rules, today, max(1, budgets.LISTED_COMPARISONS // (1 + metrics)))


def _newest_only(request: ItemsRequest, at: int) -> NewestOnly:
    until, day = request.query.until, day_of(at)
    # The first day is looked at again, because the list has a part of it only.
    earlier = None if until is not None and day_of(until - 1) == day else request.href(to=day)
    return NewestOnly(in_words(at), earlier)


def _totals(
    services: Services, cache: AnswerCache, connection: sqlite3.Connection, entry: QueueEntry, query: Query
) -> ItemTotals:
    """The numbers of a choice, which all its pages share."""
    rules, today = services.config.rules, services.today()
    return _shared(cache, entry, ("items", today), query, lambda: count_items(connection, query, rules, today))


def _outcomes(
    services: Services, cache: AnswerCache, connection: sqlite3.Connection, entry: QueueEntry, query: Query
) -> ComparisonsByOutcome:
    """Comparisons of a choice by outcome, from the rows, which takes longer than the document."""
    rules, today, choice = services.config.rules, services.today(), replace(query, outcomes=())
    return _shared(cache, entry, ("outcomes", today), choice, lambda: count_outcomes(connection, choice, rules, today))


def _words(
    services: Services, cache: AnswerCache, connection: sqlite3.Connection, entry: QueueEntry, query: Query
) -> WordsSummary | None:
    """What is written about the misaligned items of a choice, without its search."""
    if not query.outcomes or not set(query.outcomes) <= set(MISALIGNED):
        return None
    rules, today, choice = services.config.rules, services.today(), replace(query, search=None, found=None)
    return _shared(
        cache, entry, ("words", today), choice, lambda: summarize(*written(connection, choice, rules, today))
    )


def _shared(cache: AnswerCache, entry: QueueEntry, key: tuple[str, date], query: Query, count: Callable[[], _T]) -> _T:
    """What all pages of a choice share, from the cache."""
    if query.search is not None:
        # What a search finds changes without a change of the queue.
        return count()
    choice = replace(query, sort=ComparisonSort.NEWEST, offset=0)
    return cache.get((entry.revision, key, str(choice)), count)


def _same_id(connection: sqlite3.Connection, query: Query) -> str | None:
    item = (query.search or "").strip()
    return item_path(query.queue, item) if item and find_item(connection, query.queue, item) is not None else None


def _chosen(document: SnapshotDocument, query: Query, rules: CountingRules) -> list[tuple[int, MetricDocument]]:
    """The chosen metrics, each with the stars from which a rating of its criterion is a pass."""

    def of(criterion: CriterionDocument) -> Sequence[MetricDocument]:
        return criterion["metrics"] if query.criterion in (None, criterion["criterion"]) else ()

    return [
        (rules.pass_limit(criterion["criterion"]), metric)
        for criterion in document["criteria"]
        for metric in of(criterion)
        if query.metric in (None, metric["metric"]) and not (query.on_topic and metric["off_topic"])
    ]


def _leaves_out(document: SnapshotDocument, query: Query) -> bool:
    """Whether the document leaves out pairs that are chosen: it lists a limited number of them."""
    return any(
        criterion["metrics_left_out"]
        and (query.metric is None or query.metric not in {metric["metric"] for metric in criterion["metrics"]})
        for criterion in document["criteria"]
        if query.criterion in (None, criterion["criterion"])
    )
