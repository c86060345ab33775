"""Annotators and disagreements equal plain loops over the rows."""

from collections import defaultdict
from collections.abc import Mapping

import pytest
from hypothesis import given, settings

from aggregator.days import DAY_MS, Window, day_of
from aggregator.facts import Annotation, Fact, QueueItem
from aggregator.policy import Policy
from aggregator.recount import Recount
from aggregator.snapshot.inputs import CountingRules
from aggregator.statistics.confusion import Estimate, wilson
from sinks.queries.people import annotators, disagreements
from sinks.queries.scope import Scope
from tests.support.stores import TODAY
from tests.unit.sinks.queries.test_deep_dive import Plain, criteria, histories, policies, scopes, stored


def standing(history: list[Fact], scope: Scope, criterion: str) -> Mapping[str, dict[str, Annotation]]:
    """Standing annotations by item and annotator, under any policy."""
    rows = Recount(history).rows.values()
    removed = {row.item for row in rows if isinstance(row, QueueItem) and row.queue == scope.queue and row.deleted}
    by_item: dict[str, dict[str, Annotation]] = defaultdict(dict)
    for row in rows:
        if (
            isinstance(row, Annotation)
            and (row.queue, row.criterion, row.deleted) == (scope.queue, criterion, False)
            and row.item not in removed
            and day_of(row.at) >= scope.first_day
        ):
            by_item[row.item][row.annotator] = row
    return by_item


@given(histories, policies, scopes, criteria)
@settings(max_examples=50)
def test_annotators_are_compared_on_the_items_that_they_share(
    history: list[Fact], policy: Policy, scope: Scope, criterion: str
) -> None:
    human = Plain(Recount(history), scope).human
    items = standing(history, scope, criterion)
    with stored(history, policy) as store, store.read() as connection:
        answer = annotators(connection, scope, criterion)
    names = {name for rated in items.values() for name in rated}
    assert answer["annotators_total"] == len(names)
    assert {each["annotator"] for each in answer["annotators"]} == names
    for each in answer["annotators"]:
        name = each["annotator"]
        shared = [rated for rated in items.values() if name in rated and len(rated) > 1]
        others = [[human(row) for other, row in rated.items() if other != name] for rated in shared]
        own = [human(rated[name]) for rated in shared]
        assert each["annotations"] == sum(name in rated for rated in items.values())
        assert each["items"] == len(shared)
        if not shared:
            assert set(each["undefined"].values()) == {"no_pairs"}
            continue
        pairs = [result is verdict for result, of_item in zip(own, others, strict=True) for verdict in of_item]
        agreed = sum(pairs) / len(pairs)
        theirs = sum(sum(of_item) / len(of_item) for of_item in others) / len(shared)
        assert Estimate(each["agreement"], each["agreement_low"], each["agreement_high"]) == pytest.approx(  # type: ignore[arg-type]
            (agreed, *wilson(agreed, len(shared)))
        )
        assert (each["pass_rate"], each["others_pass_rate"], each["strictness"]) == pytest.approx(
            (sum(own) / len(own), theirs, theirs - sum(own) / len(own)), abs=1e-12
        )
        assert each["undefined"] == {}


@given(histories, policies, scopes, criteria)
@settings(max_examples=50)
def test_items_with_most_annotators_come_first(
    history: list[Fact], policy: Policy, scope: Scope, criterion: str
) -> None:
    human = Plain(Recount(history), scope).human
    items = standing(history, scope, criterion)
    disputed = {item: rated for item, rated in items.items() if len({human(row) for row in rated.values()}) == 2}

    def order(item: str) -> tuple[int, int, int]:
        passes = [human(row) for row in disputed[item].values()]
        newest = max(row.at for row in disputed[item].values())
        return -len(passes), abs(2 * sum(passes) - len(passes)), -newest

    with stored(history, policy) as store, store.read() as connection:
        answer = disagreements(connection, scope, criterion, names=True)
        parts = [disagreements(connection, scope, criterion, skip=skip, limit=1) for skip in range(len(disputed) + 1)]
    assert answer["total"] == len(answer["items"]) == len(disputed)
    found = [item["item"] for item in answer["items"]]
    assert [order(item) for item in found] == sorted(map(order, disputed))
    for item in answer["items"]:
        rated = disputed[item["item"]]
        assert {
            each["annotator"]: (each["thumbs"], each["stars"], each["explanation"]) for each in item["answers"]
        } == {name: (row.thumbs, row.stars, row.explanation) for name, row in rated.items()}
        assert (item["passes"], item["fails"]) == (
            sum(map(human, rated.values())),
            sum(not human(row) for row in rated.values()),
        )
    assert [item["item"] for part in parts for item in part["items"]] == found
    assert {part["total"] for part in parts} == {len(disputed)}
    assert {each["annotator"] for part in parts for item in part["items"] for each in item["answers"]} <= {None}


def test_of_very_many_answers_the_newest_of_both_sides_are_listed_and_all_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sinks.budgets.ANSWER_BYTES", 3_000)
    history: list[Fact] = [
        Annotation(
            id=f"a{who}", at=DAY_MS + who, queue="q", item=item, criterion="c", annotator=f"p{who}",
            explanation=100 * "x", thumbs="up" if who < passes else "down",
        )
        for item, passes, people in (("large", 30, 45), ("middle", 1, 4), ("small", 1, 3))
        for who in range(people)
    ]  # fmt: skip
    scope = Scope("q", Window.ALL, TODAY, CountingRules())
    with stored(history, Policy.EACH) as store, store.read() as connection:
        pages = [disagreements(connection, scope, "c", names=True)]
        while (skip := pages[-1]["next"]) is not None:
            pages.append(disagreements(connection, scope, "c", skip=skip, names=True))
    assert [[item["item"] for item in page["items"]] for page in pages] == [["large"], ["middle", "small"]]
    (large,) = pages[0]["items"]
    assert (large["passes"], large["fails"]) == (30, 15)
    listed = [each["annotator"] for each in large["answers"]]
    assert large["answers_left_out"] == 45 - len(listed) > 0
    in_turn = [f"p{who}" for pair in zip(range(29, 14, -1), range(44, 29, -1), strict=True) for who in pair]
    assert set(in_turn[: len(listed) - 1]) < set(listed) <= set(in_turn[: len(listed) + 1])
    passed = [each["passed"] for each in large["answers"]]
    assert passed == sorted(passed)
    assert [item["answers_left_out"] for item in pages[1]["items"]] == [0, 0]
