"""The cases against everything that counts: the recount, the shard in every order of arrival, and the view's store."""

import contextlib
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from datetime import date
from itertools import permutations
from pathlib import Path
from typing import Any

import orjson
import pytest

from aggregator import tallies
from aggregator.facts import Fact
from aggregator.policy import Policy
from aggregator.recount import Recount
from aggregator.shard import Shard
from aggregator.snapshot.inputs import CountingRules
from aggregator.snapshot.schema import SnapshotDocument
from aggregator.statistics.confusion import OUTCOMES
from sinks.documents import Documents
from sinks.queries.comparisons import Query, count_outcomes
from sinks.store.store import Store
from streams.events.decoder import Decoder, Rejection
from tests.laws.case import Annotations, Case, Cell, Funnel
from tests.laws.cases import CASES
from tests.support import counted
from tests.support.logs import Logs, steps_of
from tests.support.stores import open_store

RATINGS = ("down", "up", "1", "2", "3", "4", "5")
TODAY = date(2026, 11, 30)
MOST_ORDERS = 120
SIDES = {
    ("human pass", "pass"): "tp",
    ("human pass", "fail"): "fn",
    ("human fail", "fail"): "tn",
    ("human fail", "pass"): "fp",
}

all_cases = pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.title) for cases in CASES.values() for case in cases]
)


def facts(case: Case) -> list[Fact]:
    """The events as the worker decodes them."""
    return [fact for _, fact in map(decoded, case.events)]


def decoded(event: Any) -> tuple[Any, Fact]:
    result = Decoder().decode_line(orjson.dumps(event))
    assert not isinstance(result, Rejection), result
    return result


def expected(case: Case) -> dict[tuple[str, ...], Any]:
    """The counts of a case as payloads of tallies by group."""
    groups: dict[tuple[str, ...], Any] = {}
    for count in case.counts:
        if isinstance(count, Cell):
            judges = groups.setdefault(("cells", count.queue, count.criterion, count.metric, count.day), {"judges": {}})
            vectors = judges["judges"].setdefault(count.judge, {"current": [0] * 14, "superseded": [0] * 14})
            index = 2 * RATINGS.index(count.rating) + (count.verdict == "pass")
            vectors["superseded" if count.superseded else "current"][index] = count.comparisons
        elif isinstance(count, Annotations):
            payload = {"annotations": count.standing, "contributing": count.contributing}
            groups["annotations", count.queue, count.criterion, count.day] = payload
        else:
            names = {"pass": count.passed, "fail": count.failed, "error": count.error, "skipped": count.skipped}
            groups["evaluations", count.queue, count.metric, count.day] = names
    return groups


def outcomes(document: SnapshotDocument | None) -> dict[str, int]:
    """Outcomes and distinct items of the whole queue."""
    if document is None:
        return dict.fromkeys((*OUTCOMES, "items"), 0)
    metrics = [metric for criterion in document["criteria"] for metric in criterion["metrics"]]
    return {
        **{outcome: sum(metric[outcome] for metric in metrics) for outcome in OUTCOMES},
        "items": document["cards"]["items_compared"],
    }


def funnel(document: SnapshotDocument | None) -> Funnel | None:
    if document is None or (queued := document["cards"]["items_queued"]) is None:
        return None
    names = ("items_waiting_evaluation", "items_errored", "items_waiting_annotation")
    return Funnel(queued, *(document["cards"][name] for name in names))  # type: ignore[literal-required]


def totals(case: Case) -> dict[str, int]:
    return {"tp": case.tp, "fn": case.fn, "tn": case.tn, "fp": case.fp, "items": case.items}


def orders(history: list[Fact]) -> Iterator[Sequence[Fact]]:
    """All orders of a short history, as many random ones of a longer one."""
    if len(history) <= 5:
        yield from permutations(history)
        return
    luck = random.Random(7)
    for _ in range(MOST_ORDERS):
        yield luck.sample(history, len(history))


@contextlib.contextmanager
def filled(directory: Path, case: Case) -> Iterator[Store]:
    """A store that has read the topics of a worker that processed the events."""
    logs = Logs(policy=case.policy)
    logs.write(facts(case))
    with contextlib.closing(open_store(directory / "store")) as store:
        store.apply(steps_of(logs), 1)
        yield store


