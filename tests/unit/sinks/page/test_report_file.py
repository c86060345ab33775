"""The report as a file: the numbers of the document, and nothing that runs or is fetched."""

from collections import Counter

import pytest

from aggregator.facts import Annotation, Evaluation, Fact
from aggregator.recount import Recount
from aggregator.snapshot.inputs import CountingRules
from aggregator.snapshot.schema import MetricDocument, SnapshotDocument
from eval_alignment.insights import RecountInsights
from sinks.page.formats import count, percent
from sinks.page.report_file import GateResult, InputSummary, report_html
from tests.support.html import Element, read
from tests.support.sample_queue import QUEUE, sample_queue
from tests.support.sample_view import NOW_MS
from tests.unit.sinks.page.test_safety import CORPUS, TAGS, facts_of

RULES = CountingRules(criterion_metrics={"tone": ["strict_judge", "lenient_judge"]})


def document(facts: list[Fact], queue: str) -> SnapshotDocument:
    return Recount(facts).document(queue, rules=RULES)


def report(facts: list[Fact], queue: str, text: str = "results.csv", gate: GateResult | None = None) -> Element:
    shown, source = document(facts, queue), RecountInsights(Recount(facts), RULES)
    insights = {criterion["criterion"]: source.insights(shown, criterion) for criterion in shown["criteria"]}
    summary = InputSummary([text], [text], [("rows", 1234)])
    return read(report_html(shown, insights, rules=RULES, summary=summary, gate=gate, version="1.2.3"))


def in_order(shown: SnapshotDocument) -> list[MetricDocument]:
    """The metrics of a document in the order of the report: on topic first, those with few items last."""
    return [
        metric
        for criterion in shown["criteria"]
        for metric in sorted(
            criterion["metrics"],
            key=lambda each: (each["off_topic"], not each["off_topic"] and each["items_compared"] < RULES.limits.items),
        )
    ]


def test_all_numbers_are_those_of_the_document() -> None:
    shown = document(sample_queue(NOW_MS), QUEUE)
    page = report(sample_queue(NOW_MS), QUEUE)
    articles = page.all("article")
    assert len(articles) > 3
    for article, metric in zip(articles, in_order(shown), strict=True):
        assert article.attributes["data-metric"] == metric["metric"]
        for name in ("tp", "fn", "fp", "tn", "comparisons", "misaligned", "items_compared"):
            assert article.one(data_value=name).words == count(metric[name])
        for name in ("alignment", "tpr"):
            share = metric[name]  # type: ignore[literal-required]
            assert share is not None
            assert {each.words.split()[0] for each in article.all(data_value=name)} == {percent(share)}
    assert shown["cards"]["alignment"] is not None
    assert page.one(class_="hero", data_value="alignment").words == percent(shown["cards"]["alignment"])


def test_every_id_is_there_once_and_every_reference_leads_to_one() -> None:
    page = report(sample_queue(NOW_MS), QUEUE)
    ids = Counter(each.attributes["id"] for each in page.walk() if "id" in each.attributes)
    assert [name for name, number in ids.items() if number > 1] == []
    for each in page.walk():
        for name in ("aria-labelledby", "aria-describedby"):
            assert each.attributes.get(name) in (None, *ids)
        if each.tag == "a":
            assert each.attributes["href"].removeprefix("#") in ids


@pytest.mark.parametrize("text", CORPUS)
def test_hostile_names_are_text_and_nothing_runs_or_is_fetched(text: str) -> None:
    page = report(facts_of(text), text, text, GateResult("trusted", text, [text, text]))
    (style,) = page.all("style")
    assert "url(" not in style.text.replace("url(#hatch", "")
    assert "@import" not in style.text
    (policy,) = [each for each in page.all("meta") if "http-equiv" in each.attributes]
    assert policy.attributes["content"].startswith("default-src 'none'; style-src 'unsafe-inline';")
    for each in page.walk():
        assert not each.tag or each.tag in TAGS - {"script", "link", "form", "input"} | {"style"}, each.tag
        for name, value in each.attributes.items():
            assert not name.startswith("on"), (each.tag, name)
            assert name not in ("src", "style", "srcdoc", "action", "formaction"), (each.tag, name)
            assert name != "href" or value.startswith("#"), value


def test_a_document_without_comparisons_has_a_report() -> None:
    nothing = report([], "q")
    assert "results.csv" in nothing.text
    labels: list[Fact] = [Annotation(at=1, id="a", queue="q", item="i", thumbs="up")]
    assert "No metric is compared with this criterion." in report(labels, "q").text
    verdicts: list[Fact] = [*labels, Evaluation(at=1, id="e", item="i", metric="m", passed=True)]
    page = report(verdicts, "q")
    assert "1,234" in page.text
    assert "1.2.3" in page.text


def test_the_report_has_the_ceiling_best_thresholds_warnings_and_hints() -> None:
    page = report(sample_queue(NOW_MS), QUEUE)
    assert "People agree on 90.0%" in page.one("section", id="ceiling-1").words
    assert any("Best threshold" in article.words for article in page.all("article"))
    mixed: list[Fact] = [
        fact
        for number, (metric, score, limit) in enumerate([("m", 0.9, 0.7), ("m", 85, 70), ("M", 0.9, 0.7)])
        for fact in (
            Annotation(at=1, id="a", queue="q", item=f"i{number}", thumbs="up"),
            Evaluation(at=1, id="e", item=f"i{number}", metric=metric, score=score, threshold=limit, passed=True),
        )
    ]
    page = report(mixed, "q")
    assert "Two scales" in page.one("article", data_metric="m").words
    assert "look alike and are counted apart" in page.one(class_="banner").words
