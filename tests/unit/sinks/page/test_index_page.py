"""The start page counts, sorts and searches all queues, and lists them page by page; the API agrees with it."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from aggregator.facts import Annotation, Evaluation, Fact
from sinks import budgets
from sinks.page.index_page import PAGE
from sinks.page.layout import RAIL
from sinks.store.store import Store
from tests.support.html import Element, read
from tests.support.sample_view import NOW_MS, fill, view_of
from tests.unit.sinks.page.conftest import connected

SMALL = 2 * PAGE + 3
BUSY = "newest and busiest"
EMPTIED = "emptied"


def facts() -> list[Fact]:
    """Many queues of one item each; the newest has most comparisons, and the lowest alignment; one is emptied."""
    small: list[Fact] = []
    for number in range(SMALL):
        item = f"i{number}"
        small += [
            Annotation(at=NOW_MS, id="a", queue=f"queue {number:04d}", item=item, thumbs="up"),
            Evaluation(at=NOW_MS, id="e", item=item, metric="m", passed=True),
        ]
    busy: list[Fact] = [
        fact
        for number in range(5)
        for fact in (
            Annotation(at=NOW_MS, id="a", queue=BUSY, item=f"b{number}", thumbs="up"),
            Evaluation(at=NOW_MS, id="e", item=f"b{number}", metric="m", passed=False),
        )
    ]
    return [*small, Annotation(at=NOW_MS, id="a", queue=EMPTIED, item="x", deleted=True), *busy]


@pytest.fixture
async def client(store: Store, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    fill(store, facts())
    async with connected(view_of(store, tmp_path)) as connection:
        yield connection


async def start(client: httpx.AsyncClient, query: str = "") -> Element:
    answer = await client.get(f"/{query}")
    assert answer.status_code == 200, answer.text
    return read(answer.text)


def listed(page: Element) -> list[str]:
    return [row.one("a").words for row in page.one("tbody").all("tr")]


async def test_totals_and_orders_are_over_all_queues(client: httpx.AsyncClient) -> None:
    for query in ("", "?sort=alignment"):
        page = await start(client, query)
        assert f"{SMALL + 1} queues, {SMALL + 5} comparisons" in page.words
        assert listed(page)[0] == BUSY
        assert len(listed(page)) == PAGE
    assert listed(await start(client, "?sort=name"))[0] == BUSY


async def test_the_pages_together_list_every_queue_once_and_say_where_they_are(client: httpx.AsyncClient) -> None:
    names: list[str] = []
    for number in range(1, 4):
        page = await start(client, f"?sort=name&page={number}")
        names += listed(page)
        last = min(number * PAGE, SMALL + 1)
        assert f"{(number - 1) * PAGE + 1} to {last} of {SMALL + 1}" in page.one("nav", aria_label="Pages").words
    assert names == [BUSY, *(f"queue {number:04d}" for number in range(SMALL))]
    # A page after the last one is the last one.
    assert listed(await start(client, "?sort=name&page=9")) == names[2 * PAGE :]


async def test_a_search_is_over_all_queues_and_the_filter_of_the_browser_over_a_whole_list_only(
    client: httpx.AsyncClient,
) -> None:
    page = await start(client, f"?sort=name&q=QUEUE {SMALL - 1:04d}")
    assert listed(page) == [f"queue {SMALL - 1:04d}"]
    assert "1 queue, 1 comparison" in page.words
    assert page.one("input", type="search").attributes.get("data-filter") == "queue-rows"
    assert "data-filter" not in (await start(client)).one("input", type="search").attributes


async def test_the_navigation_has_the_busiest_queues_and_the_queue_of_the_page(client: httpx.AsyncClient) -> None:
    def navigation(page: Element) -> list[str]:
        return [
            link.one("span", class_="clip").words
            for link in page.one("aside", class_="rail").all("a")
            if link.all("small")
        ]

    assert navigation(await start(client)) == listed(await start(client))[:RAIL]
    last = f"queue {SMALL - 1:04d}"
    page = read((await client.get(f"/queues/{last}")).text)
    assert navigation(page) == [*listed(await start(client))[:RAIL], last]


async def test_the_api_lists_the_queues_that_the_page_lists(client: httpx.AsyncClient) -> None:
    async def api(query: str) -> tuple[list[str], int, int]:
        names, cursor = [], ""
        while True:
            body = (await client.get(f"/api/v1/queues?limit=50{query}{cursor}")).json()
            names += [entry["queue"] for entry in body["queues"]]
            if body["next"] is None:
                return names, body["total"], body["left_out"]
            cursor = f"&cursor={body['next']}"

    names, total, left_out = await api("")
    assert (sorted(names), total, left_out) == (
        [BUSY, *(f"queue {number:04d}" for number in range(SMALL))], SMALL + 1, 1
    )  # fmt: skip
    assert "1 queue whose annotations were all retracted is not listed." in (await start(client)).words
    everything, total, left_out = await api("&empty=1")
    assert (set(everything) - set(names), total, left_out) == ({EMPTIED}, SMALL + 2, 0)
    assert f"{SMALL + 2} queues" in (await start(client, "?empty=1")).words


async def test_a_view_that_still_reads_says_so(store: Store, tmp_path: Path) -> None:
    services = view_of(store, tmp_path)
    services.ready = lambda: False
    async with connected(services) as client:
        page = await start(client)
        services.ready = lambda: True
        empty = await start(client)
    assert "Catching up The view is reading its data. There are no numbers yet." in page.words
    assert "Queues appear here when it has read them." in page.words
    assert "No queues yet" not in page.words
    assert "No queues yet" in empty.words
    assert "UTC" not in page.one("main").words


async def test_pages_end_early_where_queues_have_many_pairs_and_still_list_every_queue_once(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budgets, "LISTED_PAIRS", 7)
    names: list[str] = []
    page = await start(client, "?sort=name")
    while True:
        rows = listed(page)
        assert 1 <= len(rows) <= 7
        pages = page.one("nav", aria_label="Pages")
        assert f"{len(names) + 1} to {len(names) + len(rows)} of {SMALL + 1}" in pages.words
        names += rows
        following = [link.attributes["href"] for link in pages.all("a") if link.text == "Next"]
        if not following:
            break
        page = read((await client.get(following[0])).text)
    assert names == [BUSY, *(f"queue {number:04d}" for number in range(SMALL))]
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        body = (await client.get(f"/api/v1/queues?limit=50{cursor}")).json()
        assert 1 <= len(body["queues"]) <= 7
        found += [entry["queue"] for entry in body["queues"]]
        cursor = None if body["next"] is None else f"&cursor={body['next']}"
    assert sorted(found) == names
