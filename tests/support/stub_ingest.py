"""A stand-in for `ingest` on loopback: real sockets, answers by a script, and it can go away and come back."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from tests.support.ports import free_port


@dataclass(frozen=True)
class StubRequest:
    """A request that the stub got."""

    headers: dict[str, str]
    events: list[dict[str, Any]]


@dataclass(frozen=True)
class StubAnswer:
    """An answer of the stub. Status 0 closes the connection without one."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


Script = Callable[[StubRequest], StubAnswer]


def accepting(request: StubRequest) -> StubAnswer:
    """Accept every event."""
    return StubAnswer(200, {"accepted": len(request.events), "rejected": [], "warnings": []})


class StubIngest:
    """Answers requests by `script`, and remembers the events of its requests, answered or not. A context manager."""

    def __init__(self, script: Script = accepting) -> None:
        self.script = script
        self.requests: list[StubRequest] = []
        self.arrived = threading.Event()
        """Set by every request, before it is answered."""
        self.port = free_port()
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The base address."""
        return f"http://127.0.0.1:{self.port}"

    def ids(self) -> list[str]:
        """Ids of all events of all requests, in order."""
        return [event["id"] for request in self.requests for event in request.events]

    def start(self) -> Self:
        """Listen."""
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), self._handler())
        # A request that a script holds back must not keep the tests from ending.
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop to listen. Connections that are open stay until their request is answered."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                lines: Iterable[bytes] = self.rfile.read(int(self.headers["Content-Length"])).splitlines()
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = StubRequest({**headers, ":path": self.path}, [json.loads(line) for line in lines])
                stub.requests.append(request)
                stub.arrived.set()
                answer = stub.script(request)
                if not answer.status:
                    self.close_connection = True
                    return
                body = json.dumps(answer.body).encode()
                self.send_response(answer.status)
                for name, value in {"Content-Length": str(len(body)), **answer.headers}.items():
                    self.send_header(name, value)
                # The client may have gone while the script held the request back.
                with contextlib.suppress(ConnectionError):
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        return Handler
