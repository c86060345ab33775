"""SummEval on the page: real ratings and real judges, against counts made outside the project."""

import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sinks.api.services import Services
from sinks.page.urls import queue_path
from sinks.store.store import Store
from streams.events.decoder import Decoder, Rejection
from tests.support.html import Element, read
from tests.support.sample_view import fill, view_of
from tests.support.summeval import QUEUE, Expected, events, files
from tests.unit.aggregator.statistics.test_alternative import paper
from tests.unit.sinks.page.conftest import connected

CARDS = ("items_compared", "annotations", "annotations_contributing", "comparisons", "misaligned", "criteria")


@pytest.fixture(scope="module")
def view(summeval: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """A view of all its events."""
    decoder, directory = Decoder(), tmp_path_factory.mktemp("summeval")
    with closing(Store(directory / "view.sqlite3")) as store:
        decoded = [decoder.decode_line(line) for path in files(summeval) for line in events(path)]
        fill(store, [event[1] for event in decoded if not isinstance(event, Rejection)])
        yield view_of(store, directory)


def number(part: Element, name: str) -> int:
    """A number that a page shows."""
    return int(part.one(data_value=name).words.replace(",", ""))


def criteria_of(expected: Expected) -> dict[str, dict[str, Any]]:
    cells: dict[str, dict[str, Any]] = {}
    for pair, cell in expected.cells.items():
        criterion, metric = pair.split(" | ")
        cells.setdefault(criterion, {})[metric] = cell
    return cells


async def test_metrics_replace_people_as_the_paper_has_it(view: Services, summeval: Path) -> None:
    ratings: dict[str, dict[str, bool]] = defaultdict(dict)
    verdicts: dict[str, dict[str, bool]] = defaultdict(dict)
    for annotation in map(json.loads, events(files(summeval)[0])):
        if annotation["criterion"] == "coherence":
            ratings[annotation["annotator"]][annotation["item"]] = annotation["stars"] >= 3
    with view.store.read() as connection:
        for metric, item, passed in connection.execute(
            "SELECT metric, item, passed FROM evaluations WHERE current = 1"
        ):
            verdicts[metric][item] = bool(passed)
    async with connected(view) as client:
        answer = (await client.get(f"/api/v1{queue_path(QUEUE)}/alternative-annotator?criterion=coherence")).json()
    assert len(answer["metrics"]) == len(verdicts) > 0
    for metric in answer["metrics"]:
        expected = paper(ratings, verdicts[metric["metric"]], 0.2)
        assert metric["people"] == len(ratings) >= 3
        assert (metric["winning_rate"], metric["advantage"]) == pytest.approx(expected)
        assert metric["may_replace"] is (expected[0] >= 0.5)


async def test_every_cell_is_the_expected_one(view: Services, summeval: Path) -> None:
    expected = Expected.read(summeval)
    async with connected(view) as client:
        for criterion, metrics in criteria_of(expected).items():
            page = read((await client.get(f"{queue_path(QUEUE)}?criterion={criterion}")).text)
            cards = page.one(class_="cols-cards")
            assert {name: number(cards, name) for name in CARDS} == {name: expected.cards[name] for name in CARDS}
            shown = {
                article.attributes["data-metric"]: {name: number(article, name) for name in ("tp", "fn", "tn", "fp")}
                for article in page.all("article")
            }
            assert shown == metrics
        listed = read((await client.get("/")).text)
        assert number(listed.one("tbody"), "comparisons") == expected.cards["comparisons"]


async def test_a_cell_opens_that_many_items(view: Services, summeval: Path) -> None:
    (criterion, metrics), *_ = criteria_of(Expected.read(summeval)).items()
    metric, cell = max(metrics.items(), key=lambda pair: pair[1]["fn"] + pair[1]["fp"])
    async with connected(view) as client:
        page = read((await client.get(f"{queue_path(QUEUE)}?criterion={criterion}")).text)
        article = page.one("article", data_metric=metric)
        for outcome in ("fn", "fp"):
            (link,) = (each for each in article.all("a") if f"outcome={outcome}" in each.attributes["href"])
            path = link.attributes["href"]
            items = read((await client.get(path)).text)
            assert f"items, {cell[outcome]:,} comparisons" in items.one("nav", aria_label="Pages").words
            exported = await client.get(path.replace("/items?", "/items.jsonl?"))
            rows = [json.loads(line) for line in exported.text.splitlines()]
            assert len(rows) == cell[outcome]
            assert {(row["criterion"], row["metric"], row["outcome"]) for row in rows} == {(criterion, metric, outcome)}
