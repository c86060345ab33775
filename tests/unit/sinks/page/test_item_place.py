"""From one item of a list to the next, with the list's filters and order."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from aggregator.days import DAY_MS
from aggregator.facts import Annotation, Evaluation, Fact
from aggregator.snapshot.inputs import CountingRules
from sinks import budgets
from sinks.page import item_place
from sinks.page.items_page import PAGE
from sinks.queries.comparisons import Query
from sinks.queries.items import ordered_items
from sinks.store.store import Store
from tests.support.html import Element, read
from tests.support.sample_view import NOW_MS, fill, view_of
from tests.unit.sinks.page.conftest import connected

LIST = "/queues/q/items?outcome=fp"


def fact_pair(number: int, *, stars: int = 1, passed: bool = True, at: int | None = None) -> list[Fact]:
    """An annotation and an evaluation; by default a false positive, the higher its number the older."""
    at = NOW_MS - number * 1_000 if at is None else at
    item, odd = f"i{number:02}", number % 2
    return [
        Annotation(
            at=at, id=f"a{number}", queue="q", item=item, annotator=("ann", "bob")[odd], stars=stars,
            criterion=("tone", "truth")[odd], explanation=("late refund", "rude")[odd],
            tags={"plan": ("free", "paid")[odd]},
        ),
        Evaluation(at=at, id=f"e{number}", item=item, metric=("m", "n")[odd], judge=f"v{odd}", passed=passed),
    ]  # fmt: skip


@dataclass
class Reader:
    """Somebody with a browser without scripts."""

    client: httpx.AsyncClient

    async def open(self, address: str) -> Element:
        answer = await self.client.get(address)
        assert answer.status_code == 200, answer.text
        return read(answer.text)

    async def walk(self, address: str, rel: str) -> list[str]:
        """The items that a link in each page leads to, the first one included."""
        seen = []
        while address:
            page = await self.open(address)
            seen.append(page.one("h1").words)
            links = step(page, rel)
            address = links[0] if links else ""
        return seen


def step(page: Element, rel: str) -> list[str]:
    """The address of the previous or the next item; empty at an end."""
    return [link.attributes["href"] for link in page.one("nav", aria_label="Items of the list").all("a", rel=rel)]


def first_item(page: Element) -> str:
    return page.all("div", class_="item-head")[0].one("h3").one("a").attributes["href"]


async def listed(reader: Reader, address: str) -> list[str]:
    """The items of all pages of a list."""
    items: list[str] = []
    while address:
        page = await reader.open(address)
        items += [head.one("h3").words for head in page.all("div", class_="item-head")]
        later = [link.attributes["href"] for link in page.all("a", rel="next")]
        address = later[0] if later else ""
    return items


@pytest.mark.parametrize(
    "filters",
    [
        "", "&criterion=tone", "&metric=n", "&criterion=tone&metric=m", "&annotator=bob", "&judge=v1", "&tag=plan:free",
        "&search=refund", "&from=2026-11-24&to=2026-11-24", "&window=7d", "&level=trace", "&sort=newest",
        "&sort=threshold",
    ],
)  # fmt: skip
async def test_links_lead_through_the_list_in_its_order_and_back(store: Store, tmp_path: Path, filters: str) -> None:
    facts = [fact for number in range(2 * PAGE + 6) for fact in fact_pair(number, stars=1 + number // 5 % 2)]
    facts += fact_pair(70, stars=5) + fact_pair(71, at=NOW_MS - 8 * DAY_MS) + fact_pair(72, passed=False)
    fill(store, facts)
    while store.write_search_documents():
        pass
    async with connected(view_of(store, tmp_path)) as client:
        reader = Reader(client)
        items = await listed(reader, LIST + filters)
        assert len(items) > PAGE
        start = first_item(await reader.open(LIST + filters))
        assert await reader.walk(start, "next") == items
        page, address = await reader.open(start), start
        while step(page, "next"):
            address = step(page, "next")[0]
            page = await reader.open(address)
        assert await reader.walk(address, "prev") == items[::-1]
        # The way back has the filters, and is the page of the list with the item.
        back = page.one("nav", aria_label="Items of the list").all("a")[-1].attributes["href"]
        assert items[-1] in [head.one("h3").words for head in (await reader.open(back)).all("div", class_="item-head")]
        wanted = dict(parse_qsl(urlsplit(LIST + filters).query))
        assert wanted.items() <= dict(parse_qsl(urlsplit(back).query)).items()


async def test_at_an_end_a_link_leads_nowhere_and_is_named_so(store: Store, tmp_path: Path) -> None:
    fill(store, fact_pair(0))
    async with connected(view_of(store, tmp_path)) as client:
        reader = Reader(client)
        page = await reader.open(first_item(await reader.open(LIST)))
    walk = page.one("nav", aria_label="Items of the list")
    assert "1 of 1 item" in walk.words
    assert [end.words for end in walk.all(role="link", aria_disabled="true")] == ["Previous item", "Next item"]
    assert [link.words for link in walk.all("a")] == ["Back to the list"]


async def test_an_item_that_was_opened_by_itself_is_in_no_list(store: Store, tmp_path: Path) -> None:
    fill(store, fact_pair(0))
    async with connected(view_of(store, tmp_path)) as client:
        page = await Reader(client).open("/queues/q/items/i00")
    assert page.all("nav", aria_label="Items of the list") == []


async def test_the_walk_goes_on_where_an_item_has_left_the_list(store: Store, tmp_path: Path) -> None:
    facts = [fact for number in range(4) for fact in fact_pair(number)]
    fill(store, facts)
    services = view_of(store, tmp_path)
    async with connected(services) as client:
        reader = Reader(client)
        second = step(await reader.open(first_item(await reader.open(LIST))), "next")[0]
        fill(store, facts + fact_pair(1, stars=5, at=NOW_MS), at=NOW_MS + 1)
        page = await reader.open(second)
        assert page.one("h1").words == "i01"
        assert "No comparison of this item fits the filters of the list any more." in page.words
        assert [(await reader.open(step(page, rel)[0])).one("h1").words for rel in ("prev", "next")] == ["i00", "i02"]
    # Another view, which does not know the list as it was.
    async with connected(services) as client:
        reader = Reader(client)
        page = await reader.open(second)
        assert "Not in the list" in page.one("nav", aria_label="Items of the list").words
        assert [(await reader.open(step(page, rel)[0])).one("h1").words for rel in ("prev", "next")] == ["i00", "i02"]
        assert await reader.walk(step(page, "next")[0], "next") == ["i02", "i03"]


async def test_without_a_place_an_item_that_the_list_does_not_have_leads_back_alone(
    store: Store, tmp_path: Path
) -> None:
    fill(store, fact_pair(0) + fact_pair(1, stars=5))
    async with connected(view_of(store, tmp_path)) as client:
        reader = Reader(client)
        page = await reader.open("/queues/q/items/i01?outcome=fp")
        assert (step(page, "prev"), step(page, "next")) == ([], [])
        back = page.one("nav", aria_label="Items of the list").all("a")[-1]
        assert (back.words, back.attributes["href"]) == ("Back to the list", LIST)
        empty = await reader.open("/queues/q/items/i01?outcome=tn&place=3")
        assert (step(empty, "prev"), step(empty, "next")) == ([], [])


async def test_the_order_is_computed_once_for_a_list(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = [fact for number in range(5) for fact in fact_pair(number)]
    fill(store, facts)
    computed: list[object] = []

    def counted(connection: sqlite3.Connection, query: Query, rules: CountingRules, today: date) -> Sequence[int]:
        computed.append(query)
        return ordered_items(connection, query, rules, today)

    monkeypatch.setattr(item_place, "ordered_items", counted)
    async with connected(view_of(store, tmp_path)) as client:
        reader = Reader(client)
        start = first_item(await reader.open(LIST))
        assert len(await reader.walk(start, "next")) == 5
        assert len(computed) == 1
        # What arrives meanwhile does not change the list of a reader who is in it, nor is it computed again.
        second = step(await reader.open(start), "next")[0]
        fill(store, facts + fact_pair(9, at=NOW_MS + 5), at=NOW_MS + 6)
        assert await reader.walk(second, "next") == ["i01", "i02", "i03", "i04"]
        assert len(computed) == 1
        assert (await reader.walk(first_item(await reader.open(LIST)), "next"))[:2] == ["i09", "i00"]
        assert len(computed) == 2


async def test_a_list_of_the_newest_leads_through_these(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budgets, "LISTED_COMPARISONS", 6)
    fill(store, [fact for number in range(8) for fact in fact_pair(number)])
    async with connected(view_of(store, tmp_path)) as client:
        reader = Reader(client)
        items = await listed(reader, LIST)
        assert len(items) < 8
        assert await reader.walk(first_item(await reader.open(LIST)), "next") == items
        oldest = await reader.open("/queues/q/items/i07?outcome=fp")
        assert "The list does not have this item." in oldest.words


async def test_a_search_finds_an_item_that_came_after_the_list_was_opened(store: Store, tmp_path: Path) -> None:
    def index() -> None:
        while store.write_search_documents():
            pass

    fill(store, fact_pair(0) + fact_pair(2))
    async with connected(view_of(store, tmp_path)) as client:
        reader = Reader(client)
        address = f"{LIST}&search=refund"
        assert await listed(reader, address) == []
        await reader.open("/queues/q/items/i00?outcome=fp&search=refund")
        index()
        assert await reader.walk(first_item(await reader.open(address)), "next") == ["i00", "i02"]


@pytest.mark.parametrize("query", ["outcome=no", "outcome=fp&place=-1", "outcome=fp&revision=x", "outcome=fp&from=1"])
async def test_a_list_that_is_none_is_named(store: Store, tmp_path: Path, query: str) -> None:
    fill(store, fact_pair(0))
    async with connected(view_of(store, tmp_path)) as client:
        assert (await client.get(f"/queues/q/items/i00?{query}")).status_code == 400
