"""HTTP clients: no proxy for loopback, no redirects, and errors as results."""

import gzip
import itertools
import re
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest

from eval_alignment.client.asynchronous import AsyncClient
from eval_alignment.client.errors import DeliveryError
from eval_alignment.client.sync import Client
from eval_alignment.doctor.http import get
from eval_alignment.view_client import UnreachableError, View
from streams.runtime import http_client
from streams.runtime.http_client import STREAMED, async_client, client_options, lines, sync_client
from tests.support.ports import free_port
from tests.support.tree import PACKAGES, ROOT, modules

MIB = 1 << 20
LARGE = b" " * 2 * MIB
BOMB = gzip.compress(LARGE)
TOKEN = b"0123456789abcdef0123456789abcdef"


class _Handler(BaseHTTPRequestHandler):
    requests: list[tuple[str, str | None]]

    def do_GET(self) -> None:
        self.requests.append((self.path, self.headers["Authorization"]))
        # What is not read of a request resets its connection.
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        moved = self.path == "/moved"
        self.send_response(302 if moved else 200)
        if "packed" in self.path:
            self.send_header("Content-Encoding", "gzip, gzip")
        if moved:
            self.send_header("Location", "/elsewhere")
        elif "bomb" in self.path:
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self.wfile.write(BOMB if "bomb" in self.path else LARGE if "large" in self.path else b"{}")

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    handler = type("Recording", (_Handler,), {"requests": []})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_proxy_of_the_environment_applies_except_to_loopback(
    server: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    url = f"http://127.0.0.1:{server.server_port}/"
    with httpx.Client(**client_options(url, timeout=10)) as client:
        assert client.get(url).status_code == 200
    elsewhere = "http://view.example/"
    with httpx.Client(**client_options(elsewhere, timeout=10)) as client, pytest.raises(httpx.ConnectError):
        client.get(elsewhere)


async def test_doctor_sends_the_token_and_does_not_follow_a_redirect(server: HTTPServer) -> None:
    answer = await get(f"http://127.0.0.1:{server.server_port}/moved", TOKEN)
    assert (answer.status, answer.json()) == (302, {})
    assert answer.ahead_s is not None
    assert vars(server.RequestHandlerClass)["requests"] == [("/moved", f"Bearer {TOKEN.decode()}")]


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("http://127.0.0.1:{free}/healthz", "[Errno 111] "),
        ("ftp://127.0.0.1/", "not an http or https address"),
        ("http://127.0.0.1:99999/", "invalid port 99999"),
    ],
)
async def test_a_failed_request_of_doctor_is_an_answer_with_its_error(url: str, error: str) -> None:
    answer = await get(url.format(free=free_port()))
    assert (answer.status, error in answer.error) == (0, True), answer.error


async def test_no_client_unpacks_an_answer_twice(server: HTTPServer) -> None:
    """A few kilobytes would become gigabytes."""
    url = f"http://127.0.0.1:{server.server_port}/packed"
    problem = "the answer has 2 content codings"
    with View(url) as view, pytest.raises(UnreachableError, match=problem):
        view.ready()
    assert problem in (await get(url)).error
    client = Client(url)
    client.queue_item(queue="q", item="1")
    with pytest.raises(DeliveryError, match=problem):
        client.close(timeout_s=2)
    async with async_client(url, timeout=10) as asynchronous:
        with pytest.raises(httpx.DecodingError, match=problem):
            await asynchronous.get(url)


@pytest.mark.parametrize("kind", ["large", "bomb"])
async def test_no_client_reads_more_of_an_answer_than_the_limit(
    server: HTTPServer, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(http_client, "ANSWER_BYTES", MIB)
    url = f"http://127.0.0.1:{server.server_port}/{kind}"
    problem = "the answer is larger than 1 MiB after decompression: check which server has this address"
    with View(url) as view, pytest.raises(UnreachableError, match=rf"{url}/api/v1/queues\S*: {problem}"):
        view.ready()
    answer = await get(url)
    assert (answer.status, answer.error) == (0, problem)
    client = Client(url)
    client.queue_item(queue="q", item="1")
    with pytest.raises(DeliveryError, match=problem):
        client.close(timeout_s=2)
    other = AsyncClient(url)
    await other.queue_item(queue="q", item="1")
    with pytest.raises(DeliveryError, match=problem):
        await other.close(timeout_s=2)


async def test_cookies_of_an_answer_are_not_sent_again() -> None:
    sent: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.headers.get("Cookie"))
        return httpx.Response(
            200, headers=[("Set-Cookie", f"c{len(sent)}={'v' * 1000}"), ("Set-Cookie", "d=e; Path=/")]
        )

    url = "http://tool.example"
    async with async_client(url, timeout=1, transport=httpx.MockTransport(answer)) as client:
        for _ in range(3):
            await client.get(url)
        assert len(client.cookies.jar) == 0
    with sync_client(url, timeout=1, transport=httpx.MockTransport(answer)) as blocking:
        for _ in range(3):
            blocking.get(url)
    assert sent == [None] * 6


