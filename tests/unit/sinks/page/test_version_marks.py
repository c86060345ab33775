"""A new judge version is seen in the chart of alignment over time, in the words and colours of the cards."""

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.days import DAY_MS
from aggregator.facts import Annotation, Evaluation, Fact
from sinks.page.charts import history
from sinks.page.version_marks import VersionMark, version_flags
from sinks.queries.results import Agreed, JudgeChange, Trend, TrendDay
from sinks.store.store import Store
from tests.support.html import Element, read
from tests.support.sample_view import NOW_MS, fill, view_of
from tests.unit.sinks.page.conftest import connected

WORDS = {"worse": "untrusted", "better": "trusted", "no clear change": "undecided"}


def versions(
    second: Sequence[bool], metric: str = "m", judges: tuple[str, str] = ("p1", "p2"), ago: int = 10
) -> list[Fact]:
    """Items of 20 days until yesterday that people pass. The first version is right on all, the second as stated; it
    came so many days ago.
    """
    facts: list[Fact] = []
    for number, right in enumerate(second):
        at, item = NOW_MS - (20 - number % 20) * DAY_MS, f"i{number}"
        facts.append(Annotation(at=at, id=f"a{number}", queue="q", item=item, thumbs="up"))
        for judge, passed, since in zip(judges, (True, right), (20, ago), strict=True):
            facts.append(
                Evaluation(
                    at=max(at, NOW_MS - since * DAY_MS) + number, id=f"{metric}{judge}{number}", item=item,
                    metric=metric, judge=judge, passed=passed,
                )
            )  # fmt: skip
    return facts


async def page_of(store: Store, tmp_path: Path, facts: list[Fact], path: str) -> str:
    fill(store, facts)
    async with connected(view_of(store, tmp_path)) as client:
        answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.text


def texts(chart: Element) -> list[str]:
    return [text.words for text in chart.all("text")]


@pytest.mark.parametrize(
    ("second", "words"),
    [([True] * 20 + [False] * 40, "worse"), ([True] * 60, "no clear change")],
)
async def test_the_chart_has_the_words_and_the_colour_of_the_result(
    store: Store, tmp_path: Path, second: list[bool], words: str
) -> None:
    page = read(await page_of(store, tmp_path, versions(second), "/queues/q"))
    trend = page.one(id="trend")
    chart = trend.one("svg", class_="chart")
    (flag,) = chart.all("svg", class_=WORDS[words])
    assert [text.words for text in flag.all("text")] == ["1", words]
    assert flag.one("title").words.startswith("14 Nov: m, judge version p2 after p1: 100.0% before,")
    assert f"after, {words} (p " in chart.attributes["aria-label"]
    (entry,) = trend.one(class_="events").all("li")
    assert entry.one(class_="disc").attributes["class"] == f"disc {WORDS[words]}"
    assert entry.one("b", class_="mark").words == words
    (row,) = [row for row in trend.one("tbody").all("tr") if row.all("b", class_="mark")]
    assert (row.one("th").words, row.one("b", class_="mark").words) == ("14 Nov", words)
    # A card states the same, and only then.
    heads = [card.words.split("?")[0] for card in page.all(class_="finding")]
    assert any(head.startswith("New version worse") for head in heads) == (words == "worse")


async def test_card_and_chart_agree_where_few_items_were_judged_by_both(store: Store, tmp_path: Path) -> None:
    """p2 is wrong on 8 of 10 items that p1 had right, and right on 40 others: by those it would not be worse."""
    facts = versions([True] * 2 + [False] * 8)
    for number in range(40):
        item = f"other{number}"
        facts.append(Annotation(at=NOW_MS - DAY_MS, id="a", queue="q", item=item, thumbs="up"))
        facts.append(Evaluation(at=NOW_MS - DAY_MS, id="e", item=item, metric="m", judge="p2", passed=True))
    page = read(await page_of(store, tmp_path, facts, "/queues/q"))
    card, mark = page.all(class_="finding")[0], page.one(id="trend").one(class_="events").one("li")
    assert card.one(class_="kind").words.startswith("New version worse")
    assert mark.one("b", class_="mark").words == "worse"
    assert "p = 0.008" in mark.words


