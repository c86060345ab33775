"""`python -m tools.screenshots`: take the screenshots of docs/images from a demo, which it starts and stops."""

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote

from playwright.async_api import Browser, Route, async_playwright

from tests.support.ports import free_port
from tests.support.processes import LOOPBACK, READY_SECONDS, Command, get_json, run, wait_until

IMAGES: Final = Path(__file__).resolve().parents[1] / "docs" / "images"
MOST_BYTES: Final = 250_000
_QUEUE: Final = "/queues/Support%20replies"
_WORSE: Final = "/queues/Code%20review%20bot"
"""A queue with a new judge version that is worse."""
_ITEM: Final = "trace-000324"
_EMPTY: Final = "Sales outreach"
_SETTLED: Final = 700
"""Comparisons of all queues once the demo's history is counted."""


@dataclass(frozen=True, slots=True)
class Shot:
    """A screenshot: its address, its size, and the part of the page at the top."""

    name: str
    path: str
    width: int = 1200
    height: int = 900
    scheme: Literal["light", "dark"] = "light"
    at: str | None = None
    hover: str | None = None


PAGES: Final[Mapping[str, str]] = {
    "queues": "/",
    "queue": _QUEUE,
    "items": f"{_QUEUE}/items?criterion=tone&metric=politeness&outcome=fp",
    "item": f"{_QUEUE}/items/{_ITEM}?criterion=tone&metric=politeness&outcome=fp",
    "disagreements": "/queues/Marketing%20copy/disagreements",
    "next": f"{_QUEUE}/next",
    "empty": f"/queues/{quote(_EMPTY)}",
    "glossary": "/glossary",
    "statistics": "/statistics",
    "reasons": "/reasons",
}
"""Address of each page, by its name in docs/page.md."""
SHOTS: Final = (
    *(Shot(name, path) for name, path in PAGES.items()),
    *(Shot(f"{name}-narrow", path, 390, scheme="dark") for name, path in PAGES.items()),
    Shot("queue-breakdown", _QUEUE, at="#breakdown", scheme="dark", hover="article .misaligned .cell-face:is(a)"),
    Shot("queue-trend", f"{_WORSE}?trend=correctness_judge", at="#trend"),
)


async def _inter(route: Route) -> None:
    """Serve the style sheet with the font Inter instead of the system's, so that screenshots do not depend on it."""
    response = await route.fetch()
    text = (await response.text()).replace("--font: system-ui", "--font: Inter, system-ui")
    await route.fulfill(response=response, body=text)


async def take(browser: Browser, base: str, shot: Shot, directory: Path) -> int:
    """Take a screenshot, and return its size in bytes."""
    context = await browser.new_context(
        viewport={"width": shot.width, "height": shot.height}, color_scheme=shot.scheme, reduced_motion="reduce"
    )
    page = await context.new_page()
    await page.route("**/static/page.*.css", _inter)
    await page.goto(base + shot.path)
    await page.wait_for_timeout(1500)
    if shot.at is not None:
        await page.locator(shot.at).evaluate("(part) => scrollTo(0, part.getBoundingClientRect().top + scrollY - 70)")
    if shot.hover is not None:
        await page.locator(shot.hover).first.hover()
    path = directory / f"{shot.name}.png"
    await page.screenshot(path=path)
    await context.close()
    return path.stat().st_size


async def take_all(base: str, directory: Path) -> list[str]:
    """Take all screenshots, and return the names of those that are too large."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        sizes = {shot.name: await take(browser, base, shot, directory) for shot in SHOTS}
        await browser.close()
    for name, size in sizes.items():
        sys.stdout.write(f"{name}.png {size / 1000:.0f} kB\n")
    return [name for name, size in sizes.items() if size > MOST_BYTES]


def waiting() -> Iterator[dict[str, object]]:
    """Annotations of a queue without evaluations."""
    hour_ago = round(time.time() * 1000) - 3_600_000
    for number in range(38):
        yield {
            "id": f"w{number}", "at": hour_ago, "queue": _EMPTY, "item": f"trace-w{number}",
            "annotator": "amira", "thumbs": "up",
        }  # fmt: skip


def settled(base: str) -> bool:
    """Whether the demo's history is counted."""
    listed = get_json(f"{base}/api/v1/queues")["queues"]
    return (
        any(entry["queue"] == _EMPTY for entry in listed)
        and sum(entry["cards"]["comparisons"] for entry in listed) > _SETTLED
    )


def main() -> int:
    """Start a demo, take the screenshots, stop it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, default=IMAGES, help="where to write them (docs/images)")
    directory: Path = parser.parse_args().directory
    directory.mkdir(parents=True, exist_ok=True)
    http, broker = free_port(), free_port()
    base = f"http://{LOOPBACK}:{http}"
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        demo = Command(
            *("demo", "--http", f"{LOOPBACK}:{http}", "--embedded-broker-port", str(broker)),
            log=home / "demo.log",
            environment={"TMPDIR": temporary},
        )
        with demo:
            wait_until(lambda: "is ready" in demo.text(), READY_SECONDS, "the demo is ready")
            lines = b"".join(json.dumps(event).encode() + b"\n" for event in waiting())
            run("load", "--broker", f"{LOOPBACK}:{broker}", "-", home=home, environment={}, stdin=lines)
            wait_until(lambda: settled(base), READY_SECONDS, "the demo's history is counted")
            large = asyncio.run(take_all(base, directory))
    return 1 if large else 0


if __name__ == "__main__":
    sys.exit(main())
