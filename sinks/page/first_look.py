"""What to look at first: the metrics of all queues that are furthest from people, each with its direction.

Totals in memory choose the queues, so that few documents are read however many queues there are.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import nlargest
from typing import Final, NamedTuple

from aggregator.days import Window
from aggregator.snapshot.schema import CriterionDocument, JudgeDocument, MetricDocument, NewestJudgeDocument
from aggregator.statistics.gate import Gate
from sinks import budgets
from sinks.api.services import Services
from sinks.page.deep_dive import LIGHT, AnswerCache, CachedQueries
from sinks.page.findings import NEW_VERSION_WORSE, NO_BETTER, PEOPLE_DISAGREE, finding_key
from sinks.page.formats import percent
from sinks.page.judged import worse_versions
from sinks.page.urls import address, queue_path
from sinks.page.wording import isolated, lean, lean_sentence, people_disagree, wrong_share
from sinks.queries.queue_totals import QueueTotals
from sinks.queries.queues import StoreState
from sinks.queries.results import Ceiling
from sinks.queries.scope import Scope

_QUEUES: Final = 20
"""Most queues whose documents are read."""
_TESTS: Final = 10
"""Most criteria whose judge versions are compared."""
_ENTRIES: Final = 5


@dataclass(frozen=True, slots=True)
class FirstLook:
    """A metric to look at."""

    queue: str
    criterion: str
    metric: str | None
    """None where the criterion comes first."""
    tone: str
    """Class of the style sheet."""
    head: str
    text: str
    people: str
    """How often it agrees with people, and they with each other; empty where `text` is about that."""
    href: str
    """Address of the card about it on the page of the queue."""


class FirstLooks(NamedTuple):
    """What to look at first."""

    entries: list[FirstLook]
    left_out: list[str]
    """Queues that may have more, and are not looked into because they have too many metrics."""


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


class _WorseVersion(NamedTuple):
    """A metric whose newest judge version is worse than the one before, by a test."""

    p_value: float
    totals: QueueTotals
    criterion: str
    metric: MetricDocument
    judge: NewestJudgeDocument
    before: str
    """The version before."""

    @property
    def list_order(self) -> tuple[float, str, str]:
        """The surest first."""
        return self.p_value, self.totals.entry.queue, self.criterion


def first_look(
    services: Services,
    cache: AnswerCache,
    connection: sqlite3.Connection,
    state: StoreState,
    queues: Iterable[QueueTotals],
) -> FirstLooks:
    """The metrics of these queues to look at first, in the state of a connection: of each criterion at most one whose
    newest version is worse than the one before, and one that is far from people; none where people disagree.
    """
    suspicious, left_out = _affordable(
        nlargest(_QUEUES, (queue for queue in queues if queue.apart > 0), key=lambda queue: queue.apart)
    )
    criteria = [
        (totals, criterion) for totals in suspicious for criterion in _criteria(services, connection, state, totals)
    ]
    worse = _worse_versions(services, cache, connection, criteria)
    regressed = {(each.totals.entry.queue, each.criterion, each.metric["metric"]) for each in worse}
    far = [
        metric
        for totals, criterion in criteria
        if (metric := min(_far_metrics(services, totals, criterion), key=lambda each: each.card_order, default=None))
        and (totals.entry.queue, metric.criterion, metric.metric["metric"]) not in regressed
    ]
    listed: list[_FarMetric | _WorseVersion] = sorted(worse, key=lambda each: each.list_order)
    listed += sorted(far, key=lambda each: each.list_order)
    entries: dict[str, FirstLook] = {}
    for found in listed:
        if len(entries) == _ENTRIES:
            break
        entry = _entry(services, cache, connection, found)
        entries.setdefault(entry.href, entry)
    return FirstLooks(list(entries.values()), left_out)


def _affordable(queues: Iterable[QueueTotals]) -> tuple[list[QueueTotals], list[str]]:
    """The queues that have `budgets.LOOKED_PAIRS` together, the first ones first, and the names of the others."""
    affordable: list[QueueTotals] = []
    left_out: list[str] = []
    left = budgets.LOOKED_PAIRS
    for totals in queues:
        if len(totals.pairs) <= left:
            affordable.append(totals)
            left -= len(totals.pairs)
        else:
            left_out.append(totals.entry.queue)
    return affordable, left_out


def _criteria(
    services: Services, connection: sqlite3.Connection, state: StoreState, totals: QueueTotals
) -> list[CriterionDocument]:
    document = services.documents.build_if_possible(connection, totals.entry, state, Window.ALL)
    return [] if document is None else document["criteria"]


def _far_metrics(services: Services, totals: QueueTotals, criterion: CriterionDocument) -> Iterator[_FarMetric]:
    for metric in criterion["metrics"]:
        judge = metric["newest_judge"]
        if metric["off_topic"] or judge is None or judge["items_compared"] < services.config.rules.limits.items:
            continue
        side = lean(judge).side
        constant = metric["gate_state"] is not Gate.UNDECIDED and (judge["alignment"] or 0) <= (judge["baseline"] or 0)
        if side or constant:
            yield _FarMetric(totals, criterion["criterion"], metric, judge, side)


def _worse_versions(
    services: Services,
    cache: AnswerCache,
    connection: sqlite3.Connection,
    criteria: Iterable[tuple[QueueTotals, CriterionDocument]],
) -> list[_WorseVersion]:
    """Of each criterion the newest version that is most surely worse than the one before, and agrees less often.

    Only criteria of queues whose page has such a card without further requests are tested, and of these the ones with
    the largest drops.
    """
    drops = [
        (drop, totals, criterion)
        for totals, criterion in criteria
        if totals.comparisons <= LIGHT and (drop := max(map(_largest_drop, criterion["metrics"]), default=0.0)) > 0
    ]
    worse = []
    for _, totals, criterion in nlargest(_TESTS, drops, key=lambda each: each[0]):
        several = {
            metric["metric"]: (metric, judge)
            for metric in criterion["metrics"]
            if not metric["off_topic"]
            and metric["judge_versions"] > 1
            and (judge := metric["newest_judge"]) is not None
        }
        queries = _queries(services, cache, connection, totals, criterion["criterion"])
        for p, name, test in worse_versions(
            queries.tests_of_newest({name: judge["judge"] for name, (_, judge) in several.items()})
        ):
            metric, judge = several[name]
            before = metric["judges"].get(test["first"])
            if before is not None and _alignment(before) > (judge["alignment"] or 0):
                worse.append(_WorseVersion(p, totals, criterion["criterion"], metric, judge, test["first"]))
                break
    return worse


def _largest_drop(metric: MetricDocument) -> float:
    """By how much the newest version of a metric agrees less often with people than any other."""
    newest = metric["newest_judge"]
    if metric["off_topic"] or newest is None or newest["alignment"] is None:
        return 0.0
    return max(map(_alignment, metric["judges"].values()), default=0.0) - newest["alignment"]


def _alignment(judge: JudgeDocument) -> float:
    total = judge["tp"] + judge["fn"] + judge["tn"] + judge["fp"]
    return (judge["tp"] + judge["tn"]) / total if total else 0.0


def _queries(
    services: Services, cache: AnswerCache, connection: sqlite3.Connection, totals: QueueTotals, criterion: str
) -> CachedQueries:
    scope = Scope(totals.entry.queue, Window.ALL, services.today(), services.config.rules)
    return CachedQueries(cache, connection, scope, totals.entry.revision, criterion)


def _entry(
    services: Services, cache: AnswerCache, connection: sqlite3.Connection, found: _FarMetric | _WorseVersion
) -> FirstLook:
    place, name = (found.totals.entry.queue, found.criterion), found.metric["metric"]
    ceiling = _queries(services, cache, connection, found.totals, found.criterion).ceiling()
    if people_disagree(ceiling):
        agree = percent(ceiling["agreement"] or 0, 0)
        text = f"People agree with each other on {agree}, no better than chance. Settle the guideline first."
        return _first_look(place, None, "probation", PEOPLE_DISAGREE, text=text, people="")
    if isinstance(found, _WorseVersion):
        new = f"Version {isolated(found.judge['judge'])}" if found.judge["judge"] else "The unnamed version"
        old = isolated(found.before) if found.before else "the unnamed version"
        now, before = found.judge["alignment"] or 0, _alignment(found.metric["judges"][found.before])
        text = f"{new} agrees on {percent(now)}, {old} on {percent(before)}."
        return _first_look(place, name, "untrusted", NEW_VERSION_WORSE, text=text, people=_each_other(ceiling))
    newest = f"Judge version {isolated(found.judge['judge'])}. " if found.metric["judge_versions"] > 1 else ""
    tone, head, text = "probation", NO_BETTER, "A judge that always answers the same does as well."
    if found.side:
        tone, head, text = "untrusted", lean(found.judge).head, f"{lean_sentence(found.judge, found.side)}."
    return _first_look(place, name, tone, head, text=newest + text, people=_people(found.judge, ceiling))


def _first_look(
    place: tuple[str, str], metric: str | None, tone: str, head: str, *, text: str, people: str
) -> FirstLook:
    """An entry that leads to its card; `place`: queue and criterion."""
    queue, criterion = place
    card = finding_key(head, criterion if metric is None else metric)
    # With the metric, its page of a criterion with very many metrics has it, and its details are open.
    href = f"{address(queue_path(queue), {'criterion': criterion, 'depth': metric})}#{card}"
    return FirstLook(queue, criterion, metric, tone, head, text, people, href)


def _each_other(ceiling: Ceiling) -> str:
    if ceiling["agreement"] is None:
        return "Human ceiling unknown: no item has two annotators."
    return f"People agree with each other on {percent(ceiling['agreement'])}."


def _people(judge: NewestJudgeDocument, ceiling: Ceiling) -> str:
    with_people = f"Agrees with people on {percent(judge['alignment'] or 0)}"
    if ceiling["agreement"] is None:
        return f"{with_people}. {_each_other(ceiling)}"
    return f"{with_people}, people with each other on {percent(ceiling['agreement'])}."
