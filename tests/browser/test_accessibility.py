"""axe finds nothing against WCAG 2.2 A and AA, and nothing is wider than the window."""

import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.async_api import Browser, Page

from aggregator.facts import Annotation
from aggregator.state import Reading
from sinks.page.address import queue_path
from sinks.services import Services
from sinks.store import Store
from tests.browser.conftest import serving, watch
from tests.sinks.conftest import NOW_MS, fill, view_of
from tests.support.sample_queue import QUEUE, sample_queue

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text()
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
OPEN = "document.querySelectorAll('details').forEach((each) => { each.open = true; })"
"""What is folded away is looked at too."""
ROUTES = {
    "index": "/",
    "queue": queue_path(QUEUE),
    "aggregate": queue_path(QUEUE) + "?view=aggregate&criterion=tone",
    "items": queue_path(QUEUE, "/items"),
    "empty": queue_path("waiting"),
    "missing": queue_path("nobody"),
}


@pytest.fixture
def services(store: Store, tmp_path: Path) -> Services:
    """The sample queue with an off-topic pair, and a queue without a comparison."""
    waiting = Annotation(at=NOW_MS - 5, id="w", queue="waiting", item="w", thumbs="up")
    fill(store, [*sample_queue(NOW_MS), waiting])
    return view_of(store, tmp_path, Reading(pairs={"tone": ["strict_judge", "lenient_judge"]}))


@pytest.fixture
def address(services: Services) -> Iterator[str]:
    """Where that view is served."""
    with serving(services) as base:
        yield base


async def violations(page: Page) -> list[str]:
    """What axe finds: the rule, and the first place."""
    await page.evaluate(AXE)
    run = f"axe.run(document, {{runOnly: {json.dumps(RULES)}, resultTypes: ['violations']}})"
    found: dict[str, Any] = await page.evaluate(run)
    return [
        f"{each['id']}: {node['target']} {node['failureSummary']}"
        for each in found["violations"]
        for node in each["nodes"]
    ]


@pytest.mark.parametrize(
    ("scheme", "widths", "scripts"),
    [("light", (320, 800, 1440), True), ("dark", (320, 1440), True), ("light", (800,), False)],
)
async def test_axe_finds_nothing(
    address: str, browser: Browser, scheme: Literal["light", "dark"], widths: tuple[int, ...], scripts: bool
) -> None:
    found: dict[str, list[str]] = {}
    for width in widths:
        context = await browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            reduced_motion="reduce",
        )
        page = (await watch(context)).page
        if not scripts:
            # Axe is a script itself: the page goes without its own.
            await page.route("**/static/page.*.js", lambda route: route.abort())
        for name, path in ROUTES.items():
            await page.goto(address + path)
            for opened in (False, True):
                if opened:
                    await page.evaluate(OPEN)
                wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
                found[f"{name} {width} {opened}"] = ["too wide"] * (wide > 0)
            found[f"{name} {width}"] = await violations(page)
        await context.close()
    assert {name: lines for name, lines in found.items() if lines} == {}


async def test_axe_sees_what_is_wrong(address: str, browser: Browser) -> None:
    page = (await watch(await browser.new_context())).page
    await page.goto(address)
    await page.evaluate("document.querySelector('label').remove(); document.querySelector('input').placeholder = ''")
    assert any(line.startswith("label") for line in await violations(page))
