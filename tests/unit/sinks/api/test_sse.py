"""Server-sent events, as a client and as a server that writes to a client that does not read."""

import asyncio
import json
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import pytest

from sinks.api import sse
from sinks.api.responses import Readiness
from sinks.api.services import Services
from sinks.api.sse import EventStreams
from sinks.app import create_app
from sinks.changes import Changes
from tests.support.sample_view import FACTS, HOSTILE, NOW_MS, fill

Message = MutableMapping[str, Any]
QUERY = b"queue=support"


class Connection:
    """A client of an ASGI application: it receives every message, and may disconnect or stop reading."""

    def __init__(self, app: Any, query: bytes = QUERY, method: str = "GET", address: str = "127.0.0.1") -> None:
        self.messages: asyncio.Queue[Message] = asyncio.Queue()
        self.rules = asyncio.Event()
        self.rules.set()
        self.left = asyncio.Event()
        scope = {
            "type": "http", "method": method, "path": "/api/v1/stream", "raw_path": b"/api/v1/stream",
            "query_string": query, "headers": [(b"host", b"localhost")], "root_path": "", "client": (address, 1),
        }  # fmt: skip
        self.task = asyncio.create_task(app(scope, self._receive, self._send))

    async def _receive(self) -> Message:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        await self.rules.wait()
        await self.messages.put(message)

    async def status(self) -> int:
        """The status of the reply."""
        return int((await self.message())["status"])

    async def message(self) -> Message:
        """The next message."""
        return await asyncio.wait_for(self.messages.get(), 10)

    async def event(self) -> tuple[str, Any]:
        """The next event: its name and its data."""
        body = (await self.message())["body"].decode()
        fields = dict(line.split(": ", 1) for line in body.rstrip("\n").split("\n"))
        return fields["event"], json.loads(fields["data"])

    async def ended(self) -> None:
        """Wait until the server ends this connection."""
        await asyncio.wait_for(self.task, 10)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "PACE_SECONDS", 0.05)
    monkeypatch.setattr(sse, "HEARTBEAT_SECONDS", 0.15)


@pytest.fixture
async def app(services: Services) -> AsyncIterator[Any]:
    """The application; its streams end with the test."""
    yield create_app(services)
    services.streams.close()
    await asyncio.sleep(0)


async def test_a_stream_is_the_document_again_on_every_change(services: Services, app: Any) -> None:
    connection = Connection(app)
    assert await connection.status() == 200
    name, first = await connection.event()
    assert (name, first["queue"], first["revision"]) == ("snapshot", "support", 1)
    fill(services.store, FACTS)
    services.changes.notify({"support"})
    name, second = await connection.event()
    while name == "heartbeat":
        name, second = await connection.event()
    assert second["revision"] == 2
    assert second["cards"] == first["cards"]


async def test_a_stream_ignores_other_queues_and_sends_heartbeats(services: Services, app: Any) -> None:
    connection = Connection(app)
    await connection.status()
    await connection.event()
    services.changes.notify({HOSTILE})
    assert await connection.event() == (
        "heartbeat",
        {
            "ready": True,
            "stale": False,
            "stale_reason": None,
            "as_of": "2026-11-24T12:00:00.000Z",
            "rebuilding": 0,
            "rejected_last_hour": {},
        },
    )


async def test_many_changes_at_once_are_one_document(services: Services, app: Any) -> None:
    connection = Connection(app)
    await connection.status()
    await connection.event()
    for number in range(20):
        fill(services.store, FACTS, NOW_MS + number)
        services.changes.notify({"support"})
    seen = [await connection.event() for _ in range(2)]
    revisions = [data["revision"] for name, data in seen if name == "snapshot"]
    assert revisions[-1] == 21
    assert len(revisions) <= 2


async def test_a_stream_of_a_queue_that_does_not_exist_is_not_found(app: Any) -> None:
    connection = Connection(app, b"queue=later")
    assert await connection.status() == 404
    assert json.loads((await connection.message())["body"])["detail"] == "queue 'later' not found"
    await connection.ended()


