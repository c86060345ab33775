"""The page in Debian's chromium, over a view in this process or a whole installation."""

import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Final

import pytest
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
_WATCH: Final = """
window.reports = [];
document.addEventListener('securitypolicyviolation', (event) => reports.push(event.violatedDirective));
"""


@dataclass
class Watched:
    """A page, and its failures: console messages, errors, dialogs, requests to other hosts, policy reports."""

    page: Page
    wrong: list[str] = field(default_factory=list)

    async def clean(self) -> None:
        """Fail when the page has had a failure so far."""
        self.wrong += [f"policy: {report}" for report in await self.page.evaluate("window.reports ?? []")]
        assert self.wrong == []


@pytest.fixture
async def browser(chromium: str) -> AsyncIterator[Browser]:
    """A running chromium. Nothing that a test awaits has a shorter limit than `PATIENCE_MS`."""
    expect.set_options(timeout=PATIENCE_MS)
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        yield running
        await running.close()


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
