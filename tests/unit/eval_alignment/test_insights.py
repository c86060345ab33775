"""Command and page state the same: insights from rows, from a view's API, and the words on the page."""

import io
from pathlib import Path
from typing import Literal

import httpx
import pytest
from hypothesis import given, settings
from rich.console import Console

from aggregator.days import Window
from aggregator.facts import Annotation, Evaluation, Fact
from aggregator.policy import Policy
from aggregator.recount import Recount
from aggregator.snapshot.inputs import CountingRules
from eval_alignment.insights import RecountInsights, ViewInsights
from eval_alignment.metric_words import ceiling_sentence, sentences
from eval_alignment.render import render
from eval_alignment.view_client import View
from sinks.app import create_app
from sinks.page.urls import queue_path
from sinks.page.wording import best_threshold
from sinks.queries import deep_dive
from sinks.queries.rows import scales
from sinks.queries.scope import Scope
from sinks.queries.thresholds import what_if
from sinks.store.store import Store
from tests.support import facts as strategies
from tests.support.html import read
from tests.support.sample_queue import QUEUE, sample_queue
from tests.support.sample_view import NOW_MS, fill, view_of
from tests.support.serving import serving
from tests.unit.sinks.queries.test_deep_dive import TODAY, stored

RULES = CountingRules()


@pytest.mark.parametrize("policy", Policy)
@given(history=strategies.histories)
@settings(max_examples=40)
def test_insights_from_rows_are_those_of_the_store(policy: Policy, history: list[Fact]) -> None:
    recount = Recount(history, policy)
    source = RecountInsights(recount, RULES, TODAY)
    with stored(history, policy) as store, store.read() as connection:
        for queue in recount.queues:
            for window in (Window.ALL, Window.DAYS_7):
                scope = Scope(queue, window, TODAY, RULES)
                document = recount.document(queue, window=window, today=TODAY)
                for criterion in document["criteria"]:
                    name, found = criterion["criterion"], source.insights(document, criterion)
                    assert found.ceiling == deep_dive.ceiling(connection, scope, name)
                    assert found.what_ifs == {
                        metric["metric"]: what_if(connection, scope, name, metric["metric"])
                        for metric in criterion["metrics"]
                        if metric["comparisons"]
                    }
                    checks = {metric: check.two_scales for metric, check in scales(connection, scope, name).items()}
                    assert checks == {
                        metric: what["two_scales"] for metric, what in found.what_ifs.items() if what["scored"]
                    }


@pytest.fixture
def facts() -> list[Fact]:
    """The sample queue, and a metric whose thresholds are of two scales and whose judge failed once."""
    mixed: list[Fact] = [
        Evaluation(NOW_MS, f"x{number}", f"trace-{number:04}", "mixed", score=score, threshold=limit, passed=True)
        for number, (score, limit) in enumerate([(0.9, 0.7), (0.3, 0.7), (85, 70)])
    ]
    return [*sample_queue(NOW_MS), *mixed, Evaluation(NOW_MS, "x", "trace-0009", "mixed", status="error")]


async def test_the_page_has_every_sentence_of_the_command(facts: list[Fact], store: Store, tmp_path: Path) -> None:
    fill(store, facts)
    recount = Recount(facts)
    source = RecountInsights(recount, RULES)
    document = recount.document(QUEUE)
    transport = httpx.ASGITransport(create_app(view_of(store, tmp_path)))
    stated = []
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        for criterion in document["criteria"]:
            insights = source.insights(document, criterion)
            for metric in criterion["metrics"]:
                query = {"criterion": criterion["criterion"], "depth": metric["metric"]}
                page = read((await client.get(queue_path(QUEUE), params=query)).text)
                words = page.words.replace("\u2068", "").replace("\u2069", "")
                card = page.one("article", data_metric=metric["metric"]).words
                said = list(sentences(metric, insights))
                stated += said
                assert said[0] in words
                for sentence in said:
                    if sentence.startswith(("Two scales", "No verdict")):
                        assert sentence in card
                    if sentence.startswith(("Two scales", "Best threshold")):
                        assert sentence in page.one("section", id="whatif").words
                    if sentence.startswith("Headroom"):
                        row = next(
                            row for row in page.one("section", id="ceiling").all("tr") if metric["metric"] in row.words
                        )
                        assert sentence.rpartition(": ")[2].rstrip(".") in row.words
                ceiling = ceiling_sentence(insights)
                assert ceiling is not None
                assert ceiling.removeprefix("Human ceiling: ") in page.one("section", id="ceiling").words
                best = best_threshold(insights.what_ifs[metric["metric"]])
                assert (best is None) == ("Best threshold" not in page.one("section", id="whatif").words)
    for start in ("Two scales", "Best threshold", "Headroom", "No verdict"):
        assert any(sentence.startswith(start) for sentence in stated), start


