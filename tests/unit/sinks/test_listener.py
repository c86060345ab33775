"""Connections of every HTTP server: how long they stay, and how they end."""

import asyncio
import contextlib
import inspect
import re
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from eval_alignment.settings import Settings
from ingest.config import IngestConfig
from sinks import listener
from sinks.config import ViewConfig
from sinks.listener import AddressInUseError, HttpServer, ServerLimits, listen
from streams.runtime.refusals import RefusalReason, Refusals

LARGE = 32 << 20
LIMITS = ServerLimits(connections=10)
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
async def served(
    app: ASGIApp,
    keep_alive_s: int = 75,
    limits: ServerLimits = LIMITS,
    registry: CollectorRegistry | None = None,
) -> AsyncIterator[tuple[HttpServer, int]]:
    """A server in this loop, and its port."""
    bound = listen("127.0.0.1", 0)
    refusals = Refusals(registry or CollectorRegistry())
    server = HttpServer(app, limits=limits, refusals=refusals, keep_alive_s=keep_alive_s, grace_s=30)
    serving = asyncio.create_task(server.serve([bound]))
    try:
        yield server, bound.getsockname()[1]
    finally:
        server.should_exit = True
        await serving


async def opened(port: int, sent: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that has its first bytes before the server accepts it: they are in time on any machine."""
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(sent)
    return await asyncio.open_connection(sock=connection)


async def answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    return head + await reader.readexactly(len(b"served"))


async def test_an_idle_connection_ends_after_its_time_and_not_before() -> None:
    app = App()
    app.gate.set()
    now = asyncio.get_running_loop().time
    async with served(app, keep_alive_s=2) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        last = 0.0
        for _ in range(2):
            await asyncio.sleep(0.1)
            last = now()
            writer.write(REQUEST)
            assert b"200 OK" in await answer(reader)
        assert await reader.read() == b""
        assert now() - last >= 2
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
        reader, writer = await opened(port, REQUEST)
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
        reader, writer = await opened(port, REQUEST)
        await app.entered.wait()
        await asyncio.sleep(0.3)
        app.gate.set()
        assert b"200 OK" in await answer(reader)
        writer.close()


class LargeApp:
    """Answers with more than the system keeps for a client that does not read."""

    def __init__(self, size: int = LARGE) -> None:
        self.size = size
        self.sent = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(self.size), "more_body": True})
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
    """The time of a check comes each time that the client has read a part."""
    due: list[int] = []

    def await_reader(connection: listener._Protocol) -> None:
        due[:] = [connection.unread]

    monkeypatch.setattr(listener._Protocol, "_await_reader", await_reader)
    async with served(LargeApp()) as (server, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=LARGE // 32)
        writer.write(REQUEST)
        await reader.readuntil(b"\r\n\r\n")
        connection: Any = next(iter(server.server_state.connections))
        read = checks = 0
        while chunk := await reader.read(LARGE // 16):
            read += len(chunk)
            if b"\r\n0\r\n\r\n" in chunk:
                break
            if connection.unread:
                await until(lambda: connection.unread < due[0])
                connection._check_reader(due[0])
                checks += 1
        assert read > LARGE
        assert checks > 2
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


class Health:
    """Answers each path, health as the servers do."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            await self.gate.wait()
        await PlainTextResponse("served")(scope, receive, send)


async def ask(port: int, target: str = "/healthz") -> bytes:
    """Status line and all that follows, on a connection that ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    try:
        return await reader.read()
    finally:
        writer.close()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 -- what a server knows has no event
            await asyncio.sleep(0.01)


def refused(registry: CollectorRegistry, reason: RefusalReason) -> float:
    return registry.get_sample_value("eval_alignment_http_refused_total", {"reason": reason}) or 0


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: "])
async def test_silent_connections_keep_nobody_out(sent: bytes) -> None:
    registry = CollectorRegistry()
    async with served(Health(), registry=registry) as (server, port):
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(5 * LIMITS.connections)]
        for _, writer in silent:
            writer.write(sent)
        for target in ("/healthz", "/readyz", "/metrics"):
            assert (await ask(port, target)).startswith(b"HTTP/1.1 200 ")
        assert len(server.server_state.connections) <= LIMITS.connections
        assert refused(registry, RefusalReason.PLACES) >= 4 * LIMITS.connections
        for _, writer in silent:
            writer.close()


async def test_health_is_answered_while_requests_have_all_places() -> None:
    app = Health()
    async with served(app) as (server, port):
        slow = [asyncio.create_task(ask(port, "/slow")) for _ in range(LIMITS.connections)]
        await until(lambda: len(server.server_state.tasks) == LIMITS.connections)
        other = (await ask(port, "/other")).lower()
        assert b"\r\nretry-after: 1\r\n" in other
        assert b"\r\nconnection: close\r\n" in other
        for target in ("/healthz", "/readyz"):
            assert (await ask(port, target)).startswith(b"HTTP/1.1 200 ")
        app.gate.set()
        assert all(response.startswith(b"HTTP/1.1 200 ") for response in await asyncio.gather(*slow))


async def test_one_address_has_so_many_places_and_a_proxy_has_all() -> None:
    for proxies, status in (((), b"503"), (("127.0.0.1",), b"200")):
        app = Health()
        limits = ServerLimits(connections=10, per_address=2, proxies=proxies)
        async with served(app, limits=limits) as (server, port):
            slow = [asyncio.create_task(ask(port, "/slow")) for _ in range(2)]
            await until(lambda: len(server.server_state.tasks) == 2)
            assert (await ask(port, "/other")).split()[1] == status
            app.gate.set()
            await asyncio.gather(*slow)


@pytest.mark.parametrize(
    ("sent", "statuses"),
    [
        (b"\x16\x03\x01\r\n\r\n", [b"400"]),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n", [b"400"]),
        (b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\nHEAD / HTTP/1.1\r\n", [b"200"]),
        (b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n\0\r\n\r\n", [b"200", b"400"]),
        (b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade, close\r\n\r\n", [b"200"]),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nUpgrade: websocket\r\n\r\n", [b"200"]),
    ],
)
async def test_what_is_not_http_is_answered_once_without_a_traceback(
    sent: bytes, statuses: list[bytes], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "HEADER_SECONDS", 0.5)
    async with served(Health()) as (_, port):
        reader, writer = await opened(port, sent)
        answers = await reader.read()
        writer.close()
    assert re.findall(rb"HTTP/1.1 (\d+) ", answers) == statuses
    assert b"server:" not in answers.lower()
    assert not [record for record in caplog.records if record.exc_info]


async def test_an_incomplete_head_after_a_pipelined_request_is_not_awaited_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listener, "HEADER_SECONDS", 0.2)
    app = App()
    app.gate.set()
    async with served(app) as (_, port):
        reader, writer = await opened(port, REQUEST + b"GET /")
        assert b"200 OK" in await answer(reader)
        assert await reader.read() == b""
        writer.close()


async def test_what_all_clients_have_not_read_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "_READ_BEGINS_SECONDS", 1e-6)
    registry, limits = CollectorRegistry(), ServerLimits(connections=20, unread_bytes=3 * LARGE // 8)
    async with served(LargeApp(LARGE // 8), limits=limits, registry=registry) as (server, port):
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(6)]
        for dropped, (_, writer) in zip((0, 0, 0, 1, 2, 3), silent, strict=True):
            writer.write(REQUEST)
            await until(lambda dropped=dropped: refused(registry, RefusalReason.READER) == dropped)  # type: ignore[misc]
        assert len(server.server_state.connections) == 3
        for _, writer in silent:
            writer.transport.abort()


CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


class BodyApp:
    """Reads the body of a request, and answers with its length."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        received, more = 0, True
        while more:
            message = await receive()
            received += len(message.get("body", b""))
            more = message.get("more_body", False)
        await PlainTextResponse(str(received))(scope, receive, send)


@pytest.mark.parametrize(
    ("body", "length"),
    [
        (b"1\r\na\r\n" * 250, 250),
        (b"40\r\n" + 64 * b"a" + b"\r\n", 64),
        ((b"40\r\n" + 64 * b"a" + b"\r\n") * 5_000, 320_000),
        ((b"1\r\na\r\n80\r\n" + 128 * b"a" + b"\r\n") * 5_000, 645_000),
        (b"50000\r\n" + 0x50000 * b"a" + b"\r\n" + b"1\r\na\r\n" * 250, 0x50000 + 250),
    ],
)
async def test_a_body_in_chunks_is_read_whole(body: bytes, length: int) -> None:
    async with served(BodyApp()) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(CHUNKED + body + b"0\r\n\r\n")
            assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(len(str(length))) == str(length).encode()
        writer.close()


@pytest.mark.parametrize("app", [BodyApp(), PlainTextResponse("answered before the body")])
async def test_a_body_of_very_many_tiny_chunks_ends_its_connection(app: ASGIApp) -> None:
    registry = CollectorRegistry()
    async with served(app, registry=registry) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        # A large chunk before them changes nothing.
        body = b"50000\r\n" + 0x50000 * b"a" + b"\r\n" + b"1\r\na\r\n" * 300 + b"0\r\n\r\n"
        writer.write(CHUNKED + body + REQUEST.replace(b"Host", b"Connection: close\r\nHost"))
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()
    assert refused(registry, RefusalReason.MALFORMED) == 1
