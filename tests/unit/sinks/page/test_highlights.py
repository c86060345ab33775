"""The cards above the metrics, and the colours of a queue, judge the newest judge version and never too few items."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from aggregator.facts import Annotation, Evaluation, Fact
from sinks.store.store import Store
from tests.support.html import Element, read
from tests.support.sample_view import NOW_MS, fill, view_of
from tests.unit.sinks.page.conftest import connected

DAY_MS = 86_400_000
BAD = [(True, True)] * 30 + [(True, False)] * 60 + [(False, False)] * 30
"""Human and metric passes: a judge that is too strict."""
GOOD = [(True, True)] * 60 + [(True, False)] + [(False, False)] * 40
"""A judge that the gate trusts."""


def judged(queue: str, judge: str, at: int, results: Iterable[tuple[bool, bool]]) -> Iterator[Fact]:
    for number, (human, metric) in enumerate(results):
        item = f"{queue} {judge} {number}"
        yield Annotation(at=at, id="a", queue=queue, item=item, criterion="truth", thumbs="up" if human else "down")
        yield Evaluation(at=at, id="e", item=item, metric="m", judge=judge, passed=metric)


async def page_of(store: Store, directory: Path, facts: list[Fact], path: str) -> Element:
    fill(store, facts)
    async with connected(view_of(store, directory)) as client:
        answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    return read(answer.text)


@pytest.mark.parametrize(
    ("old", "new", "head"), [(BAD, GOOD, "Trusted"), (GOOD, BAD, "Too strict")], ids=["better", "worse"]
)
async def test_a_card_is_about_the_newest_judge_version(
    store: Store, tmp_path: Path, old: list[tuple[bool, bool]], new: list[tuple[bool, bool]], head: str
) -> None:
    facts = [*judged("q", "v1", NOW_MS - DAY_MS, old), *judged("q", "v2", NOW_MS, new)]
    page = await page_of(store, tmp_path, facts, "/queues/q")
    (card,) = page.all(class_="finding")
    assert card.words.startswith(head)
    right = sum(human == metric for human, metric in new)
    assert f"agrees on {100 * right / len(new):.1f}% of {len(new)} comparisons" in card.words
    links = [link for part in ("do", "actions") for link in card.one(class_=part).all("a")]
    assert links[0].attributes["href"].endswith("&judge=v2")


@pytest.mark.parametrize(
    ("results", "tone"),
    [
        ([(True, False)], "undecided"),
        ([(True, True)] * 40 + [(True, False)] * 10, "undecided"),
        ([(True, False)] * 20 + [(False, False)] * 20, "untrusted"),
        (GOOD, "trusted"),
    ],
    ids=["one item", "one human class", "not above baseline", "above baseline"],
)
async def test_few_items_and_one_human_class_have_no_colour(
    store: Store, tmp_path: Path, results: list[tuple[bool, bool]], tone: str
) -> None:
    facts = list(judged("q", "v1", NOW_MS, results))
    index = await page_of(store, tmp_path, facts, "/")
    row = index.one("tbody").one("tr")
    assert row.one(class_="w-plot").one("svg").attributes["class"] == tone
    assert ("not above constant" in row.words) is (tone == "untrusted")
    queue = await page_of(store, tmp_path, [], "/queues/q")
    assert queue.one(aria_labelledby="c-alignment").one("svg").attributes["class"] == tone


async def test_the_start_page_hints_at_queues_that_look_alike(store: Store, tmp_path: Path) -> None:
    facts: list[Fact] = [
        Annotation(at=NOW_MS, id="a", queue=name, item="i", thumbs="up") for name in ("Tone", "tone", "truth")
    ]
    page = await page_of(store, tmp_path, facts, "/")
    (hint,) = page.all(class_="banner")
    assert "look alike and are counted apart" in hint.words
    assert "truth" not in hint.words


def on_the_same_items(*versions: list[bool]) -> list[Fact]:
    """Versions v1, v2 and so on of metric m that judged the same items one after the other: whether each is right.

    People pass every second item. Metric other, which has scores, passes all of them.
    """
    facts: list[Fact] = []
    for number, right in enumerate(zip(*versions, strict=True)):
        item, human = f"i{number}", number % 2 == 0
        facts.append(Annotation(at=NOW_MS, id="a", queue="q", item=item, thumbs="up" if human else "down"))
        facts.append(Evaluation(at=NOW_MS, id="o", item=item, metric="other", score=0.9, threshold=0.5, passed=True))
        facts += [
            Evaluation(
                at=NOW_MS + place, id=f"e{place}", item=item, metric="m", judge=f"v{place}", passed=human == each
            )
            for place, each in enumerate(right, start=1)
        ]
    return facts


async def test_a_worse_version_names_its_errors(store: Store, tmp_path: Path) -> None:
    # Every second item is one that people fail.
    new = [number % 2 == 0 or number >= 20 for number in range(40)]
    page = await page_of(store, tmp_path, on_the_same_items([True] * 40, new), "/queues/q")
    words = page.all(class_="finding")[0].words
    assert "and this is unlikely to be chance." in words
    assert "\u2068v2\u2069 is too lenient: it passes 50% of what people failed: 10 of 20." in words


@pytest.mark.parametrize(
    ("old", "new", "worse"),
    [
        ([True] * 40, [True] * 34 + [False] * 6, True),
        ([True] * 40, [True] * 35 + [False] * 5, False),
        ([True] * 34 + [False] * 6, [True] * 40, False),
    ],
    ids=["worse", "may be chance", "better"],
)
async def test_a_version_that_is_worse_than_the_one_before_is_the_first_card(
    store: Store, tmp_path: Path, old: list[bool], new: list[bool], worse: bool
) -> None:
    # Not the first version, but the one before is compared.
    page = await page_of(store, tmp_path, on_the_same_items(new, old, new), "/queues/q")
    cards = page.all(class_="finding")
    assert [card.words.startswith("New version worse") for card in cards].count(True) == worse
    if not worse:
        return
    card = cards[0]
    assert "Of 40 items that both judged, only \u2068v3\u2069 is right on 0 and only \u2068v2\u2069 on 6." in card.words
    # The name of the test is in the question mark.
    assert "less often than with \u2068v2\u2069, which is borderline (p = 0.031)." in card.words
    assert "McNemar" not in card.words
    assert "McNemar's exact test" in card.one("a", class_="help").attributes["aria-label"]
    _, read_them, export = card.one(class_="actions").all("a")
    compare = card.one(class_="do").one("a")
    target = await page_of(store, tmp_path, [], compare.attributes["href"])
    sides = [row.one("th").words for row in target.one(id="side-by-side").one("tbody").all("tr")]
    assert sides == ["m, v3", "m, v2"]
    items = await page_of(store, tmp_path, [], read_them.attributes["href"])
    assert len(items.all(class_="item")) == 6
    assert export.words == "Export disagreements"
    # The other metric has more disagreements; the details are of the one of the first card.
    assert page.one(id="wi-h").words == "Threshold what-if: m"
