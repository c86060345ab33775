"""Answers, pages and documents stay small and quick, for any number of names that producers send."""

import time
from itertools import combinations, pairwise
from pathlib import Path

import pytest

from aggregator.facts import Annotation, Evaluation, Fact, QueueItem
from aggregator.snapshot.build import JUDGES, PAIRS
from sinks import budgets
from sinks.store.store import Store
from tests.support.html import read
from tests.support.sample_view import NOW_MS, fill, view_of
from tests.unit.sinks.page.conftest import connected

VERSIONS = 2_000
PAIR = "criterion=overall&metric=m"
SECONDS = 10.0
"""Far above what an answer needs, and below a hundredth of what tests of every two versions would need."""


def many_versions() -> list[Fact]:
    """One annotated item that every version judged, and one item more of each."""
    facts: list[Fact] = []
    for number in range(VERSIONS):
        at, judge, item = NOW_MS - VERSIONS + number, f"run-{number:032}", f"i{number}"
        facts += [
            Annotation(at=at, id="a", queue="q", item=item, stars=1 + number % 5),
            QueueItem(at=at, id="q", queue="q", item=item),
            Evaluation(at=at, id="e", item=item, metric="m", judge=judge, score=0.5, threshold=0.1, passed=True),
            Evaluation(at=at, id="e", item="i0", metric="m", judge=judge, passed=number % 2 == 0),
        ]
    return facts


async def test_thousands_of_judge_versions_are_answered_in_pages(store: Store, tmp_path: Path) -> None:
    fill(store, many_versions())
    names = [f"run-{number:032}" for number in range(VERSIONS)]
    async with connected(view_of(store, tmp_path)) as client:
        for path, most in (
            (f"/api/v1/queues/q/versions?{PAIR}", 200_000),
            (f"/api/v1/queues/q/corrected?{PAIR}", 50_000),
            (f"/api/v1/queues/q/trend?{PAIR}", 50_000),
            (f"/api/v1/queues/q/what-if?{PAIR}", 100_000),
            ("/api/v1/queues/q", 50_000),
            ("/queues/q?more=1", 300_000),
        ):
            began = time.process_time()
            answer = await client.get(path)
            assert answer.status_code == 200, path
            assert time.process_time() - began < SECONDS, path
            assert len(answer.content) < most, path
        newest = (await client.get(f"/api/v1/queues/q/versions?{PAIR}")).json()
        assert [version["judge"] for version in newest["versions"]] == names[-budgets.VERSIONS :]
        assert newest["versions_total"] == VERSIONS
        listed, tested = names[-budgets.VERSIONS :], names[-budgets.TESTED_VERSIONS :]
        assert {(test["first"], test["second"]) for test in newest["tests"]} == {
            *pairwise(listed),
            *combinations(tested, 2),
        }
        assert len(newest["tests"]) == len({(test["first"], test["second"]) for test in newest["tests"]})
        assert all(test["items"] == 1 for test in newest["tests"])
        for route, field in (("versions", "versions"), ("corrected", "judges")):
            seen: list[str] = []
            while len(seen) < VERSIONS:
                page = (await client.get(f"/api/v1/queues/q/{route}?{PAIR}&skip={len(seen)}")).json()
                assert page[f"{field}_total"] == VERSIONS
                seen = [version["judge"] for version in page[field]] + seen
            assert seen == names
            beyond = (await client.get(f"/api/v1/queues/q/{route}?{PAIR}&skip={VERSIONS}")).json()
            assert beyond[field] == []
        trend = (await client.get(f"/api/v1/queues/q/trend?{PAIR}")).json()
        assert (len(trend["epochs"]), trend["epochs_total"]) == (budgets.CHANGES, VERSIONS - 1)
        (criterion,) = (await client.get("/api/v1/queues/q")).json()["criteria"]
        (metric,) = criterion["metrics"]
        assert (len(metric["judges"]), metric["judge_versions"]) == (JUDGES, VERSIONS)
        assert metric["newest_judge"]["judge"] in metric["judges"]
        text = (await client.get("/queues/q?more=1")).text
        assert "The 50 newest versions, and 1,950 more" in text


METRICS = 3_000


