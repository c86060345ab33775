"""Requests wait for threads of their own, and are refused when too many wait."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from starlette.exceptions import HTTPException

from sinks.api.services import Services
from sinks.app import create_app
from sinks.request_pool import CLIENT, THREADS, WAITING, RequestPool


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


async def ask(pool: RequestPool, client: str, answered: list[str]) -> None:
    """A call of a client."""
    CLIENT.set(client)
    await pool.run(lambda: answered.append(client))


async def test_a_client_that_asks_for_much_waits_for_itself(gate: threading.Event) -> None:
    pool, answered = RequestPool(1), list[str]()
    first = asyncio.create_task(pool.run(gate.wait))
    others = [asyncio.create_task(ask(pool, client, answered)) for client in ("a", "a", "a", "b", "c", "b")]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(first, *others)
    assert answered == ["a", "b", "c", "a", "b", "a"]


async def test_a_call_that_is_cancelled_while_it_waits_or_gets_its_turn_leaves_no_place_taken(
    gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, answered = RequestPool(1, 2), list[str]()
    pass_on = pool._pass_on

    def pass_on_and_cancel() -> None:
        pass_on()
        # The second has its turn now, and has not begun.
        waiting[1].cancel()

    running = asyncio.create_task(pool.run(gate.wait))
    waiting = [asyncio.create_task(ask(pool, client, answered)) for client in ("a", "b")]
    await asyncio.sleep(0)
    waiting[0].cancel()
    monkeypatch.setattr(pool, "_pass_on", pass_on_and_cancel)
    gate.set()
    await running
    assert [type(error) for error in await asyncio.gather(*waiting, return_exceptions=True)] == [
        asyncio.CancelledError
    ] * 2
    await asyncio.gather(*(ask(pool, "c", answered) for _ in range(3)))
    assert (answered, pool._running) == (["c"] * 3, 0)


async def test_requests_are_those_of_their_client(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    async def run(_pool: RequestPool, call: Callable[[], object], *, begun: bool = False) -> object:
        del begun
        seen.append(CLIENT.get())
        return call()

    monkeypatch.setattr(RequestPool, "run", run)
    for address in ("192.0.2.1", "2001:db8::1"):
        transport = httpx.ASGITransport(create_app(services), client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as asking:
            await asking.get("/queues/support")
    assert seen == ["192.0.2.1"] * 2 + ["2001:db8::/64"] * 2


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
