"""The choice of a judge version on a queue's page: its numbers are those of the API, and its links keep the choice."""

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from aggregator.facts import Annotation, Evaluation, Fact
from sinks.api.services import Services
from sinks.store.store import Store
from tests.support.html import Element, read
from tests.support.sample_view import NOW_MS, fill, view_of
from tests.unit.sinks.page.conftest import connected
from tests.unit.sinks.page.test_deep_dive import cells, percent


def choices(page: Element) -> list[tuple[str, bool]]:
    """The options of the selector, and whether each is selected."""
    return [
        (option.attributes["value"], "selected" in option.attributes)
        for option in page.one("select", id="judge").all("option")
    ]


async def test_the_page_of_a_version_is_its_document(lively: Services) -> None:
    async with connected(lively) as client:
        base, pair = "/api/v1/queues/q", "criterion=overall&metric=fair&judge=v1"
        whole = (await client.get(base)).json()
        document = (await client.get(f"{base}?judge=v1")).json()
        trend = (await client.get(f"{base}/trend?{pair}")).json()
        what_if = (await client.get(f"{base}/what-if?{pair}")).json()
        page = read((await client.get("/queues/q?judge=v1&trend=fair&depth=fair")).text)
        # The answers of a version and those of all of them have places of their own in the cache.
        everything = read((await client.get("/queues/q?trend=fair&depth=fair")).text)
        again = read((await client.get("/queues/q?judge=v1&trend=fair&depth=fair")).text)

    assert 0 < document["cards"]["comparisons"] < whole["cards"]["comparisons"]
    for shown, expected in ((page, document), (everything, whole), (again, document)):
        assert shown.all(data_value="comparisons")[0].words == str(expected["cards"]["comparisons"])
        assert shown.all(data_value="alignment")[0].words == percent(expected["cards"]["alignment"])
    assert [row[:3] for row in cells(page.one(id="trend"))] == [
        [percent(day["alignment"]), f"{100 * day['low']:.1f} to {100 * day['high']:.1f}%", str(day["n"])]
        for day in reversed(trend["days"])
    ]
    assert 0 < len(trend["days"]) < len(cells(everything.one(id="trend")))
    assert [row[:4] for row in cells(page.one("table", data_sweep=""))] == [
        [str(cut[name]) for name in ("tp", "fn", "fp", "tn")] for cut in what_if["grid"]
    ]
    assert choices(page) == [("", False), ("v2", False), ("v1", True)]
    assert choices(everything) == [("", False), ("v2", False), ("v1", False)]


async def test_links_and_forms_keep_the_version(lively: Services) -> None:
    async with connected(lively) as client:
        page = read((await client.get("/queues/q?judge=v1")).text)
        links = {link.attributes["href"] for link in page.all("a") if "href" in link.attributes}
        items = [link for link in links if urlsplit(link).path in ("/queues/q/items", "/queues/q/items.jsonl")]
        cell = next(link for link in items if parse_qs(urlsplit(link).query)["outcome"] == ["fp"])
        (metric,) = parse_qs(urlsplit(cell).query)["metric"]
        listed = (
            await client.get(f"/api/v1/queues/q/comparisons?metric={metric}&outcome=fp&judge=v1&limit=200")
        ).json()
        document = (await client.get("/api/v1/queues/q?judge=v1")).json()
    assert items
    assert {tuple(parse_qs(urlsplit(link).query)["judge"]) for link in items} == {("v1",)}
    (number,) = (m["fp"] for m in document["criteria"][0]["metrics"] if m["metric"] == metric)
    assert len(listed["comparisons"]) == number > 0
    hidden = [field.attributes for field in page.all("input") if field.attributes.get("type") == "hidden"]
    assert sum((field["name"], field["value"]) == ("judge", "v1") for field in hidden) >= 2
    files = [link for link in links if "/files/" in link]
    assert files
    assert all("judge=v1" in link for link in files)


