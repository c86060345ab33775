"""What single comparisons show of their annotation, queue item and evaluation."""

from datetime import UTC, datetime
from typing import Any

import pytest

from aggregator.facts import Annotation, Evaluation, Fact, QueueItem
from aggregator.snapshot.inputs import CountingRules
from sinks.queries.comparisons import Comparison, ComparisonSort, Query, comparisons
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
