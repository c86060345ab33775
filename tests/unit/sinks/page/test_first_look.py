"""The start page names the metrics of all queues that are furthest from people."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from aggregator.facts import Annotation, Evaluation, Fact
from sinks import budgets
from sinks.documents import Documents
from sinks.store.store import Store
from tests.support.html import Element, read
from tests.support.sample_view import NOW_MS, fill, view_of
from tests.unit.sinks.page.conftest import connected

GOOD = (20, 0, 20, 0)


def judged(
    queue: str,
    counts: tuple[int, int, int, int],
    *,
    judge: str = "v1",
    criterion: str = "truth",
    annotators: Sequence[str] = ("ann",),
) -> Iterator[Fact]:
    """Items of a queue by outcome, of which `counts` has the numbers: tp, fn, tn and fp."""
    at = NOW_MS - 1_000 if judge == "v1" else NOW_MS
    for outcome, number in zip(("tp", "fn", "tn", "fp"), counts, strict=True):
        for place in range(number):
            item = f"{queue} {judge} {criterion} {outcome} {place}"
            for annotator in annotators:
                yield Annotation(
                    at=at, id=f"a-{annotator}", queue=queue, item=item, criterion=criterion, annotator=annotator,
                    thumbs="up" if outcome in ("tp", "fn") else "down",
                )  # fmt: skip
            yield Evaluation(at=at, id="e", item=item, metric="m", judge=judge, passed=outcome in ("tp", "fp"))


async def start_page(store: Store, directory: Path, facts: list[Fact], query: str = "") -> Element:
    fill(store, facts)
    async with connected(view_of(store, directory)) as client:
        answer = await client.get(f"/{query}")
    assert answer.status_code == 200, answer.text
    return read(answer.text)


def entries(page: Element) -> list[str]:
    return [entry.words for panel in page.all(id="first-look") for entry in panel.one("ol").all("li")]


def links_of(page: Element) -> list[str]:
    return [link.attributes["href"] for link in page.one(id="first-look").one("ol").all("a")]


async def linked_card(store: Store, directory: Path, link: str) -> Element:
    """The card of a queue's page that a link leads to."""
    address, _, fragment = link.partition("#")
    async with connected(view_of(store, directory)) as client:
        answer = await client.get(address)
    return read(answer.text).one(class_="finding", id=fragment)


async def test_the_furthest_metric_comes_first_with_its_direction_and_the_human_ceiling(
    store: Store, tmp_path: Path
) -> None:
    facts = [
        *judged("fine", GOOD),
        *judged("strict", (20, 20, 30, 0), annotators=("ann", "bob")),
        *judged("lenient", (20, 0, 5, 35), criterion="tone"),
    ]
    page = await start_page(store, tmp_path, facts)
    lenient, strict = entries(page)
    assert lenient.startswith("Too lenientm on tone in lenientPasses 88% of what people failed: 35 of 40.")
    assert lenient.endswith("Agrees with people on 41.7%. Human ceiling unknown: no item has two annotators.")
    assert strict.startswith("Too strictm on truth in strictFails 50% of what people passed: 40 of 80.")
    assert strict.endswith("Agrees with people on 71.4%, people with each other on 100.0%.")
    cards = [await linked_card(store, tmp_path, link) for link in links_of(page)]
    assert [card.words[:20] for card in cards] == ["Too lenientmPasses 8", "Too strictmFails 50%"]


async def test_only_the_newest_judge_version_counts(store: Store, tmp_path: Path) -> None:
    mended = [*judged("mended", (5, 40, 5, 0)), *judged("mended", GOOD, judge="v2")]
    spoiled = [*judged("spoiled", (200, 0, 200, 0)), *judged("spoiled", (20, 0, 5, 15), judge="v2")]
    (entry,) = entries(await start_page(store, tmp_path, [*mended, *spoiled]))
    assert "Too lenientm on truth in spoiled" in entry
    assert "Judge version \u2068v2\u2069." in entry


async def test_a_judge_that_is_no_better_than_a_constant_follows(store: Store, tmp_path: Path) -> None:
    facts = [*judged("coin", (20, 20, 20, 20)), *judged("strict", (30, 9, 30, 0))]
    first, second = entries(await start_page(store, tmp_path, facts))
    assert first.startswith("Too strictm on truth in strict")
    assert second.startswith("No better than a constant judgem on truth in coin")


async def test_people_who_disagree_are_named(store: Store, tmp_path: Path) -> None:
    facts = list(judged("q", (20, 0, 5, 35)))
    for number, fact in enumerate([*facts]):
        if isinstance(fact, Annotation):
            facts.append(
                Annotation(
                    at=NOW_MS - 1_000, id="b", queue="q", item=fact.item, criterion="truth", annotator="bob",
                    thumbs="up" if number % 4 else "down",
                )
            )  # fmt: skip
    # A second metric of the criterion adds no entry.
    facts += [
        Evaluation(at=NOW_MS, id="e", item=fact.item, metric="n", judge=f"v{place % 2 + 1}", passed=place % 2 == 0)
        for place, fact in enumerate(facts)
        if isinstance(fact, Evaluation)
    ]
    page = await start_page(store, tmp_path, facts)
    (entry,) = entries(page)
    assert entry == (
        "People disagreetruth in q"
        "People agree with each other on 50%, no better than chance. Settle the guideline first."
    )
    (link,) = links_of(page)
    assert (await linked_card(store, tmp_path, link)).words.startswith("People disagreetruth")


