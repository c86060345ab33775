"""What to look at first: the metrics of all queues that are furthest from people, each with its direction.

Totals in memory choose the queues, so that few documents are read however many queues there are.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import nlargest, nsmallest
from typing import Final, NamedTuple

from aggregator.days import Window
from aggregator.snapshot.schema import MetricDocument, NewestJudgeDocument
from aggregator.statistics.gate import Gate
from sinks.api.services import Services
from sinks.page.deep_dive import AnswerCache, CachedQueries
from sinks.page.findings import finding_key
from sinks.page.formats import percent
from sinks.page.urls import address, queue_path
from sinks.page.wording import isolated, lean, lean_sentence, people_disagree, wrong_share
from sinks.queries.queue_totals import QueueTotals
from sinks.queries.queues import StoreState
from sinks.queries.results import Ceiling
from sinks.queries.scope import Scope

_QUEUES: Final = 20
"""Most queues whose documents are read."""
_ENTRIES: Final = 5


@dataclass(frozen=True, slots=True)
class FirstLook:
    """A metric to look at."""

    queue: str
    criterion: str
    metric: str
    tone: str
    """Class of the style sheet."""
    head: str
    text: str
    people: str
    """How often it agrees with people, and they with each other."""
    href: str
    """Address of the card about it on the page of the queue."""


class _FarMetric(NamedTuple):
    """A metric whose newest judge version errs on one side, or is no better than a constant judge."""

    totals: QueueTotals
    criterion: str
    metric: MetricDocument
    judge: NewestJudgeDocument
    side: str
    """As `Lean.side`."""

    @property
    def card_order(self) -> tuple[bool, float, str]:
        """Of a criterion's metrics the first is the one that the page of the queue has a card about."""
        return not self.side, -abs(self.judge["bias"] or 0), self.metric["metric"]

    @property
    def list_order(self) -> tuple[bool, float, str, str]:
        """Metrics that err on one side first, by the share of people's fails, or passes, that they get wrong."""
        wrong = wrong_share(self.judge, self.side) if self.side else 0.0
        return not self.side, -wrong, self.totals.entry.queue, self.criterion


def first_look(
    services: Services,
    cache: AnswerCache,
    connection: sqlite3.Connection,
    state: StoreState,
    queues: Iterable[QueueTotals],
) -> list[FirstLook]:
    """The metrics of these queues to look at first, at most one of each criterion, in the state of a connection."""
    suspicious = nlargest(_QUEUES, (queue for queue in queues if queue.apart > 0), key=lambda queue: queue.apart)
    worst: dict[tuple[str, str], _FarMetric] = {}
    for totals in suspicious:
        for found in _found(services, connection, state, totals):
            place = totals.entry.queue, found.criterion
            worst[place] = min(found, worst.get(place, found), key=lambda each: each.card_order)
    return [
        _entry(services, cache, connection, found)
        for found in nsmallest(_ENTRIES, worst.values(), key=lambda each: each.list_order)
    ]


def _found(
    services: Services, connection: sqlite3.Connection, state: StoreState, totals: QueueTotals
) -> Iterator[_FarMetric]:
    document = services.documents.build_if_possible(connection, totals.entry, state, Window.ALL)
    least = services.config.rules.limits.items
    for criterion in document["criteria"] if document is not None else ():
        for metric in criterion["metrics"]:
            judge = metric["newest_judge"]
            if metric["off_topic"] or judge is None or judge["items_compared"] < least:
                continue
            side = lean(judge).side
            constant = metric["gate_state"] is not Gate.UNDECIDED and (judge["alignment"] or 0) <= (
                judge["baseline"] or 0
            )
            if side or constant:
                yield _FarMetric(totals, criterion["criterion"], metric, judge, side)


def _entry(services: Services, cache: AnswerCache, connection: sqlite3.Connection, found: _FarMetric) -> FirstLook:
    entry, criterion, name = found.totals.entry, found.criterion, found.metric["metric"]
    scope = Scope(entry.queue, Window.ALL, services.today(), services.config.rules)
    ceiling = CachedQueries(cache, connection, scope, entry.revision, criterion).ceiling()
    newest = f"Judge version {isolated(found.judge['judge'])}. " if found.metric["judge_versions"] > 1 else ""
    tone, head, text = "probation", "No better than a constant", "A judge that never changes its answer does as well."
    if found.side:
        tone, head, text = "untrusted", lean(found.judge).head, f"{lean_sentence(found.judge, found.side)}."
    return FirstLook(
        queue=entry.queue,
        criterion=criterion,
        metric=name,
        tone=tone,
        head=head,
        text=newest + text,
        people=_people(found.judge, ceiling),
        href=f"{address(queue_path(entry.queue), {'criterion': criterion})}#{finding_key(head, name)}",
    )


def _people(judge: NewestJudgeDocument, ceiling: Ceiling) -> str:
    with_people = f"Agrees with people on {percent(judge['alignment'] or 0)}"
    if ceiling["agreement"] is None:
        return f"{with_people}. Human ceiling unknown: no item has two annotators."
    chance = ", no better than by chance: clarify the criterion first" if people_disagree(ceiling) else ""
    return f"{with_people}, people with each other on {percent(ceiling['agreement'])}{chance}."
