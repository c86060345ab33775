"""No list changes under its reader: the order waits for them, and a link offers what is new."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Route, expect

from aggregator.facts import Annotation, Evaluation, Fact
from sinks.api.services import Services
from sinks.page.urls import queue_path
from sinks.store.store import Store
from tests.browser.conftest import POLL_MS, watch
from tests.support.sample_queue import QUEUE, sample_queue
from tests.support.sample_view import NOW_MS, fill, view_of
from tests.support.serving import serving


def compared(queue: str, items: int, metric: str = "m", *, wrong: int = 0) -> Iterator[Fact]:
    for number in range(items):
        item = f"{queue} {number}"
        yield Annotation(at=NOW_MS - 9, id="a", queue=queue, item=item, thumbs="up" if number % 2 else "down")
        yield Evaluation(
            at=NOW_MS - 9, id=metric, item=item, metric=metric, passed=bool(number % 2) == (number >= wrong)
        )


BEFORE = [*compared("first", 30), *compared("second", 20), *compared("third", 10)]
AFTER = [*compared("first", 30), *compared("second", 20), *compared("third", 40)]
"""The third queue has most comparisons now."""


async def test_a_list_keeps_its_order_while_a_reader_is_in_it(browser: Browser, store: Store, tmp_path: Path) -> None:
    fill(store, BEFORE)
    with serving(view_of(store, tmp_path)) as address:
        watched = await watch(await browser.new_context(viewport={"width": 1280, "height": 900}))
        page = watched.page
        await page.clock.install()
        await page.goto(address)
        names = page.locator("#queue-rows th a")
        await expect(names).to_have_text(["first", "second", "third"])
        offer = page.locator("[data-offer]")
        await expect(offer).to_be_hidden()
        await names.nth(1).focus()
        fill(store, AFTER, NOW_MS + 1)
        await page.clock.fast_forward(POLL_MS)
        # The numbers go on.
        await expect(page.locator("#queue-rows [data-value=comparisons]")).to_have_text(["30", "20", "40"])
        await expect(names).to_have_text(["first", "second", "third"])
        await expect(names.nth(1)).to_be_focused()
        await expect(offer).to_have_text("3 moved, show")
        await offer.click()
        await expect(names).to_have_text(["third", "first", "second"])
        await expect(offer).to_be_hidden()
        await watched.clean()


async def test_a_list_that_nobody_reads_is_in_order(browser: Browser, store: Store, tmp_path: Path) -> None:
    fill(store, BEFORE)
    with serving(view_of(store, tmp_path)) as address:
        page = (await watch(await browser.new_context())).page
        await page.clock.install()
        await page.goto(address)
        fill(store, AFTER, NOW_MS + 1)
        await page.clock.fast_forward(POLL_MS)
        await expect(page.locator("#queue-rows th a")).to_have_text(["third", "first", "second"])
        await expect(page.locator("[data-offer]")).to_be_hidden()


@pytest.fixture
def services(store: Store, tmp_path: Path) -> Services:
    """A view of the sample queue."""
    fill(store, sample_queue(NOW_MS))
    return view_of(store, tmp_path)


@pytest.mark.parametrize(
    ("query", "differs", "words"),
    [
        ("", False, "3 changed, show"),
        ("&annotator=ann", True, "Changed, show"),
        ("&annotator=ann", False, None),
        ("&metric=relevancy", False, None),
    ],
    ids=["counted", "not counted by the document", "not counted, same items", "of another metric"],
)
async def test_changes_of_the_items_are_offered(
    browser: Browser, services: Services, query: str, words: str | None, *, differs: bool
) -> None:
    with serving(services) as address:
        watched = await watch(await browser.new_context())
        page = watched.page
        document = await (await page.request.get(f"{address}/api/v1{queue_path(QUEUE)}")).json()
        document["revision"] += 1
        (tone,) = (each for each in document["criteria"] if each["criterion"] == "tone")
        (strict,) = (each for each in tone["metrics"] if each["metric"] == "strict_judge")
        strict["fn"] += 3
        strict["tp"] += 5

        async def stream(route: Route) -> None:
            body = f"event: snapshot\ndata: {json.dumps(document)}\n\n"
            await route.fulfill(status=200, content_type="text/event-stream", body=body)

        asked = asyncio.Event()

        async def newer(route: Route) -> None:
            if route.request.resource_type != "fetch":
                await route.continue_()
                return
            response = await route.fetch()
            body = await response.text()
            await route.fulfill(response=response, body=body.replace('data-key="i-', 'data-key="i-new ', int(differs)))
            asked.set()

        await page.route("**/api/v1/stream*", stream)
        await page.route("**/items?*", newer)
        await page.goto(f"{address}{queue_path(QUEUE, '/items')}?criterion=tone{query}")
        offer = page.locator("[data-offer]")
        if "annotator" in query:
            await asyncio.wait_for(asked.wait(), 60)
            # An answer that is requested later arrives later.
            await page.evaluate("fetch(location.href).then((answer) => answer.text())")
        # The stream ends after the document.
        await expect(page.locator("[data-banner]")).to_contain_text("Connection lost")
        if words is None:
            await expect(offer).to_be_hidden()
            return
        await expect(offer).to_have_text(words)
        # Without its script it would be a link to the same list.
        href = await offer.get_attribute("href") or ""
        assert all(each in href for each in ("/items?", "criterion=tone", query))
        await page.evaluate("window.mark = 1")
        await offer.click()
        await expect(offer).to_be_hidden()
        await expect(page.get_by_role("button", name="Pause")).to_be_focused()
        assert await page.evaluate("window.mark") == 1
        await watched.clean()


@pytest.mark.parametrize("path", ["/items?outcome=", "/next?strategy=boundary", "?criterion=tone"])
async def test_tabs_are_not_cut_on_a_phone(browser: Browser, services: Services, path: str) -> None:
    with serving(services) as address:
        page = (await watch(await browser.new_context(viewport={"width": 390, "height": 800}))).page
        await page.goto(address + queue_path(QUEUE) + path)
        ends = await page.locator(".tabs a").evaluate_all(
            "(tabs) => tabs.map((tab) => tab.getBoundingClientRect().right)"
        )
        assert len(ends) > 1
        assert max(ends) <= 390


@pytest.mark.parametrize("scripts", [True, False])
async def test_a_link_to_a_folded_card_shows_it(
    browser: Browser, store: Store, tmp_path: Path, *, scripts: bool
) -> None:
    names = [f"coin {number}" for number in range(5)]
    facts = [fact for name in names for fact in compared("q", 60, name, wrong=30)]
    fill(store, facts)
    with serving(view_of(store, tmp_path)) as address:
        page = (await watch(await browser.new_context(java_script_enabled=scripts))).page
        await page.goto(address + queue_path("q"))
        cards = page.locator(".finding")
        await expect(cards).to_have_count(5)
        last = cards.nth(4)
        await expect(last).to_be_hidden()
        await page.goto(f"{address}{queue_path('q')}?criterion=overall#{await last.get_attribute('id')}")
        await expect(last).to_be_visible()