@pytest.mark.parametrize("query", ["?q=strict", "?page=2"])
async def test_a_search_and_later_pages_have_only_the_list(store: Store, tmp_path: Path, query: str) -> None:
    facts = [fact for number in range(60) for fact in judged(f"strict {number}", (1, 0, 0, 0))]
    page = await start_page(store, tmp_path, [*facts, *judged("strict", (20, 20, 30, 0))], query)
    assert entries(page) == []


async def test_few_items_and_good_metrics_need_no_look(store: Store, tmp_path: Path) -> None:
    assert entries(await start_page(store, tmp_path, [*judged("few", (0, 20, 0, 0)), *judged("fine", GOOD)])) == []


async def test_of_many_queues_few_documents_are_built(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """50 queues are listed, with most comparisons; the one that needs a look has fewest."""
    facts = [fact for number in range(90) for fact in judged(f"q{number:02}", (8, 12, 16, 1))]
    facts += judged("worst", (0, 31, 0, 0))
    built: set[str] = set()
    build = Documents.build

    def counted(self: Documents, connection: Any, entry: Any, *rest: Any) -> Any:
        built.add(entry.queue)
        return build(self, connection, entry, *rest)

    monkeypatch.setattr(Documents, "build", counted)
    found = entries(await start_page(store, tmp_path, facts))
    assert len(found) == 5
    assert found[0].startswith("Too strictm on truth in worst")
    assert len(built) <= 50 + 20


async def test_the_list_is_sorted_by_the_share_that_the_metric_gets_wrong(store: Store, tmp_path: Path) -> None:
    """Of more comparisons the first is wrong, of what people failed the second."""
    facts = [*judged("many", (10, 0, 30, 30)), *judged("most", (60, 0, 2, 18))]
    page = await start_page(store, tmp_path, facts)
    most, many = entries(page)
    assert "in mostPasses 90% of what people failed: 18 of 20" in most
    assert "in manyPasses 50% of what people failed: 30 of 60" in many
    panel = page.one(id="first-look")
    assert "sorted by the share of people's fails (or passes) that the metric gets wrong." in panel.words
    (mark,) = panel.all("a", class_="help")
    assert mark.attributes["aria-label"].startswith("What to look at first: ")


def judged_twice(queue: str, wrong: int) -> Iterator[Fact]:
    """80 items that version p1 judges as people do, and p2 with `wrong` errors on both sides."""
    for place in range(80):
        item, human = f"{queue} twice {place}", place % 2 == 0
        yield Annotation(
            at=NOW_MS,
            id="a",
            queue=queue,
            item=item,
            criterion="truth",
            annotator="ann",
            thumbs="up" if human else "down",
        )
        for judge, passed in (("p1", human), ("p2", human != (place < wrong))):
            yield Evaluation(at=NOW_MS + (judge == "p2"), id=judge, item=item, metric="c", judge=judge, passed=passed)


async def test_a_new_version_that_is_worse_comes_first(store: Store, tmp_path: Path) -> None:
    facts = [*judged_twice("q", 26), *judged("q", (20, 0, 5, 35)), *judged("lenient", (20, 0, 5, 35))]
    page = await start_page(store, tmp_path, facts)
    worse, *others = entries(page)
    assert worse == (
        "New version worsec on truth in qVersion \u2068p2\u2069 agrees on 67.5%, \u2068p1\u2069 on 100.0%. "
        "Human ceiling unknown: no item has two annotators."
    )
    assert [other.startswith("Too lenientm on truth in ") for other in others] == [True, True]
    assert (await linked_card(store, tmp_path, links_of(page)[0])).words.startswith("New version worsec")


async def test_a_version_that_may_be_as_good_is_not_listed(store: Store, tmp_path: Path) -> None:
    facts = [*judged_twice("q", 4), *judged("q", (20, 0, 5, 35))]
    (entry,) = entries(await start_page(store, tmp_path, facts))
    assert entry.startswith("Too lenientm")


async def test_a_queue_of_too_many_metrics_is_not_looked_into_and_is_named(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = list(judged("many", (0, 40, 40, 0)))
    many += [replace(fact, id="o", metric="other") for fact in many if isinstance(fact, Evaluation)]
    facts = [*many, *judged("strict", (20, 20, 30, 0)), *judged("lenient", (20, 0, 5, 35))]
    monkeypatch.setattr(budgets, "LOOKED_PAIRS", 2)
    page = await start_page(store, tmp_path, facts)
    (note,) = page.all("p", data_key="not-looked")
    assert note.words == "1 queue with many metrics is not looked into here: many."
    assert note.one("a").attributes["href"] == "/queues/many"
    assert [text[:12] for text in entries(page)] == ["Too lenientm", "Too strictm "]
    monkeypatch.setattr(budgets, "LOOKED_PAIRS", 4)
    page = await start_page(store, tmp_path, facts)
    assert not page.all("p", data_key="not-looked")
    assert len(entries(page)) == 3
