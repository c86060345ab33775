"""The card of segments: the worst first, in words, with links to items; annotators only with their setting."""

from dataclasses import replace
from pathlib import Path

import pytest

from aggregator.facts import Annotation, Evaluation, Fact
from sinks.api.services import Services
from sinks.page.urls import queue_path
from sinks.store.store import Store
from tests.support.html import Element, read
from tests.support.sample_queue import QUEUE, sample_queue
from tests.support.sample_view import NOW_MS, fill, view_of
from tests.unit.sinks.page.conftest import connected

DEPTH = queue_path(QUEUE) + "?criterion=helpfulness&depth=lenient_judge"


@pytest.fixture
def services(store: Store, tmp_path: Path) -> Services:
    """The sample queue."""
    fill(store, sample_queue(NOW_MS))
    return view_of(store, tmp_path)


async def card(services: Services, path: str = DEPTH) -> Element:
    """The card on a page."""
    async with connected(services) as client:
        answer = await client.get(path)
        assert answer.status_code == 200, answer.text
        return read(answer.text).one(id="segments")


def shown(part: Element) -> dict[str, str]:
    """What each segment is against the rest."""
    rows = part.one("tbody").all("tr")
    return {row.one("th").words: row.one("td", data_label="Against the rest").words for row in rows}


async def test_the_tag_of_most_comparisons_divides_and_the_worst_segment_is_first(services: Services) -> None:
    part = await card(services)
    assert shown(part) == {
        "trial": "Worse by 57.4 points, more lenient than elsewhere p < 0.001",
        "team": "Better by 18.0 points p = 0.021",
        "free": "Better by 22.6 points p = 0.021",
    }
    link = part.one("tbody").all("a")[0].attributes["href"]
    assert link.endswith("/items?criterion=helpfulness&metric=lenient_judge&outcome=fp%2Cfn&tag=plan%3Atrial")
    assert [option.attributes["value"] for option in part.all("option")] == ["tag:plan", "level", "judge"]


async def test_a_division_without_two_segments_compares_nothing(services: Services) -> None:
    part = await card(services, f"{DEPTH}&segments=level")
    assert shown(part) == {"trace": "Nothing to compare with"}
    assert "level=trace" in part.one("tbody").all("a")[0].attributes["href"]


async def test_an_unknown_tag_has_no_link(services: Services) -> None:
    part = await card(services, f"{DEPTH}&segments=tag%3A%3Cb%3E")
    assert shown(part) == {"not tagged": "Nothing to compare with"}
    assert part.one("tbody").all("a") == []
    assert part.one("option", selected="").words == "Tag <b>"


async def test_annotators_are_shown_with_their_setting_only(services: Services) -> None:
    assert "Annotator" not in (await card(services, f"{DEPTH}&segments=annotator")).words
    services.config = replace(services.config, show_annotators=True)
    part = await card(services, f"{DEPTH}&segments=annotator")
    assert set(shown(part)) == {"ann", "bob"}
    assert part.one("option", selected="").words == "Annotator"


async def test_opposite_errors_are_named_where_alignment_is_equal(store: Store, tmp_path: Path) -> None:
    facts: list[Fact] = []
    for language, lenient in (("de", True), ("en", False)):
        for number in range(60):
            human, wrong, item = number % 2 == 0, number % 4 == int(lenient), f"{language}{number}"
            facts += [
                Annotation(
                    at=NOW_MS, id="a", queue="q", item=item, thumbs="up" if human else "down", tags={"lang": language}
                ),
                Evaluation(at=NOW_MS, id="e", item=item, metric="m", passed=human is not wrong),
            ]
    fill(store, facts)
    part = await card(view_of(store, tmp_path), "/queues/q")
    assert shown(part) == {
        "de": "Too lenient here, too strict elsewhere p < 0.001",
        "en": "Too strict here, too lenient elsewhere p < 0.001",
    }
