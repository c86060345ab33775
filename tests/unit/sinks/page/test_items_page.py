"""The items of a number: selection, order, pages, and files."""

import csv
import io
import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from aggregator.days import DAY_MS
from aggregator.facts import Annotation, Evaluation, Fact, QueueItem
from aggregator.policy import Policy
from aggregator.snapshot.inputs import CountingRules
from sinks import budgets
from sinks.api.services import Services
from sinks.budgets import ITEM_ROWS
from sinks.page.export import COLUMNS
from sinks.page.items_page import PAGE
from sinks.page.wording import isolated
from sinks.store.store import Store
from tests.support.html import Element, read
from tests.support.sample_view import NOW_MS, fill, view_of
from tests.unit.sinks.page.conftest import Get, connected


def shown(page: Element) -> list[str]:
    """The items of a page, in order."""
    heads = page.all("div", class_="item-head")
    return [head.one("h3").words for head in heads]


def case(name: str, *, stars: int | None, passed: bool, score: float = 0.5, at: int = NOW_MS - 9) -> list[Fact]:
    """One comparison; no stars are a thumb down."""
    thumbs = None if stars else "down"
    return [
        Annotation(at=at, id=name, queue="q", item=name, annotator=f"by {name}", stars=stars, thumbs=thumbs),  # type: ignore[arg-type]
        Evaluation(at=at, id=name, item=name, metric="m", judge="j1", score=score, threshold=0.5, passed=passed),
    ]


@pytest.fixture
def many(store: Store, tmp_path: object) -> Services:
    """A queue with more disagreements than one page shows."""
    facts: list[Fact] = []
    for number in range(PAGE + 3):
        facts += case(f"fp{number:02}", stars=2, passed=True, at=NOW_MS - 100 - number)
    facts += case("tp", stars=5, passed=True) + case("fn", stars=4, passed=False)
    fill(store, facts)
    return view_of(store, tmp_path)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("query", "items"),
    [
        ("", {"i1", "i2"}),
        ("?outcome=fn", {"i2"}),
        ("?outcome=tp,tn", {"i2", "i3"}),
        ("?outcome=tp,fn,tn,fp&criterion=tone", {"i3"}),
        ("?outcome=tp,fn,tn,fp&metric=toxicity", set()),
        ("?outcome=tp,fn,tn,fp&annotator=ann", {"i1"}),
        ("?outcome=tp,fn,tn,fp&judge=v2", {"i2"}),
        ("?outcome=tp,fn,tn,fp&level=span", set()),
        ("?outcome=tp,fn,tn,fp&window=7d", {"i1", "i2"}),
        ("?outcome=tp,fn,tn,fp&to=2026-11-23", {"i3"}),
        ("?outcome=tp,fn,tn,fp&from=2026-11-24&to=2026-11-24", {"i1", "i2"}),
        ("?outcome=tp,fn,tn,fp&from=2026-11-25", set()),
        ("?outcome=tp,fn,tn,fp&tag=plan:free", set()),
    ],
)
async def test_items_are_filtered(page: Get, query: str, items: set[str]) -> None:
    items_page = await page(f"/queues/support/items{query}")
    assert set(shown(items_page)) == items
    assert bool(items_page.all(class_="empty")) == (not items)


async def test_an_item_shows_annotations_before_the_evaluation(page: Get) -> None:
    items_page = await page("/queues/support/items?outcome=fp")
    (item,) = items_page.all("li", class_="item")
    assert item.one("blockquote").text == "rude"
    words = item.words
    order = ["i1", "ann: fail", "rude", "Disagrees with 1 of 1 metric", "relevance: pass", "0.900", "≥ 0.500"]
    assert [words.index(part) for part in order] == sorted(words.index(part) for part in order)
    assert f"Too lenient for {isolated('ann')} ({isolated('overall')})" in words
    assert "toxicity: error" in words
    addresses = [link.attributes["href"].partition("?")[0] for link in item.all("a")]
    assert addresses == ["/queues/support/items/i1", "https://t.test/trace/i1"]
    assert {time.words.split()[-1] for time in item.all("time")} == {"UTC"}


