"""The words about a segment are read without scrolling."""

from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from aggregator.facts import Annotation, Evaluation, Fact
from sinks.page.urls import queue_path
from sinks.store.store import Store
from tests.browser.conftest import watch
from tests.support.sample_view import NOW_MS, fill, view_of
from tests.support.serving import serving


def opposite_errors() -> list[Fact]:
    """A metric that is too lenient in one language, and too strict in the other."""
    facts: list[Fact] = []
    for place, language in enumerate(("de", "en")):
        for number in range(60):
            item, human, wrong = f"{language}{number}", number % 2 == 0, number % 4 == 1 - place
            tags = {"lang": language}
            facts += [
                Annotation(at=NOW_MS, id="a", queue="q", item=item, thumbs="up" if human else "down", tags=tags),
                Evaluation(at=NOW_MS, id="e", item=item, metric="m", passed=human is not wrong),
            ]
    return facts


@pytest.mark.parametrize("width", [390, 1024])
async def test_the_direction_of_a_segment_is_not_cut(
    browser: Browser, store: Store, tmp_path: Path, width: int
) -> None:
    fill(store, opposite_errors())
    with serving(view_of(store, tmp_path)) as address:
        page = (await watch(await browser.new_context(viewport={"width": width, "height": 800}))).page
        await page.goto(address + queue_path("q"))
        await expect(page.locator("#segments .mark").first).to_have_text("Too lenient here, too strict elsewhere")
        hidden = "(table) => table.scrollWidth - table.clientWidth"
        assert await page.locator("#segments .scroll-x").evaluate(hidden) <= 0
