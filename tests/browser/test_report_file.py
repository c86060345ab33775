"""The report of `check` as a file: axe finds no violation, nothing is fetched, and it fits the window."""

from pathlib import Path

import pytest
from playwright.async_api import Browser

from aggregator.recount import Recount
from aggregator.snapshot.inputs import CountingRules
from eval_alignment.insights import RecountInsights
from sinks.page.report_file import GateResult, InputSummary, report_html
from tests.browser.test_accessibility import OF_COLOURS, violations
from tests.support.sample_queue import QUEUE, sample_queue
from tests.support.sample_view import NOW_MS


@pytest.fixture
def report(tmp_path: Path) -> str:
    """The address of a report with two criteria, an off-topic pair and a gate."""
    rules = CountingRules(criterion_metrics={"tone": ["strict_judge", "lenient_judge"]})
    source = RecountInsights(Recount(sample_queue(NOW_MS)), rules)
    document = source.counted.document(QUEUE, rules=rules)
    insights = {each["criterion"]: source.insights(document, each) for each in document["criteria"]}
    summary = InputSummary(["results.csv"], ["results.csv: CSV; " + "a" * 100], [("rows", 400), ("invalid", 0)])
    gate = GateResult("untrusted", "Below the limit", ["overall / strict_judge: alignment 0.4, limit 0.8"])
    path = tmp_path / "report.html"
    text = report_html(document, insights, rules=rules, summary=summary, gate=gate, version="1.2.3")
    path.write_text(text, encoding="utf-8")
    return path.as_uri()


@pytest.mark.slow
async def test_the_report_is_accessible_and_fetches_nothing(report: str, browser: Browser) -> None:
    context = await browser.new_context(color_scheme="light", reduced_motion="reduce", bypass_csp=True)
    page = await context.new_page()
    fetched: list[str] = []
    page.on("request", lambda request: fetched.append(request.url))
    page.on("console", lambda message: fetched.append(message.text))
    await page.goto(report)
    assert fetched == [report]
    found = {}
    for width in (320, 800, 1440):
        await page.set_viewport_size({"width": width, "height": 900})
        found[f"{width} wide"] = await page.evaluate("document.documentElement.scrollWidth > innerWidth") and [
            "too wide"
        ]
        found[f"{width}"] = await violations(page)
        await page.emulate_media(color_scheme="dark")
        found[f"{width} dark"] = await violations(page, OF_COLOURS)
        await page.emulate_media(color_scheme="light")
    assert {name: lines for name, lines in found.items() if lines} == {}
