"""The numbers that a page shows are those of the API, and of a recount."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import pytest

from aggregator.days import Window
from aggregator.recount import Recount
from sinks.api.services import Services
from sinks.page.urls import queue_path
from sinks.store.store import Store
from tests.support.html import Element, read
from tests.support.sample_queue import QUEUE, sample_queue
from tests.support.sample_view import FACTS, HOSTILE, NOW_MS, fill, view_of
from tests.unit.sinks.page.conftest import Get, connected

DASH = "\u2014"
COUNTS = (
    "items_compared", "comparisons", "annotations", "annotations_contributing", "misaligned", "criteria",
    "items_queued", "items_waiting_evaluation", "items_waiting_annotation", "items_errored", "labels_needed",
    "evaluated", "waiting", "errored", "skipped", "annotated_errored", "annotated_skipped", "tp", "fn", "tn", "fp",
)  # fmt: skip
COEFFICIENTS = ("kappa", "ac1", "mcc", "alpha")


SEGMENTS: dict[Literal["tp", "fp", "fn", "tn"], str] = {
    "tp": "pass, humans agree",
    "fp": "pass, humans say fail (too lenient)",
    "fn": "fail, humans say pass (too strict)",
    "tn": "fail, humans agree",
}


def written(name: str, value: float | None) -> str:
    """A number as a reader expects it; formatted here without the product's functions."""
    if value is None:
        return DASH
    if name in COUNTS:
        return format(value, ",")
    if name == "bias":
        return f"{value * 100:+.1f} pts".replace("-", "\u2212").replace("+0.0", "0.0").replace("\u22120.0", "0.0")
    if name in COEFFICIENTS:
        text = f"{value:.2f}"
        return "0.00" if text == "-0.00" else text.replace("-", "\u2212")
    return f"{value * 100:.1f}%"


def compare(part: Element, document: Mapping[str, Any]) -> int:
    """Fail where the part shows another number than the document; returns how many were compared."""
    shown = [element for element in part.walk() if "data-value" in element.attributes]
    for element in shown:
        name = element.attributes["data-value"]
        wanted = written(name, document[name])
        assert element.words == wanted or element.words.startswith(f"{wanted} "), name
        if document[name] is None:
            (dash,) = element.all(class_="undef")
            assert dash.attributes["data-reason"] in dash.attributes["aria-label"]
            assert len(dash.attributes["data-reason"]) > 10
    return len(shown)


def compare_page(page: Element, document: Mapping[str, Any], criterion: Mapping[str, Any]) -> None:
    of_queue_items = 0 if document["cards"]["items_queued"] is None else 4
    assert compare(page.one(class_="cols-cards"), document["cards"]) >= 6 + of_queue_items
    articles = {article.attributes["data-metric"]: article for article in page.all("article")}
    rows = {
        row.one("th").words: row
        for row in page.one(id="top").all("tr")
        if "data-key" in row.attributes and row.all("a")
    }
    assert articles.keys() == {metric["metric"] for metric in criterion["metrics"]} == rows.keys()
    for metric in criterion["metrics"]:
        assert compare(articles[metric["metric"]], metric) >= 25
        assert compare(rows[metric["metric"]], metric) == 5


@pytest.mark.parametrize("window", Window)
@pytest.mark.parametrize("queue", ["support", HOSTILE])
async def test_a_queue_shows_the_documents_numbers(services: Services, queue: str, window: Window) -> None:
    async with connected(services) as client:
        document = (await client.get(f"/api/v1/queues/{quote(queue, safe='')}?window={window}")).json()
        for criterion in document["criteria"]:
            query = f"?window={window}&criterion={quote(criterion['criterion'])}"
            answer = await client.get(queue_path(queue) + query)
            assert answer.status_code == 200
            shown = read(answer.text)
            if criterion["metrics"]:
                compare_page(shown, document, criterion)
            else:
                assert shown.all(class_="empty")


async def test_a_queue_shows_the_numbers_of_a_recount(page: Get) -> None:
    document = Recount(FACTS).document("support")
    for criterion in document["criteria"]:
        compare_page(await page(f"/queues/support?criterion={criterion['criterion']}"), document, criterion)


async def test_a_lively_queue_shows_the_numbers_of_a_recount(store: Store, tmp_path: Path) -> None:
    facts = sample_queue(NOW_MS)
    fill(store, facts)
    document = Recount(facts).document(QUEUE)
    cards = document["cards"]
    assert 0 < cards["annotations_contributing"] < cards["annotations"]
    async with connected(view_of(store, tmp_path)) as client:
        for criterion in document["criteria"]:
            assert len({criterion["metrics"][0][outcome] for outcome in ("tp", "fn", "fp", "tn")}) == 4
            answer = await client.get(queue_path(QUEUE) + f"?criterion={criterion['criterion']}")
            page = read(answer.text)
            compare_page(page, document, criterion)
            segments = [each.attributes["aria-label"] for each in drawn(page)]
            assert sorted(segments) == sorted(
                f"{metric['metric']} {words}: {metric[outcome]}"
                for metric in criterion["metrics"]
                for outcome, words in SEGMENTS.items()
                if metric[outcome]
            )


async def test_the_start_page_shows_every_queues_cards(services: Services) -> None:
    async with connected(services) as client:
        listed = (await client.get("/api/v1/queues")).json()["queues"]
        shown = read((await client.get("/")).text)
    rows = {row.one("a").words: row for row in shown.one("tbody").all("tr")}
    assert {" ".join(entry["queue"].split()) for entry in listed} == rows.keys()
    for entry in listed:
        assert compare(rows[" ".join(entry["queue"].split())], entry["cards"]) == 2


async def test_the_aggregate_view_adds_up(page: Get) -> None:
    shown = await page("/queues/support?criterion=overall&view=aggregate")
    document = Recount(FACTS).document("support")
    (criterion,) = (each for each in document["criteria"] if each["criterion"] == "overall")
    labels = [group.attributes["aria-label"] for group in shown.one(id="outcomes").all("g")]
    for side, name in (("human", "Human annotations"), ("metric", "Metrics")):
        for verdict in ("pass", "fail"):
            number = criterion[side][verdict]  # type: ignore[literal-required]
            matching = [label for label in labels if label.startswith(f"{name}: {verdict} {number} of 3,")]
            assert len(matching) == 1, (labels, number)


def drawn(page: Element) -> list[Element]:
    """The segments of the chart of outcomes, which are links."""
    return [link for svg in page.one(id="outcomes").all("svg") for link in svg.all("a")]


async def test_a_segment_of_a_chart_leads_to_its_items(page: Get) -> None:
    for segment in drawn(await page("/queues/support?criterion=overall")):
        items = await page(segment.attributes["href"])
        number = int(segment.attributes["aria-label"].rpartition(": ")[2])
        assert f"{number} of" in items.words or f"{number} comparison" in items.words


async def test_a_segment_of_a_chart_names_its_ratings(page: Get) -> None:
    shown = await page("/queues/support?criterion=overall")
    (segment,) = (each for each in drawn(shown) if each.attributes["class"] == "s-fp")
    card = shown.one(id=segment.attributes["aria-describedby"])
    assert [number.words for number in card.all("dd")] == ["0", "0", "0", "1", "0", "0", "0"]
    assert "1 borderline (2 or 3 stars)" in card.words
