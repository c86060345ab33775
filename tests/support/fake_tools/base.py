"""What all fake tools have: a clock, credentials, and troubles by a seed."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from random import Random
from typing import Any

import httpx


class FakeClock:
    """A clock that stands still unless it is moved."""

    def __init__(self, now: int) -> None:
        self.now = now

    def __call__(self) -> int:
        """The time in milliseconds."""
        return self.now

    def advance(self, milliseconds: int) -> int:
        """Move the clock forward, and return the time."""
        self.now += milliseconds
        return self.now


class FakeTool:
    """A tool as an HTTP transport.

    Args:
        clock: its time.
        seed: of its troubles.
        headers: what a request must have.
    """

    def __init__(self, clock: FakeClock, seed: int, headers: Mapping[str, str]) -> None:
        self.clock = clock
        self.headers = headers
        self.random = Random(seed)
        self.requests: list[httpx.Request] = []
        self.trouble = 0.0
        """The share of requests that fail."""
        self.before_answer: Callable[[], None] = lambda: None
        """Called before each answer, so that lists change while they are read."""

    @property
    def transport(self) -> httpx.AsyncBaseTransport:
        """The connection to it."""
        return httpx.MockTransport(self.handle)

    def answer(self, path: str, parameters: Mapping[str, str]) -> Any:
        """The document at a quoted path; a number is an error's status."""
        raise NotImplementedError

    async def handle(self, request: httpx.Request) -> httpx.Response:
        """The answer to a request; raises what a connection raises that breaks."""
        self.requests.append(request)
        if any(request.headers.get(name) != value for name, value in self.headers.items()):
            return httpx.Response(401, json={"message": "invalid credentials"})
        if self.random.random() < self.trouble:
            return self._fail(request)
        self.before_answer()
        parameters = dict(request.url.params)
        answer = self.answer(request.url.raw_path.decode().partition("?")[0], parameters)
        return httpx.Response(answer) if isinstance(answer, int) else httpx.Response(200, json=answer)

    def _fail(self, request: httpx.Request) -> httpx.Response:
        match self.random.randrange(8):
            case 0:
                return httpx.Response(429, headers={"Retry-After": "2"})
            case 1:
                later = datetime.fromtimestamp(self.clock.now / 1000 + 3, UTC)
                return httpx.Response(429, headers={"Retry-After": format_datetime(later, usegmt=True)})
            case 2:
                return httpx.Response(503, headers={"Retry-After": "soon"})
            case 3:
                return httpx.Response(500, text="internal error")
            case 4:
                raise httpx.ReadError("[Errno 104] Connection reset by peer", request=request)
            case 5:
                raise httpx.ReadTimeout("timed out", request=request)
            case 6:
                return httpx.Response(200, text="<html>please log in</html>")
            case _:
                return httpx.Response(200, content=json.dumps({"data": [], "meta": {}}).encode()[:-5])


def iso(at: int) -> str:
    """A time in milliseconds as RFC 3339.

    >>> iso(1795428900000)
    '2026-11-23T10:15:00.000Z'
    """
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