async def test_the_card_leads_to_the_chart_of_its_metric_with_a_level_for_each_version(
    store: Store, tmp_path: Path
) -> None:
    page = read(await page_of(store, tmp_path, versions([True] * 20 + [False] * 40), "/queues/q"))
    assert page.one(id="trend").all(class_="m-level") == []
    (link,) = (link for link in page.all(class_="finding")[0].all("a") if link.words == "See it over time")
    assert link.attributes["href"] == "/queues/q?criterion=overall&trend=m#trend"
    chart = read(await page_of(store, tmp_path, [], link.attributes["href"])).one(id="trend").one("svg", class_="chart")
    first, second = (level.one(class_="m-level").attributes for level in chart.all("g") if level.all("line"))
    assert (first["x2"], second["x2"]) == (second["x1"], "100.0%")
    # Below is worse.
    assert float(first["y1"]) < float(second["y1"])
    assert "p1 100.0%" in texts(chart)
    assert "p2 33.3%" in texts(chart)


async def test_every_metric_in_the_list_leads_to_its_own_chart(store: Store, tmp_path: Path) -> None:
    facts = versions([True] * 20 + [False] * 40) + versions([True] * 60, "n")
    trend = read(await page_of(store, tmp_path, facts, "/queues/q")).one(id="trend")
    links = [entry.one("a").attributes["href"] for entry in trend.one(class_="events").all("li")]
    assert links == [f"/queues/q?criterion=overall&trend={name}#trend" for name in ("m", "n")]
    # Both came on the same day: they share a flag, in the colour of the worse one.
    (flag,) = trend.one("svg", class_="chart").all("svg", class_="untrusted")
    assert [text.words for text in flag.all("text")] == ["1–2", "worse"]  # noqa: RUF001 -- a range
    own = read(await page_of(store, tmp_path, [], links[0])).one(id="trend")
    assert own.one(class_="events").all("a") == []


async def test_a_version_that_came_after_the_last_annotation_is_in_the_chart(store: Store, tmp_path: Path) -> None:
    facts = versions([True] * 20 + [False] * 40, ago=0)
    trend = read(await page_of(store, tmp_path, facts, "/queues/q?trend=m")).one(id="trend")
    chart = trend.one("svg", class_="chart")
    (flag,) = chart.all("svg", class_="untrusted")
    last_day = max(float(day.attributes["cx"][:-1]) for day in chart.all("circle", class_="m-day"))
    assert float(flag.attributes["x"][:-1]) > last_day
    assert "p2 33.3%" in texts(chart)
    assert trend.one(class_="events").one("b", class_="mark").words == "worse"
    # The table and the file have no row of a day without annotations: the last one has the version, with its day.
    newest, *others = trend.one("tbody").all("tr")
    came = flag.one("title").words.partition(":")[0]
    assert newest.all("td")[-1].words.split() == ["1", "m", "p2", "worse", *came.split()]
    assert newest.one("th").words != came
    assert not any(row.all("b", class_="mark") for row in others)
    table = await page_of(store, tmp_path, [], "/queues/q/files/trend.csv?trend=m")
    *earlier, last = csv.DictReader(io.StringIO(table))
    assert not any(row["new_versions"] for row in earlier)
    day, _, text = last["new_versions"].partition(": ")
    assert day > last["day"]
    assert text == "m, judge version p2 after p1: 100.0% before, 33.3% after, worse (p < 0.001)"


async def test_files_have_the_new_version(store: Store, tmp_path: Path) -> None:
    facts = versions([True] * 20 + [False] * 40)
    table = await page_of(store, tmp_path, facts, "/queues/q/files/trend.csv?trend=m")
    rows = [row for row in csv.DictReader(io.StringIO(table)) if row["new_versions"]]
    (row,) = rows
    text = "m, judge version p2 after p1: 100.0% before, 33.3% after, worse (p < 0.001)"
    assert (row["day"], row["new_versions"]) == ("2026-11-14", text)
    drawn = await page_of(store, tmp_path, [], "/queues/q/files/trend.svg?trend=m")
    # A long name is cut, and the result never.
    assert "14 Nov: 100.0% before, 33.3% after, worse (p &lt; 0.001). m, judge version p2 after p1" in drawn
    height = re.match(r'<svg [^>]*height="(\d+)"', drawn.strip())
    assert height is not None
    assert int(height[1]) == 320


