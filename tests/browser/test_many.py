"""A page with many metrics and criteria can be read: most are folded, and one filter is for all parts."""

from pathlib import Path
from typing import Final

from playwright.async_api import Browser, expect

from aggregator.facts import Annotation, Evaluation, Fact
from sinks.page.urls import queue_path
from sinks.store.store import Store
from tests.browser.conftest import watch
from tests.support.sample_view import NOW_MS, fill, view_of
from tests.support.serving import serving

METRICS: Final = [f"metric {number:02d}" for number in range(40)]
CRITERIA: Final = [f"criterion {number:02d}" for number in range(12)]
HIGHEST: Final = 3_000


def facts() -> list[Fact]:
    """Thirty-two items that people rate on every criterion and every metric judges."""
    items = [f"item {number:02d}" for number in range(32)]
    ratings = [
        Annotation(
            at=NOW_MS - 9,
            id=f"{item} {criterion}",
            queue="q",
            item=item,
            criterion=criterion,
            stars=1 + 2 * (index % 3),
        )
        for index, item in enumerate(items)
        for criterion in CRITERIA
    ]
    scores = {
        (item, metric): (index + shift) % 7 / 7
        for index, item in enumerate(items)
        for shift, metric in enumerate(METRICS)
    }
    verdicts = [
        Evaluation(
            at=NOW_MS - 5,
            id=f"{item} {metric}",
            item=item,
            metric=metric,
            score=score,
            threshold=0.5,
            passed=score >= 0.5,
        )
        for (item, metric), score in scores.items()
    ]
    return [*ratings, *verdicts]


async def test_forty_metrics_and_twelve_criteria_fit_at_first(browser: Browser, store: Store, tmp_path: Path) -> None:
    fill(store, facts())
    with serving(view_of(store, tmp_path)) as base:
        watched = await watch(await browser.new_context(viewport={"width": 1440, "height": 900}))
        page = watched.page
        await page.goto(base + queue_path("q"))
        await expect(page.locator("#trend")).to_be_visible()
        assert await page.evaluate("document.documentElement.scrollHeight") <= HIGHEST

        # Criteria are a menu that acts, and a link leads to a folded part.
        await page.get_by_label("Criterion", exact=True).select_option("criterion 07")
        await page.wait_for_url("**criterion=criterion+07**")
        last = page.get_by_role("article").filter(has=page.get_by_role("heading", name="metric 39"))
        await expect(last).to_be_hidden()
        key = await page.locator("[data-metric='metric 39']").get_attribute("id")
        await page.evaluate("(key) => { location.hash = key; }", key)
        await expect(last).to_be_visible()

        # One filter for charts, tables and matrices.
        await page.locator(".picker summary").click()
        for metric in METRICS[2:]:
            await page.get_by_role("checkbox", name=metric).uncheck()
        await expect(page.locator(".picker summary")).to_have_text("2 of 40 metrics")
        for part in ("#outcomes .bar", "#top tbody tr", "#breakdown article"):
            await expect(page.locator(part)).to_have_count(2)
        await page.locator(".picker").get_by_role("link", name="All metrics").click()
        await expect(page.locator(".picker summary")).to_have_text("40 metrics")
        await expect(page.locator("#breakdown article")).to_have_count(len(METRICS))
        await watched.clean()
