"""What single comparisons show of their annotation, queue item and evaluation."""

from datetime import UTC, datetime
from typing import Any

import pytest

from aggregator.facts import Annotation, Evaluation, Fact, QueueItem
from aggregator.policy import Policy
from aggregator.snapshot.inputs import CountingRules
from sinks.queries.comparisons import Comparison, ComparisonSort, Query, comparisons, count_outcomes
from sinks.queries.queues import annotator_names
from sinks.store.store import Store
from tests.support.sample_view import NOW, fill

TODAY = datetime.fromtimestamp(NOW, UTC).date()
SOURCES = ("annotation", "queue item", "evaluation")
"""In the order in which they decide."""


def about(source: str) -> dict[str, Any]:
    """Input, output, tags and url that name their source."""
    return {
        "url": f"https://x.test/{source[:1]}",
        "input": f"input of {source}",
        "output": f"output of {source}",
        "tags": {"plan": source, source.replace(" ", "_"): "yes"},
    }


def shown(store: Store, facts: list[Fact], sort: ComparisonSort = ComparisonSort.NEWEST) -> list[Comparison]:
    fill(store, facts)
    with store.read() as connection:
        return comparisons(connection, Query(queue="q", sort=sort), CountingRules(), TODAY)["comparisons"]


def facts_of(given: set[str], item: str = "i", stars: int = 2) -> list[Fact]:
    """One comparison, of which these sources have input, output, tags and url."""
    of = {source: about(source) if source in given else {} for source in SOURCES}
    return [
        Annotation(1, f"a {item}", "q", item, stars=stars, **of["annotation"]),
        QueueItem(1, f"q {item}", "q", item, **of["queue item"]),
        Evaluation(1, f"e {item}", item, "m", score=0.5, threshold=0.5, passed=True, **of["evaluation"]),
    ]


@pytest.mark.parametrize("given", [set(), *({one} for one in SOURCES), {*SOURCES[1:]}, {*SOURCES[::2]}, {*SOURCES}])
def test_annotation_queue_item_and_evaluation_decide_in_this_order(store: Store, given: set[str]) -> None:
    (row,) = shown(store, facts_of(given))
    first = next((source for source in SOURCES if source in given), None)
    expected = about(first) if first else dict.fromkeys(("url", "input", "output"))
    assert (row["url"], row["input"], row["output"]) == (expected["url"], expected["input"], expected["output"])
    own = {source.replace(" ", "_"): "yes" for source in given}
    assert row["tags"] == ({"plan": first, **own} if first else {})


def test_a_queue_item_of_another_queue_decides_nothing(store: Store) -> None:
    facts = [*facts_of(set()), QueueItem(1, "other", "elsewhere", "i", **about("queue item"))]
    (row,) = shown(store, facts)
    assert (row["url"], row["input"], row["output"], row["tags"]) == (None, None, None, {})


def test_an_item_needs_no_queue_item(store: Store) -> None:
    annotation, _, evaluation = facts_of({"evaluation"})
    (row,) = shown(store, [annotation, evaluation])
    assert row["tags"] == {"plan": "evaluation", "evaluation": "yes"}


@pytest.mark.parametrize(
    ("sort", "items"),
    [
        (ComparisonSort.NEWEST, ["d", "c", "b", "a"]),
        (ComparisonSort.DISSENT, ["a", "d", "c", "b"]),
        (ComparisonSort.THRESHOLD, ["d", "c", "b", "a"]),
    ],
)
def test_pages_keep_the_order_in_which_they_were_chosen(store: Store, sort: ComparisonSort, items: list[str]) -> None:
    ratings = {"a": 5, "b": 3, "c": 2, "d": 1}
    facts = [fact for item, stars in ratings.items() for fact in facts_of({*SOURCES}, item, stars)]
    assert [row["item"] for row in shown(store, facts, sort)] == items
    pages = []
    with store.read() as connection:
        for offset in range(4):
            query = Query(queue="q", sort=sort, offset=offset, limit=1)
            pages += comparisons(connection, query, CountingRules(), TODAY)["comparisons"]
    assert [row["item"] for row in pages] == items


@pytest.mark.parametrize(("most_bytes", "sizes"), [(None, [5]), (1, [1, 1, 1, 1, 1]), (2_500, [3, 2]), (10**9, [5])])
def test_a_page_ends_early_after_so_many_bytes_of_texts(store: Store, most_bytes: int | None, sizes: list[int]) -> None:
    facts: list[Fact] = [
        fact
        for number in range(5)
        for fact in (
            Annotation(number, f"a{number}", "q", f"i{number}", stars=2, explanation="é" * 500),
            Evaluation(number, f"e{number}", f"i{number}", "m", passed=True),
        )
    ]
    fill(store, facts)
    items: list[str] = []
    pages: list[int] = []
    cursor = None
    with store.read() as connection:
        while cursor is not None or not pages:
            query = Query(queue="q", cursor=cursor, most_bytes=most_bytes)
            page = comparisons(connection, query, CountingRules(), TODAY)
            items += [row["item"] for row in page["comparisons"]]
            pages.append(len(page["comparisons"]))
            cursor = page["next"]
    assert pages == sizes
    assert items == [f"i{number}" for number in reversed(range(5))]


def voted(*ratings: tuple[str, int, str | int, str | None]) -> list[Fact]:
    """Annotations of one item (annotator, time, rating and explanation), and two verdicts."""
    annotations: list[Fact] = []
    for annotator, at, rating, explanation in ratings:
        given: dict[str, Any] = {"thumbs": rating} if isinstance(rating, str) else {"stars": rating}
        annotations.append(Annotation(at, f"a{at}", "q", "i", annotator=annotator, explanation=explanation, **given))
    return [*annotations, *(Evaluation(1, f"e{name}", "i", name, passed=True) for name in "mn")]