@pytest.mark.parametrize("trend", ["", "&trend=m"])
async def test_names_of_versions_are_escaped_everywhere(store: Store, tmp_path: Path, trend: str) -> None:
    hostile = "<script>p2</script>"
    facts = versions([False] * 60, judges=("p1", hostile))
    for path in ("/queues/q?more=1", "/queues/q/files/trend.svg?more=1"):
        assert hostile not in await page_of(store, tmp_path, facts, path + trend)


def change(day: int, result: str, metric: str = "m") -> JudgeChange:
    share = Agreed(k=9, n=10, items=10, alignment=0.9, low=0.6, high=1.0)
    return JudgeChange(
        day=f"2026-11-{day:02}", metric=metric, judge=f"v{day}", previous="v", before=share, after=share, p_value=0.5,
        change=result,  # type: ignore[typeddict-item]
    )  # fmt: skip


@given(st.lists(st.tuples(st.integers(1, 28), st.sampled_from(["worse", "better", "unclear"])), max_size=12))
def test_words_of_flags_overlap_neither_each_other_nor_a_flag_nor_the_edge(changes: list[tuple[int, str]]) -> None:
    marks = [
        VersionMark(number, change(day, result), drawn=True)
        for number, (day, result) in enumerate(sorted(changes), start=1)
    ]
    flags = version_flags(marks, lambda day: 4.5 + 95.5 * int(day[-2:]) / 29, str)
    assert len(flags) == len({day for day, _ in changes})
    spans = []
    for flag in flags:
        width = 100 * 7.4 * len(flag.words) / 246
        start = flag.x + 100 * flag.shift / 246 - (width if flag.shift < 0 else 0)
        spans += [(start, start + width)] if flag.words else []
    assert all(start >= 0 and end <= 100.001 for start, end in spans)
    discs = [(flag.x - 100 * flag.half / 246, flag.x + 100 * flag.half / 246) for flag in flags]
    for place, (start, end) in enumerate(spans):
        for other_start, other_end in [*spans[:place], *spans[place + 1 :], *discs]:
            assert end <= other_start + 0.001 or other_end <= start + 0.001
    if flags:
        assert any(flag.words for flag in flags) or len(flags) > 1


def test_a_version_before_the_days_of_the_chart_has_its_level_and_no_flag() -> None:
    share = Agreed(k=90, n=100, items=100, alignment=0.9, low=0.8, high=1.0)
    trend = Trend(
        queue="q", by="annotation", metric="m", criterion="c", window="all", epochs=[change(2, "worse")],
        epochs_total=1, days_total=2, days_left_out=0,
        days=[TrendDay(**share, day=f"2026-11-{day:02}", week=share) for day in (5, 6)],
    )  # fmt: skip
    chart = history(trend, 0.5, None)
    assert chart is not None
    assert (chart.flags, [mark.drawn for mark in chart.marks]) == ([], [False])
    first, second = chart.levels
    assert (first.start, first.end, first.label) == (second.start, second.start, None)
    assert (second.end, second.name, second.tone) == (100.0, "v2", "untrusted")


def test_the_axis_shows_the_level_of_every_version() -> None:
    low = Agreed(k=1, n=10, items=10, alignment=0.1, low=0.0, high=0.4)
    good = Agreed(k=90, n=100, items=100, alignment=0.9, low=0.8, high=1.0)
    epoch = change(2, "better")
    epoch["before"] = low
    chart = history(
        Trend(
            queue="q", by="annotation", metric="m", criterion="c", window="all", epochs=[epoch], epochs_total=1,
            days_total=2, days_left_out=0,
            days=[TrendDay(**good, day=f"2026-11-{day:02}", week=good) for day in (1, 3)],
        ),
        0.5,
        None,
    )  # fmt: skip
    assert chart is not None
    assert chart.grid[-1][0] == pytest.approx(0)
    assert chart.levels[0].y <= chart.grid[-1][1]
