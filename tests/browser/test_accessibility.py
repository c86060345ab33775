"""axe finds no violation of WCAG 2.2 A and AA, and no element is wider than the window."""

import json
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page

from aggregator.facts import Annotation
from aggregator.snapshot.inputs import CountingRules
from sinks.api.services import Services
from sinks.page.urls import item_path, queue_path
from sinks.store.store import Store
from tests.browser.conftest import watch
from tests.support.page_routes import PAGES
from tests.support.sample_queue import QUEUE, sample_queue
from tests.support.sample_view import NOW_MS, fill, view_of
from tests.support.serving import serving

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text()
EVERY = json.dumps(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"])
OF_COLOURS = json.dumps({"type": "rule", "values": ["color-contrast", "link-in-text-block"]})
"""The only rule that depends on light or dark: colours."""
OPEN = "(open) => document.querySelectorAll('details').forEach((each) => { each.open = open; })"
"""Open every folded part, so that axe checks it."""
ROUTES = {
    **PAGES,
    "judge": queue_path(QUEUE) + "?criterion=tone&judge=p1",
    "aggregate": queue_path(QUEUE) + "?view=aggregate&criterion=tone",
    "search": queue_path(QUEUE, "/items?search=refund+trace-0007"),
    "item of a list": item_path(QUEUE, "trace-0007") + "?outcome=tp,fn,tn,fp&place=1",
    "only item of a list": item_path(QUEUE, "trace-0007") + "?outcome=tp,fn,tn,fp&search=trace-0007",
    "trend": queue_path(QUEUE) + "?trend=relevancy",
    "empty": queue_path("waiting"),
    "missing": queue_path("nobody"),
}
"""Addresses by name: every page, and other states of some."""


@pytest.fixture
def services(store: Store, tmp_path: Path) -> Services:
    """The sample queue with an off-topic pair, and a queue without a comparison."""
    waiting = Annotation(at=NOW_MS - 5, id="w", queue="waiting", item="w", thumbs="up")
    fill(store, [*sample_queue(NOW_MS), waiting])
    while store.write_search_documents():
        pass
    view = view_of(store, tmp_path, CountingRules(criterion_metrics={"tone": ["strict_judge", "lenient_judge"]}))
    view.config = replace(view.config, show_annotators=True)
    return view


@pytest.fixture
def address(services: Services) -> Iterator[str]:
    """The address of that view."""
    with serving(services) as base:
        yield base


async def violations(page: Page, rules: str = EVERY) -> list[str]:
    """The violations that axe finds: rule and first element."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE)
    run = f"axe.run(document, {{runOnly: {rules}, resultTypes: ['violations']}})"
    result: dict[str, Any] = await page.evaluate(run)
    return [
        f"{each['id']}: {node['target']} {node['failureSummary']}"
        for each in result["violations"]
        for node in each["nodes"]
    ]


@pytest.mark.parametrize("name", ROUTES)
@pytest.mark.parametrize(
    ("scripts", "widths"), [(True, (320, 800, 1440)), pytest.param(False, (320, 1440), marks=pytest.mark.slow)]
)
async def test_axe_finds_no_violation(
    address: str, browser: Browser, name: str, scripts: bool, widths: tuple[int, ...]
) -> None:
    lines: dict[str, list[str]] = {}
    context = await browser.new_context(color_scheme="light", reduced_motion="reduce")
    page = (await watch(context)).page
    if not scripts:
        # axe is a script itself, so the page's policy must not apply.
        await page.route("**/static/page.*.js", lambda route: route.abort())
    await page.goto(address + ROUTES[name])
    for width in widths:
        await page.set_viewport_size({"width": width, "height": 900})
        for opened in (False, True):
            await page.evaluate(OPEN, opened)
            wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
            lines[f"{width} {opened}"] = ["too wide"] * (wide > 0)
        lines[f"{width}"] = await violations(page)
        await page.emulate_media(color_scheme="dark")
        lines[f"{width} dark"] = await violations(page, OF_COLOURS)
        await page.emulate_media(color_scheme="light")
    assert {where: found for where, found in lines.items() if found} == {}


async def test_axe_finds_a_violation_that_exists(address: str, browser: Browser) -> None:
    page = (await watch(await browser.new_context())).page
    await page.goto(address)
    await page.evaluate("document.querySelector('label').remove(); document.querySelector('input').placeholder = ''")
    assert any(line.startswith("label") for line in await violations(page))
    await page.emulate_media(color_scheme="dark")
    await page.evaluate("document.querySelector('h1').style.color = '#444'")
    assert any(line.startswith("color-contrast") for line in await violations(page, OF_COLOURS))
