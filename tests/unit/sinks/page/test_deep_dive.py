"""Parts of the page that read rows: they show the results of the API."""

import re
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest

from aggregator.days import DAY_MS, Window, date_of
from aggregator.facts import Annotation, Evaluation, Fact
from aggregator.snapshot.inputs import CountingRules
from sinks.api.services import Services
from sinks.page.charts import SPARK_DAYS, spark
from sinks.page.deep_dive import LIGHT, AnswerCache
from sinks.queries.days import DayCells, day_cells, recent_cells, weekly_alignment
from sinks.queries.scope import Scope
from sinks.store.store import Store
from tests.support.html import Element, read
from tests.support.sample_view import NOW_MS, fill, view_of
from tests.unit.sinks.page.conftest import connected


def cells(part: Element) -> list[list[str]]:
    """The cells of the only table in a part, without its heads."""
    return [[cell.words for cell in row.all("td")] for row in part.one("tbody").all("tr")]


def interval(low: float, high: float) -> str:
    return f"{100 * low:.1f} to {100 * high:.1f}%"


def percent(share: float) -> str:
    return f"{100 * share:.1f}%"


async def test_slow_parts_of_the_page_equal_the_api(lively: Services) -> None:
    async with connected(lively) as client:
        base = "/api/v1/queues/q"
        pair = "criterion=overall&metric=fair"
        ceiling = (await client.get(f"{base}/ceiling?criterion=overall")).json()
        trend = (await client.get(f"{base}/trend?{pair}")).json()
        what_if = (await client.get(f"{base}/what-if?{pair}")).json()
        versions = (await client.get(f"{base}/versions?{pair}")).json()
        corrected = (await client.get(f"{base}/corrected?{pair}")).json()
        page = read((await client.get("/queues/q?trend=fair&depth=fair&cut=3")).text)

    assert page.one(data_value="agreement").words == percent(ceiling["agreement"])
    rows = page.one(id="ceiling").all("tr", class_="tight")
    headroom = {row.one("th").words: row.all("td")[1].words for row in rows}
    assert headroom == {metric["metric"]: f"{100 * metric['headroom']:.1f} pts" for metric in ceiling["metrics"]}

    assert len(trend["days"]) == 20
    assert [row[:6] for row in cells(page.one(id="trend"))] == [
        [
            percent(day["alignment"]),
            interval(day["low"], day["high"]),
            str(day["n"]),
            str(day["n"] - day["k"]),
            percent(day["week"]["alignment"]),
            interval(day["week"]["low"], day["week"]["high"]),
        ]
        for day in reversed(trend["days"])
    ]
    (mark,), (change,) = page.one(class_="events").all("li"), trend["epochs"]
    assert change["change"] == "unclear"
    assert f": no clear change (p = {change['p_value']:.3f})" in mark.words
    assert mark.one("b", class_="undecided").words == "no clear change"

    grid = [
        [*(str(cut[name]) for name in ("tp", "fn", "fp", "tn")), percent(cut["alignment"])] for cut in what_if["grid"]
    ]
    assert [row[:5] for row in cells(page.one("table", data_sweep=""))] == grid
    tried = [cell.words for cell in page.one("tr", data_row="").all("td")]
    assert tried[1:4] == [grid[3][2], grid[3][1], grid[3][4]]

    assert [row[6:] for row in cells(page.one("table", data_sweep=""))] == [
        [percent(cut["tpr"]), percent(cut["fpr"])] for cut in what_if["grid"]
    ]

    shown = [row.one("b").words for row in page.one(id="versions").one("tbody").all("tr")]
    assert shown == [percent(version["alignment"]) for version in versions["versions"]]
    assert len(shown) == 2
    assert f"p = {versions['tests'][0]['p_value']:.3f}" in page.one(id="versions").words
    people = [row[1] for row in cells(page.one(id="corrected"))]
    assert people == [percent(judge["corrected"]) for judge in corrected["judges"]]


