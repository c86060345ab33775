"""The page keeps up with Kafka: new numbers without a reload, pause, and a view that comes back."""

import asyncio
import os
import signal

import pytest
from playwright.async_api import Browser, expect

from tests.browser.conftest import watch
from tests.support.deployments import Installation

QUEUE = "live / queue"
PATH = "/queues/live%20%2F%20queue"


def annotation(number: int) -> dict[str, object]:
    return {
        "id": f"a{number}", "at": 1_700_000_000_000 + number, "queue": QUEUE, "item": f"i{number}", "annotator": "ann",
        "stars": 1 + number % 5,
    }  # fmt: skip


def evaluation(number: int) -> dict[str, object]:
    return {
        "id": f"e{number}", "at": 1_700_000_000_000, "item": f"i{number}", "metric": "judge",
        "score": number % 10 / 10, "threshold": 0.5,
    }  # fmt: skip


async def send(installation: Installation, *events: dict[str, object]) -> None:
    await asyncio.to_thread(installation.send, *events)


async def test_numbers_update_and_the_page_keeps_its_scroll_position(
    browser: Browser, installation: Installation
) -> None:
    await send(installation, *(event for n in range(40) for event in (annotation(n), evaluation(n))))
    # A focus from far away scrolls smoothly otherwise, and the position is final only afterwards.
    context = await browser.new_context(viewport={"width": 1280, "height": 600}, reduced_motion="reduce")
    watched = await watch(context)
    page = watched.page
    number = page.locator("[data-value=items_compared]").first
    await page.goto(installation.url + PATH)
    await expect(number).to_have_text("40")
    await expect(page.locator("[data-live]")).to_have_text("Live")

    await page.get_by_text("All numbers").first.click()
    cell = page.locator("article .cell-face:is(a)").nth(1)
    await cell.focus()
    await page.evaluate("window.mark = 1")
    place = await cell.bounding_box()
    await send(installation, annotation(40), evaluation(40))
    await expect(number).to_have_text("41")
    assert await page.evaluate("window.mark") == 1
    assert await cell.bounding_box() == place
    await expect(cell).to_be_focused()
    await expect(page.locator("article details").first).to_have_attribute("open", "")

    await page.get_by_role("button", name="Pause").click()
    await expect(page.locator("[data-live]")).to_have_text("Paused")
    await send(installation, annotation(41), evaluation(41))
    other = await watch(await browser.new_context())
    await other.page.goto(installation.url + PATH)
    await expect(other.page.locator("[data-value=items_compared]").first).to_have_text("42")
    await expect(number).to_have_text("41")
    await page.get_by_role("button", name="Resume").click()
    await expect(number).to_have_text("42")
    await watched.clean()
    await other.clean()


async def test_the_page_reconnects_when_the_view_restarts(browser: Browser, installation: Installation) -> None:
    await send(installation, annotation(60), evaluation(60))
    watched = await watch(await browser.new_context())
    page = watched.page
    await page.goto(installation.url + PATH)
    await expect(page.locator("[data-live]")).to_have_text("Live")
    before = int(await page.locator("[data-value=items_compared]").first.inner_text())
    (view,) = (pid for pid, line in installation.processes().items() if " view " in line)
    os.kill(view, signal.SIGKILL)
    await expect(page.locator("[data-banner]")).to_contain_text("Connection lost")
    await send(installation, annotation(61), evaluation(61))
    await expect(page.locator("[data-value=items_compared]").first).to_have_text(str(before + 1))
    await expect(page.locator("[data-live]")).to_have_text("Live")
    await expect(page.locator("[data-banner]")).to_have_text("")
    # The browser itself logs connections that were refused meanwhile.
    watched.wrong = [line for line in watched.wrong if "net::ERR_" not in line]
    await watched.clean()


@pytest.mark.slow
async def test_newer_items_are_offered_and_the_page_keeps_its_scroll_position(
    browser: Browser, installation: Installation
) -> None:
    await send(installation, *(event for n in range(100, 140) for event in (annotation(n), evaluation(n))))
    watched = await watch(await browser.new_context(viewport={"width": 1280, "height": 500}, reduced_motion="reduce"))
    page = watched.page
    await page.goto(installation.url + PATH + "/items?outcome=tp,fn,tn,fp&sort=newest")
    offer = page.locator("[data-offer]")
    await expect(page.locator("[data-live]")).to_have_text("Live")
    await expect(offer).to_be_hidden()
    second = await page.locator(".item h3").nth(1).inner_text()
    sort = page.get_by_label("Sort by")
    await sort.focus()
    await page.evaluate("window.mark = 1")

    await send(installation, annotation(900), evaluation(900))
    await expect(offer).to_be_visible()
    await expect(page.get_by_text("i900")).to_have_count(0)
    await expect(sort).to_be_focused()
    await offer.focus()
    await page.keyboard.press("Enter")
    await expect(page.locator(".item h3").first).to_have_text("i900")
    await expect(page.locator(".item h3").nth(2)).to_have_text(second)
    await expect(offer).to_be_hidden()
    await expect(page.get_by_role("button", name="Pause")).to_be_focused()
    assert await page.evaluate("window.mark") == 1
    await watched.clean()


@pytest.mark.slow
async def test_the_empty_state_counts_up_and_ends_by_itself(browser: Browser, installation: Installation) -> None:
    def waiting(number: int) -> dict[str, object]:
        return {**annotation(number), "queue": "waits", "item": f"w{number}", "id": f"w{number}"}

    await send(installation, waiting(1))
    watched = await watch(await browser.new_context())
    page = watched.page
    await page.goto(installation.url + "/queues/waits")
    await expect(page.locator("[data-waiting=annotations]")).to_have_text("1")
    await send(installation, waiting(2))
    await expect(page.locator("[data-waiting=annotations]")).to_have_text("2")
    await send(installation, {**evaluation(3), "item": "w1", "id": "e of w1"})
    await expect(page.locator("[data-value=items_compared]").first).to_have_text("1")
    await watched.clean()
