"""Items are found by words, on the page, in its files and by the API."""

import csv
import io
from pathlib import Path

import pytest
from msgspec.structs import replace

from sinks.api.services import Services
from sinks.store.store import Store
from tests.support.html import read
from tests.support.sample_view import fill, view_of
from tests.unit.sinks.page.conftest import connected
from tests.unit.sinks.page.test_items_page import case, shown


@pytest.fixture
def searchable(store: Store, tmp_path: Path) -> Services:
    """Three items with texts, all of them written for searching but the last."""
    texts = {"t-1": "The refund is late", "t-2": "<b>refunds</b>", "t-3": "Réfund"}
    facts = [replace(fact, input=text) for name, text in texts.items() for fact in case(name, stars=2, passed=True)]
    fill(store, facts)
    while store.write_search_documents():
        pass
    return view_of(store, tmp_path)


@pytest.mark.parametrize(
    ("search", "items"),
    [
        ("refund", {"t-1", "t-2", "t-3"}),
        ("REFUND late", {"t-1"}),
        ("t-2", {"t-2"}),
        ('refund" OR b NOT (', set()),
        ("fund", set()),
        ("by", set()),
    ],
)
async def test_items_are_found_by_words(searchable: Services, search: str, items: set[str]) -> None:
    async with connected(searchable) as client:
        answer = await client.get("/queues/q/items", params={"search": search})
        page = read(answer.text)
        assert set(shown(page)) == items
        assert page.one("input", id="search").attributes["value"] == search
        rows = (await client.get("/queues/q/items.csv", params={"search": search})).text
        assert {row["item"] for row in csv.DictReader(io.StringIO(rows))} == items
        found = (await client.get("/api/v1/queues/q/comparisons", params={"search": search})).json()
        assert {each["item"] for each in found["comparisons"]} == items
        assert found["search"] == {"more": False, "not_searchable": 0}


async def test_what_a_search_finds_is_marked_and_escaped(searchable: Services) -> None:
    async with connected(searchable) as client:
        page = read((await client.get("/queues/q/items?search=refund+t+b")).text)
        assert [mark.text for mark in page.all("mark")] == ["t", "b", "refund", "b"]
        assert "<b>refunds</b>" in page.text
        every = read((await client.get("/queues/q/items")).text)
        assert every.all("mark") == []


async def test_the_item_with_the_id_that_is_searched_is_linked(searchable: Services) -> None:
    async with connected(searchable) as client:
        page = read((await client.get("/queues/q/items?outcome=tp&search=+t-2+")).text)
        assert shown(page) == []
        assert any(link.attributes["href"] == "/queues/q/items/t-2" for link in page.all("a"))


async def test_a_page_states_what_a_search_cannot_find_yet(store: Store, tmp_path: Path) -> None:
    fill(store, case("t-1", stars=2, passed=True))
    async with connected(view_of(store, tmp_path)) as client:
        page = read((await client.get("/queues/q/items?search=t-1")).text)
        assert "1 item of this queue cannot be found by the newest texts yet" in page.words


async def test_a_search_that_is_too_long_is_refused(searchable: Services) -> None:
    async with connected(searchable) as client:
        for path in ("/queues/q/items", "/api/v1/queues/q/comparisons"):
            answer = await client.get(path, params={"search": "x" * 201})
            assert answer.status_code == 400
            assert "search: " in answer.text.lower()


@pytest.mark.parametrize("search", ["?!", " ", "\0"])
async def test_a_search_without_words_finds_nothing(searchable: Services, search: str) -> None:
    async with connected(searchable) as client:
        page = read((await client.get("/queues/q/items", params={"search": search})).text)
        assert shown(page) == []
        assert "The search has no letter or digit" in page.words
        found = (await client.get("/api/v1/queues/q/comparisons", params={"search": search})).json()
        assert found["comparisons"] == []
