"""HTTP clients: no proxy for loopback, no redirects, and errors as results."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest

from eval_alignment.doctor.http import get
from streams.runtime.http_client import client_options
from tests.support.ports import free_port

TOKEN = b"0123456789abcdef0123456789abcdef"


class _Handler(BaseHTTPRequestHandler):
    requests: list[tuple[str, str | None]]

    def do_GET(self) -> None:
        self.requests.append((self.path, self.headers["Authorization"]))
        moved = self.path == "/moved"
        self.send_response(302 if moved else 200)
        if moved:
            self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(b"{}")

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