class _Parts(httpx.AsyncByteStream):
    def __init__(self, parts: Sequence[bytes]) -> None:
        self.parts = parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            yield part


async def lines_of(*parts: bytes, status: int = 200, coding: str | None = None) -> list[bytes]:
    headers = {} if coding is None else {"Content-Encoding": coding}
    transport = httpx.MockTransport(lambda _: httpx.Response(status, headers=headers, stream=_Parts(parts)))
    async with (
        async_client("http://ingest.invalid", timeout=1, transport=transport) as client,
        client.stream("POST", "http://ingest.invalid/", extensions=STREAMED) as response,
    ):
        return [line async for line in lines(response)]


async def test_an_answer_by_lines_has_a_limit_of_each_line_and_none_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "ANSWER_BYTES", MIB)
    third = b"x" * (MIB // 3)
    assert await lines_of(third, third + b"\n", third, third, b"\nend") == [third * 2, third * 2, b"end"]
    with pytest.raises(httpx.DecodingError, match="a line of the answer is larger than 1 MiB"):
        await lines_of(b"short\n" + third, third, third, third)
    with pytest.raises(httpx.DecodingError, match="the answer is larger than 1 MiB"):
        await lines_of(*[third + b"\n"] * 4, status=500)


@pytest.mark.parametrize(
    ("coding", "parts", "problem"),
    [
        ("br", (b"{}",), "content coding 'br', expected gzip or none"),
        ("gzip", (b"{}",), "the answer is not gzip"),
        ("gzip", (gzip.compress(b"{}")[:-1],), "the answer is cut off"),
    ],
)
async def test_an_answer_that_cannot_be_unpacked_is_an_error(coding: str, parts: Sequence[bytes], problem: str) -> None:
    with pytest.raises(httpx.DecodingError, match=problem):
        await lines_of(*parts, coding=coding)


async def test_an_answer_in_very_many_tiny_parts_is_refused() -> None:
    taken = itertools.count()
    ones = [b"1"] * 10_000

    class Counted(_Parts):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            async for part in super().__aiter__():
                next(taken)
                yield part

    transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=Counted(ones)))
    async with async_client("http://tool.invalid", timeout=1, transport=transport) as client:
        with pytest.raises(httpx.DecodingError, match="too many parts of less than 64 bytes"):
            await client.get("http://tool.invalid/")
    assert next(taken) < 5_000
    # A list whose lines come one by one, and an answer whose parts are as small for ever, but which is read by lines.
    assert await lines_of(*[b"x" * 63 + b"\n"] * 10_000, status=500) == [b"x" * 63] * 10_000
    assert await lines_of(*[b"1\n"] * 10_000) == [b"1"] * 10_000


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "identity", None])
async def test_a_packed_answer_arrives_in_any_parts(coding: str | None) -> None:
    content = b"\n".join(b"%d" % number for number in range(100_000))
    body = gzip.compress(content) if (coding or "").lower() == "gzip" else content
    parts = [body[start : start + 1000] for start in range(0, len(body), 1000)]
    assert await lines_of(*parts, coding=coding) == content.split(b"\n")
    # Nothing arrives of an answer to HEAD, or with status 204.
    assert await lines_of(coding=coding) == []


def test_no_other_module_makes_a_client() -> None:
    """Httpx alone reads answers without a limit."""
    makers = [
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in modules(package)
        if re.search(r"httpx\.(Client|AsyncClient|get|post|request|stream)\(|urlopen|http\.client", path.read_text())
    ]
    assert makers == ["streams/runtime/http_client.py"]
