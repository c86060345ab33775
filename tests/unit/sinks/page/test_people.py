"""Where people disagree is always a page, without names; annotators are shown with their setting only."""

from dataclasses import replace
from pathlib import Path

import pytest

from aggregator.facts import Annotation, Evaluation, Fact
from sinks.api.services import Services
from sinks.store.store import Store
from tests.support.html import Element, read
from tests.support.sample_view import NOW_MS, fill, view_of
from tests.unit.sinks.page.conftest import connected

PEOPLE = "ann", "bob", "<b>cleo"


def rated(number: int) -> list[Fact]:
    """An item that two or three people rate, independently of each other."""
    votes = [number % 2 == 0, number // 2 % 2 == 0, number % 3 == 0][: 2 + (number == 9)]
    return [
        Evaluation(at=NOW_MS, id="e", item=f"i{number}", metric="m", passed=True),
        *(
            Annotation(
                at=NOW_MS, id=who, queue="q", item=f"i{number}", annotator=who, stars=4 if vote else 2,
                input=f"Question {number}?", output=f"<b>Answer</b> {number}", explanation=f"<i>because</i> {number}",
            )
            for who, vote in zip(PEOPLE, votes, strict=False)
        ),
    ]  # fmt: skip


@pytest.fixture
def services(store: Store, tmp_path: Path) -> Services:
    """People who agree no better than by chance."""
    fill(store, [fact for number in range(60) for fact in rated(number)])
    return view_of(store, tmp_path)


async def get(services: Services, path: str) -> Element:
    async with connected(services) as client:
        answer = await client.get(path)
        assert answer.status_code == 200, answer.text
        return read(answer.text)


async def test_the_first_card_leads_to_the_items_on_which_people_disagree(services: Services) -> None:
    page = await get(services, "/queues/q?window=30d")
    finding = page.all(class_="finding")[0]
    assert finding.one(class_="kind").words == "People disagree"
    there = await get(services, finding.one(class_="do").one("a").attributes["href"])
    assert there.one("h1").words == "Where people disagree: overall"
    # Most annotators first; the list has the split and the explanations, and no names.
    first = there.all("li", class_="disputed")[0]
    head = first.one(class_="item-head")
    assert head.one("h3").one("a").attributes["href"] == "/queues/q/items/i9"
    assert head.words.endswith("2 pass, 1 fail")
    assert len(first.one("tbody").all("tr")) == 3
    assert "<i>because</i> 9" in first.words
    assert [text.words for text in first.one(class_="io").all("dd")] == ["Question 9?", "<b>Answer</b> 9"]
    assert "ann" not in first.words.split()
    assert len(there.all("li", class_="disputed")) == 20
    second = await get(services, there.one("a", class_="button").attributes["href"])
    assert 0 < len(second.all("li", class_="disputed")) < 20


async def test_no_threshold_is_suggested_where_people_disagree(store: Store, services: Services) -> None:
    fill(
        store,
        [
            Evaluation(
                at=NOW_MS, id="s", item=f"i{number}", metric="scored", score=0.9, threshold=0.5, passed=True
            )
            for number in range(60)
        ],
    )  # fmt: skip
    page = await get(services, "/queues/q")
    lenient = next(card for card in page.all(class_="finding") if card.words.startswith("Too lenient"))
    assert "Export disagreements" in lenient.words
    assert "threshold" not in lenient.words
    assert "That cannot be told. People agree no better than by chance." in page.one(id="ceiling").words


async def test_annotators_are_shown_with_their_setting(services: Services) -> None:
    assert (await get(services, "/queues/q")).all(id="annotators") == []
    services.config = replace(services.config, show_annotators=True)
    page = await get(services, "/queues/q")
    rows = {
        row.one("th").words: [cell.words for cell in row.all("td")]
        for row in page.one(id="annotators").one("tbody").all("tr")
    }
    assert list(rows) == ["ann", "bob", "<b>cleo"]
    assert rows["<b>cleo"][:2] == ["1", "1"]
    there = await get(services, "/queues/q/disagreements?criterion=overall")
    assert (await get(services, "/queues/q/disagreements")).text == there.text
    assert "<b>cleo" in there.all("li", class_="disputed")[0].words


async def test_people_who_agree_leave_the_list_empty(services: Services) -> None:
    page = await get(services, "/queues/q/disagreements?criterion=nothing")
    assert page.all("li", class_="disputed") == []
    assert "No item of this window" in page.one("main").words
