"""Every answer of a view ends after about a megabyte, for all texts that producers can send."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import httpx
import pytest

from aggregator.facts import MAX_TEXT_BYTES, Annotation, Evaluation, Fact, QueueItem
from sinks.api.routes import api_routes
from sinks.api.services import Services
from sinks.app import create_app
from sinks.budgets import ANSWER_BYTES
from sinks.page.assets import PREFIX
from sinks.page.routes import Pages
from tests.support.sample_view import NOW_MS, fill, view_of
from tests.support.stores import open_store

TEXT: Final = 'x"<&' * (MAX_TEXT_BYTES // 4)
"""A text of the largest size, with characters that JSON, CSV and HTML write with several."""
NAME: Final = 120 * "\U0001f980"
"""Most of the characters of a name, of four bytes each."""
DISPUTED: Final = 12
ANNOTATORS: Final = 40
OF_QUEUE: Final = "?criterion=c&metric=m"
PARAMETERS: Final = {
    "/api/v1/queues/{queue}/disagreements": "?criterion=c&limit=100",
    "/api/v1/queues/{queue}/comparisons": "?limit=500",
    "/api/v1/queues/{queue}/next": "?criterion=c&limit=200",
    "/api/v1/queues/{queue}/history": "?limit=500",
    "/queues/{queue}/next": "?criterion=c&limit=200",
    "/queues/{queue}/next.csv": "?criterion=c&limit=200",
    "/queues/{queue}/items": "?outcome=tp,fn,fp,tn",
    "/queues/{queue}/badge.svg": "",
}
"""Parameters for the largest answer, by route; of the others `OF_QUEUE`."""
STREAMED: Final = {
    "/api/v1/stream": "a document for each change",
    "/queues/{queue}/items.csv": "parts of about a megabyte",
    "/queues/{queue}/items.jsonl": "parts of about a megabyte",
}
"""Routes whose answers have no end of their own, and what they consist of."""
DATA_BYTES: Final = 2 * ANSWER_BYTES
PAGE_BYTES: Final = 4 * ANSWER_BYTES
"""Most bytes of a page: markup has several bytes for a character such as a quotation mark."""
FULL: Final = {
    "/api/v1/queues/{queue}/comparisons",
    "/api/v1/queues/{queue}/disagreements",
    "/api/v1/queues/{queue}/items/{item}",
    "/api/v1/queues/{queue}/next",
    "/queues/{queue}/disagreements",
    "/queues/{queue}/disagreements.csv",
    "/queues/{queue}/items",
    "/queues/{queue}/items/{item}",
    "/queues/{queue}/next",
    "/queues/{queue}/next.csv",
}
"""Routes whose answers have texts of events."""


def facts() -> Iterator[Fact]:
    for number in range(DISPUTED):
        item = f"i{number}"
        for who in range(ANNOTATORS):
            yield Annotation(
                NOW_MS, f"a{who}", "q", item, criterion="c", annotator=f"{NAME}{who}", stars=1 + 4 * (who % 2),
                explanation=TEXT, expected=TEXT, input=TEXT, output=TEXT,
            )  # fmt: skip
            yield Evaluation(NOW_MS, f"e{who}", item, f"{NAME}{who}", passed=True, reason=TEXT, input=TEXT, output=TEXT)
        yield Evaluation(NOW_MS, "e", item, "m", passed=True, reason=TEXT, input=TEXT, output=TEXT)
    for number in range(100):
        yield QueueItem(NOW_MS, f"q{number}", "q", f"n{number}", input=TEXT, output=TEXT)


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    with TemporaryDirectory() as directory, closing(open_store(Path(directory) / "store")) as store:
        fill(store, list(facts()))
        services = view_of(store, Path(directory))
        services.config = replace(services.config, show_annotators=True)
        yield services


async def test_every_answer_has_about_a_megabyte_at_most(services: Services) -> None:
    routes = [route.path for route in (*api_routes(services), *Pages(services).routes())]
    assert set(routes) >= STREAMED.keys() | PARAMETERS.keys()
    transport = httpx.ASGITransport(create_app(services))
    sizes: dict[str, tuple[int, bool]] = {}
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        for route in routes:
            if route in STREAMED or route.startswith(PREFIX):
                continue
            path = route.format(queue="q", item="i0", name="metrics.csv") + PARAMETERS.get(route, OF_QUEUE)
            answer = await client.get(path, headers={"Accept-Encoding": "identity"})
            assert answer.status_code == 200, (route, answer.text)
            sizes[route] = len(answer.content), answer.headers["content-type"].startswith("text/html")
    large = [route for route, (size, is_page) in sizes.items() if size > (PAGE_BYTES if is_page else DATA_BYTES)]
    assert large == []
    # The store has more than these may have.
    assert {route for route, (size, _) in sizes.items() if size > ANSWER_BYTES // 4} >= FULL