def rows_of(item: Element) -> dict[str, Element]:
    """The annotations and evaluations of an item, by criterion or metric."""
    return {(row.all(class_="tag") or row.all("bdi"))[0].words: row for row in item.all("div", class_="said")}


async def test_marks_are_of_the_chosen_criterion_and_metric_alone(store: Store, tmp_path: Path) -> None:
    facts: list[Fact] = [
        Annotation(at=NOW_MS, id="a", queue="q", item="i", criterion="truth", annotator="ann", thumbs="down"),
        Annotation(at=NOW_MS, id="b", queue="q", item="i", criterion="tone", annotator="bob", thumbs="up"),
        Evaluation(at=NOW_MS, id="e", item="i", metric="m", passed=True),
        Evaluation(at=NOW_MS, id="f", item="i", metric="n", passed=True),
    ]
    fill(store, facts)
    async with connected(view_of(store, tmp_path)) as client:
        path = "/queues/q/items?outcome=fp"
        answers = [await client.get(address) for address in (f"{path}&criterion=truth&metric=m", path)]
    chosen, every = (rows_of(read(answer.text).one("li", class_="item")) for answer in answers)
    marked = [{name: row.attributes["class"] for name, row in rows.items()} for rows in (chosen, every)]
    assert marked == [
        {"truth": "said odds", "tone": "said aside", "m": "said odds", "n": "said aside"},
        {"truth": "said odds", "tone": "said agrees", "m": "said odds", "n": "said odds"},
    ]
    assert "Disagrees with 1 of 1 metric" in chosen["truth"].words
    assert "Disagrees with 2 of 2 metrics" in every["truth"].words
    assert "agrees with" not in chosen["m"].words
    # It can still be read what the others state.
    assert f"Too lenient for {isolated('ann')} ({isolated('truth')})" in chosen["n"].words
    assert chosen["n"].all(class_="bad") == []
    assert chosen["m"].all(class_="bad") != []


async def test_a_majority_is_compared_by_its_median_rating(store: Store, tmp_path: Path) -> None:
    votes: list[Fact] = [
        Annotation(at=NOW_MS - at, id=f"{at}", queue="q", item="i", annotator=f"ann {at}", stars=stars)
        for at, stars in ((1, 5), (2, 1), (3, 1))
    ]
    fill(store, [*votes, Evaluation(at=NOW_MS - 9, id="e", item="i", metric="m", passed=True)], policy=Policy.MAJORITY)
    async with connected(view_of(store, tmp_path)) as client:
        (item,) = read((await client.get("/queues/q/items?outcome=fp")).text).all("li", class_="item")
        page = read((await client.get("/queues/q/items/i")).text).words
    assert "The median rating disagrees with 1 of 1 metric" in item.words
    assert "Too lenient for the median rating" in item.words
    assert "Strong disagreement" in item.words
    assert "the median of the ratings, 1 of 5 stars fails (pass from 3)" in page
    assert "by the policy majority, it is part of the comparison" in page


@pytest.mark.parametrize(
    ("value", "direction", "texts"),
    [
        (0.6999999999999998, "higher", ("0.6999999999999998", "0.7000000000000000")),
        (0.7004, "lower", ("0.7004", "0.7000")),
        (0.7, "higher", ("0.700", "0.700")),
        (9.2e124, "higher", ("9.2e124", "0.700")),
        (-5e-324, "higher", ("\u22124.941e\u2212324", "0.700")),
    ],
)
async def test_a_score_and_its_threshold_never_contradict_the_verdict(
    store: Store, tmp_path: object, value: float, direction: str, texts: tuple[str, str]
) -> None:
    passed = value >= 0.7 if direction == "higher" else value <= 0.7
    evaluation = Evaluation(
        at=NOW_MS, id="e", item="i", metric="m", score=value, threshold=0.7, direction=direction, passed=passed,  # type: ignore[arg-type]
    )  # fmt: skip
    fill(store, [Annotation(at=NOW_MS, id="a", queue="q", item="i", stars=5), evaluation])
    async with connected(view_of(store, tmp_path)) as client:  # type: ignore[arg-type]
        item = read((await client.get("/queues/q/items?outcome=tp,fn,tn,fp")).text).one("li", class_="item")
    sign = "\u2265" if direction == "higher" else "\u2264"
    assert f"m: {'pass' if passed else 'fail'} {texts[0]} threshold {sign} {texts[1]}" in item.words
    assert item.all("svg")[-1].attributes["aria-label"] == f"Score {texts[0]}, threshold {texts[1]}"