@all_cases
def test_the_counts_written_by_hand_add_up(case: Case) -> None:
    outcomes: Counter[str] = Counter()
    for cell in case.counts:
        if isinstance(cell, Cell) and not cell.superseded and cell.queue == "support":
            sides = "human " + ("pass" if cell.rating in ("up", "3", "4", "5") else "fail"), cell.verdict
            outcomes[SIDES[sides]] += cell.comparisons
    assert {str(outcome): outcomes[outcome] for outcome in OUTCOMES} | {"items": case.items} == totals(case)
    assert len(set(case.counts)) == len(case.counts)


@all_cases
def test_the_recount_gives_the_counts_of_the_case(case: Case) -> None:
    recount = Recount(facts(case), case.policy)
    assert recount.tallies() == expected(case)
    document = recount.document("support")
    assert (outcomes(document), funnel(document)) == (totals(case), case.funnel)


@all_cases
def test_the_shard_gives_the_counts_of_the_case_in_every_order_with_duplicates(case: Case) -> None:
    for order in orders(facts(case)):
        shard = Shard(0, case.policy)
        for fact in (*order, order[0]):
            shard.apply(fact)
        assert {tallies.parse_key(key).group: payload for key, payload in shard.tallies()} == expected(case)


@all_cases
def test_the_store_gives_the_counts_of_the_case(case: Case, tmp_path: Path) -> None:
    with filled(tmp_path, case) as store:
        document = Documents(store, CountingRules(), lambda: TODAY).get("support")
        assert (outcomes(document), funnel(document)) == (totals(case), case.funnel)
        with store.read() as connection:
            counts = count_outcomes(connection, Query(queue="support"), CountingRules(), TODAY)
            assert {outcome: totals(case)[outcome] for outcome in OUTCOMES} == counts
            assert published(connection) == expected(case)


@all_cases
def test_the_verifier_of_the_tests_gives_the_counts_of_the_case(case: Case) -> None:
    """It does not order versions by content, so it refuses a history in which that decides what counts."""
    rows: dict[tuple[str, ...], Any] = {}
    events = [counted.parse_event(orjson.dumps(event)) for event in case.events]
    keys = [counted.key_of(event["kind"][0], event) for event in case.events]
    versions = {(key, event["at"], event["id"]) for key, event in zip(keys, events, strict=True)}
    contents = {(key, counted.content(event)) for key, event in zip(keys, events, strict=True)}
    with pytest.raises(AssertionError, match="ambiguous") if len(versions) < len(contents) else nullcontext():
        for key, event in zip(keys, events, strict=True):
            counted.merge(rows, key, event)
        assert counted.count(rows, case.policy.value) == {
            group: payload.get("judges", {name: number for name, number in payload.items() if number})
            for group, payload in expected(case).items()
        }


def published(connection: Any) -> dict[tuple[str, ...], Any]:
    """The tallies that the store keeps and that count anything."""
    tallies_by_group = {}
    for kind, queue, criterion, metric, day, payload in connection.execute(
        "SELECT kind, queue, criterion, metric, day, payload FROM tallies"
    ):
        names = {"cells": (criterion, metric), "annotations": (criterion,), "evaluations": (metric,)}[kind]
        if any((counts := orjson.loads(payload)).values()):
            tallies_by_group[kind, queue, *names, day] = counts
    return tallies_by_group


def test_titles_are_sentences_and_name_one_case_each() -> None:
    titles = Counter(case.title for cases in CASES.values() for case in cases)
    assert [title for title, times in titles.items() if times > 1 or not title.endswith(".")] == []
    assert sum(titles.values()) >= 30


def test_every_subject_of_the_merge_law_has_a_case() -> None:
    """Both policies, every kind of event with and without deletion, failures, and both directions occur."""
    seen: defaultdict[str, set[Any]] = defaultdict(set)
    for case in (case for cases in CASES.values() for case in cases):
        seen["policy"].add(case.policy)
        for event in case.events:
            seen["kind"].add((event["kind"], event.get("deleted", False)))
            seen["status"].add(event.get("status", "ok"))
            seen["direction"].add(event.get("direction", "higher"))
    assert seen == {
        "policy": set(Policy),
        "kind": {(kind, deleted) for kind in ("annotation", "evaluation", "queue_item") for deleted in (False, True)},
        "status": {"ok", "error", "skipped"},
        "direction": {"higher", "lower"},
    }
