"""No page scrolls sideways and nothing is cut, at any width and with names of any length."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from playwright.async_api import Browser, Page

from aggregator.days import DAY_MS
from aggregator.facts import Annotation, Evaluation, Fact, QueueItem
from aggregator.snapshot.inputs import CountingRules
from aggregator.tallies import WaitingState
from sinks.freshness import Freshness
from sinks.page.urls import item_path, queue_path
from sinks.store.store import Store
from tests.browser.conftest import watch
from tests.support.sample_queue import QUEUE, sample_queue
from tests.support.sample_view import FACTS, NOW_MS, fill, view_of
from tests.support.serving import serving

WIDTHS: Final = (
    320, 360, 390, 414, 480, 600, 640, 641, 768, 820, 960, 961, 1024, *range(1120, 1221, 10), 1201, 1280, 1281,
    *range(1290, 1311, 5), 1408, 1409, 1440, 1920,
)  # fmt: skip
"""Of phones, tablets and screens, both sides of every breakpoint, and where tables are tightest."""

CUT: Final = """() => {
  const room = document.documentElement.clientWidth, seen = [];
  const CARD = '.panel, .finding, .ways li, .badge, .button, .banner, .rail';
  const name = (element) => element.tagName.toLowerCase() + (element.id ? '#' + element.id : '')
    + [...element.classList].map((each) => '.' + each).join('');
  const own = (element) => {
    // The nearest card around an element; null inside of a container that scrolls or abbreviates.
    let card = null;
    for (let at = element; at && at !== document.body; at = at.parentElement) {
      const style = getComputedStyle(at);
      if (['auto', 'scroll', 'hidden', 'clip'].includes(style.overflowX) || style.clipPath !== 'none') return null;
      if (!card && at !== element && at.matches(CARD)) card = at;
    }
    return card ?? document.body;
  };
  const check = (element, rect, what) => {
    if (rect.width === 0 || rect.height === 0) return;
    const card = own(element);
    if (!card) return;
    const box = card.getBoundingClientRect();
    const left = Math.max(0, box.left), right = Math.min(room, box.right);
    if (rect.left < left - 1 || rect.right > right + 1) {
      seen.push(`${what} of ${name(element)} in ${name(card)}: ${rect.left.toFixed()} to ${rect.right.toFixed()} of `
        + `${left.toFixed()} to ${right.toFixed()}`);
    }
  };
  for (const element of document.body.querySelectorAll('*')) {
    if (element.closest('.skip, .ratings, defs, .vh')) continue;
    if (!element.closest('svg') || element.tagName === 'svg') check(element, element.getBoundingClientRect(), 'box');
    for (const node of element.childNodes) {
      if (node.nodeType !== Node.TEXT_NODE || !node.data.trim()) continue;
      const range = document.createRange();
      range.selectNodeContents(node);
      for (const rect of range.getClientRects()) check(element, rect, `"${node.data.trim().slice(0, 20)}"`);
    }
  }
  const over = document.documentElement.scrollWidth - room;
  return [...(over > 0 ? [`the page is ${over} px wider than the window`] : []), ...new Set(seen)];
}"""


pytestmark = pytest.mark.slow


def long(start: str, length: int = 128) -> str:
    """A name without blanks."""
    return (start * length)[:length]


LONG: Final = long("queue_name_")
EMPTY: Final = long("empty")


def facts() -> Iterator[Fact]:
    """A queue whose names, ids and texts have the greatest length, and metrics with short names and few labels."""
    metrics = (long("metric_"), long("Metric"), "m_ov", "m")
    for number in range(40):
        item = long(f"item{number}-", 256)
        yield QueueItem(at=NOW_MS, id=f"q{number}", queue=LONG, item=item)
        for criterion in (long("criterion"), "overall"):
            for person in (long("annotator", 256), "bob"):
                yield Annotation(
                    at=NOW_MS - number * DAY_MS, id=f"a{number}", queue=LONG, item=item, criterion=criterion,
                    annotator=person, stars=1 + number % 5, explanation=long("explanation", 1000),
                    expected=long("expected", 1000), url="https://x.test/" + long("path", 200),
                )  # fmt: skip
        for metric in metrics[: 4 if number < 3 else 2]:
            for judge in (long("judge"), long("judge/", 127) + "2")[: 1 + number % 2]:
                score = (0.1, 0.9, 1e308)[number % 3]
                yield Evaluation(
                    at=NOW_MS - number, id=f"e{number}", item=item, metric=metric, judge=judge, score=score,
                    threshold=0.5, passed=score >= 0.5, reason=long("reason", 1000),
                )  # fmt: skip
        yield Evaluation(at=NOW_MS, id=f"f{number}", item=item, metric=long("fails"), status="error")
    yield Annotation(at=NOW_MS, id="w", queue=EMPTY, item="waits", criterion=long("criterion"), thumbs="up")
    yield Evaluation(at=NOW_MS, id="x", item="waits", metric=long("fails"), status="skipped")


@pytest.fixture
def address(store: Store, tmp_path: Path) -> Iterator[str]:
    """A view of these queues and of the sample queue."""
    waiting = WaitingState(
        rebuilding=(1 << 40) - 1,
        missing=(1 << 40) - 1,
        evaluations=(1 << 40) - 1,
        since=NOW_MS,
        sample=[long(f"waits{number}-", 256) for number in range(3)],
        judges=[(long("metric_"), long("judge"), NOW_MS, NOW_MS, 1)],
    )
    fill(store, [*FACTS, *sample_queue(NOW_MS), *facts()], waiting=waiting)
    rules = CountingRules(criterion_metrics={"overall": [long("metric_"), "m_ov"]})
    services = view_of(store, tmp_path, rules)
    services.config = replace(services.config, stale_after_s=1.0)
    services.freshness = Freshness(services.config.stale_after_s)
    with serving(services) as base:
        yield base


PAGES: Final = {
    "index": "/?empty=1",
    "search": f"/?q={LONG}",
    "queue": queue_path(LONG),
    "aggregate": queue_path(LONG) + "?view=aggregate&criterion=overall",
    "sample": queue_path(QUEUE),
    "nothing": queue_path(LONG) + f"?criterion={LONG}",
    "items": queue_path(LONG, "/items?outcome="),
    "item of a list": item_path(LONG, long("item3-", 256)) + "?outcome=tp,fn,tn,fp&place=4",
    "trend": queue_path(LONG) + f"?criterion=overall&trend={long('metric_')}",
    "next": queue_path(LONG, "/next?strategy=boundary"),
    "empty": queue_path(EMPTY),
    "unknown": queue_path(long("unknown")),
    "bad request": queue_path(LONG, f"/items?outcome={LONG}"),
    "glossary": "/glossary",
    "statistics": "/statistics",
}


async def cut(page: Page) -> dict[str, list[str]]:
    """What is cut or makes the page scroll, by width; details are open."""
    await page.evaluate("document.querySelectorAll('details:not(.picker)').forEach((each) => { each.open = true; })")
    found = {}
    for width in WIDTHS:
        await page.set_viewport_size({"width": width, "height": 900})
        if problems := await page.evaluate(CUT):
            found[str(width)] = problems
    return found


@pytest.mark.parametrize("name", PAGES)
async def test_nothing_is_cut_at_any_width(address: str, browser: Browser, name: str) -> None:
    watched = await watch(await browser.new_context())
    await watched.page.goto(address + PAGES[name])
    assert await cut(watched.page) == {}
