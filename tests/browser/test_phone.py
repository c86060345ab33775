"""On a telephone nobody scrolls past controls to reach the first number, finding or item."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from playwright.async_api import Browser, Route, ViewportSize, expect

from sinks.page.urls import queue_path
from sinks.store.store import Store
from tests.browser.conftest import watch
from tests.support.sample_queue import QUEUE, sample_queue
from tests.support.sample_view import NOW_MS, fill, view_of
from tests.support.serving import serving

PHONE: Final = ViewportSize(width=390, height=844)
FIRST: Final = {
    "start page": ("/", "#first-look li"),
    "queue": (queue_path(QUEUE), "[data-value=alignment]"),
    "items": (queue_path(QUEUE, "/items?outcome=fp&metric=lenient_judge&criterion=tone"), ".items h3"),
    "disagreements": (queue_path(QUEUE, "/disagreements?criterion=helpfulness"), ".items > .disputed"),
}
"""Address, and what a reader comes for."""


@pytest.fixture
def address(store: Store, tmp_path: Path) -> Iterator[str]:
    fill(store, sample_queue(NOW_MS))
    with serving(view_of(store, tmp_path)) as base:
        yield base


@pytest.mark.parametrize("name", FIRST)
async def test_what_a_reader_comes_for_is_on_the_first_screen(address: str, browser: Browser, name: str) -> None:
    path, selector = FIRST[name]
    context = await browser.new_context(viewport=PHONE, java_script_enabled=False)
    page = await context.new_page()
    await page.goto(address + path)
    box = await page.locator(selector).first.bounding_box()
    assert box is not None
    assert box["y"] + 60 <= PHONE["height"]


async def test_a_link_leads_past_the_numbers_of_the_queue(address: str, browser: Browser) -> None:
    context = await browser.new_context(viewport=PHONE, java_script_enabled=False)
    page = await context.new_page()
    await page.goto(address + queue_path(QUEUE))
    await page.get_by_role("navigation", name="On this page").get_by_role("link", name="What stands out").click()
    await expect(page.locator(".finding").first).to_be_in_viewport()
    await page.set_viewport_size({"width": 1440, "height": 900})
    await expect(page.get_by_role("navigation", name="On this page")).to_be_hidden()


async def test_filters_are_folded_on_a_phone_only(address: str, browser: Browser) -> None:
    context = await browser.new_context(viewport=PHONE, java_script_enabled=False)
    page = await context.new_page()
    await page.goto(address + queue_path(QUEUE, "/items?criterion=tone"))
    annotator, summary = (
        page.locator("#annotator"),
        page.locator("details", has=page.locator("#annotator")).locator("summary"),
    )
    await expect(annotator).to_be_hidden()
    await expect(summary).to_have_text("Filters: tone")
    await summary.click()
    await expect(annotator).to_be_visible()
    await page.set_viewport_size({"width": 1024, "height": 800})
    await page.reload()
    await expect(annotator).to_be_visible()
    await expect(summary).to_be_hidden()
    await annotator.select_option("bob")
    await page.locator("#filters").get_by_role("button", name="Apply").click()
    assert "annotator=bob" in page.url


async def test_filters_are_within_reach_where_a_browser_cannot_show_folded_content(
    address: str, browser: Browser
) -> None:
    """Browsers without `::details-content` drop its rule: what hides the summary must go with it."""
    context = await browser.new_context(java_script_enabled=False, viewport={"width": 1440, "height": 900})
    page = await context.new_page()

    async def older(route: Route) -> None:
        response = await route.fetch()
        await route.fulfill(response=response, body=(await response.text()).replace("::details-content", "::unknown"))

    await page.route("**/*.css*", older)
    await page.goto(address + queue_path(QUEUE, "/items?criterion=tone"))
    annotator = page.locator("#annotator")
    await expect(annotator).to_be_hidden()
    await page.locator("details", has=annotator).locator("summary").click()
    await expect(annotator).to_be_visible()


async def test_a_keyboard_leads_from_item_to_item_without_scripts(address: str, browser: Browser) -> None:
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(address + queue_path(QUEUE, "/items?outcome=fp&metric=lenient_judge&criterion=tone&sort=newest"))
    heads = page.locator(".item-head h3 a")
    names = await heads.all_inner_texts()
    await heads.first.press("Enter")
    await expect(page.locator("h1")).to_have_text(names[0])
    for name in names[1:3]:
        await page.keyboard.press("Tab")
        await expect(page.locator(".skip")).to_be_focused()
        await page.keyboard.press("Enter")
        link = page.get_by_role("navigation", name="Items of the list", exact=True).get_by_text("Next item")
        for _ in range(8):
            await page.keyboard.press("Tab")
            if await link.evaluate("(each) => each === document.activeElement"):
                break
        await page.keyboard.press("Enter")
        await expect(page.locator("h1")).to_have_text(name)


async def test_scripts_keep_the_list_of_an_item(address: str, browser: Browser) -> None:
    watched = await watch(await browser.new_context())
    page = watched.page
    await page.goto(address + queue_path(QUEUE, "/items?outcome=fp&metric=lenient_judge&criterion=tone"))
    names = await page.locator(".item-head h3 a").all_inner_texts()
    await page.locator(".item-head h3 a").nth(1).click()
    await expect(page.locator("h1")).to_have_text(names[1])
    await page.locator("a[rel=prev]").first.click()
    await expect(page.locator("h1")).to_have_text(names[0])
    await expect(page.locator("a[rel=prev]")).to_have_count(0)
    await watched.clean()