def test_insights_of_a_view_are_those_of_the_rows(facts: list[Fact], store: Store, tmp_path: Path) -> None:
    fill(store, facts)
    printed = []
    with serving(view_of(store, tmp_path)) as address, View(address) as view:
        document = view.document(QUEUE)
        for source in (ViewInsights(view), RecountInsights(Recount(facts), RULES)):
            out = io.StringIO()
            render(document, Console(file=out, width=160), source)
            printed.append(" ".join(out.getvalue().split()))
    assert printed[0] == printed[1]
    assert "Human ceiling: People agree on 90.0%" in printed[0]
    assert "Best threshold 0.112 instead of 0.40: alignment 93.6% instead of 69.9% on the same 156" in printed[0]


def test_words_without_a_ceiling_or_a_better_threshold_are_left_out() -> None:
    history: list[Fact] = [
        Annotation(NOW_MS, "a", "q", "i", thumbs="up"),
        Evaluation(NOW_MS, "e", "i", "m", passed=True),
    ]
    recount = Recount(history)
    document = recount.document("q")
    (criterion,) = document["criteria"]
    insights = RecountInsights(recount, RULES).insights(document, criterion)
    (metric,) = criterion["metrics"]
    assert list(sentences(metric, insights)) == list(sentences(metric))
    assert ceiling_sentence(insights) is None


def test_people_who_disagree_are_the_first_finding() -> None:
    history: list[Fact] = [Evaluation(NOW_MS, "e", f"i{number}", "m", passed=True) for number in range(40)]
    for number in range(40):
        for annotator, passed in (("ann", number % 2), ("bob", number // 2 % 2)):
            thumbs: Literal["up", "down"] = "up" if passed else "down"
            history.append(Annotation(NOW_MS, "a", "q", f"i{number}", annotator=annotator, thumbs=thumbs))
    recount = Recount(history)
    document = recount.document("q")
    (criterion,) = document["criteria"]
    words = ceiling_sentence(RecountInsights(recount, RULES).insights(document, criterion))
    assert words is not None
    assert words.startswith("Human ceiling: People agree on 50.0%")
    assert "No metric can be judged on this criterion until its definition is clearer." in words


async def test_page_and_command_hint_at_the_same_names(store: Store, tmp_path: Path) -> None:
    history: list[Fact] = [
        fact
        for number, metric in enumerate(["tone", "Tone", "tone\u200b"])
        for fact in (
            Annotation(NOW_MS, f"a{number}", "q", f"i{number}", thumbs="up"),
            Evaluation(NOW_MS, f"e{number}", f"i{number}", metric, passed=True),
        )
    ]
    fill(store, [*history, Annotation(NOW_MS, "b", "Q", "other", thumbs="up")])
    transport = httpx.ASGITransport(create_app(view_of(store, tmp_path)))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        page = read((await client.get("/queues/q")).text)
    shown = [banner.words.replace("\u2068", "").replace("\u2069", "") for banner in page.all("p", class_="banner")]
    hint = "The metrics 'Tone', 'tone', 'tone\\u200b' look alike and are counted apart."
    assert shown == ["Names The queues 'Q', 'q' look alike and are counted apart.", f"Names {hint}"]
    out = io.StringIO()
    render(Recount(history).document("q"), Console(file=out, width=160))
    assert hint in out.getvalue()
