"""The page of one item, at the address of any id."""

import unicodedata
from dataclasses import replace

import pytest

from aggregator.facts import Annotation, Evaluation, Fact
from sinks.api.parameters import path_segment
from sinks.page.urls import item_path
from sinks.store.store import Store
from tests.support.html import read
from tests.support.sample_view import NOW_MS, fill, view_of
from tests.unit.sinks.page.conftest import Get, connected

IDS = (
    "a/b/c", "with space", "#1?x=2&y=%2F", "%2e%2e", ".", "..", "~.", "~", "+", "\u00e9", "e\u0301", "\u202eabc",
    "\u8bc4\u4ef7", "\U0001f600", "items.csv", "'\"<b>", "\\", ";a=b", "x" * 256,
)  # fmt: skip
"""Ids of items that something on the way to the view could change."""


async def test_an_id_of_any_characters_has_a_page_and_a_trace_of_its_own(store: Store, tmp_path: object) -> None:
    facts: list[Fact] = []
    for number, item in enumerate(IDS):
        facts.append(Annotation(NOW_MS, f"a{number}", "a/b", item, stars=1, explanation=f"of number {number}."))
        facts.append(Evaluation(NOW_MS, f"e{number}", item, "m", passed=True))
    fill(store, facts)
    async with connected(view_of(store, tmp_path)) as client:  # type: ignore[arg-type]
        listed = read((await client.get("/queues/a%2Fb/items?sort=newest")).text)
        heads = [head.one("h3").one("a") for head in listed.all("div", class_="item-head")]
        links = {link.words: link.attributes["href"].partition("?")[0] for link in heads}
        assert len(links) == len(IDS)
        for number, item in enumerate(IDS):
            path = item_path("a/b", item)
            assert path in links.values()
            page = await client.get(path)
            assert (page.status_code, f"of number {number}." in page.text) == (200, True), item
            answer = await client.get(f"/api/v1/queues/a%2Fb/items/{path_segment(item)}")
            assert answer.json()["item"] == item


async def test_an_id_is_found_in_its_own_unicode_form_only(store: Store, tmp_path: object) -> None:
    composed = "\u00e9"
    fill(store, [Annotation(NOW_MS, "a", "q", composed, stars=1)])
    async with connected(view_of(store, tmp_path)) as client:  # type: ignore[arg-type]
        other = await client.get(item_path("q", unicodedata.normalize("NFD", composed)))
        assert (await client.get(item_path("q", composed))).status_code == 200
    assert other.status_code == 404
    assert "not found in queue" in other.text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/queues/support/items/none", 404),
        ("/queues/nobody/items/i1", 404),
        ("/queues/support/items/%ff", 400),
        ("/api/v1/queues/support/items/none", 404),
        ("/api/v1/queues/support/items/%ff", 400),
    ],
)
async def test_what_is_not_found_or_no_text_is_named(store: Store, tmp_path: object, path: str, status: int) -> None:
    fill(store, [Annotation(NOW_MS, "a", "support", "i1", stars=1)])
    async with connected(view_of(store, tmp_path)) as client:  # type: ignore[arg-type]
        answer = await client.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("application/problem+json" if "/api/" in path else "text/html")


async def test_an_item_shows_why_it_is_counted_so_and_all_its_rows(page: Get) -> None:
    item = await page("/queues/support/items/i2")
    words = item.words
    assert "Open in the annotation tool" in words
    tables = {table.one("caption").words: table for table in item.all("table")}
    assert set(tables) == {"Pairs that give a cell", "Rows in order of time"}
    cells = [row.all("td")[1].words for row in tables["Pairs that give a cell"].one("tbody").all("tr")]
    assert cells == ["FN too strict", "TN both fail", "TP both pass of its version", "FP too lenient of its version"]
    rows = [row.words for row in tables["Rows in order of time"].one("tbody").all("tr")]
    assert [("Superseded" in row, "Current verdict" in row, "Counted" in row) for row in rows] == [
        (False, False, True),
        (False, False, True),
        (True, False, False),
        (False, True, False),
    ]


async def test_what_is_not_counted_is_listed_with_the_reason(page: Get) -> None:
    removed = await page("/queues/support/items/i5")
    assert "the item was removed from the queue at 2026-11-24 11:59:59 UTC" in removed.words
    deleted = await page("/queues/support/items/i3")
    assert "the annotation was deleted at" in deleted.words
    failed = await page("/queues/support/items/i1")
    assert "the evaluation failed: it has no verdict" in failed.words
    waiting = await page("/queues/support/items/i4")
    assert "An annotation and an evaluation are needed for a cell." in waiting.words


async def test_without_an_address_the_page_names_the_setting(store: Store, tmp_path: object) -> None:
    fill(store, [Annotation(NOW_MS, "a", "q", "i", stars=1)])
    services = view_of(store, tmp_path)  # type: ignore[arg-type]
    services.config = replace(services.config, item_url="")
    async with connected(services) as client:
        item = read((await client.get("/queues/q/items/i")).text)
    assert "set item_url" in item.words
    assert "Open in the annotation tool" not in item.words