async def test_strong_dissent_comes_first_and_thumbs_stand_apart(store: Store, tmp_path: object) -> None:
    facts = [
        *case("thumb", stars=None, passed=True, score=0.9),
        *case("near", stars=2, passed=True, score=0.7),
        *case("near and sure", stars=2, passed=True, score=0.95),
        *case("far", stars=5, passed=False, score=0.4),
        *case("clear", stars=1, passed=True, score=0.51),
    ]
    fill(store, facts)
    async with connected(view_of(store, tmp_path)) as client:  # type: ignore[arg-type]
        orders = {
            sort: shown(read((await client.get(f"/queues/q/items?sort={sort}")).text))
            for sort in ("dissent", "threshold")
        }
        page = read((await client.get("/queues/q/items")).text)
    assert orders["dissent"] == ["far", "clear", "near and sure", "near", "thumb"]
    assert orders["threshold"] == ["clear", "far", "near", "thumb", "near and sure"]
    pips = [
        len([pip for pip in each.all("i") if pip.attributes.get("class") == "on"]) for each in page.all(class_="pips")
    ]
    assert pips == [3, 3, 1, 1]


async def test_pages_show_every_item_once(many: Services) -> None:
    async with connected(many) as client:
        path, seen, pages = "/queues/q/items", [], 0
        while path:
            page = read((await client.get(path)).text)
            seen += shown(page)
            pages += 1
            later = page.all("a", rel="next")
            path = later[0].attributes["href"] if later else ""
            assert f"of {PAGE + 4} items" in page.words
    assert pages == 2
    assert sorted(seen) == sorted([f"fp{number:02}" for number in range(PAGE + 3)] + ["fn"])


async def test_tabs_count_what_they_open(many: Services) -> None:
    async with connected(many) as client:
        page = read((await client.get("/queues/q/items")).text)
        for tab in page.one("nav", class_="tabs").all("a"):
            opened = read((await client.get(tab.attributes["href"])).text)
            number = tab.one("span").words
            comparisons = f"{number} comparison{'' if number == '1' else 's'}"
            assert comparisons in opened.one("nav", aria_label="Pages").words, tab.words


async def test_off_topic_pairs_show_to_those_who_name_them(store: Store, tmp_path: object) -> None:
    fill(store, case("i", stars=1, passed=True))
    services = view_of(store, tmp_path, CountingRules(criterion_metrics={"overall": ["other"]}))  # type: ignore[arg-type]
    async with connected(services) as client:
        for query, items in (("", []), ("?metric=m", []), ("?metric=m&criterion=overall", ["i"])):
            assert shown(read((await client.get(f"/queues/q/items{query}")).text)) == items
        tabs = read((await client.get("/queues/q/items")).text).one("nav", class_="tabs")
        folded = read((await client.get("/queues/q?criterion=overall")).text)
    assert {tab.one("span").words for tab in tabs.all("a")} == {"0"}
    (article,) = folded.all("article")
    above = article.parent
    while above is not None and above.tag != "details":
        above = above.parent
    assert above is not None, "off topic is folded away"
    assert "open" not in above.attributes


