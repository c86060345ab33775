"""Each card states what to do, with the number of the chart that it links to."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from msgspec.structs import replace

from aggregator.facts import Annotation, Evaluation, Fact
from sinks.store.store import Store
from tests.support.html import Element
from tests.support.sample_view import NOW_MS
from tests.unit.sinks.page.test_highlights import BAD, GOOD, judged, on_the_same_items, page_of


class Group(NamedTuple):
    """Items that people rate alike and a metric scores alike."""

    items: int
    human: bool
    score: float


def scored(groups: Sequence[Group], judge: str = "", threshold: float = 0.5, at: int = NOW_MS) -> Iterator[Fact]:
    """Items of metric m of queue q, which passes from a threshold on."""
    for place, group in enumerate(groups):
        for number in range(group.items):
            item = f"i{judge} {place} {number}"
            yield Annotation(at=at, id="a", queue="q", item=item, thumbs="up" if group.human else "down")
            yield Evaluation(
                at=at, id="e", item=item, metric="m", judge=judge, score=group.score, threshold=threshold,
                passed=group.score >= threshold,
            )  # fmt: skip


STRICT = [Group(40, True, 0.4), Group(10, True, 0.9), Group(40, False, 0.2)]
"""Below the threshold are 40 that people pass; 0.40 would pass them, and none that people fail."""
NOISE = [Group(2, True, 0.49), Group(20, True, 0.1), Group(60, True, 0.9), Group(40, False, 0.2)]
"""A lower threshold would pass two more."""


async def card_of(store: Store, directory: Path, facts: list[Fact], path: str = "/queues/q") -> Element:
    page = await page_of(store, directory, facts, path)
    return page.all(class_="finding")[0]


def advice(part: Element) -> str:
    (line,) = part.all(class_="do")
    return line.words.removeprefix("Do this").strip()


async def test_a_better_threshold_is_stated_with_the_numbers_of_its_chart(store: Store, tmp_path: Path) -> None:
    page = await page_of(store, tmp_path, list(scored(STRICT)), "/queues/q")
    card = page.one(class_="finding")
    expected = "Lower the threshold from 0.50 to 0.40: alignment 55.6% becomes 100.0% on these 90 comparisons."
    assert advice(card) == advice(page.one("article")) == expected
    link = card.one(class_="do").one("a")
    assert link.attributes["href"].endswith("#whatif")
    # It stands for the thresholds, so no other link does.
    assert "Try another threshold" not in card.words
    chart = (await page_of(store, tmp_path, [], link.attributes["href"])).one(id="whatif").all("tbody")[0]
    now, best = (row.words for row in chart.all("tr") if row.one("th").words in ("Now", "Best alignment"))
    assert "55.6%" in now
    assert "0.40" in best
    assert "100.0%" in best


async def test_a_threshold_that_helps_by_no_more_than_noise_is_no_advice(store: Store, tmp_path: Path) -> None:
    card = await card_of(store, tmp_path, list(scored(NOISE)))
    assert advice(card) == (
        "Read the 22 that people passed, and change the prompt: another threshold helps by no more than noise."
    )
    (other,) = (link for link in card.all("a") if link.words == "Try another threshold")
    opened = await page_of(store, tmp_path, [], other.attributes["href"])
    assert opened.one("h3", id="wi-h").words == "Threshold what-if: m"
    assert other.attributes["href"].endswith("depth=m#whatif")
    assert card.one(class_="do").one("a").attributes["href"].startswith("/queues/q/items?")


def tagged(groups: Sequence[Group], language: str) -> Iterator[Fact]:
    """The same items under other names, with tags: `plan` alike in all, and `language`."""
    tags = {"lang": language}
    for fact in scored(groups):
        item = f"{language} {fact.item}"
        if isinstance(fact, Annotation):
            yield replace(fact, item=item, tags={"area": "web", **tags})
        else:
            yield replace(fact, item=item, tags={"area": "web"})


async def test_a_threshold_that_hurts_a_tag_is_no_advice(store: Store, tmp_path: Path) -> None:
    # In English it is too strict, so a lower threshold helps; in German it is too lenient.
    german = [Group(10, True, 0.9), Group(10, False, 0.9), Group(3, False, 0.2)]
    page = await page_of(store, tmp_path, [*tagged(STRICT, "en"), *tagged(german, "de")], "/queues/q")
    card = page.one(class_="finding")
    assert card.words.startswith("Too strict")
    assert (
        advice(card)
        == advice(page.one("article"))
        == (
            "Too lenient for \u2068lang\u2069: \u2068de\u2069: read these first, and change the prompt. A threshold "
            "that helps elsewhere makes the metric more lenient here."
        )
    )
    listed = await page_of(store, tmp_path, [], card.one(class_="do").one("a").attributes["href"])
    assert len(listed.all("li", class_="item")) == 10
    # The card of segments opens on what differs.
    assert page.one(id="segments").one("option", selected="").words == "Tag lang"


async def test_a_tag_that_errs_alike_leaves_the_threshold(store: Store, tmp_path: Path) -> None:
    page = await page_of(store, tmp_path, [*tagged(STRICT, "en"), *tagged(STRICT, "de")], "/queues/q")
    assert advice(page.one(class_="finding")).startswith("Lower the threshold")


def of_metrics(number: int, tags: int = 2) -> list[Fact]:
    """Items that as many metrics fail too often, in English only: a threshold that helps there hurts in German."""
    german = [Group(10, True, 0.9), Group(10, False, 0.9), Group(3, False, 0.2)]
    more = {f"t{place}": "x" for place in range(tags - 2)}
    facts: list[Fact] = []
    for fact in (*tagged(STRICT, "en"), *tagged(german, "de")):
        tagged_fact = replace(fact, tags={**(fact.tags or {}), **more})
        metrics = range(number) if isinstance(fact, Evaluation) else ()
        facts += [replace(tagged_fact, id=f"e{each}", metric=f"m{each}") for each in metrics] or [tagged_fact]
    return facts


async def test_the_tags_of_every_metric_are_looked_through(store: Store, tmp_path: Path) -> None:
    page = await page_of(store, tmp_path, of_metrics(5), "/queues/q?metric=m1&metric=m2&metric=m3")
    lines = [advice(card) for card in page.all("article")]
    assert len(lines) == 3
    assert all(line.startswith("Too lenient for") for line in lines)


async def test_a_threshold_without_a_look_at_the_tags_states_so(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sinks.page.advice._LOOKED", 113)
    monkeypatch.setattr("sinks.page.advice._DIVIDED", 1)
    page = await page_of(store, tmp_path, of_metrics(3), "/queues/q")
    lines = [advice(card) for card in page.all("article")]
    assert [line.startswith("Too lenient for") for line in lines] == [True, True, False]
    assert lines[2].startswith("Lower the threshold from 0.50 to 0.40")
    assert lines[2].endswith("Its tags were not checked for values that it hurts: see the segments of the metric.")


async def test_a_metric_that_is_not_looked_through_leaves_room_for_smaller_ones(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sinks.page.advice._LOOKED", 110)
    monkeypatch.setattr("sinks.page.advice._DIVIDED", 0)
    # It is better aligned than the others, so it comes after them.
    missing = {f"en i 0 {number}" for number in range(5)}
    facts = [
        fact
        for fact in of_metrics(3)
        if not (isinstance(fact, Evaluation) and fact.metric == "m1" and fact.item in missing)
    ]
    page = await page_of(store, tmp_path, facts, "/queues/q")
    looked = {card.one("h3").words.split()[0]: advice(card) for card in page.all("article")}
    assert {name for name, line in looked.items() if "not checked" not in line} == {"m1"}, looked


async def test_a_threshold_states_how_many_of_the_tags_were_looked_through(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = [replace(fact, tags={f"t{place}": "x" for place in range(6)}) for fact in scored(STRICT)]
    card = await card_of(store, tmp_path, facts)
    assert advice(card).endswith("Of its 6 tags, the 4 with most comparisons were checked for values that it hurts.")
    # An answer lists so many tags at most: there may be more.
    monkeypatch.setattr("sinks.budgets.TAGS", 6)
    card = await card_of(store, tmp_path, [])
    assert "Of its 6 or more tags, the 4 with most comparisons were checked" in advice(card)


async def test_a_threshold_at_the_border_of_noise_is_no_advice(store: Store, tmp_path: Path) -> None:
    # 0.40 aligns 82.5 % of 120: the 95 % interval begins at 74.7 %, the 99 % interval at 71.8 %. Now it is 74.2 %.
    groups = [Group(10, True, 0.4), Group(21, True, 0.1), Group(49, True, 0.9), Group(40, False, 0.2)]
    card = await card_of(store, tmp_path, list(scored(groups)))
    assert advice(card) == (
        "Read the 31 that people passed, and change the prompt: another threshold helps by no more than noise."
    )


async def test_a_threshold_that_only_perfect_scores_pass_is_no_advice(store: Store, tmp_path: Path) -> None:
    groups = [Group(20, True, 1.0), Group(5, True, 0.9), Group(60, False, 0.9)]
    page = await page_of(store, tmp_path, list(scored(groups)), "/queues/q")
    card = page.one(class_="finding")
    assert (
        advice(card)
        == advice(page.one("article"))
        == (
            "Read the 60 that people failed, and change the prompt or the metric: its scores do not separate what "
            "people pass from what they fail."
        )
    )
    assert "Try another threshold" not in card.words
    assert "Best threshold" not in page.one(id="whatif").words


async def test_a_trusted_metric_is_left_alone_on_card_and_matrix(store: Store, tmp_path: Path) -> None:
    # It errs only by failing what people pass, and seldom.
    results = [(True, True)] * 150 + [(True, False)] * 10 + [(False, False)] * 150
    page = await page_of(store, tmp_path, list(judged("q", "v1", NOW_MS, results)), "/queues/q")
    card = page.one(class_="finding")
    assert card.words.startswith("Too strict")
    assert (
        advice(card)
        == advice(page.one("article"))
        == ("Nothing to change. Label some items of each new judge version.")
    )


async def test_a_count_of_the_newest_version_names_it(store: Store, tmp_path: Path) -> None:
    facts = [*judged("q", "v1", NOW_MS - 9, GOOD), *judged("q", "v2", NOW_MS, BAD)]
    card = await card_of(store, tmp_path, facts)
    assert advice(card).startswith("Read the 60 of \u2068v2\u2069 that people passed, and change the prompt")


async def test_where_no_threshold_is_better_none_is_offered(store: Store, tmp_path: Path) -> None:
    card = await card_of(store, tmp_path, list(scored([Group(40, False, 0.9), Group(10, True, 0.9)])))
    assert advice(card).endswith("and change the prompt: no other threshold helps.")
    assert "Try another threshold" not in card.words


async def test_the_threshold_is_that_of_the_newest_version_and_so_is_its_chart(store: Store, tmp_path: Path) -> None:
    old = [Group(60, True, 0.9), Group(60, False, 0.1)]
    facts = [*scored(old, "v1", at=NOW_MS - 9), *scored(STRICT, "v2")]
    card = await card_of(store, tmp_path, facts)
    assert advice(card) == (
        "Lower the threshold from 0.50 to 0.40: alignment 55.6% becomes 100.0% on these 90 comparisons of "
        "\u2068v2\u2069."
    )
    chart = await page_of(store, tmp_path, [], card.one(class_="do").one("a").attributes["href"])
    (now,) = (row.words for row in chart.one(id="whatif").all("tbody")[0].all("tr") if row.one("th").words == "Now")
    assert "55.6%" in now


async def test_a_worse_version_is_to_be_left(store: Store, tmp_path: Path) -> None:
    facts = on_the_same_items([True] * 40, [True] * 34 + [False] * 6)
    card = await card_of(store, tmp_path, facts)
    assert advice(card) == (
        "Go back to judge version \u2068v1\u2069: on the 40 items that both judged it agrees with people on 100.0%, "
        "\u2068v2\u2069 on 85.0%."
    )
    link = card.one(class_="do").one("a").attributes["href"]
    table = (await page_of(store, tmp_path, [], link)).one(id="side-by-side").one("tbody")
    assert [row.all("td")[0].words[:6].strip() for row in table.all("tr")] == ["85.0%7", "100.0%"]


async def test_where_people_disagree_the_guideline_comes_first(store: Store, tmp_path: Path) -> None:
    facts = list(scored(STRICT))
    facts += [
        Annotation(at=NOW_MS, id="b", queue="q", item=fact.item, annotator="bob", thumbs="up" if n % 4 else "down")
        for n, fact in enumerate(facts)
        if isinstance(fact, Annotation)
    ]
    page = await page_of(store, tmp_path, facts, "/queues/q")
    lines = {advice(card) for card in [*page.all(class_="finding"), page.one("article")]}
    (line,) = lines
    assert line.startswith("Settle the guideline first: people disagree here. Two of them agree on ")


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        (BAD, "Read the 60 that people passed, and change the prompt."),
        (GOOD, "Nothing to change. Label some items of each new judge version."),
        (
            [(True, True)] * 10 + [(False, False)] * 10,
            "Label 10 more items: nothing can be told about it before that.",
        ),
        (
            [(True, True)] * 25 + [(True, False)] * 3 + [(False, False)] * 12 + [(False, True)] * 2,
            "Label 1 more item: if it keeps agreeing as often, its gate state improves.",
        ),
    ],
    ids=["no scores", "trusted", "few items", "on probation"],
)
async def test_a_matrix_states_what_to_do(
    store: Store, tmp_path: Path, results: list[tuple[bool, bool]], expected: str
) -> None:
    page = await page_of(store, tmp_path, list(judged("q", "v1", NOW_MS, results)), "/queues/q")
    assert advice(page.one("article")) == expected


async def test_a_large_queue_has_the_advice_in_its_slow_parts(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sinks.page.queue_page.LIGHT", 10)
    first = await page_of(store, tmp_path, list(scored(STRICT)), "/queues/q")
    assert "Do this" not in first.words
    # A refresh without the slow parts must leave those on the page.
    assert "data-lazy" in first.one(id="findings").attributes
    whole = await page_of(store, tmp_path, [], "/queues/q?more=1")
    assert "data-lazy" not in whole.one(id="findings").attributes
    assert advice(whole.one(class_="finding")).startswith("Lower the threshold")
