"""The page in Debian's chromium, over a view in this process or a whole installation."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from tests.support.deployments import Installation
from tests.support.kafka import Kafka

ARGUMENTS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_MS: Final = 30_000
POLL_MS: Final = 5_000
"""After this time the start page asks for its numbers."""
_HERE: Final = Path(__file__).parent
_WATCH: Final = """
window.reports = [];
document.addEventListener('securitypolicyviolation', (event) => reports.push(event.violatedDirective));
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Chromium belongs to the event loop in which it was started, and is shared.
    in_one_loop = pytest.mark.asyncio(loop_scope="session")
    for item in items:
        if item.path.parent == _HERE and isinstance(item, pytest.Function) and iscoroutinefunction(item.function):
            item.add_marker(in_one_loop, append=False)


@dataclass
class Watched:
    """A page, and its failures: console messages, errors, dialogs, requests to other hosts, policy reports."""

    page: Page
    wrong: list[str] = field(default_factory=list)

    async def clean(self) -> None:
        """Fail when the page has had a failure so far."""
        self.wrong += [f"policy: {report}" for report in await self.page.evaluate("window.reports ?? []")]
        assert self.wrong == []


class _Chromium:
    """One process for the whole run: its start takes longer than most tests."""

    def __init__(self, launch: Callable[[], Awaitable[Browser]]) -> None:
        self._launch = launch
        self._browser: Browser | None = None

    async def running(self) -> Browser:
        """The browser; another one when a test has made it crash."""
        if self._browser is None or not self._browser.is_connected():
            self._browser = await self._launch()
        return self._browser

    async def close(self) -> None:
        """End it."""
        if self._browser is not None:
            await self._browser.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _chromium(chromium: str) -> AsyncIterator[_Chromium]:
    expect.set_options(timeout=PATIENCE_MS)
    async with async_playwright() as playwright:
        launch = partial(playwright.chromium.launch, executable_path=chromium, args=list(ARGUMENTS))
        shared = _Chromium(launch)
        yield shared
        await shared.close()


@pytest_asyncio.fixture(loop_scope="session")
async def browser(_chromium: _Chromium) -> AsyncIterator[Browser]:
    """A running chromium, where each context has storage and connections of its own; they end with the test.

    Nothing that a test awaits has a shorter limit than `PATIENCE_MS`.
    """
    running = await _chromium.running()
    yield running
    for context in running.contexts:
        await context.close()


async def watch(context: BrowserContext) -> Watched:
    """A new page that is watched."""
    await context.add_init_script(_WATCH)
    page = await context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    watched = Watched(page)
    page.on("console", lambda message: watched.wrong.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: watched.wrong.append(f"error: {error}"))
    page.on("dialog", lambda dialog: watched.wrong.append(f"dialog: {dialog.message}"))
    page.on("request", lambda request: None if own(request.url) else watched.wrong.append(f"request: {request.url}"))
    return watched


def own(url: str) -> bool:
    """Whether an address is of this machine."""
    return url.startswith("http://127.0.0.1:")


@pytest.fixture(scope="module")
def installation(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """`up` on a real Kafka."""
    environment = {"EVAL_ALIGNMENT_TOPIC_PREFIX": f"b{uuid.uuid4().hex[:12]}.", "EVAL_ALIGNMENT_PARTITIONS": "2"}
    directory = tmp_path_factory.mktemp("browser")
    with Installation(directory, broker=kafka.bootstrap, environment=environment) as running:
        yield running