async def test_an_item_is_one_entry_with_all_that_is_stated_about_it(store: Store, tmp_path: object) -> None:
    facts: list[Fact] = [
        QueueItem(at=1, id="q", queue="q", item="i", input="Where is my refund?", output="Soon.", tags={"plan": "pro"}),
        Annotation(at=2, id="a", queue="q", item="i", annotator="ann", stars=5, explanation="Kind."),
        Annotation(at=3, id="b", queue="q", item="i", annotator="bob", stars=1, explanation="No date."),
        Annotation(at=4, id="c", queue="q", item="i", criterion="tone", annotator="ann", thumbs="up"),
        Annotation(at=5, id="d", queue="q", item="i", annotator="eve", deleted=True),
        *(
            Evaluation(at=9, id=f"e{number}", item="i", metric=f"m{number}", score=number / 8, threshold=0.5,
                       passed=number >= 4, reason=f"reason {number}")
            for number in range(8)
        ),
    ]  # fmt: skip
    fill(store, facts)
    async with connected(view_of(store, tmp_path)) as client:  # type: ignore[arg-type]
        (every,) = read((await client.get("/queues/q/items?outcome=tp,fn,tn,fp")).text).all("li", class_="item")
        (chosen,) = read((await client.get("/queues/q/items?metric=m1&criterion=overall")).text).all(
            "li", class_="item"
        )
    words = every.words
    for number in range(8):
        assert f"m{number}: {'pass' if number >= 4 else 'fail'}" in words
        assert f"reason {number}" in words
    for part in ("Where is my refund?", "Soon.", "plan: pro", "Kind.", "No date.", "ann: pass", "bob: fail", "tone"):
        assert part in words
    assert "eve" not in words
    plain = words.replace("\u2068", "").replace("\u2069", "")
    assert "Too strict for ann (overall), ann (tone), agrees with 1 annotation" in plain
    assert "Too lenient for bob (overall), agrees with 2 annotations" in plain
    folded = [each.one("summary").words for each in chosen.all("details", class_="twin")]
    assert folded == ["1 annotation of other criteria", "7 more metrics: 7 disagree"]
    assert sorted(tag.words for tag in every.one(class_="item-head").all(class_="tag")) == ["Trace", "plan: pro"]


async def test_long_texts_are_folded_and_cut_ones_link_to_the_whole(store: Store, tmp_path: object) -> None:
    texts = {"short": "x" * 480, "lines": "line\n" * 9, "long": "y" * 2_500}
    fill(
        store,
        [
            fact
            for name, text in texts.items()
            for fact in (
                Annotation(at=1, id=name, queue="q", item=name, stars=1, explanation=text),
                Evaluation(at=1, id=name, item=name, metric="m", passed=True),
            )
        ],
    )
    async with connected(view_of(store, tmp_path)) as client:  # type: ignore[arg-type]
        page = read((await client.get("/queues/q/items")).text)
    by_item = {item.one("h3").words: item for item in page.all("li", class_="item")}
    assert {name: len(item.all(class_="fold")) for name, item in by_item.items()} == {"short": 0, "lines": 1, "long": 1}
    assert by_item["lines"].one("blockquote").text.count("line") == 9
    quote = by_item["long"].one("blockquote")
    assert quote.text.count("y") == 2_000
    assert quote.one("a").attributes["href"].startswith("/queues/q/items/long?outcome=")


async def test_an_item_with_many_metrics_shows_some_of_them(store: Store, tmp_path: object) -> None:
    fill(
        store,
        [
            Annotation(at=1, id="a", queue="q", item="i", stars=1),
            *(Evaluation(at=1, id="e", item="i", metric=f"m{number:03}", passed=number < 80) for number in range(200)),
        ],
    )
    async with connected(view_of(store, tmp_path)) as client:  # type: ignore[arg-type]
        page = read((await client.get("/queues/q/items")).text)
    (item,) = page.all("li", class_="item")
    assert len(item.all(class_="said")) == 1 + 2 * ITEM_ROWS
    assert f"{200 - 2 * ITEM_ROWS} more metrics" in item.words