@pytest.mark.parametrize(("days", "pattern"), [(400, r"\d+ \w{3} 20\d\d"), (40, r"\d+ \w{3}")])
async def test_days_have_their_year_where_several_years_are_shown(
    store: Store, tmp_path: Path, days: int, pattern: str
) -> None:
    facts: list[Fact] = []
    for number, at in enumerate((NOW_MS - days * DAY_MS, NOW_MS)):
        facts.append(Annotation(at=at, id=f"a{number}", queue="q", item=f"i{number}", stars=5))
        facts.append(Evaluation(at=at, id=f"e{number}", item=f"i{number}", metric="m", judge=f"v{number}", passed=True))
    fill(store, facts)
    async with connected(view_of(store, tmp_path)) as client:
        page = read((await client.get("/queues/q")).text)
    trend, versions = page.one(id="trend"), page.one(id="versions")
    shown = [row.one("th").words for row in trend.one("tbody").all("tr")]
    shown += [tick.words for tick in trend.all("text") if tick.attributes.get("y") == "246"]
    shown += [title.words.split(":")[0] for title in trend.all("title")]
    shown += [note.words.removeprefix("since ") for note in versions.all("span") if note.words.startswith("since")]
    assert len(shown) >= 8
    assert [text for text in shown if not re.fullmatch(pattern, text)] == []


@pytest.mark.parametrize(("right", "word"), [(5, "worse"), (39, "better")])
async def test_a_new_version_is_called_better_or_worse_where_it_is(
    store: Store, tmp_path: Path, right: int, word: str
) -> None:
    """v1 agrees with people on 20 of 40 items; v2 on `right` of 40 that people annotated later."""
    facts: list[Fact] = []
    for judge, agreed, day in (("v1", 20, 3), ("v2", right, 1)):
        for number in range(40):
            item, at = f"{judge}-{number}", NOW_MS - day * DAY_MS
            facts.append(Annotation(at=at, id=item, queue="q", item=item, stars=5))
            facts.append(Evaluation(at=at, id=item, item=item, metric="m", judge=judge, passed=number < agreed))
    fill(store, facts)
    async with connected(view_of(store, tmp_path)) as client:
        (mark,) = read((await client.get("/queues/q")).text).one(class_="events").all("li")
    assert mark.one("b", class_="trusted" if word == "better" else "untrusted").words == word


async def test_one_absurd_score_does_not_hide_the_others(store: Store, tmp_path: Path) -> None:
    facts: list[Fact] = []
    for number, score in enumerate((-3.0, 0.5, 12.0, 85.0, 90.0, 95.0, 9.2e124)):
        item, passed = f"i{number}", score >= 50
        facts.append(Annotation(at=NOW_MS, id=f"a{number}", queue="q", item=item, stars=5 if passed else 1))
        facts.append(
            Evaluation(at=NOW_MS, id=f"e{number}", item=item, metric="m", score=score, threshold=50, passed=passed)
        )
    fill(store, facts)
    async with connected(view_of(store, tmp_path)) as client:
        what_if = read((await client.get("/queues/q")).text).one(id="whatif")
    assert (
        "Scores from \u22123.00 to 95.00 by human result"
        in what_if.one("div", class_="hist").one("svg", role="img").attributes["aria-label"]
    )
    assert "1 score far from the others is beyond this range" in what_if.words
    assert "92000" not in what_if.words


async def test_a_stated_cost_has_its_own_best_cut(lively: Services) -> None:
    async with connected(lively) as client:
        pair = "criterion=overall&metric=strict"
        reply = (await client.get(f"/api/v1/queues/q/what-if?{pair}&cost=7.5")).json()
        page = read((await client.get("/queues/q?depth=strict&cost=7.5")).text)
        plain = read((await client.get("/queues/q?depth=strict&cost=")).text)
        refused = await client.get("/queues/q?cost=-1")
    field = page.one("input", id="cost")
    assert field.attributes["value"] == "7.5"
    rows = {row.one("th").words: [cell.words for cell in row.all("td")] for row in page.one(id="whatif").all("tr")[1:6]}
    best = reply["best_cost"]
    assert best != reply["best_alignment"]
    assert rows["Lowest cost"][1:4] == [str(best["fp"]), str(best["fn"]), percent(best["alignment"])]
    assert "Lowest cost" not in plain.one(id="whatif").words
    assert refused.status_code == 400
    kept = [each.attributes["value"] for each in page.one(id="trend").all("input") if each.attributes["name"] == "cost"]
    assert kept == ["7.5"], "the other forms keep it"


async def test_the_roc_goes_through_every_cut(lively: Services) -> None:
    async with connected(lively) as client:
        reply = (await client.get("/api/v1/queues/q/what-if?criterion=overall&metric=fair")).json()
        page = read((await client.get("/queues/q?depth=fair")).text)
    (curve,) = page.one(id="whatif").all("path", class_="m-roc")
    points = [tuple(map(float, place.split())) for place in re.findall(r"[\d.]+ [\d.]+", curve.attributes["d"])]
    assert (points[0], points[-1]) == ((0, 100), (100, 0))
    assert points == sorted(points, key=lambda point: (point[0], -point[1]))
    assert set(points) == {(round(100 * cut["fpr"], 1), round(100 - 100 * cut["tpr"], 1)) for cut in reply["sweep"]}
    area = sum((b[0] - a[0]) * (200 - a[1] - b[1]) / 2 for a, b in pairwise(points)) / 10_000
    assert area == pytest.approx(reply["auc"], abs=0.01)


