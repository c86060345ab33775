"""The page of items to label next, its export, and the remedies of findings that lead there."""

import csv
import io
from pathlib import Path

import httpx
import pytest

from aggregator.facts import Annotation, Evaluation, Fact, QueueItem
from sinks.app import create_app
from sinks.page.urls import queue_path
from sinks.store.store import Store
from tests.support.html import read
from tests.support.sample_view import NOW_MS, fill, view_of
from tests.unit.sinks.page.conftest import connected

QUEUE = "a/b"
SCRIPT = "<script>alert(1)</script>"


def facts() -> list[Fact]:
    """40 items that people fail and the metric `scored` passes; 3 more wait for an annotation."""
    events: list[Fact] = [
        QueueItem(NOW_MS, f"q{n}", QUEUE, f"i{n}", input=f"=cmd {n}", output=SCRIPT, url=f"javascript:{n}")
        for n in range(43)
    ]
    for n in range(40):
        events.append(Annotation(NOW_MS, f"a{n}", QUEUE, f"i{n}", thumbs="down" if n < 30 else "up"))
        events.append(Evaluation(NOW_MS, f"e{n}", f"i{n}", "scored", score=0.9, threshold=0.5, passed=True))
        events.append(Evaluation(NOW_MS, f"u{n}", f"i{n}", "unscored", passed=False))
    return events


@pytest.fixture
def client(store: Store, tmp_path: Path) -> httpx.AsyncClient:
    fill(store, facts())
    transport = httpx.ASGITransport(create_app(view_of(store, tmp_path)))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


async def test_the_page_lists_the_items_with_their_texts_and_without_verdicts(client: httpx.AsyncClient) -> None:
    response = await client.get(queue_path(QUEUE, "/next"))
    page = read(response.text)
    assert page.one("h1").words == "Label these 3 next"
    assert "3 items of this queue have no annotation of overall" in page.words
    assert {item.one("b").words for item in page.all("li", class_="next")} == {"i40", "i41", "i42"}
    assert SCRIPT not in response.text
    assert "javascript:" not in response.text
    assert "Biased sample" not in page.words


@pytest.mark.parametrize("strategy", ["boundary", "disagreement"])
async def test_a_biased_strategy_is_marked_on_page_and_in_answers(client: httpx.AsyncClient, strategy: str) -> None:
    parameters = {"strategy": strategy, "criterion": "style"}
    page = read((await client.get(queue_path(QUEUE, "/next"), params=parameters)).text)
    assert "Biased sample" in page.words
    answer = (await client.get(f"/api/v1{queue_path(QUEUE, '/next')}", params=parameters)).json()
    assert (answer["biased"], answer["sampled_by"], answer["candidates"]) == (True, strategy, 40)
    lines = list(
        csv.DictReader(io.StringIO((await client.get(queue_path(QUEUE, "/next.csv"), params=parameters)).text))
    )
    assert [line["item"] for line in lines] == [item["item"] for item in answer["items"]]
    assert {line["sampled_by"] for line in lines} == {strategy}


async def test_the_csv_has_what_a_tool_needs_and_no_formula(client: httpx.AsyncClient) -> None:
    response = await client.get(queue_path(QUEUE, "/next.csv"), params={"bom": "1"})
    assert response.headers["content-disposition"] == 'attachment; filename="next.csv"'
    assert response.text.startswith('\ufeff"item","level","criterion","url","input","output","sampled_by"\r\n')
    first = next(csv.DictReader(io.StringIO(response.text.removeprefix("\ufeff"))))
    assert (first["criterion"], first["input"][:5], first["sampled_by"]) == ("overall", "'=cmd", "random")


@pytest.mark.parametrize("strategy", ["random", "boundary"])
async def test_the_csv_has_exactly_the_items_on_screen(store: Store, tmp_path: Path, strategy: str) -> None:
    criterion = "overall" if strategy == "random" else "style"
    fill(store, facts())
    async with connected(view_of(store, tmp_path)) as client:
        first = read((await client.get(f"{queue_path(QUEUE, '/next')}?strategy={strategy}&criterion={criterion}")).text)
        shown = [item.one("b").words for item in first.all("li", class_="next")]
        links = {link.words: link.attributes["href"] for link in first.all("a", class_="button")}
        # Others arrive before and between them, and one is annotated.
        more: list[Fact] = [QueueItem(NOW_MS, f"n{n}", QUEUE, f"new{n}") for n in range(200)]
        more += [
            Evaluation(NOW_MS, f"n{n}", f"new{n}", "scored", score=0.5, threshold=0.5, passed=True) for n in range(200)
        ]
        fill(store, [*facts(), *more, Annotation(NOW_MS, "x", QUEUE, shown[1], criterion=criterion, thumbs="up")])
        lines = csv.DictReader(io.StringIO((await client.get(links["Export CSV"])).text.removeprefix("\ufeff")))
        assert [line["item"] for line in lines] == shown
        again = read((await client.get(links["Link to these items"])).text)
        assert [item.one("b").words for item in again.all("li", class_="next")] == shown
        (current,) = (link for link in again.all("a", class_="button") if link.words == "Current list")
        newest = read((await client.get(current.attributes["href"])).text)
    assert any(item.one(class_="item-head").words.startswith("new") for item in newest.all("li", class_="next"))


