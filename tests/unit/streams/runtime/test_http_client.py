"""HTTP clients: no proxy for loopback, no redirects, and errors as results."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest

from eval_alignment.client.errors import DeliveryError
from eval_alignment.client.sync import Client
from eval_alignment.doctor.http import get
from eval_alignment.view_client import UnreachableError, View
from streams.runtime.http_client import async_one_coding_hooks, client_options
from tests.support.ports import free_port

TOKEN = b"0123456789abcdef0123456789abcdef"


class _Handler(BaseHTTPRequestHandler):
    requests: list[tuple[str, str | None]]

    def do_GET(self) -> None:
        self.requests.append((self.path, self.headers["Authorization"]))
        moved = self.path == "/moved"
        self.send_response(302 if moved else 200)
        if "packed" in self.path:
            self.send_header("Content-Encoding", "gzip, gzip")
        if moved:
            self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(b"{}")

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
    async with httpx.AsyncClient(event_hooks=async_one_coding_hooks()) as asynchronous:
        with pytest.raises(httpx.DecodingError, match=problem):
            await asynchronous.get(url)
