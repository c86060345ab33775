"""Requests wait for threads of their own, and are refused when too many wait."""

import asyncio
import threading
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.exceptions import HTTPException

from sinks.api.services import Services
from sinks.app import create_app
from sinks.request_pool import THREADS, WAITING, RequestPool


@pytest.fixture
async def gate() -> AsyncIterator[threading.Event]:
    """Holds calls back until it is set."""
    event = threading.Event()
    yield event
    event.set()


async def test_what_is_beyond_the_queue_is_refused_and_counted(gate: threading.Event) -> None:
    refusals: list[None] = []
    pool = RequestPool(2, 3, lambda: refusals.append(None))
    waiting = [asyncio.create_task(pool.run(gate.wait)) for _ in range(5)]
    await asyncio.sleep(0)
    with pytest.raises(HTTPException) as refused:
        await pool.run(gate.wait)
    assert (refused.value.status_code, refused.value.headers, len(refusals)) == (503, {"Retry-After": "2"}, 1)
    begun = asyncio.create_task(pool.run(gate.wait, begun=True))
    gate.set()
    assert all(await asyncio.gather(*waiting, begun))
    assert await pool.run(lambda: 1) == 1


async def test_an_error_of_a_call_leaves_its_place() -> None:
    pool = RequestPool(1, 0)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await pool.run(lambda: 1 // 0)


async def test_health_answers_while_requests_take_all_threads(
    services: Services, client: httpx.AsyncClient, gate: threading.Event
) -> None:
    slow = [asyncio.create_task(services.query(lambda _: gate.wait())) for _ in range(THREADS + WAITING)]
    await asyncio.sleep(0)
    for target in ("/healthz", "/readyz", "/metrics"):
        async with asyncio.timeout(10):
            assert (await client.get(target)).status_code == 200
    for target in ("/", "/queues/support", "/api/v1/queues", "/queues/support/items.csv", "/no"):
        answer = await client.get(target, headers={"Accept": "text/html"})
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "2"
        assert answer.headers["cache-control"] == "no-store"
    assert services.metrics.registry.get_sample_value("eval_alignment_http_refused_total", {"reason": "busy"}) == 5
    gate.set()
    await asyncio.gather(*slow)
    assert (await client.get("/queues/support")).status_code == 200


async def test_heartbeats_of_streams_do_not_wait_for_requests(services: Services, gate: threading.Event) -> None:
    slow = [asyncio.create_task(services.query(lambda _: gate.wait())) for _ in range(THREADS)]
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        assert (await services.current_readiness())["ready"]
    gate.set()
    await asyncio.gather(*slow)


def test_the_application_answers_requests_in_no_other_thread(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`asyncio.to_thread` has the threads of the reader and the gauges."""

    def forbidden(*_: object) -> None:
        raise AssertionError("a request takes a thread of another part")

    monkeypatch.setattr(asyncio, "to_thread", forbidden)

    async def ask() -> list[int]:
        transport = httpx.ASGITransport(create_app(services))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            targets = (
                "/",
                "/queues/support",
                "/queues/support/items",
                "/queues/support/items.jsonl",
                "/glossary",
                "/no",
            )
            return [(await client.get(target)).status_code for target in targets]

    assert asyncio.run(ask()) == [200, 200, 200, 200, 200, 404]
