"""No client takes all places of requests: neither by many requests, nor by exports."""

import asyncio
import threading
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from sinks.api.routes import STREAM_PATH
from sinks.api.services import Services
from sinks.app import create_app
from sinks.request_pool import THREADS, WAITING
from sinks.request_shares import SHARE, RequestShares

EXPORT = "/queues/support/items.jsonl?outcome=tp,tn"


class _SlowApp:
    """Begins its answers, and ends them when it is told to."""

    def __init__(self) -> None:
        self.begun = asyncio.Semaphore(0)
        self.over = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        await send({"type": "http.response.start", "status": 200, "headers": []})
        self.begun.release()
        await self.over.wait()
        await send({"type": "http.response.body", "body": b""})


class _Clients:
    """Requests of several addresses to an application with shares."""

    def __init__(self) -> None:
        self.app = _SlowApp()
        self.refused: list[str] = []
        self.shares = RequestShares(self.app, ["10.9.0.0/16"], self.refused.append)
        self.running: list[asyncio.Task[httpx.Response]] = []

    async def ask(self, address: str, path: str = "/") -> httpx.Response:
        transport = httpx.ASGITransport(self.shares, client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get(path)

    async def begin(self, address: str, count: int, path: str = "/") -> None:
        """Ask, and return when all are being answered."""
        self.running += [asyncio.create_task(self.ask(address, path)) for _ in range(count)]
        for _ in range(count):
            await self.app.begun.acquire()

    async def end(self) -> list[int]:
        """The statuses of all."""
        self.app.over.set()
        return [answer.status_code for answer in await asyncio.gather(*self.running)]


async def test_one_address_does_not_take_the_places_of_others() -> None:
    clients = _Clients()
    await clients.begin("10.0.0.1", SHARE)
    refused = await clients.ask("10.0.0.1")
    assert (refused.status_code, refused.headers["retry-after"], clients.refused) == (503, "1", ["10.0.0.1"])
    await clients.begin("10.0.0.2", 1)
    await clients.begin("10.0.0.1", 1, "/healthz")
    await clients.begin("10.9.0.1", SHARE + 1)
    assert await clients.end() == [200] * (2 * SHARE + 3)
    assert (await clients.ask("10.0.0.1")).status_code == 200


async def test_a_stream_takes_a_place_until_it_begins() -> None:
    clients = _Clients()
    await clients.begin("10.0.0.1", SHARE, STREAM_PATH)
    await clients.begin("10.0.0.1", SHARE)
    assert (await clients.ask("10.0.0.1", STREAM_PATH)).status_code == 503
    assert await clients.end() == [200] * 2 * SHARE


@pytest.fixture
async def gate() -> AsyncIterator[threading.Event]:
    """Holds calls back until it is set."""
    event = threading.Event()
    yield event
    event.set()


async def test_exports_take_no_place_of_other_requests(
    services: Services, client: httpx.AsyncClient, gate: threading.Event
) -> None:
    slow = [asyncio.create_task(services.exports.run(gate.wait, begun=True)) for _ in range(THREADS + WAITING)]
    export = asyncio.create_task(client.get(EXPORT))
    async with asyncio.timeout(10):
        assert (await client.get("/queues/support")).status_code == 200
        assert (await client.head(EXPORT)).headers["content-type"] == "application/x-ndjson"
    assert not export.done()
    gate.set()
    await asyncio.gather(*slow)
    assert len((await export).text.splitlines()) == 2


async def test_a_view_has_shares(services: Services, gate: threading.Event) -> None:
    slow = [asyncio.create_task(services.query(lambda _: gate.wait())) for _ in range(THREADS)]
    transport = httpx.ASGITransport(create_app(services), client=("10.0.0.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        asked = [asyncio.create_task(client.get("/queues/support")) for _ in range(SHARE + 1)]
        (refused,), _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        assert refused.result().status_code == 503
        gate.set()
        assert sorted(answer.status_code for answer in await asyncio.gather(*asked)) == [200] * SHARE + [503]
    await asyncio.gather(*slow)
