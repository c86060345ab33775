"""A queue with impossible numbers in the store: its own page has the reason, every other queue is served, it heals.

A store of an earlier release can have such numbers, which it took from the topic unchecked.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from sinks.api.services import Services
from sinks.app import create_app
from sinks.documents import DocumentError
from sinks.gauges import GaugeCollector
from sinks.page.deep_dive import AnswerCache
from sinks.page.index_page import IndexRequest, index_page
from sinks.snapshots import SnapshotHistory, Snapshots
from sinks.store.store import Store
from tests.support.sample_view import FACTS, HOSTILE, NOW, NOW_MS, fill, view_of

TODAY = datetime.fromtimestamp(NOW, UTC).date()
ZEROS = [0] * 14


def spoil(store: Store, payload: Any, day: str | None = None) -> None:
    """Somebody's tallies of `support` stand in the store."""
    with store.write() as connection:
        connection.execute(
            "UPDATE tallies SET payload = ? WHERE queue = 'support' AND kind = 'cells'", (orjson.dumps(payload),)
        )
        if day is not None:
            connection.execute(
                "UPDATE OR REPLACE tallies SET day = ? WHERE queue = 'support' AND kind = 'cells'", (day,)
            )
        connection.execute("UPDATE queues SET revision = revision + 1")


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"judges": {"": {"current": [1]}}},
        {"judges": {"": {"current": ["x"] * 14, "superseded": ZEROS}}},
        {"judges": {"": {"current": [-50] * 14, "superseded": ZEROS}}},
        {"judges": {"": {"current": [1], "superseded": [1]}}},
    ],
    ids=repr,
)
async def test_a_queue_that_cannot_be_computed_is_left_out_with_a_reason(
    payload: Any, store: Store, tmp_path: Path
) -> None:
    fill(store, FACTS)
    spoil(store, payload)
    services = view_of(store, tmp_path)
    gauges = GaugeCollector(store, services.documents, 10_000).collect(TODAY)
    assert b"a/b" in gauges.text
    assert b'queue="support",criterion="overall",metric="relevance"' not in gauges.text
    assert services.documents.failed == {"support"}
    with pytest.raises(DocumentError, match="queue 'support'"):
        services.documents.get("support")
    transport = httpx.ASGITransport(create_app(services))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        answer = await client.get("/api/v1/queues/support")
        assert answer.status_code == 500
        assert "the numbers of queue 'support' cannot be computed" in answer.json()["detail"]
        page = await client.get("/queues/support")
        assert page.status_code == 500
        assert "cannot be computed" in page.text
        listed = (await client.get("/api/v1/queues")).json()
        assert [queue["queue"] for queue in listed["queues"]] == [HOSTILE]
        assert listed["failed"] == ["support"]
        index = await client.get("/")
        assert index.status_code == 200
        assert "1 queue cannot be shown, because its numbers in the store are invalid: " in index.text
        assert '<a href="/queues/support">support</a>' in index.text
        # Only of the queues that are searched.
        assert "cannot be shown" not in (await client.get("/?q=b")).text
    await snapshots(services).write({"support", HOSTILE})
    with store.read() as connection:
        assert connection.execute("SELECT queue FROM snapshots").fetchall() == [(HOSTILE,)]


def snapshots(services: Services) -> Snapshots:
    history = SnapshotHistory(services.store, 10, 10)
    return Snapshots(services.documents, services.store, history, None, services.metrics)


def test_it_is_served_again_when_its_tallies_are_published_again(store: Store, tmp_path: Path) -> None:
    fill(store, FACTS)
    spoil(store, {})
    services = view_of(store, tmp_path)
    with pytest.raises(DocumentError):
        services.documents.get("support")
    fill(store, FACTS, NOW_MS + 1)
    assert services.documents.get("support") is not None
    assert not services.documents.failed
    with store.read() as connection:
        assert index_page(services, AnswerCache(), connection, IndexRequest()).failed == []
