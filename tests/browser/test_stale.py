"""The page of a stale view: the reason is shown on load, when it appears, and on the start page too."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from sinks.api import sse
from sinks.api.services import Services
from sinks.freshness import Freshness
from sinks.page.urls import queue_path
from sinks.store.store import Store
from tests.browser.conftest import POLL_MS, watch
from tests.support.sample_view import FACTS, fill, view_of
from tests.support.serving import serving

NEVER_S = 1e9
REASON = "a producer's transaction is open since 2026-11-24 11:58:02 UTC, events after its start wait"
SHOWN = f"Stale Partition 0: {REASON}. The numbers below are complete up to 12:00:00 UTC."


@pytest.fixture
def services(store: Store, tmp_path: Path) -> Services:
    """A view whose state does not age."""
    fill(store, FACTS)
    services = view_of(store, tmp_path)
    services.config = replace(services.config, stale_after_s=NEVER_S)
    services.freshness = Freshness(NEVER_S)
    return services


@pytest.fixture
def address(services: Services) -> Iterator[str]:
    with serving(services) as base:
        yield base


@pytest.mark.parametrize("path", ["/", queue_path("support")], ids=["index", "queue"])
async def test_the_reason_appears_without_a_reload_and_goes(
    address: str, services: Services, browser: Browser, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "HEARTBEAT_SECONDS", sse.PACE_SECONDS)
    context = await browser.new_context()
    watched = await watch(context)
    page = watched.page
    await page.clock.install()
    await page.goto(address + path)
    state, banner = page.locator("[data-live]"), page.locator("[data-banner]")
    await expect(state).to_have_text("Live")
    services.freshness.hold(0, REASON)
    await page.clock.fast_forward(POLL_MS)
    await expect(state).to_have_text("Stale")
    await expect(banner).to_have_text(SHOWN)
    services.freshness.release(0)
    await page.clock.fast_forward(POLL_MS)
    await expect(state).to_have_text("Live")
    await expect(banner).to_have_text("")
    await watched.clean()
    await context.close()


async def test_the_reason_is_there_without_scripts(address: str, services: Services, browser: Browser) -> None:
    services.freshness.hold(0, REASON)
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(address)
    await expect(page.locator("[data-live]")).to_have_text("Stale")
    await expect(page.locator("[data-banner]")).to_have_text(SHOWN)
    await context.close()