def many_metrics() -> list[Fact]:
    """Metric n has n // 100 comparisons more than the first ones."""
    facts: list[Fact] = []
    for number in range(METRICS // 100):
        facts.append(Annotation(at=NOW_MS + number, id="a", queue="q", item=f"i{number}", stars=5))
        facts += [
            Evaluation(at=NOW_MS, id="e", item=f"i{number}", metric=f"m{metric:04}", passed=metric % 2 == 0)
            for metric in range(number * 100, METRICS)
        ]
    return facts


async def test_a_queue_of_thousands_of_metrics_is_shown_in_pages(store: Store, tmp_path: Path) -> None:
    facts = many_metrics()
    fill(store, facts)
    async with connected(view_of(store, tmp_path)) as client:
        document = (await client.get("/api/v1/queues/q")).json()
        (criterion,) = document["criteria"]
        names = {metric["metric"] for metric in criterion["metrics"]}
        assert names == {f"m{number:04}" for number in range(METRICS - PAIRS, METRICS)}
        assert criterion["metrics_left_out"] == METRICS - PAIRS
        comparisons = sum(isinstance(fact, Evaluation) for fact in facts)
        assert criterion["comparisons"] == document["cards"]["comparisons"] == comparisons
        assert document["cards"]["metrics"] == METRICS
        seen: list[str] = []
        path: str | None = "/queues/q?more=1"
        while path is not None:
            answer = await client.get(path)
            assert len(answer.content) < 1_200_000
            tree = read(answer.text)
            shown = [card.attributes["data-metric"] for card in tree.all("article")]
            assert len(shown) == budgets.METRICS
            seen += shown
            links = [link.attributes["href"] for link in tree.all("a") if link.text == "More metrics"]
            path = links[0] if links else None
        assert len(seen) == len(set(seen)) == PAIRS
        assert seen[0] >= "m2900", "the first page has the metrics with most comparisons"
        assert "100 of 3,000 metrics" in (await client.get("/queues/q")).text
        # A link to a metric shows it in any place.
        chosen = read((await client.get("/queues/q?metric=m2001")).text)
        assert [card for card in chosen.all("article") if card.attributes["data-metric"] == "m2001"]
        # The items of a pair that the document leaves out are counted from the rows.
        items = (await client.get("/queues/q/items?metric=m0001&outcome=tp,fn,tn,fp")).text
        assert "1 of 1 comparison misaligned" in items
        everything = (await client.get("/queues/q/items?outcome=tp,fn,tn,fp")).text
        assert f"{comparisons // 2:,} of {comparisons:,} comparisons misaligned" in everything
        ceiling = (await client.get("/api/v1/queues/q/ceiling?criterion=overall")).json()
        assert {metric["metric"] for metric in ceiling["metrics"]} == names
        assert ceiling["metrics_left_out"] == METRICS - budgets.HEADROOMS
        index = await client.get("/")
        assert index.status_code == 200
        assert len(index.content) < 50_000


async def test_the_navigation_lists_the_largest_criteria_and_the_chosen_one(store: Store, tmp_path: Path) -> None:
    facts: list[Fact] = [Evaluation(at=NOW_MS, id="e", item="i", metric="m", passed=True)]
    facts += [
        Annotation(at=NOW_MS, id="a", queue="q", item="i", criterion=f"c{number:04}", stars=5) for number in range(600)
    ]
    fill(store, facts)
    async with connected(view_of(store, tmp_path)) as client:
        page = read((await client.get("/queues/q?criterion=c0599")).text)
        menu = page.one("select", id="criterion")
        assert len(menu.all("option")) == budgets.CRITERIA
        assert [option.attributes["value"] for option in menu.all("option") if "selected" in option.attributes] == [
            "c0599"
        ]
        assert "and 400 more" in page.one("main").words


@pytest.mark.parametrize("skip", ["-1", "x", "9" * 19])
async def test_an_invalid_skip_is_an_error(skip: str, store: Store, tmp_path: Path) -> None:
    fill(store, many_versions()[:8])
    async with connected(view_of(store, tmp_path)) as client:
        answer = await client.get(f"/api/v1/queues/q/versions?{PAIR}&skip={skip}")
        assert answer.status_code == 400
        assert "skip" in answer.json()["detail"]


def many_judges_of_many_metrics() -> list[Fact]:
    """One item that 120 versions of each of 250 metrics judged."""
    facts: list[Fact] = [Annotation(at=NOW_MS, id="a", queue="q", item="i", stars=5)]
    return facts + [
        Evaluation(at=NOW_MS + judge, id="e", item="i", metric=f"m{metric:03}", judge=f"v{judge:03}", passed=True)
        for metric in range(250)
        for judge in range(120)
    ]


async def test_judge_versions_share_the_bytes_of_a_document(store: Store, tmp_path: Path) -> None:
    fill(store, many_judges_of_many_metrics())
    async with connected(view_of(store, tmp_path)) as client:
        answer = await client.get("/api/v1/queues/q")
    assert len(answer.content) < 1_200_000
    (criterion,) = answer.json()["criteria"]
    assert len(criterion["metrics"]) == 250
    for metric in criterion["metrics"]:
        assert metric["judge_versions"] == 120
        assert 10 < len(metric["judges"]) < 30
        assert metric["newest_judge"]["judge"] == "v119"
        assert "v119" in metric["judges"]


async def test_names_of_metrics_share_the_bytes_of_a_document(store: Store, tmp_path: Path) -> None:
    long = 120 * "\U0001f980"
    facts: list[Fact] = [Annotation(at=NOW_MS, id="a", queue="q", item="i", stars=5)]
    facts += [
        Evaluation(at=NOW_MS, id="e", item="i", metric=f"{long}{metric:03}", judge=long, passed=True)
        for metric in range(900)
    ]
    fill(store, facts)
    async with connected(view_of(store, tmp_path)) as client:
        answer = await client.get("/api/v1/queues/q")
    assert len(answer.content) < 2_200_000
    (criterion,) = answer.json()["criteria"]
    assert 500 < len(criterion["metrics"]) < 560
    assert len(criterion["metrics"]) + criterion["metrics_left_out"] == 900
    assert criterion["comparisons"] == 900


async def test_a_page_of_long_names_ends_early_and_the_pages_together_have_every_metric(
    store: Store, tmp_path: Path
) -> None:
    long = 120 * "\U0001f980"
    facts: list[Fact] = [Annotation(at=NOW_MS, id="a", queue="q", item="i", stars=5)]
    facts += [
        Evaluation(at=NOW_MS, id="e", item="i", metric=f"{long}{metric:03}", passed=True) for metric in range(120)
    ]
    fill(store, facts)
    seen: list[str] = []
    path: str | None = "/queues/q?more=1"
    async with connected(view_of(store, tmp_path)) as client:
        while path is not None:
            answer = await client.get(path)
            assert len(answer.content) < 2_200_000
            tree = read(answer.text)
            seen += [card.attributes["data-metric"] for card in tree.all("article")]
            links = [link.attributes["href"] for link in tree.all("a") if link.text == "More metrics"]
            path = links[0] if links else None
    assert sorted(seen) == [f"{long}{metric:03}" for metric in range(120)]