async def test_what_is_not_counted_by_version_is_not_shown(lively: Services) -> None:
    async with connected(lively) as client:
        page = read((await client.get("/queues/q?judge=v1&by=publication")).text)
        whole = read((await client.get("/queues/q")).text)
    for name in ("items_queued", "items_waiting_evaluation"):
        assert (len(page.all(data_value=name)), len(whole.all(data_value=name))) == (0, 1)
    assert "By publication day" not in page.one(id="trend").words
    assert "by day of annotation" in page.one(id="trend").words
    assert page.one(data_key="of-judge").words.startswith("Judge version v1 alone")
    assert not whole.all(data_key="of-judge")


async def test_an_unknown_version_has_no_comparisons(lively: Services) -> None:
    async with connected(lively) as client:
        page = read((await client.get("/queues/q?judge=v%3C9")).text)
        answer = (await client.get("/api/v1/queues/q?judge=v%3C9")).json()
    assert "This window has no comparison with judge version v<9." in page.words
    assert choices(page)[-1] == ("v<9", True)
    assert (answer["judge"], answer["cards"]["comparisons"]) == ("v<9", 0)


async def test_a_criterion_without_versions_has_no_selector(lively: Services) -> None:
    async with connected(lively) as client:
        tree = read((await client.get("/queues/q?criterion=nothing")).text)
    assert not tree.all("select", id="judge")


def judged_again(again: int) -> list[Fact]:
    """40 items that v1 judged, of which v2 judged some again; people agree with v2 and mostly with v1."""
    facts: list[Fact] = []
    for number in range(40):
        item, passed = f"i{number}", number % 2 == 0
        facts.append(Annotation(at=NOW_MS, id="a", queue="q", item=item, thumbs="up" if passed else "down"))
        wrong = number < 3
        facts.append(Evaluation(at=NOW_MS, id="e", item=item, metric="m", judge="v1", passed=passed != wrong))
        if number < again:
            facts.append(Evaluation(at=NOW_MS + 1, id="f", item=item, metric="m", judge="v2", passed=passed))
    return facts


async def test_a_version_whose_items_were_judged_again_says_so(store: Store, tmp_path: Path) -> None:
    fill(store, judged_again(40))
    async with connected(view_of(store, tmp_path)) as client:
        page = read((await client.get("/queues/q?judge=v1")).text)
        (link,) = page.one(data_key="superseded").all("a")
        target = read((await client.get(link.attributes["href"])).text)
    assert page.one(data_key="superseded").words.replace("\u2068", "").replace("\u2069", "") == (
        "Judged again All 40 comparisons of v1 are not counted here: v2 judged their items again, and an item counts "
        "for the version that judged it last. Compare the versions"
    )
    assert not page.all(class_="finding")
    assert "Agrees with people" not in page.words
    assert " yet" not in page.one("main").words
    assert target.one("select", id="judge").all("option", selected="") == []
    sides = [row.one("th").words for row in target.one(id="side-by-side").one("tbody").all("tr")]
    assert sides == ["m, v2", "m, v1"]


async def test_the_cards_of_a_chosen_version_count_its_current_verdicts(store: Store, tmp_path: Path) -> None:
    fill(store, judged_again(2))
    async with connected(view_of(store, tmp_path)) as client:
        page = read((await client.get("/queues/q?judge=v1")).text)
        (card,) = page.all(class_="finding")
        actions = card.one(class_="actions").all("a")
        items = read((await client.get(actions[0].attributes["href"])).text)
    assert "2 of the 40 comparisons of \u2068v1\u2069 are not counted here: \u2068v2\u2069 judged their items" in (
        page.one(data_key="superseded").words
    )
    assert actions[0].words == "Read 1 disagreement"
    assert "Agrees with people on 97.4%" in card.words
    assert len(items.all(class_="item")) == 1


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("?judge=", "judge: empty; leave it out for its default"),
        ("/what-if?criterion=overall&metric=fair&judge=", "judge: empty; leave it out for its default"),
        ("/trend?by=publication&judge=v1", "judge: not counted by publication; use by=annotation"),
    ],
)
async def test_the_api_names_a_wrong_judge(lively: Services, query: str, detail: str) -> None:
    async with connected(lively) as client:
        answer = await client.get(f"/api/v1/queues/q{query}")
    assert (answer.status_code, answer.json()["detail"]) == (400, detail)
