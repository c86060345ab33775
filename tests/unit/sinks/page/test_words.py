"""What people and metrics wrote about misaligned items is shown above them, and on the card of their metric."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from aggregator.facts import Annotation, Evaluation, Fact
from sinks.store.store import Store
from tests.support.html import Element
from tests.support.sample_view import NOW_MS
from tests.unit.sinks.page.test_highlights import page_of

PATH = "/queues/q/items?criterion=truth&metric=m"


def lenient(
    explanations: list[str], metric: str = "m", reason: str = "Answers the question.", at: int = NOW_MS
) -> Iterator[Fact]:
    """Items that people fail with these words, and the metric passes; and 40 on which they agree."""
    texts = [(text, True) for text in explanations] + [("Answers something else.", False)] * 20
    for number, (text, passed) in enumerate(texts):
        item = f"i{number}"
        yield Annotation(
            at=at - number, id="a", queue="q", item=item, criterion="truth", thumbs="down", explanation=text
        )
        yield Evaluation(
            at=at, id=metric, item=item, metric=metric, passed=passed, reason=reason if passed else "Off topic."
        )
    for number in range(20):
        yield Annotation(at=at, id="a", queue="q", item=f"ok{number}", criterion="truth", thumbs="up")
        yield Evaluation(at=at, id=metric, item=f"ok{number}", metric=metric, passed=True)


PERIOD = ["The Rückgabe period is wrong."] * 10 + ["Rude to the customer."] * 6


def words(page: Element) -> dict[str, str]:
    """The words of people, with the addresses that they lead to."""
    people = page.one(id="words").one(class_="written").all("div", class_="stack")[0]
    return {link.words: link.attributes["href"] for link in people.all("a", class_="word")}


async def test_frequent_words_lead_to_their_items(store: Store, tmp_path: Path) -> None:
    page = await page_of(store, tmp_path, list(lenient(PERIOD)), PATH)
    found = words(page)
    assert any(name.endswith(" 10") and "rückgabe" in name for name in found)
    assert any(name.endswith(" 6") and "rude" in name for name in found)
    while store.write_search_documents():
        pass
    (rude,) = (href for name, href in found.items() if "rude" in name)
    narrowed = await page_of(store, tmp_path, [], rude)
    assert len(narrowed.all("li", class_="item")) == 6
    # The summary stays that of the whole list, and marks the words of the search; opened again, they leave it.
    (current,) = narrowed.one(id="words").all("a", aria_current="true")
    assert words(narrowed).keys() == found.keys()
    assert len((await page_of(store, tmp_path, [], current.attributes["href"])).all("li", class_="item")) == 16


async def test_examples_are_verbatim_and_reasons_stand_next_to_them(store: Store, tmp_path: Path) -> None:
    page = await page_of(store, tmp_path, list(lenient(PERIOD, reason="<b>Answers</b> the question.")), PATH)
    people, metrics = page.one(id="words").one(class_="written").all("div", class_="stack")
    examples = [quote.words for quote in people.all("blockquote")]
    assert "The Rückgabe period is wrong. i0" in examples
    assert "Rude to the customer. i10" in examples
    assert "16 texts" in people.words
    assert "<b>Answers</b> the question. i0" in [quote.words for quote in metrics.all("blockquote")]
    assert metrics.all("b") == []


@pytest.mark.parametrize("outcome", ["tp", "fp,tn", "tp,fn,tn,fp"])
async def test_a_list_that_is_not_of_misaligned_items_has_none(store: Store, tmp_path: Path, outcome: str) -> None:
    page = await page_of(store, tmp_path, list(lenient(PERIOD)), f"{PATH}&outcome={outcome}")
    assert page.all(id="words") == []


async def test_fewer_than_five_texts_have_none(store: Store, tmp_path: Path) -> None:
    page = await page_of(store, tmp_path, list(lenient(PERIOD[:4])), f"{PATH}&outcome=fp")
    assert page.all(id="words") == []


async def test_an_explanation_counts_once_for_several_metrics(store: Store, tmp_path: Path) -> None:
    facts = [*lenient(PERIOD), *(fact for fact in lenient(PERIOD, "n") if isinstance(fact, Evaluation))]
    page = await page_of(store, tmp_path, facts, "/queues/q/items?criterion=truth&outcome=fp")
    people, metrics = page.one(id="words").one(class_="written").all("div", class_="stack")
    assert "16 texts" in people.words
    assert "32 texts" in metrics.words


async def test_only_the_newest_comparisons_are_read(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 20 are newer than all that are misaligned.
    monkeypatch.setattr("sinks.queries.written._ANNOTATIONS", 29)
    page = await page_of(store, tmp_path, list(lenient(PERIOD)), f"{PATH}&outcome=fp")
    assert "10 texts" in page.one(id="words").words
    monkeypatch.setattr("sinks.queries.written.NEWEST", 7)
    page = await page_of(store, tmp_path, [], f"{PATH}&outcome=fp")
    assert "7 texts" in page.one(id="words").words


async def test_the_card_of_a_metric_names_what_people_wrote(store: Store, tmp_path: Path) -> None:
    page = await page_of(store, tmp_path, list(lenient(PERIOD)), "/queues/q")
    line = page.one(class_="finding").one(class_="often")
    assert line.words.startswith("People wrote most often: ")
    assert " 10" in line.words
    address = line.all("a")[0].attributes["href"]
    assert address.startswith("/queues/q/items?")
    assert "search=" in address


async def test_words_that_are_frequent_everywhere_are_named_so(store: Store, tmp_path: Path) -> None:
    explanations = ["Answers something else."] * 8 + ["Rude to customers."] * 8
    facts = list(lenient([*explanations]))
    # Where they agree, people write the same.
    for number in range(20):
        facts.append(
            Annotation(
                at=NOW_MS - number, id="a", queue="q", item=f"also {number}", criterion="truth", thumbs="down",
                explanation="Rude to customers.",
            )
        )  # fmt: skip
        facts.append(Evaluation(at=NOW_MS, id="m", item=f"also {number}", metric="m", passed=False))
    page = await page_of(store, tmp_path, facts, PATH)
    assert "Frequent, and not surely more frequent than elsewhere:" in page.one(id="words").words
    assert any("customers" in name and name.endswith(" 8") for name in words(page))
    # The card of the metric has only words that tell something.
    card = await page_of(store, tmp_path, [], "/queues/q")
    assert card.one(class_="finding").all(class_="often") == []
