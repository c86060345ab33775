"""Pages, API and report tell what waits for an annotation, and that workers read evaluations again."""

import io
from collections.abc import AsyncIterator

import httpx
import pytest
from rich.console import Console

from aggregator.facts import Annotation
from aggregator.tallies import WaitingState
from eval_alignment.render import render, render_waiting
from sinks.api.services import Services
from sinks.page.wording import waiting_words
from sinks.queries.results import WaitingTotals
from sinks.queries.waiting import waiting_evaluations
from sinks.snapshots import _digest
from sinks.store.store import Store
from tests.support.html import read
from tests.support.sample_view import FACTS, NOW_MS, fill
from tests.unit.sinks.page.conftest import connected

PAGES = ("/", "/queues/support", "/queues/support/items")
JUDGES = [("relevance", "v1", NOW_MS - 9, NOW_MS - 5, 1_200), ("toxicity", "", NOW_MS - 9, NOW_MS - 5, 4)]
WAITS = (
    "1,204 evaluations by 2 metrics wait for an annotation of their items, "
    "such as \u2068trace-1\u2069, \u2068<b>\u2069."
)

GONE = "the topic no longer had them when a worker read it again, or the disk of a worker was nearly full."


def report(rebuilding: int = 0, missing: int = 0, evaluations: int = 1_204) -> WaitingState:
    return WaitingState(
        rebuilding=rebuilding,
        missing=missing,
        evaluations=evaluations,
        since=NOW_MS - 99,
        sample=["trace-1", "<b>"],
        judges=JUDGES,
    )


@pytest.fixture
async def client(services: Services) -> AsyncIterator[httpx.AsyncClient]:
    async with connected(services) as client:
        yield client


async def words(client: httpx.AsyncClient, path: str, key: str) -> str | None:
    """The text of the part of a page with this key."""
    found = read((await client.get(path)).text).all("p", data_key=key)
    return found[0].words if found else None


async def test_the_list_of_queues_tells_what_waits(client: httpx.AsyncClient, store: Store) -> None:
    assert await words(client, "/", "waiting") is None
    fill(store, [], waiting=report())
    assert await words(client, "/", "waiting") == WAITS
    listed = (await client.get("/api/v1/queues")).json()
    assert {name: listed["waiting"][name] for name in ("evaluations", "metrics", "sample")} == {
        "evaluations": 1_204,
        "metrics": 2,
        "sample": ["trace-1", "<b>"],
    }
    fill(store, [], waiting=report(missing=1))
    assert "Up to 1 evaluation is missing" in str(await words(client, "/", "waiting"))


async def test_a_queue_without_comparisons_tells_what_waits_in_no_queue(
    client: httpx.AsyncClient, store: Store
) -> None:
    fill(store, [Annotation(at=NOW_MS, id="n", queue="new", item="n", stars=4)], waiting=report())
    assert await words(client, "/queues/new", "waiting") == f"In no queue: {WAITS}"
    assert await words(client, "/queues/support", "waiting") is None


async def test_an_installation_without_queues_tells_what_waits(store: Store, client: httpx.AsyncClient) -> None:
    for name in ("annotations", "queue_items", "queues"):
        with store.write() as connection:
            connection.execute(f"DELETE FROM {name}")  # noqa: S608 -- a constant
    fill(store, [], waiting=report())
    page = read((await client.get("/")).text)
    assert "No queues yet" in page.words
    assert WAITS in page.words


async def test_a_rebuild_is_told_apart_from_a_stale_state(client: httpx.AsyncClient, store: Store) -> None:
    for path in PAGES:
        assert await words(client, path, "rebuilding") is None
    assert (await client.get("/readyz")).json()["rebuilding"] == 0
    assert "rebuilding" not in (await client.get("/api/v1/queues/support")).json()
    fill(store, [], waiting=report(rebuilding=1_500))
    for path in PAGES:
        assert "Workers read 1,500 offsets of the evaluations topic again" in str(
            await words(client, path, "rebuilding")
        )
        assert "Stale" not in (await client.get(path)).text
    ready = await client.get("/readyz")
    assert (ready.status_code, ready.json()["stale"], ready.json()["rebuilding"]) == (200, False, 1_500)
    assert (await client.get("/api/v1/queues")).json()["waiting"]["rebuilding"] == 1_500
    assert (await client.get("/api/v1/queues/support")).json()["rebuilding"] == 1_500
    # Documents of the cache tell the present number too.
    fill(store, [], waiting=report(rebuilding=20))
    for window in ("all", "7d", "all"):
        answer = await client.get("/api/v1/queues/support", params={"window": window})
        assert answer.json()["rebuilding"] == 20
    fill(store, [], waiting=report())
    assert "rebuilding" not in (await client.get("/api/v1/queues/support")).json()


async def test_a_document_changes_when_a_rebuild_begins_and_ends_only(services: Services, store: Store) -> None:
    digests = []
    for left in (0, 900, 20, 0):
        fill(store, [], waiting=report(rebuilding=left))
        document = services.documents.get("support")
        assert document is not None
        digests.append(_digest(document))
    assert digests[0] == digests[3] != digests[1] == digests[2]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "3 evaluations by 2 metrics wait for an annotation of their items, such as a, b."),
        ({"sample": []}, "3 evaluations by 2 metrics wait for an annotation of their items."),
        (
            {"evaluations": 1, "metrics": 0, "sample": ["a"]},
            "1 evaluation waits for an annotation of its item, such as a.",
        ),
        ({"evaluations": 0}, ""),
        (
            {"evaluations": 0, "missing": 2},
            "Up to 2 evaluations are missing: " + GONE,
        ),
    ],
)
def test_what_waits_in_words(changes: dict[str, object], expected: str) -> None:
    waiting = WaitingTotals(evaluations=3, metrics=2, rebuilding=0, missing=0, since=None, sample=["a", "b"], judges=[])
    assert waiting_words({**waiting, **changes}, str) == expected  # type: ignore[typeddict-item]


def test_a_report_prints_what_waits(services: Services, store: Store) -> None:
    fill(store, FACTS, waiting=report(rebuilding=7))
    with store.read() as connection:
        waiting = waiting_evaluations(connection)
    document = services.documents.get("support")
    assert document is not None
    out = io.StringIO()
    assert waiting is not None
    render_waiting(waiting, Console(file=out, width=400))
    first, second = out.getvalue().splitlines()
    assert first == "1,204 evaluations by 2 metrics wait for an annotation of their items, such as trace-1, <b>."
    assert second.startswith("Workers read 7 offsets of the evaluations topic again")
    out = io.StringIO()
    render(document, Console(file=out, width=400))
    assert second in out.getvalue()
    document.pop("rebuilding")
    out = io.StringIO()
    render(document, Console(file=out, width=400))
    assert "Workers read" not in out.getvalue()