async def test_a_stream_tells_proxies_not_to_buffer_it(app: Any) -> None:
    assert (b"x-accel-buffering", b"no") in (await Connection(app).message())["headers"]


async def test_a_client_that_leaves_frees_its_place(services: Services, app: Any) -> None:
    connection = Connection(app)
    assert await connection.status() == 200
    assert services.metrics.registry.get_sample_value("eval_alignment_stream_clients") == 1
    connection.left.set()
    await connection.ended()
    assert services.metrics.registry.get_sample_value("eval_alignment_stream_clients") == 0


async def test_a_client_that_does_not_read_is_dropped(services: Services) -> None:
    services.streams = EventStreams(services.changes, services.metrics, slow_s=0.1)
    connection = Connection(create_app(services))
    await connection.status()
    connection.rules.clear()
    await connection.ended()
    assert services.metrics.registry.get_sample_value("eval_alignment_stream_clients") == 0


async def test_streams_are_limited(services: Services) -> None:
    services.streams = EventStreams(services.changes, services.metrics, clients=1)
    app = create_app(services)
    first = Connection(app)
    assert await first.status() == 200
    refusal = await Connection(app).message()
    assert refusal["status"] == 503
    assert (b"retry-after", b"10") in refusal["headers"]
    services.streams.close()
    await first.ended()


async def test_one_address_does_not_take_the_streams_of_others(services: Services) -> None:
    services.streams = EventStreams(services.changes, services.metrics, share=2, proxies=["10.0.0.0/8"])
    app = create_app(services)
    taken = [Connection(app, address=f"2001:db8::{number}") for number in (1, 2)]
    assert [await each.status() for each in taken] == [200, 200]
    refusal = await Connection(app, address="2001:db8::3").message()
    assert refusal["status"] == 503
    assert (b"retry-after", b"10") in refusal["headers"]
    others = [Connection(app, address=address) for address in ("2001:db9::1", *["10.0.0.7"] * 3)]
    assert [await each.status() for each in others] == [200] * 4
    taken[0].left.set()
    await taken[0].ended()
    again = Connection(app, address="2001:db8::3")
    assert await again.status() == 200
    services.streams.close()
    for each in (*taken, *others, again):
        await each.ended()


async def test_a_stream_whose_first_message_still_waits_counts_towards_the_limit(services: Services) -> None:
    streams = EventStreams(services.changes, services.metrics, clients=1)

    async def document() -> None:
        return None

    response = streams.response("q", document, services.current_readiness)
    first = Connection(response)
    first.rules.clear()
    second = Connection(response)
    assert await second.status() == 503
    first.rules.set()
    assert await first.status() == 200
    streams.close()
    await first.ended()
    assert services.metrics.registry.get_sample_value("eval_alignment_stream_clients") == 0


async def test_streams_end_when_the_view_stops(services: Services, app: Any) -> None:
    connection = Connection(app)
    await connection.status()
    services.streams.close()
    await connection.ended()


async def test_a_head_request_does_not_stay(app: Any) -> None:
    connection = Connection(app, method="HEAD")
    assert await connection.status() == 200
    await connection.ended()


async def test_a_part_that_fails_ends_the_stream_with_its_error(services: Services) -> None:
    async def failing() -> None:
        raise LookupError("boom")

    async def state() -> Readiness:
        return Readiness(ready=True, stale=False, stale_reason=None, as_of=None, rejected_last_hour={})

    connection = Connection(services.streams.response("q", failing, state))
    with pytest.raises(LookupError, match="boom"):
        await connection.ended()


@pytest.mark.parametrize("ticks", range(4))
async def test_a_cancellation_is_never_lost_to_a_change_of_the_same_moment(ticks: int) -> None:
    changes = Changes()
    with changes.subscribe() as subscription:
        waiting = asyncio.create_task(subscription.wait(10))
        for _ in range(3):
            await asyncio.sleep(0)
        changes.notify({"q"})
        for _ in range(ticks):
            await asyncio.sleep(0)
        if waiting.cancel():
            with pytest.raises(asyncio.CancelledError):
                await waiting