@pytest.mark.parametrize(
    ("query", "items"),
    [
        ("tag=plan:free", {"a", "c"}),
        ("tag=plan:pro", {"b"}),
        ("tag=language:en", {"c"}),
        ("tag=plan:fre", set()),
        ("tag=plan:free&judge=j1&level=trace&annotator=by%20a&from=2026-11-24&to=2026-11-24&window=7d", {"a"}),
    ],
)
async def test_page_exports_and_api_filter_alike(store: Store, tmp_path: object, query: str, items: set[str]) -> None:
    facts = [fact for name in "abc" for fact in case(name, stars=2, passed=True)]
    facts += [
        QueueItem(at=1, id="q", queue="q", item="a", tags={"plan": "free"}),
        QueueItem(at=1, id="q", queue="q", item="b", tags={"plan": "pro"}),
        QueueItem(at=1, id="q", queue="q", item="c", tags={"plan": "free", "language": "en"}),
    ]
    fill(store, facts)
    of_api = query.replace("from=2026-11-24&to=2026-11-24", "from=2026-11-24&to=2026-11-25")
    async with connected(view_of(store, tmp_path)) as client:  # type: ignore[arg-type]
        page = read((await client.get(f"/queues/q/items?{query}")).text)
        lines = (await client.get(f"/queues/q/items.jsonl?{query}")).text.splitlines()
        answer = (await client.get(f"/api/v1/queues/q/comparisons?{of_api}")).json()
        for tab in page.one("nav", class_="tabs").all("a"):
            again = read((await client.get(tab.attributes["href"])).text)
            assert set(shown(again)) in (items, set()), "a tab keeps the filters"
            number = tab.one("span").words
            assert f"{number} comparison{'' if number == '1' else 's'}" in again.one("nav", aria_label="Pages").words
    assert set(shown(page)) == items
    assert {json.loads(line)["item"] for line in lines} == items
    assert {row["item"] for row in answer["comparisons"]} == items


@pytest.mark.parametrize(
    "query", ["tag=plan", "tag=:x", "tag=Plan:x", "from=yesterday", "to=2026-02-30", "level=row", "from=1969-12-31"]
)
async def test_a_filter_that_is_no_filter_is_named(services: Services, query: str) -> None:
    async with connected(services) as client:
        answer = await client.get(f"/queues/support/items?{query}")
    assert answer.status_code == 400
    assert f"{query.partition('=')[0].capitalize()}: " in answer.text


async def test_a_tag_of_an_item_opens_the_items_with_it(store: Store, tmp_path: object) -> None:
    facts = [*case("a", stars=2, passed=True), *case("b", stars=2, passed=True)]
    fill(store, [*facts, QueueItem(at=1, id="q", queue="q", item="a", tags={"plan": "a:b c"})])
    async with connected(view_of(store, tmp_path)) as client:  # type: ignore[arg-type]
        (tag,) = (link for link in read((await client.get("/queues/q/items")).text).all("a", class_="tag"))
        assert shown(read((await client.get(tag.attributes["href"])).text)) == ["a"]


# ---- files


async def test_json_lines_are_the_rows_of_the_api(many: Services) -> None:
    async with connected(many) as client:
        rows = (await client.get("/api/v1/queues/q/comparisons?outcome=fp,fn&limit=500")).json()["comparisons"]
        answer = await client.get("/queues/q/items.jsonl?page=2&sort=dissent")
    assert [json.loads(line) for line in answer.text.splitlines()] == rows
    assert len(rows) == PAGE + 4
    assert answer.headers["content-disposition"].startswith('attachment; filename="comparisons-q-2026-11-24.jsonl"')


