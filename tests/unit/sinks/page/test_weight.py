"""A page is light, also with many metrics."""

import gzip
import random
from pathlib import Path

from aggregator.facts import Annotation, Evaluation, Fact
from sinks.api.services import Services
from sinks.app import create_app
from sinks.page.routes import templates
from sinks.store.store import Store
from tests.support.html import read
from tests.support.sample_view import NOW_MS, fill, view_of
from tests.unit.sinks.page.conftest import connected

MOST_BYTES = 100_000
MOST_OF_DOCUMENT = 60_000


def packed(body: bytes) -> int:
    return len(gzip.compress(body, 5))


def many_metrics() -> list[Fact]:
    """A queue with 20 metrics, over 60 days."""
    luck = random.Random(2)
    facts: list[Fact] = []
    for number in range(60):
        at, item = NOW_MS - number * 86_400_000, f"i{number}"
        facts.append(Annotation(at=at, id=item, queue="q", item=item, stars=luck.randint(1, 5), explanation="why"))
        facts += [
            Evaluation(
                at=at, id=f"{item}-{metric}", item=item, metric=f"metric number {metric}", passed=luck.random() < 0.6
            )
            for metric in range(20)
        ]
    return facts


async def test_a_page_with_its_files_is_under_100_kb(store: Store, tmp_path: Path) -> None:
    fill(store, many_metrics())
    async with connected(view_of(store, tmp_path)) as client:
        answer = await client.get("/queues/q")
        page = read(answer.text)
        assert len(page.all("article")) == 20
        assert answer.headers["content-encoding"] == "gzip"
        files = {page.one("script").attributes["src"], *(link.attributes["href"] for link in page.all("link"))}
        weight = packed(answer.content) + sum([packed((await client.get(path)).content) for path in files])
    assert weight < MOST_BYTES


async def test_the_document_of_many_metrics_is_under_60_kb(store: Store, tmp_path: Path) -> None:
    fill(store, many_metrics())
    async with connected(view_of(store, tmp_path)) as client:
        assert packed((await client.get("/queues/q")).content) < MOST_OF_DOCUMENT


def test_no_reader_waits_for_a_template_to_be_compiled(services: Services) -> None:
    templates.cache_clear()
    create_app(services)
    assert templates.cache_info().currsize == 1
    compiled = templates().cache
    assert compiled is not None
    assert {name for _, name in compiled} == set(templates().list_templates())
