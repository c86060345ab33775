"""Pages of the view of `FACTS`, and of views that a test creates."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from aggregator.days import DAY_MS
from aggregator.facts import Annotation, Evaluation, Fact, QueueItem
from sinks.api.services import Services
from sinks.app import create_app
from sinks.store.store import Store
from tests.support.html import Element, read
from tests.support.sample_view import NOW_MS, fill, view_of

Get = Callable[[str], Awaitable[Element]]


def connected(services: Services) -> httpx.AsyncClient:
    """A client of a view."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(create_app(services)), base_url="http://localhost")


@pytest.fixture
async def page(services: Services) -> AsyncIterator[Get]:
    """A function that returns the tree of a page with status 200."""
    async with connected(services) as client:

        async def get(path: str) -> Element:
            answer = await client.get(path)
            assert answer.status_code == 200, answer.text
            return read(answer.text)

        yield get


@pytest.fixture
def lively(store: Store, tmp_path: Path) -> Services:
    """A queue of 20 days with two metrics, one of which got a new judge version."""
    luck = random.Random(1)
    facts: list[Fact] = []
    for number in range(120):
        at, item, quality = NOW_MS - (number // 6) * DAY_MS - number, f"i{number}", luck.random()
        facts.append(QueueItem(at=at, id=f"q{number}", queue="q", item=item))
        facts += [
            Annotation(
                at=at, id=f"{annotator}{number}", queue="q", item=item, annotator=annotator,
                stars=1 + int(4.99 * min(1, max(0, quality + luck.gauss(0, 0.1)))),
            )
            for annotator in ("ann", "bob")[: 1 + number % 2]
        ]  # fmt: skip
        for metric, lean in (("strict", -0.3), ("fair", 0.0)):
            for judge in ("v1", "v2") if metric == "fair" and number < 60 else ("v1",):
                score = min(1.0, max(0.0, quality + lean + luck.gauss(0, 0.1)))
                facts.append(
                    Evaluation(
                        at=at + (judge == "v2"), id=f"{metric}{judge}{number}", item=item, metric=metric, judge=judge,
                        score=score, threshold=0.5, passed=score >= 0.5,
                    )
                )  # fmt: skip
    fill(store, facts)
    return view_of(store, tmp_path)
