"""On paper a page has no controls, nothing covers anything, and every fold is open."""

from pathlib import Path
from typing import Final

from playwright.async_api import Browser

from sinks.page.urls import queue_path
from sinks.store.store import Store
from tests.support.sample_queue import QUEUE, sample_queue
from tests.support.sample_view import NOW_MS, fill, view_of
from tests.support.serving import serving

_SEEN: Final = """() => {
  const shown = (element) => element.checkVisibility({ contentVisibilityAuto: true }) &&
    element.getBoundingClientRect().height > 0;
  const panels = [...document.querySelectorAll('.panel:not(.panel .panel)')].filter(shown);
  const boxes = panels.map((panel) => panel.getBoundingClientRect());
  const covers = (one, other) => one.top < other.bottom - 1 && other.top < one.bottom - 1 &&
    one.left < other.right - 1 && other.left < one.right - 1;
  return {
    controls: [...document.querySelectorAll('button, input, select, nav.segmented, .rail, .ratings')]
      .filter(shown).map((element) => element.outerHTML.slice(0, 80)),
    folded: [...document.querySelectorAll('details:not(.picker) > :not(summary)')]
      .filter((element) => !shown(element)).map((element) => element.outerHTML.slice(0, 80)),
    covered: boxes.flatMap((one, i) => boxes.slice(i + 1).filter((other) => covers(one, other)).map(() => i)),
    scheme: getComputedStyle(document.body).color,
    cut: [...document.querySelectorAll('.scroll, .scroll-x')]
      .filter((element) => element.scrollHeight > element.clientHeight + 1).length,
  };
}"""


async def test_a_printed_queue_has_everything_and_no_controls(store: Store, tmp_path: Path, browser: Browser) -> None:
    fill(store, sample_queue(NOW_MS))
    context = await browser.new_context(viewport={"width": 794, "height": 1123}, color_scheme="dark")
    page = await context.new_page()
    with serving(view_of(store, tmp_path)) as url:
        await page.goto(url + queue_path(QUEUE, "?more=1"))
        on_screen = await page.evaluate(_SEEN)
        await page.emulate_media(media="print")
        printed = await page.evaluate(_SEEN)
        await context.close()
    assert on_screen["controls"]
    assert on_screen["folded"]
    assert printed == {"controls": [], "folded": [], "covered": [], "scheme": "rgb(23, 25, 30)", "cut": 0}