def other_item() -> list[Fact]:
    return [
        Annotation(5, "b", "q", "j", annotator="bob", stars=1),
        Annotation(6, "c", "q", "j", annotator="cyd", deleted=True),
        Evaluation(1, "e", "j", "m", passed=True),
    ]


def majority(store: Store, facts: list[Fact], **query: Any) -> list[Comparison]:
    fill(store, facts, policy=Policy.MAJORITY)
    return chosen(store, **query)


def chosen(store: Store, **query: Any) -> list[Comparison]:
    with store.read() as connection:
        return comparisons(connection, Query(queue="q", **query), CountingRules(), TODAY)["comparisons"]


def test_a_majority_is_one_comparison_of_each_metric_and_names_no_annotator(store: Store) -> None:
    rows = majority(
        store, voted(("ann", 1, "up", None), ("bob", 2, "up", "fine"), ("cyd", 3, "up", None), ("dan", 4, "down", "no"))
    )
    assert [row["metric"] for row in rows] == ["n", "m"]
    for row in rows:
        assert (row["annotator"], row["annotated_at"], row["thumbs"], row["outcome"]) == ("", 4, "up", "tp")
        assert row["ratings"] == {"up": 3, "down": 1}
        assert row["explanation"] == "fine"


def test_the_texts_of_a_majority_are_of_the_newest_explained_annotation_with_the_median(store: Store) -> None:
    facts = voted(("ann", 1, 4, "old"), ("bob", 2, 4, "new"), ("cyd", 3, 4, None), ("dan", 4, 5, "great"))
    assert {(row["stars"], row["explanation"]) for row in majority(store, facts)} == {(4, "new")}


def test_an_annotator_chooses_the_majorities_that_the_annotation_is_part_of(store: Store) -> None:
    fill(store, [*voted(("ann", 1, "up", None), ("bob", 2, "down", None)), *other_item()], policy=Policy.MAJORITY)
    assert {row["item"] for row in chosen(store, annotator="ann")} == {"i"}
    assert {row["item"] for row in chosen(store, annotator="bob")} == {"i", "j"}
    assert chosen(store, annotator="cyd") == []
    with store.read() as connection:
        assert annotator_names(connection, "q", 9) == ["ann", "bob"]


def test_pages_of_majorities_have_every_comparison_once(store: Store) -> None:
    facts = [*voted(("ann", 5, "up", None), ("bob", 2, "down", None)), *other_item()]
    fill(store, facts, policy=Policy.MAJORITY)
    seen, cursor = [], None
    with store.read() as connection:
        for _ in range(3):
            query = Query(queue="q", cursor=cursor, limit=1)
            page = comparisons(connection, query, CountingRules(), TODAY)
            seen += [(row["item"], row["metric"]) for row in page["comparisons"]]
            cursor = page["next"]
    assert (seen, cursor) == ([("j", "m"), ("i", "n"), ("i", "m")], None)


def test_the_dissent_of_a_majority_is_that_of_its_median(store: Store) -> None:
    facts: list[Fact] = []
    for item, stars in (("b", (2, 2, 5)), ("a", (1, 1, 5))):
        facts += [Annotation(at, f"{item}{at}", "q", item, annotator=str(at), stars=s) for at, s in enumerate(stars)]
        facts.append(Evaluation(1, item, item, "m", passed=True))
    rows = majority(store, facts, sort=ComparisonSort.DISSENT)
    assert [(row["item"], row["stars"]) for row in rows] == [("a", 1), ("b", 2)]


@pytest.mark.parametrize("criterion", [None, "tone"])
def test_each_comparison_has_the_pass_limit_of_its_criterion(store: Store, criterion: str | None) -> None:
    facts: list[Fact] = [Evaluation(1, "e", "i", "m", passed=True)]
    facts += [Annotation(1, name, "q", "i", criterion=name, stars=3) for name in ("tone", 'it\'s "odd"', "other")]
    fill(store, facts)
    rules = CountingRules(pass_stars_by_criterion={"tone": 4, 'it\'s "odd"': 2, "unused": 1})
    expected = {"tone": "fp", 'it\'s "odd"': "tp", "other": "tp"}
    with store.read() as connection:
        for sort in ComparisonSort:
            page = comparisons(connection, Query(queue="q", criterion=criterion, sort=sort), rules, TODAY)
            found = {row["criterion"]: row["outcome"] for row in page["comparisons"]}
            assert found == ({criterion: expected[criterion]} if criterion else expected)
        counts = count_outcomes(connection, Query(queue="q", criterion=criterion), rules, TODAY)
    outcomes = [expected[criterion]] if criterion else list(expected.values())
    assert counts == {outcome: outcomes.count(outcome) for outcome in ("tp", "fn", "fp", "tn")}


def test_dissent_is_the_distance_from_the_pass_limit_of_the_criterion(store: Store) -> None:
    facts: list[Fact] = [Evaluation(1, "e", "i", "m", passed=True)]
    facts += [Annotation(1, name, "q", "i", criterion=name, stars=2) for name in ("a", "b")]
    fill(store, facts)
    rules = CountingRules(pass_stars_by_criterion={"b": 5})
    with store.read() as connection:
        page = comparisons(connection, Query(queue="q", sort=ComparisonSort.DISSENT), rules, TODAY)
    assert [row["criterion"] for row in page["comparisons"]] == ["b", "a"]
