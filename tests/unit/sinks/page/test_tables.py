"""Every table of numbers can be downloaded as CSV, from the card that shows it."""

import csv
import io
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from sinks.page.urls import item_path, queue_path
from sinks.store.store import Store
from tests.support.html import Element, read
from tests.support.page_routes import PAGES, WORDS
from tests.support.sample_queue import QUEUE, sample_queue
from tests.support.sample_view import NOW_MS, fill, view_of
from tests.unit.sinks.page.conftest import connected


@pytest.fixture
async def client(store: Store, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the sample queue, with the names of annotators."""
    fill(store, sample_queue(NOW_MS))
    services = view_of(store, tmp_path)
    services.config = replace(services.config, show_annotators=True)
    async with connected(services) as connection:
        yield connection


def files_of(table: Element) -> list[str]:
    """Addresses of the CSV files in the card of a table."""
    card = table
    while card.parent is not None and card.tag != "section":
        card = card.parent
    links = [link.attributes["href"] for link in card.all("a", download="")]
    return [href for href in links if href.partition("?")[0].endswith(".csv")]


@pytest.mark.parametrize("page", [name for name in PAGES if name not in WORDS])
async def test_every_table_has_a_file(client: httpx.AsyncClient, page: str) -> None:
    tree = read((await client.get(PAGES[page])).text)
    tables = tree.all("table")
    assert [table.one("caption").words for table in tables if not files_of(table)] == []
    for href in {href for table in tables for href in files_of(table)}:
        answer = await client.get(href)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/csv; charset=utf-8"), href
        assert len(list(csv.DictReader(io.StringIO(answer.text)))) > 0, href


async def test_the_walk_meets_the_tables_that_pages_have(client: httpx.AsyncClient) -> None:
    captions: list[str] = []
    for name, path in PAGES.items():
        if name not in WORDS:
            page = read((await client.get(path)).text)
            captions += [table.one("caption").words for table in page.all("table")]
    for words in (
        "Annotators of",
        "Human pass rate by score",
        "Both on the items",
        "Pass rate of",
        "Judge versions of",
    ):
        assert any(words in caption for caption in captions), words


async def test_files_have_the_rows_of_their_tables(client: httpx.AsyncClient) -> None:
    async def rows(path: str) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO((await client.get(path)).text)))

    (queue,) = await rows("/queues.csv")
    assert (queue["queue"], queue["comparisons"]) == (QUEUE, "936")
    answers = await rows(queue_path(QUEUE, "/disagreements.csv?criterion=helpfulness"))
    asked = (await client.get(f"/api/v1{queue_path(QUEUE)}/disagreements?criterion=helpfulness")).json()
    assert [row["item"] for row in answers] == [item["item"] for item in asked["items"] for _ in item["answers"]]
    trace = (await client.get(f"/api/v1{item_path(QUEUE, 'trace-0007')}")).json()
    pairs = await rows(item_path(QUEUE, "trace-0007") + "/pairs.csv")
    assert [row["why"] for row in pairs] == [pair["why"] for pair in trace["pairs"]]
    assert len(await rows(item_path(QUEUE, "trace-0007") + "/rows.csv")) == len(
        [*trace["annotations"], *trace["evaluations"], *filter(None, [trace["placement"]])]
    )