async def test_csv_has_every_row_and_runs_nothing(store: Store, tmp_path: object) -> None:
    formulas = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", " =1", "\uff1d1", "\u200b\u00a0=1", 'plain, "quoted"\nline']
    facts: list[Fact] = []
    for number, text in enumerate(formulas):
        at = NOW_MS - 10 - number
        facts += [
            Annotation(
                at=at, id=f"a{number}", queue="q", item=f"i{number}", stars=1, explanation=text, tags={"plan": "=1"}
            ),
            QueueItem(at=at, id=f"q{number}", queue="q", item=f"i{number}", input=text),
            Evaluation(at=at, id=f"e{number}", item=f"i{number}", metric="m", score=-0.5, passed=True),
        ]
    fill(store, facts)
    async with connected(view_of(store, tmp_path)) as client:  # type: ignore[arg-type]
        answer = await client.get("/queues/q/items.csv")
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert tuple(rows[0]) == COLUMNS
    assert [row["explanation"] for row in rows] == [f"'{text}" for text in formulas[:-1]] + formulas[-1:]
    assert [row["input"] for row in rows] == [row["explanation"] for row in rows]
    assert ({row["score"] for row in rows}, {row["tags"] for row in rows}) == ({"-0.5"}, {'{"plan":"=1"}'})
    assert rows[0]["annotated_at"].startswith("2026-11-24T11:59:59.990")


@pytest.mark.parametrize(
    ("query", "start", "item"), [("", "", "'-i"), ("?bom=1", "\ufeff", "'-i"), ("?raw=1", "", "-i")]
)
async def test_csv_has_a_byte_order_mark_or_exact_cells_when_asked(
    store: Store, tmp_path: object, query: str, start: str, item: str
) -> None:
    fill(store, case("-i", stars=1, passed=True))
    async with connected(view_of(store, tmp_path)) as client:  # type: ignore[arg-type]
        text = (await client.get(f"/queues/q/items.csv{query}")).content.decode()
        exact = json.loads((await client.get("/queues/q/items.jsonl")).text)
    assert text.startswith(f'{start}"queue","item",')
    (row,) = csv.DictReader(io.StringIO(text.removeprefix(start), newline=""))
    assert (row["queue"], row["item"]) == ("q", item)
    assert exact["item"] == "-i"


async def test_the_export_button_asks_for_a_byte_order_mark(page: Get) -> None:
    (button,) = (link for link in (await page("/queues/support/items")).all("a") if link.words == "Export CSV")
    assert "bom=1" in button.attributes["href"]


async def test_a_criterion_with_a_pass_limit_of_its_own_names_it(store: Store, tmp_path: Path) -> None:
    facts = [fact for criterion in ("tone", "overall") for fact in case(criterion, stars=4, passed=True)]
    facts = [replace(fact, criterion=fact.item) if isinstance(fact, Annotation) else fact for fact in facts]
    fill(store, facts)
    async with connected(view_of(store, tmp_path, CountingRules(pass_stars_by_criterion={"tone": 5}))) as client:
        pages = {
            criterion: read((await client.get(f"/queues/q?criterion={criterion}")).text).words
            for criterion in ("tone", "overall")
        }
        items = read((await client.get("/queues/q/items")).text)
    assert "5 stars or more, as set for tone" in pages["tone"]
    assert "3 stars or more. " in pages["overall"]
    assert shown(items) == ["tone"]
    assert "Borderline" in items.words


async def test_a_list_with_too_many_comparisons_has_the_newest_and_leads_to_the_others(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three items of each day, all annotated at the same time, as an import without times has them."""
    facts: list[Fact] = []
    for day in range(3):
        for number in range(3):
            facts += case(f"d{day}-{number}", stars=2, passed=True, at=NOW_MS - day * DAY_MS)
    fill(store, facts)
    monkeypatch.setattr(budgets, "LISTED_COMPARISONS", 8)
    seen: list[list[str]] = []
    address = "/queues/q/items?sort=newest"
    async with connected(view_of(store, tmp_path)) as client:
        while address:
            page = read((await client.get(address)).text)
            seen.append(shown(page))
            notes = page.all("p", data_key="newest-only")
            links = [link for note in notes for link in note.all("a")]
            assert len(notes) == (len(seen) < 3)
            address = links[0].attributes["href"] if links else ""
        exported = (await client.get("/queues/q/items.jsonl")).text.splitlines()
    assert seen == [
        ["d0-2", "d0-1", "d0-0", "d1-2"],
        ["d1-2", "d1-1", "d1-0", "d2-2"],
        ["d2-2", "d2-1", "d2-0"],
    ]
    assert len(exported) == 9
