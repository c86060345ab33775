"""The connection to a tool: what is repeated and after how long, what is an error, and its message."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from email.utils import formatdate
from pathlib import Path
from time import time

import httpx
import pytest

from sources.pulls.connection import (
    ATTEMPTS,
    Connection,
    HeaderAuth,
    ToolBusyError,
)
from sources.pulls.credentials import Credentials
from sources.pulls.pull import PullError
from sources.pulls.reading import PullReading
from streams.runtime.retry_after import LONGEST_RETRY_AFTER_S, retry_after

URL = "https://tool.invalid/base"
NONE = Credentials("support", None)
Reply = httpx.Response | Exception


async def replied(*replies: Reply) -> tuple[bytes, list[httpx.Request]]:
    """The content of the answer of a tool that replies this, and the requests that were sent."""
    pending, requests = list(replies), []

    def reply(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        given = pending.pop(0)
        if isinstance(given, Exception):
            raise given
        return given

    async with Connection(URL, NONE, HeaderAuth({"x-api-key": "k"}), httpx.MockTransport(reply)) as connection:
        answer = await connection.get(PullReading(), "/api/scores", {"limit": 100, "cursor": None})
    assert not pending
    return answer.content, requests


async def test_a_request_has_the_credentials_and_only_parameters_that_are_set() -> None:
    content, (request,) = await replied(httpx.Response(200, content=b"[]"))
    assert content == b"[]"
    assert str(request.url) == "https://tool.invalid/base/api/scores?limit=100"
    assert request.headers["x-api-key"] == "k"


@pytest.mark.parametrize(
    "trouble",
    [
        httpx.Response(429),
        httpx.Response(502),
        httpx.Response(503),
        httpx.Response(504),
        httpx.ConnectError("refused"),
        httpx.ReadError("reset"),
        httpx.ReadTimeout("slow"),
        httpx.RemoteProtocolError("closed"),
    ],
)
async def test_a_tool_that_is_away_or_busy_is_asked_again_later(trouble: Reply, waits: list[float]) -> None:
    content, requests = await replied(trouble, trouble, httpx.Response(200, content=b"[1]"))
    assert content == b"[1]"
    assert len(requests) == 3
    assert 1 <= waits[0] <= 2 <= waits[1] <= 3


async def test_the_last_attempt_fails_with_its_reason(waits: list[float]) -> None:
    with pytest.raises(ToolBusyError, match=r"^GET https://tool\.invalid/base/api/scores: refused$"):
        await replied(*[httpx.ConnectError("refused")] * ATTEMPTS)
    assert len(waits) == ATTEMPTS - 1


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("7", 7),
        ("0", 0),
        (-3600, 0),
        ("7200", LONGEST_RETRY_AFTER_S),
        (7200, LONGEST_RETRY_AFTER_S),
    ],
    ids=["seconds", "zero", "past date", "hours", "date in hours"],
)
async def test_a_wait_that_the_tool_asks_for_is_kept(
    header: str | int, wait: float, waits: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    """A number is the date so many seconds from now."""
    header = header if isinstance(header, str) else formatdate(time() + header, usegmt=True)
    await replied(httpx.Response(429, headers={"Retry-After": header}), httpx.Response(200))
    assert sum(waits) == wait
    # A wait of hours is cut, and reported.
    assert ("asks to wait 7," in caplog.text) == (wait == LONGEST_RETRY_AFTER_S)


async def test_a_wait_until_a_date_is_kept(waits: list[float]) -> None:
    await replied(
        httpx.Response(503, headers={"Retry-After": formatdate(time() + 30, usegmt=True)}), httpx.Response(200)
    )
    assert 25 < sum(waits) <= 30


@pytest.mark.parametrize("header", ["soon", "", "-5", "1e99", "12 apples", "Thu, 99 Foo 2026 00:00:00 GMT"])
async def test_a_wait_that_is_nonsense_is_the_usual_one(header: str, waits: list[float]) -> None:
    assert retry_after(header, datetime.now(UTC)) is None
    await replied(httpx.Response(429, headers={"Retry-After": header}), httpx.Response(200))
    assert 1 <= sum(waits) <= 2


@pytest.mark.parametrize("status", [400, 404, 500])
async def test_another_status_is_an_error_with_the_beginning_of_its_text(status: int, waits: list[float]) -> None:
    with pytest.raises(PullError) as raised:
        await replied(httpx.Response(status, text="bad\n\x1b[31mlimit " + "x" * 500))
    assert str(raised.value).startswith(f"GET {URL}/api/scores: status {status}: bad  [31mlimit xxx")
    assert str(raised.value).endswith("x...")
    assert waits == []


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refusal_names_the_keys_and_their_file(status: int, tmp_path: Path) -> None:
    path = tmp_path / "tool.toml"
    path.write_text('TOOL_KEY = "invented"')
    credentials = Credentials("support", path)
    auth = HeaderAuth({"x-api-key": credentials.require("TOOL_KEY")})
    reply = httpx.MockTransport(lambda _: httpx.Response(status, text="invented is wrong"))
    async with Connection(URL, credentials, auth, reply) as connection:
        with pytest.raises(PullError) as raised:
            await connection.get(PullReading(), "/api")
    assert str(raised.value) == (
        f"GET {URL}/api: access refused (status {status}); check TOOL_KEY in {tmp_path}/tool.toml"
    )


async def test_a_redirect_is_not_followed_and_names_its_target() -> None:
    with pytest.raises(PullError, match=r"redirected to https://other\.invalid/, which is not followed; correct `url`"):
        await replied(httpx.Response(302, headers={"Location": "https://other.invalid/"}))


async def test_an_answer_of_another_shape_names_the_address() -> None:
    reply = httpx.MockTransport(lambda _: httpx.Response(200, text="<html>"))
    async with Connection(URL, NONE, None, reply) as connection:
        answer = await connection.post(PullReading(), "/api/search", {"limit": 1})
    with pytest.raises(PullError, match=r"^POST https://tool\.invalid/base/api/search: unexpected answer: not JSON"):
        answer.read(list[int])


async def test_an_answer_that_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.runtime.http_client.ANSWER_BYTES", 1 << 20)
    stream = httpx.ByteStream(gzip.compress(bytes(2 << 20)))
    packed = httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=stream)
    with pytest.raises(
        PullError, match=r"^GET https://tool.*larger than 1 MiB after decompression: check which server"
    ):
        await replied(packed)


@pytest.mark.parametrize("part", ["[],", '{"":0},', "0,"])
async def test_an_answer_of_too_many_parts_is_refused(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sources.pulls.connection.ANSWER_PARTS", 10)
    content, _ = await replied(httpx.Response(200, content=f"[{part * 4}0]"))
    assert content
    with pytest.raises(PullError, match="the answer has more than 10 parts"):
        await replied(httpx.Response(200, content=f"[{part * 11}0]"))


@pytest.mark.parametrize("codings", [["gzip, gzip"], ["gzip", "gzip"], ["identity, gzip,gzip"]])
async def test_an_answer_that_is_packed_twice_is_refused_before_it_is_unpacked(codings: list[str]) -> None:
    """A few kilobytes that are packed twice unpack to gigabytes in one step."""
    packed = gzip.compress(gzip.compress(b"{}"))
    headers = [("Content-Encoding", coding) for coding in codings]
    with pytest.raises(
        PullError, match=r"GET https://tool\.invalid/base/api/scores: the answer has [23] content codings"
    ):
        await replied(httpx.Response(200, headers=headers, content=packed))


async def test_an_address_that_is_none_is_an_error() -> None:
    with pytest.raises(PullError, match=r"https://tool\.invalid:99999: invalid port"):
        Connection("https://tool.invalid:99999", NONE)


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def served(serve: Serve) -> AsyncIterator[str]:
    """The address of a server whose connections are served like this."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            # A client may end without a request.
            with suppress(asyncio.IncompleteReadError):
                await reader.readuntil(b"\r\n\r\n")
                await serve(reader, writer)
        finally:
            writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_an_answer_that_breaks_off_is_asked_for_again(waits: list[float]) -> None:
    bodies = [b"[1,", b"[1,2]"]

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n" + bodies.pop(0))

    async with served(serve) as url, Connection(url, NONE) as connection:
        assert (await connection.get(PullReading(), "/api")).content == b"[1,2]"
    assert len(waits) == 1


async def test_an_answer_that_trickles_for_ever_ends_with_an_error(
    waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sources.pulls.connection.ANSWER_SECONDS", 0.05)
    ended = asyncio.Event()

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n[")
        await ended.wait()

    async with served(serve) as url, Connection(url, NONE) as connection:
        with pytest.raises(ToolBusyError, match="no complete answer in 0 s"):
            await connection.get(PullReading(), "/api")
        ended.set()
    assert len(waits) == ATTEMPTS - 1


async def test_a_token_that_no_header_can_have_is_not_shown() -> None:
    async def serve(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        """Answer nothing."""

    async with served(serve) as url, Connection(url, NONE, HeaderAuth({"Authorization": "Bearer secret\nx"})) as tool:
        with pytest.raises(PullError, match="no header can have these credentials; check ") as raised:
            await tool.get(PullReading(), "/api")
    assert "secret" not in str(raised.value)
    assert raised.value.__suppress_context__
