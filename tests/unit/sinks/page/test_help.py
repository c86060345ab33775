"""Question marks explain the headings and terms of every page, and lead to explanations that exist."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from sinks.page.help import HELP
from sinks.store.store import Store
from tests.support.html import Element, read
from tests.support.page_routes import PAGES, WORDS
from tests.support.sample_queue import sample_queue
from tests.support.sample_view import NOW_MS, fill, view_of
from tests.unit.sinks.page.conftest import Get, connected

OWN_WORDS: Final = {
    "Comparisons": "Comparison",
    "Metric alignment": "Alignment",
    "Unique annotation criteria": "Criterion",
    "Pass and fail": "Confusion matrix",
    "Top metrics by alignment": "Alignment",
    "Metric alignment breakdown": "Confusion matrix",
    "Alignment over time": "Over time",
    "Metric details": "Metric",
    "Judge versions": "Judge version",
    "Alignment by queue": "Alignment",
    "What is written about them": "Frequent words",
    "People and metrics": "Comparison",
    "Why it is counted so": "What counts",
    "Rows in order of time": "Row",
    "Items and answers": "Annotators",
    "Above a constant judge": "Constant judge",
    "Area under ROC (AUC)": "Area under ROC",
    "May a metric replace one of these people?": "Alternative annotator test",
    "Cohen's kappa": "Kappa",
    "Interval of 7 days": "Interval",
    "Interval of the AUC": "Interval",
    "Interval at best alignment": "Interval",
    "Alpha (stars)": "Alpha",
    "New judge version": "Judge version",
    "Version": "Judge version",
    "Judge": "Judge version",
    "Against the rest": "Segments",
    "Headroom": "Headroom",
    "Cell": "Confusion matrix",
    "TP": "Confusion matrix",
    "FN": "Confusion matrix",
    "FP": "Confusion matrix",
    "TN": "Confusion matrix",
    "Best balance": "Threshold what-if",
    "Best alignment": "Threshold what-if",
    "items announced": "Queue item",
    "Brier score": "Calibration",
    "Expected calibration error": "Calibration",
    "Mean score": "Calibration",
    "Row": "Row",
    **dict.fromkeys(
        (
            "Passes found (TPR)", "Fails found (TNR)", "Right when passing (PPV)", "Right when failing (NPV)",
            "Balanced accuracy", "F1", "Gwet's AC1", "Matthews correlation", "Krippendorff's alpha", "Distinct items",
            "Pass rate in the queue",
        ),
        "All numbers",
    ),
}  # fmt: skip
"""The term that explains a heading or a name of a number, where that has other words."""
PLAIN: Final = {
    # Headings
    "People", "Metrics", "Nothing to label here",
    # Columns and numbers
    "#", "30 days", "7 days", "Annotation", "Annotations", "Annotator", "Answer", "Case", "Change", "Day", "Event",
    "Evaluation", "Explanation", "Humans pass", "Input", "Items", "Lowest metric",
    "Metric fail", "Metric pass", "Misaligned", "Now", "Of", "Output", "Pass at", "People (estimate)", "Queue",
    "Result", "State", "Threshold", "Time", "Too lenient", "Too strict", "Why", "n",
    "Only this one is right", "Agrees with others", "Shared items", "Passes", "Others pass", "Stricter by", "Area",
    "Best", "Fails missed",
    "Annotated, judge errored", "Annotated, judge skipped", "Evaluated in the queue", "Waiting for a verdict",
    "Errored in the queue", "Skipped in the queue", "wait for an evaluation", "wait for an annotation",
    "only errored or skipped", "Down", "Up", "1★", "2★", "3★", "4★", "5★", "Thumb down", "Thumb up", "1 star",
    "2 stars", "3 stars", "4 stars", "5 stars",
}  # fmt: skip
"""Headings and names that say themselves what they are."""
JARGON: Final = {
    "policy": "Policy",
    "trace": "Level",
    "span": "Level",
    "thread": "Level",
    "kappa": "Kappa",
    "roc": "Area under ROC",
    "mcnemar": "Judge version",
    "brier": "Calibration",
    "headroom": "Headroom",
    "baseline": "Constant judge",
    "constant judge": "Constant judge",
    "human ceiling": "Human ceiling",
    "gate": "Gate",
    "judge version": "Judge version",
    "announced": "Queue item",
    "off topic": "Off topic",
    "false negative": "Confusion matrix",
    "superseded": "Judge version",
    "segments": "Segments",
}
"""Words that a newcomer may not know, and the term that explains each."""


@pytest.fixture
async def every_page(store: Store, tmp_path: Path) -> dict[str, Element]:
    """The page of every route, of a realistic queue."""
    fill(store, sample_queue(NOW_MS))
    services = view_of(store, tmp_path)
    services.config = replace(services.config, show_annotators=True)
    async with connected(services) as client:
        answers = {route: await client.get(address) for route, address in PAGES.items() if route not in WORDS}
    assert {answer.status_code for answer in answers.values()} == {200}
    return {route: read(answer.text).one("main") for route, answer in answers.items()}


def explained(page: Element) -> set[str]:
    """The terms with a question mark."""
    return {mark.attributes["aria-label"].partition(":")[0] for mark in page.all("a", class_="help")}


def named(page: Element) -> Iterator[str]:
    """Headings, and the names of columns and numbers."""
    for element in page.walk():
        column = element.tag == "th" and element.attributes.get("scope") == "col"
        if (element.tag in ("h2", "h3", "dt") or column) and not element.all("a", class_="") and element.words:
            yield element.words


async def test_every_explanation_exists(page: Get) -> None:
    for term, text in HELP.items():
        path, _, anchor = text.href.partition("#")
        (await page(path)).one(id=anchor)
        assert text.sentence.endswith("."), term


async def test_every_heading_and_term_is_explained_on_its_page(every_page: dict[str, Element]) -> None:
    missing = {}
    seen: set[str] = set()
    for route, page in every_page.items():
        names = {re.sub(r":.*| \d+ texts?$", "", name) for name in named(page)}
        seen |= names
        events = {"strict_judge", "lenient_judge", "relevancy", "plan"}
        ids = {name for name in names if re.match(r"trace-|Interval on a scale|\d+ items?", name)}
        terms = {name for name in names - PLAIN - events - ids if OWN_WORDS.get(name, name) not in explained(page)}
        if terms:
            missing[route] = sorted(terms)
    assert missing == {}
    assert PLAIN - seen <= {"People"}, "words that no page has any more"


async def test_a_word_that_newcomers_may_not_know_is_explained_on_every_page_with_it(
    every_page: dict[str, Element],
) -> None:
    missing = {}
    for route, page in every_page.items():
        words = page.words.lower()
        used = {word: term for word, term in JARGON.items() if re.search(rf"\b{word}\b(?![-_])", words)}
        terms = {word for word, term in used.items() if term not in explained(page)}
        if terms:
            missing[route] = sorted(terms)
    assert missing == {}
