"""Connections of every HTTP server: how long they stay, and how they end."""

import asyncio
import inspect
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from eval_alignment.settings import Settings
from ingest.config import IngestConfig
from sinks import listener
from sinks.config import ViewConfig
from sinks.listener import AddressInUseError, HttpServer, listen

LARGE = 32 << 20
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


class App:
    """Answers when its gate is open."""

    def __init__(self) -> None:
        self.gate, self.entered = asyncio.Event(), asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.entered.set()
        await self.gate.wait()
        await PlainTextResponse("served")(scope, receive, send)


@asynccontextmanager
async def served(app: ASGIApp, keep_alive_s: int = 75) -> AsyncIterator[tuple[HttpServer, int]]:
    """A server in this loop, and its port."""
    bound = listen("127.0.0.1", 0)
    server = HttpServer(app, keep_alive_s=keep_alive_s, connections=10, grace_s=30)
    serving = asyncio.create_task(server.serve([bound]))
    try:
        yield server, bound.getsockname()[1]
    finally:
        server.should_exit = True
        await serving


async def answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    return head + await reader.readexactly(len(b"served"))


async def test_an_idle_connection_ends_after_its_time_and_not_before() -> None:
    app = App()
    app.gate.set()
    async with served(app, keep_alive_s=1) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(3):
            writer.write(REQUEST)
            assert b"200 OK" in await answer(reader)
            await asyncio.sleep(0.3)
        assert await reader.read() == b""
        writer.close()


async def test_a_response_does_not_wait_for_the_acknowledgement_of_its_head(monkeypatch: pytest.MonkeyPatch) -> None:
    options: list[int] = []
    made = listener._Protocol.connection_made

    def observed(self: listener._Protocol, transport: asyncio.Transport) -> None:
        made(self, transport)
        connection = transport.get_extra_info("socket")
        options.append(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    monkeypatch.setattr(listener._Protocol, "connection_made", observed)
    app = App()
    app.gate.set()
    async with served(app) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST)
        assert b"200 OK" in await answer(reader)
        writer.close()
    assert options == [1]


def test_idle_connections_stay_longer_than_those_of_a_proxy_by_default() -> None:
    servers = (Settings, ViewConfig, IngestConfig)
    assert {inspect.signature(server).parameters["keep_alive_s"].default for server in servers} == {75}


@pytest.mark.parametrize("sent", [b"", b"GET / HT"])
async def test_a_connection_without_a_whole_header_is_closed(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "HEADER_SECONDS", 0.2)
    app = App()
    app.gate.set()
    async with served(app) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        assert await reader.read() == b""
        writer.close()
        # The same after a request on the connection, and only once the next header has begun.
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST)
        assert b"200 OK" in await answer(reader)
        await asyncio.sleep(0.4)
        writer.write(REQUEST)
        assert b"200 OK" in await answer(reader)
        writer.write(b"GET /")
        assert await reader.read() == b""
        writer.close()


async def test_a_request_that_takes_long_is_not_a_header_that_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "HEADER_SECONDS", 0.1)
    app = App()
    async with served(app) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST)
        await app.entered.wait()
        await asyncio.sleep(0.3)
        app.gate.set()
        assert b"200 OK" in await answer(reader)
        writer.close()


class LargeApp:
    """Answers with more than the system keeps for a client that does not read."""

    def __init__(self) -> None:
        self.sent = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(LARGE), "more_body": True})
        await send({"type": "http.response.body"})
        self.sent.set()


async def test_a_client_that_does_not_read_its_response_is_dropped_with_all_that_waits_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listener, "READ_SECONDS", 0.2)
    app = LargeApp()
    async with served(app) as (server, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST)
        await asyncio.wait_for(app.sent.wait(), 30)
        assert not server.server_state.connections
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await reader.readexactly(LARGE)
        writer.close()


async def test_a_client_that_reads_its_response_slowly_gets_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "READ_SECONDS", 0.3)
    async with served(LargeApp()) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=LARGE // 32)
        writer.write(REQUEST)
        began, read = asyncio.get_running_loop().time(), 0
        await reader.readuntil(b"\r\n\r\n")
        while chunk := await reader.read(LARGE // 16):
            read += len(chunk)
            if b"\r\n0\r\n\r\n" in chunk:
                break
            await asyncio.sleep(0.05)
        assert read > LARGE
        assert asyncio.get_running_loop().time() - began > 2 * listener.READ_SECONDS
        writer.close()


async def test_a_stop_finishes_running_requests_and_closes_idle_connections() -> None:
    app = App()
    async with served(app) as (server, port):
        app.gate.set()
        idle, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST)
        await answer(idle)
        app.gate.clear()
        app.entered.clear()
        running, other = await asyncio.open_connection("127.0.0.1", port)
        other.write(REQUEST)
        await app.entered.wait()
        server.should_exit = True
        assert await idle.read() == b""
        app.gate.set()
        assert b"200 OK" in await answer(running)
        assert await running.read() == b""
        writer.close()
        other.close()


def test_an_address_in_use_has_its_own_error() -> None:
    with listen("127.0.0.1", 0) as taken, pytest.raises(AddressInUseError, match="cannot listen"):
        listen("127.0.0.1", taken.getsockname()[1])