async def test_nothing_to_label_is_explained(client: httpx.AsyncClient) -> None:
    words = read((await client.get(queue_path(QUEUE, "/next"), params={"strategy": "disagreement"})).text).words
    assert "None of the 3 items without an annotation qualifies" in words


@pytest.mark.parametrize(
    ("name", "value"),
    [("strategy", "best"), ("limit", "0"), ("limit", "201"), ("seed", "-1"), ("criterion", ""), ("selection", "x")],
)
async def test_the_api_refuses_invalid_parameters(client: httpx.AsyncClient, name: str, value: str) -> None:
    parameters = {"criterion": "overall", name: value}
    response = await client.get(f"/api/v1{queue_path(QUEUE, '/next')}", params=parameters)
    assert (response.status_code, response.json()["detail"].partition(":")[0]) == (400, name)


async def test_findings_lead_to_their_remedies(client: httpx.AsyncClient) -> None:
    page = read((await client.get(queue_path(QUEUE))).text)
    findings = {finding.one("p", class_="what").words: finding for finding in page.all("div", class_="finding")}
    links = {link.words: link.attributes["href"] for link in findings["scored"].one(class_="actions").all("a")}
    # All scores are the same, so there is no threshold to try; the advice is to read the items.
    assert list(links) == ["Export disagreements"]
    read_them = findings["scored"].one(class_="do").one("a")
    assert read_them.words == "Read the 30 that people failed"
    assert len(read((await client.get(read_them.attributes["href"])).text).all("li", class_="item")) == 20
    exported = (await client.get(links["Export disagreements"])).text.splitlines()
    assert len(exported) == 30
    # The items to label are those of the criterion, so one card leads to them.
    assert [card.words.count("Label these 20 next") for card in page.all("div", class_="finding")].count(1) == 1
    assert "Try another threshold" not in findings["unscored"].words
    (labels,) = (link for link in page.one(id="findings").all("a") if link.words == "Label these 20 next")
    assert (await client.get(labels.attributes["href"])).status_code == 200


async def test_more_labels_for_a_metric_lead_to_a_list_with_the_metric(store: Store, tmp_path: Path) -> None:
    fill(store, [fact for fact in facts() if fact.item not in {f"i{n}" for n in range(15, 40)}])
    async with connected(view_of(store, tmp_path)) as client:
        page = read((await client.get(queue_path(QUEUE))).text)
        (link,) = page.one("article", data_metric="scored").one(class_="do").all("a")
        assert link.words == "Label 15 more items"
        listed = read((await client.get(link.attributes["href"])).text)
    assert "scored is compared with each label of an item that it judged." in listed.words
    # Another strategy keeps it.
    assert [tab.attributes["href"].count("metric=scored") for tab in listed.one(class_="tabs").all("a")] == [1, 1, 1]
    assert listed.one("input", name="metric").attributes["value"] == "scored"


async def test_a_queue_without_queue_items_says_how_to_choose_what_to_label(store: Store, tmp_path: Path) -> None:
    fill(
        store,
        [
            *(Annotation(at=NOW_MS, id="a", queue=queue, item="i", thumbs="up") for queue in ("with", "without")),
            Evaluation(at=NOW_MS, id="e", item="i", metric="m", passed=True),
            QueueItem(at=NOW_MS, id="q", queue="with", item="i"),
        ],
    )
    async with connected(view_of(store, tmp_path)) as client:
        pages = {queue: read((await client.get(f"/queues/{queue}")).text) for queue in ("with", "without")}
    assert len(pages["with"].all(class_="strip")) == 1
    assert pages["with"].all(data_key="no-queue-items") == []
    # Without queue items every number of the row would be undefined.
    assert pages["without"].all(class_="strip") == []
    assert "send a queue_item event for each item" in pages["without"].all(class_="note")[-1].words
