"""Question marks explain the headings of a queue's page, and lead to explanations that exist."""

from sinks.api.services import Services
from sinks.page.help import HELP
from tests.support.html import read
from tests.unit.sinks.page.conftest import Get, connected


async def test_every_explanation_exists(page: Get) -> None:
    for term, text in HELP.items():
        path, _, anchor = text.href.partition("#")
        (await page(path)).one(id=anchor)
        assert text.sentence.endswith("."), term


async def test_every_heading_of_a_queue_has_a_question_mark(lively: Services) -> None:
    async with connected(lively) as client:
        answer = await client.get("/queues/q")
        main = read(answer.text).one("main")
    headings = [each.words for tag in ("h2", "h3") for each in main.all(tag)]
    explained = [mark.attributes["aria-label"].partition(":")[0] for mark in main.all("a", class_="help")]
    assert len(headings) > 10
    own_words = {
        "Comparisons": "Comparison",
        "Metric alignment": "Alignment",
        "Unique annotation criteria": "Criterion",
        "Pass and fail": "Confusion matrix",
        "Top metrics by alignment": "Alignment",
        "Metric alignment breakdown": "Confusion matrix",
        "Alignment over time": "Over time",
        "Metric details": "Metric",
        "Judge versions": "Judge version",
    }
    # The names of metrics and the key to the four cells are no terms.
    no_terms = ("fair", "strict", "Reading a matrix")
    terms = [own_words.get(each, each.partition(":")[0]) for each in headings if each not in no_terms]
    assert [term for term in terms if term not in explained] == []
