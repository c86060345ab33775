"""The page of a very large queue: details that are ready are shown, and states when they are of an earlier state."""

from collections.abc import Callable, Hashable

import httpx
import pytest

from aggregator.facts import Annotation
from sinks import budgets
from sinks.api.services import Services
from sinks.app import create_app
from sinks.page.slow_answers import SlowAnswers
from tests.support.html import Element, read
from tests.support.sample_view import NOW_MS, fill
from tests.unit.sinks.page.conftest import connected

Build = Callable[[], tuple[Hashable, object]]
DETAILS = "/queues/q?more=1"


class Held(SlowAnswers[object]):
    """Has the answer that a test has computed."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[Hashable, Hashable, float]] = []
        self.clients: list[str | None] = []
        self.build: Build | None = None
        self.answer: object = None

    def get(
        self, key: Hashable, version: Hashable, build: Build, wait_seconds: float, client: str | None = None
    ) -> object:
        self.clients.append(client)
        self.asked.append((key, version, wait_seconds))
        self.build = build
        return self.answer

    def compute(self) -> None:
        assert self.build is not None, "somebody asked"
        _, self.answer = self.build()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    monkeypatch.setattr(budgets, "COMPARISONS_AT_ONCE", 0)
    monkeypatch.setattr("sinks.page.queue_page.LIGHT", 0)
    answers = Held()
    monkeypatch.setattr("sinks.page.routes.SlowAnswers", lambda: answers)
    return answers


def details(page: Element) -> list[str]:
    """The headings of the details."""
    return [heading.words for heading in page.one(id="more").all("h2")]


async def test_details_follow_when_they_are_ready(lively: Services, held: Held) -> None:
    async with connected(lively) as client:
        first = read((await client.get(DETAILS)).text)
        file = await client.get("/queues/q/files/trend.csv")
        held.compute()
        ready = read((await client.get(DETAILS)).text)
        of_file = await client.get("/queues/q/files/trend.csv")
    assert "being computed, because this queue has" in first.one(id="more").words
    assert "data-lazy" in first.one(id="more").attributes
    assert (details(first), file.status_code, of_file.status_code) == ([], 503, 200)
    assert details(ready)[:1] == ["Alignment over time"]
    assert "data-lazy" not in ready.one(id="more").attributes
    assert not ready.all(data_key="details-of")


async def test_earlier_details_say_so_below_the_numbers_of_now(lively: Services, held: Held) -> None:
    def revision(page: Element) -> str:
        return page.one("form", class_="live").attributes["data-revision"]

    async with connected(lively) as client:
        await client.get(DETAILS)
        held.compute()
        before = read((await client.get(DETAILS)).text)
        fill(lively.store, [Annotation(NOW_MS, "new", "q", "i0", annotator="cyd", stars=5)], at=NOW_MS + 60_000)
        after = read((await client.get(DETAILS)).text)
        held.compute()
        later = read((await client.get(DETAILS)).text)
    assert "The details below are of 12:00:00 UTC." in after.one(data_key="details-of").words
    assert not later.all(data_key="details-of")
    assert details(before) == details(after) == details(later)
    assert revision(before) != revision(after) == revision(later)


async def test_the_page_of_a_judge_version_has_all_versions_until_it_is_ready(lively: Services, held: Held) -> None:
    def comparisons(page: Element) -> list[str]:
        return [cell.words for cell in page.one(id="top").all("td", data_value="comparisons")]

    async with connected(lively) as client:
        all_versions = read((await client.get("/queues/q")).text)
        first = read((await client.get("/queues/q?judge=v2")).text)
        held.compute()
        ready = read((await client.get("/queues/q?judge=v2")).text)
    assert "The numbers of judge version v2 alone are being computed" in first.one(data_key="judge-follows").words
    assert "data-lazy" in first.one(id="more").attributes
    assert comparisons(first) == comparisons(all_versions) != comparisons(ready)
    assert "Judge version v2 alone" in ready.one(data_key="of-judge").words
    assert details(ready)[:1] == ["Alignment over time"]


@pytest.mark.parametrize(("address", "asks"), [("192.0.2.7", "192.0.2.7"), ("127.0.0.1", None)])
async def test_a_client_asks_for_details_in_its_own_name_and_a_proxy_for_others(
    address: str, asks: str | None, lively: Services, held: Held
) -> None:
    transport = httpx.ASGITransport(create_app(lively), client=(address, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        for path in (DETAILS, "/queues/q/files/trend.csv"):
            await client.get(path)
    assert held.clients == [asks] * 2