async def test_a_page_starts_with_the_metric_that_disagrees_most(lively: Services) -> None:
    async with connected(lively) as client:
        page = read((await client.get("/queues/q")).text)
        published = read((await client.get("/queues/q?by=publication")).text)
    assert page.one("h3", id="wi-h").words.endswith("strict")
    assert any("Too strict" in finding.words for finding in page.all(class_="finding"))
    assert "No snapshot was published" in published.one(id="trend").words


async def test_slow_parts_of_a_large_queue_wait_to_be_asked_for(
    lively: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sinks.page.queue_page.LIGHT", 10)
    assert LIGHT > 10
    async with connected(lively) as client:
        page = read((await client.get("/queues/q")).text)
        assert page.all(id="trend") == page.all(id="whatif") == []
        (link,) = page.one(id="more").all("a")
        more = read((await client.get(link.attributes["href"].partition("#")[0])).text)
    assert (len(more.all(id="trend")), len(more.all(id="whatif"))) == (1, 1)
    # Cards about judge versions are slow parts: the script keeps those that it has until it has asked again.
    assert "data-lazy" in page.one(id="findings").attributes
    assert "data-lazy" not in more.one(id="findings").attributes


def test_results_are_cached_and_the_oldest_are_dropped() -> None:
    cache, calls = AnswerCache(), []

    def make(number: int) -> int:
        calls.append(number)
        return number

    for number in (*range(300), 299, 0):
        assert cache.get((number,), lambda number=number: make(number)) == number  # type: ignore[misc]
    assert calls == [*range(300), 0]


def test_a_spark_needs_five_days() -> None:
    weeks = {f"2026-11-{day:02}": day / 20 for day in range(1, 6)}
    line = spark(weeks)
    assert line is not None
    assert (line.first, line.last) == (1 / 20, 5 / 20)
    del weeks["2026-11-03"]
    assert spark(weeks) is None
    assert spark({}) is None


def test_alignment_of_a_week_pools_its_comparisons() -> None:
    cells = [
        DayCells("c", "m", day, [0, 0, fails, passes, *[0] * 10])
        for day, passes, fails in (("2026-11-01", 2, 0), ("2026-11-02", 1, 2), ("2026-11-08", 0, 1))
    ]
    scope = Scope("q", Window.ALL, date(2026, 11, 8), CountingRules())
    weeks = {"2026-11-01": 1, "2026-11-02": 3 / 5, "2026-11-08": 1 / 4}
    assert weekly_alignment(cells, scope, days=30) == weekly_alignment(cells, scope, days=8) == weeks
    # The last days, with weeks that begin before them; a day without comparisons is not the last.
    assert weekly_alignment(cells, scope, days=7) == {day: weeks[day] for day in ("2026-11-02", "2026-11-08")}
    cells.append(DayCells("c", "m", "2026-11-20", [0] * 14))
    assert weekly_alignment(cells, scope, days=1) == {"2026-11-08": 1 / 4}
    assert weekly_alignment([], scope, days=30) == {}


def test_the_cells_of_the_last_days_are_enough_for_a_spark_and_too_many_are_none(store: Store) -> None:
    facts: list[Fact] = []
    for number in range(60):
        at = NOW_MS - number * DAY_MS
        facts += [
            Annotation(at=at, id="a", queue="q", item=f"i{number}", thumbs="up"),
            Evaluation(at=at, id="e", item=f"i{number}", metric="m", passed=number % 3 > 0),
        ]
    fill(store, facts)
    scope = Scope("q", Window.ALL, date_of(NOW_MS), CountingRules())
    with store.read() as connection:
        every = recent_cells(connection, scope, SPARK_DAYS, 60)
        recent = recent_cells(connection, scope, SPARK_DAYS, 59)
        assert recent_cells(connection, scope, SPARK_DAYS, SPARK_DAYS) is None
    assert every is not None
    assert recent is not None
    assert (len(every), len(recent)) == (60, SPARK_DAYS + 6)
    weeks = [weekly_alignment(day_cells(cells, scope), scope, SPARK_DAYS) for cells in (every, recent)]
    assert len(weeks[0]) == SPARK_DAYS
    assert weeks[0] == weeks[1]
