"""The actions of a reader in a real browser: load, follow links, choose; without scripts, and by keyboard."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from sinks.api.services import Services
from sinks.page.urls import queue_path
from sinks.store.store import Store
from tests.browser.conftest import watch
from tests.support.sample_queue import QUEUE, sample_queue
from tests.support.sample_view import NOW_MS, fill, view_of
from tests.support.serving import serving
from tests.unit.sinks.page.test_safety import CORPUS, facts_of

PATH = queue_path(QUEUE)


@pytest.fixture
def services(store: Store, tmp_path: Path) -> Services:
    """A view of the sample queue."""
    fill(store, sample_queue(NOW_MS))
    return view_of(store, tmp_path)


@pytest.fixture
def address(services: Services) -> Iterator[str]:
    """The address of that view."""
    with serving(services) as base:
        yield base


async def test_enter_and_a_click_on_a_segment_lead_to_its_items(address: str, browser: Browser) -> None:
    page = (await watch(await browser.new_context(viewport={"width": 1280, "height": 900}))).page
    await page.goto(address + PATH)
    segment = page.locator("#outcomes svg a").first
    target = address + str(await segment.get_attribute("href"))
    await segment.focus()
    await page.keyboard.press("Enter")
    await page.wait_for_url(target)
    await page.go_back()
    await segment.click()
    await page.wait_for_url(target)


async def test_the_card_of_the_first_bar_leaves_its_title_free(address: str, browser: Browser) -> None:
    page = (await watch(await browser.new_context(viewport={"width": 1280, "height": 900}))).page
    await page.goto(address + PATH)
    await page.locator("#outcomes svg a").first.focus()
    card, title = page.locator("#outcomes .ratings:visible"), page.locator("#outcomes h2")
    await expect(card).to_have_count(1)
    over, under = await card.bounding_box(), await title.bounding_box()
    assert over is not None
    assert under is not None
    assert over["y"] >= under["y"] + under["height"]


async def test_the_card_of_a_cell_leaves_the_title_and_the_other_cells_free(address: str, browser: Browser) -> None:
    page = (await watch(await browser.new_context(viewport={"width": 1280, "height": 900}))).page
    await page.goto(address + PATH)
    matrix = page.locator("#breakdown article").first.locator(".matrix")
    for cell in await matrix.locator("a.cell-face").all():
        await cell.focus()
        card, under = await matrix.locator(".ratings:visible").bounding_box(), await matrix.bounding_box()
        assert card is not None
        assert under is not None
        assert card["y"] >= under["y"] + under["height"]


async def test_a_table_that_goes_on_sideways_shows_it(address: str, browser: Browser) -> None:
    page = (await watch(await browser.new_context(viewport={"width": 390, "height": 800}))).page
    await page.goto(address + PATH)
    table = page.locator("#versions .scroll-x")
    await table.scroll_into_view_if_needed()
    assert await table.evaluate("(part) => part.scrollWidth > part.clientWidth")
    assert "linear-gradient" in await table.evaluate("(part) => getComputedStyle(part).backgroundImage")


LINES = """(names) => names.map((name) => {
  const lines = [], walker = document.createTreeWalker(name, NodeFilter.SHOW_TEXT);
  let bottom = null;
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    for (let at = 0; at < node.data.length; at += 1) {
      const range = document.createRange();
      range.setStart(node, at);
      range.setEnd(node, at + 1);
      const box = range.getBoundingClientRect();
      if (bottom === null || box.top >= bottom) lines.push('');
      bottom = box.bottom - 2;
      lines[lines.length - 1] += node.data[at];
    }
  }
  return lines;
})"""
"""The lines of each name."""
GAPS = """(table) => [...table.querySelectorAll('tr')].flatMap((row) => {
  const texts = [...row.cells].map((cell) => {
    const range = document.createRange();
    range.selectNodeContents(cell);
    return range.getBoundingClientRect();
  }).filter((text) => text.width > 0);
  return texts.slice(1).map((text, place) => text.left - texts[place].right);
})"""
"""The distances between the texts of neighbouring cells."""
COVERED = """(chart) => {
  const texts = [...chart.querySelectorAll('text')].map((text) => [text.textContent, text.getBoundingClientRect()]);
  return texts.flatMap(([one, a], place) => texts.slice(place + 1).filter(([, b]) => a.left < b.right
    && b.left < a.right && a.top + 3 < b.bottom && b.top + 3 < a.bottom).map(([other]) => `${one} and ${other}`));
}"""
"""The words of a chart that cover each other."""


@pytest.mark.parametrize("width", [320, 390])
async def test_words_of_a_narrow_page_keep_apart(address: str, browser: Browser, width: int) -> None:
    page = (await watch(await browser.new_context(viewport={"width": width, "height": 800}))).page
    await page.goto(address + PATH)
    gaps = await page.locator("#whatif table").first.evaluate(GAPS)
    assert len(gaps) > 10
    assert min(gaps) >= 8
    assert await page.locator("#trend svg.chart").evaluate(COVERED) == []


async def test_a_name_breaks_after_an_underscore(address: str, browser: Browser) -> None:
    page = (await watch(await browser.new_context(viewport={"width": 320, "height": 800}))).page
    await page.goto(address + queue_path(QUEUE, "/items?outcome="))
    await page.locator(".item-head h3 a").first.click()
    await expect(page.locator("#why-h")).to_be_visible()
    await page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    lines = await page.locator("table.pairs td[data-label=Evaluation] bdi").evaluate_all(LINES)
    assert any(len(of_name) > 1 for of_name in lines)
    for of_name in lines:
        assert all(line.endswith("_") for line in of_name[:-1]), of_name


async def test_links_lead_from_the_start_page_to_an_explanation(address: str, browser: Browser) -> None:
    watched = await watch(await browser.new_context())
    page = watched.page
    await page.goto(address)
    await page.get_by_role("main").get_by_role("link", name=QUEUE, exact=True).click()
    await expect(page.get_by_role("heading", level=1)).to_have_text(QUEUE)
    findings = page.get_by_role("region", name="What stands out")
    await expect(findings).to_contain_text("Too strictstrict_judgeFails 46% of what people passed: 46 of 99")
    await expect(findings).to_contain_text("Too lenientlenient_judgePasses 68% of what people failed: 39 of 57")
    await page.get_by_role("article").filter(has_text="lenient_judge").locator("[href*='outcome=fp']").click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text(
        "lenient_judge: where people and metrics disagree"
    )
    await expect(page.locator(".item blockquote").first).to_have_text("The refund period is wrong.")
    async with page.expect_download() as downloading:
        await page.get_by_role("link", name="Export CSV").click()
    assert (await downloading.value).suggested_filename == "comparisons-Support-EN-2026-11-24.csv"
    await watched.clean()


async def test_the_page_works_without_scripts(address: str, browser: Browser) -> None:
    watched = await watch(await browser.new_context(java_script_enabled=False))
    page = watched.page
    await page.goto(address + PATH)
    await expect(page.get_by_role("link", name="Reload")).to_be_visible()
    await expect(page.get_by_role("button", name="Pause")).to_be_hidden()
    await page.get_by_role("link", name="tone").click()
    await page.wait_for_url("**criterion=tone**")
    await page.get_by_role("link", name="7 d", exact=True).click()
    await page.wait_for_url("**window=7d**")
    await expect(page.get_by_role("link", name="tone")).to_have_attribute("aria-current", "page")
    await page.get_by_role("link", name="Aggregate").click()
    await page.wait_for_url("**view=aggregate**")
    await expect(page.locator("#outcomes")).to_contain_text("Human annotations")
    await page.locator(".picker summary").click()
    await page.get_by_role("checkbox", name="relevancy").uncheck()
    await page.locator(".picker").get_by_role("button", name="Apply").click()
    await expect(page.locator("article:visible")).to_have_count(2)
    await expect(page.locator("#outcomes")).to_contain_text("Human annotations")
    await page.locator("#depth-metric").select_option("relevancy")
    await page.locator("#depth form").first.get_by_role("button", name="Show").click()
    await expect(page.locator("#wi-h")).to_contain_text("relevancy")
    await page.locator("#cut").fill("2")
    await page.get_by_role("button", name="Try this threshold").click()
    await expect(page.locator("[data-row]")).to_contain_text("≥ 0.10")
    await page.locator("#cost").fill("4")
    await page.locator("#whatif").get_by_role("button", name="Apply").click()
    await expect(page.locator("#whatif")).to_contain_text("Lowest cost")
    await expect(page.locator("[data-row]")).to_contain_text("≥ 0.10")
    assert watched.wrong == []


async def test_the_keyboard_reaches_everything(address: str, browser: Browser) -> None:
    watched = await watch(await browser.new_context(viewport={"width": 1280, "height": 900}))
    page = watched.page
    await page.goto(address + PATH)
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to content")).to_be_focused()

    # The bars are one stop; arrows move in them; a card opens with the focus, and Escape closes it.
    segments = page.locator(".bars svg [tabindex]")
    await expect(page.locator(".bars svg [tabindex='0']")).to_have_count(1)
    await page.get_by_role("link", name="Per metric").focus()
    await page.keyboard.press("Tab")
    await expect(segments.first).to_be_focused()
    await page.keyboard.press("ArrowRight")
    await expect(segments.nth(1)).to_be_focused()
    card = page.locator(f"#{await segments.nth(1).get_attribute('aria-describedby')}")
    await expect(card).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(card).to_be_hidden()
    await page.keyboard.press("ArrowLeft")
    await expect(segments.first).to_be_focused()
    await page.keyboard.press("Tab")
    await expect(page.locator(".bars svg :focus")).to_have_count(0)

    # The choice of metrics: Escape closes it and returns the focus.
    summary = page.locator(".picker summary")
    await summary.focus()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Space")
    await expect(summary).to_have_text("2 of 3 metrics")
    await expect(page.locator("article:visible")).to_have_count(2)
    await page.keyboard.press("Escape")
    await expect(summary).to_be_focused()

    # A cell opens its items; the slider moves the row next to it.
    slider = page.locator("#cut")
    await slider.focus()
    before = await page.locator("[data-row]").inner_text()
    await page.keyboard.press("ArrowRight")
    await expect(page.locator("[data-row]")).not_to_have_text(before, use_inner_text=True)
    assert "false positives" in (await slider.get_attribute("aria-valuetext") or "")
    await page.locator("article:visible .cell-face:is(a)").first.focus()
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/items?**")
    await watched.clean()


@pytest.mark.parametrize("scripts", [True, False])
async def test_a_judge_version_is_chosen_and_left_again(address: str, browser: Browser, *, scripts: bool) -> None:
    watched = await watch(await browser.new_context(java_script_enabled=scripts))
    page = watched.page
    await page.goto(f"{address}{PATH}?criterion=tone")
    whole = await page.locator("#breakdown article").all_inner_texts()
    version = (await page.locator("#judge option").all_inner_texts())[1]
    for choice in (version, "All versions"):
        await page.locator("#judge").select_option(choice)
        if not scripts:
            await page.locator("form:has(#judge) button").click()
        alone = page.get_by_text(f"Judge version {version} alone")
        await (expect(alone).to_be_visible() if choice == version else expect(alone).to_be_hidden())
        await expect(page.get_by_role("link", name="tone")).to_have_attribute("aria-current", "page")
    assert await page.locator("#breakdown article").all_inner_texts() == whole
    if scripts:
        await watched.clean()


async def test_the_controls_show_what_a_link_chose(address: str, browser: Browser) -> None:
    watched = await watch(await browser.new_context())
    page = watched.page
    await page.goto(f"{address}{PATH}?criterion=tone")
    version = (await page.locator("#judge option").all_inner_texts())[1]
    await page.locator("#judge").select_option(version)
    await page.wait_for_url("**judge=**")
    await page.get_by_label("One false positive is worth").fill("0.5")
    await page.get_by_label("One false positive is worth").press("Enter")
    await page.wait_for_url("**cost=0.5**")
    await page.get_by_role("link", name="Show all versions").click()
    await expect(page.get_by_text(f"Judge version {version} alone")).to_be_hidden()
    await expect(page.locator("#judge")).to_have_value("")
    await watched.clean()


@pytest.mark.parametrize("control", ["text", "checkbox"])
async def test_a_refresh_keeps_what_is_not_applied_and_a_choice_replaces_it(
    address: str, browser: Browser, control: str
) -> None:
    watched = await watch(await browser.new_context())
    page = watched.page
    await page.goto(f"{address}{PATH}?criterion=tone")
    await page.locator("#trend-metric").evaluate("(select) => { select.selectedIndex = 1; }")
    if control == "text":
        await page.locator("#cost").evaluate("(input) => { input.value = '7'; }")
    else:
        await page.locator(".picker [type=checkbox]").first.evaluate("(input) => { input.checked = false; }")
    # A refresh replaces the word of this heading.
    heading = page.locator("#c-comparisons")
    await heading.evaluate("(node) => { node.textContent = ''; }")
    await page.get_by_role("button", name="Pause").click()
    await page.get_by_role("button", name="Resume").click()
    await expect(heading).to_have_text("Comparisons")
    assert await page.locator("#trend-metric").evaluate("(select) => select.selectedIndex") == 1
    await expect(page.locator("#cost")).to_have_value("7" if control == "text" else "1")
    assert await page.locator(".picker [type=checkbox]").first.is_checked() == (control == "text")
    await page.get_by_role("link", name="Aggregate").click()
    await page.wait_for_url("**view=aggregate**")
    await expect(page.locator("#cost")).to_have_value("1")
    await expect(page.locator("#trend-metric")).to_have_value("")
    await expect(page.locator(".picker [type=checkbox]").first).to_be_checked()
    await watched.clean()


async def test_a_choice_reaches_the_slow_parts_of_a_large_queue(
    address: str, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sinks.page.queue_page.LIGHT", 10)
    watched = await watch(await browser.new_context())
    page = watched.page
    await page.goto(f"{address}{PATH}?criterion=tone")
    await expect(page.locator("#whatif")).to_be_visible()
    # A refresh without a choice leaves them as they are, and the forms without the parameter for the slow parts.
    await page.locator(".main").evaluate(
        "(main) => main.querySelectorAll('[name=more]').forEach((each) => each.remove())"
    )
    version = (await page.locator("#judge option").all_inner_texts())[1]
    await page.locator("#judge").select_option(version)
    await expect(page.locator("#depth form [name=judge]").first).to_have_value(version)
    await watched.clean()


async def test_a_choice_of_view_keeps_scroll_position_and_focus(address: str, browser: Browser) -> None:
    watched = await watch(await browser.new_context(viewport={"width": 1280, "height": 500}, reduced_motion="reduce"))
    page = watched.page
    await page.goto(address + PATH)
    link = page.get_by_role("link", name="Aggregate")
    await link.focus()
    place = await page.evaluate("scrollY")
    await page.keyboard.press("Enter")
    await expect(page.locator("#outcomes")).to_contain_text("Human annotations")
    await expect(link).to_be_focused()
    assert await page.evaluate("scrollY") == place
    await page.wait_for_url("**view=aggregate**")
    await watched.clean()


async def test_a_cost_is_stated_without_leaving_the_page(address: str, browser: Browser) -> None:
    watched = await watch(await browser.new_context(viewport={"width": 1280, "height": 700}))
    page = watched.page
    await page.goto(address + PATH)
    await page.evaluate("window.mark = 1")
    field = page.get_by_label("One false positive is worth")
    await field.fill("0.2")
    await page.keyboard.press("Enter")
    await expect(page.locator("#whatif")).to_contain_text("Lowest cost")
    await expect(field).to_be_focused()
    await page.wait_for_url("**cost=0.2**")
    await page.locator("#depth-metric").select_option("strict_judge")
    await expect(page.locator("#wi-h")).to_contain_text("strict_judge")
    await expect(field).to_have_value("0.2")
    await page.get_by_text("ROC curve").click()
    await expect(page.get_by_role("img", name="ROC curve, area")).to_be_visible()
    assert await page.evaluate("window.mark") == 1
    await watched.clean()


async def test_a_queue_called_like_a_directory_is_reached(browser: Browser, store: Store, tmp_path: Path) -> None:
    fill(store, [fact for name in (".", "..") for fact in facts_of(name)])
    with serving(view_of(store, tmp_path)) as address:
        context = await browser.new_context()
        watched = await watch(context)
        page = watched.page
        for name in (".", ".."):
            await page.goto(address)
            await page.get_by_role("main").get_by_role("link", name=name, exact=True).click()
            await expect(page.get_by_role("heading", level=1)).to_have_text(name)
            await page.locator("article .misaligned .cell-face:is(a)").first.click()
            await expect(page.locator("blockquote").first).to_have_text(name)
        await watched.clean()
        await context.close()


@pytest.mark.row(13)
async def test_hostile_texts_run_no_script(browser: Browser, store: Store, tmp_path: Path) -> None:
    fill(store, [fact for text in CORPUS for fact in facts_of(text)])
    with serving(view_of(store, tmp_path)) as address:
        context = await browser.new_context()
        watched = await watch(context)
        await watched.page.goto(address)
        for text in CORPUS:
            for rest in ("", "/items"):
                await watched.page.goto(address + queue_path(text, rest))
                assert text in (await watched.page.locator("body").inner_text()) or "\u2028" in text
                await watched.page.keyboard.press("Tab")
        await watched.clean()
        await context.close()


async def test_an_address_that_ends_in_half_an_escape_loads_the_whole_page(address: str, browser: Browser) -> None:
    watched = await watch(await browser.new_context())
    await watched.page.goto(f"{address}{PATH}#%")
    await expect(watched.page.locator("#trend")).to_be_visible()
    await watched.clean()
