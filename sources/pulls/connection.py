"""The connection to a tool: credentials, time limits, retries, and errors that name what to correct."""

import asyncio
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Self, TypeVar, final
from urllib.parse import quote

import httpx

from sources.pulls.credentials import Credentials
from sources.pulls.pull import PullError
from sources.pulls.reading import PullReading
from sources.records import UnknownShapeError
from sources.shapes import read
from streams.runtime.http_client import TRANSPORT_ERRORS, async_client, explain
from streams.runtime.retries import retry_requests
from streams.runtime.retry_after import LONGEST_RETRY_AFTER_S, asked_wait

ATTEMPTS: Final = 6
_STEP_SECONDS: Final = 60.0
"""Time to connect, to send, and to receive the next bytes."""
ANSWER_SECONDS: Final = 300.0
"""Time in which an answer must be complete."""
ANSWER_PARTS: Final = 4_000_000
"""Most commas, objects and arrays of an answer, also in its texts: as objects they need many times its memory."""
_DETAIL: Final = 200
_BUSY: Final = frozenset({429, 502, 503, 504})
_REFUSED: Final = frozenset({401, 403})

Shape = TypeVar("Shape")
Parameters = Mapping[str, str | int | list[str] | None]
"""Names and values of a query; a name without a value is left out, one with a list is repeated."""


class ToolBusyError(PullError):
    """A request that may succeed later."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait
        """Seconds to wait, where the tool names them."""


class ToolNotFoundError(PullError):
    """The tool does not have what was asked for: status 404."""


@final
@dataclass(frozen=True, slots=True)
class ToolAnswer:
    """A successful answer of a tool."""

    place: str
    """Method and address, for errors."""
    content: bytes

    def read(self, shape: type[Shape]) -> Shape:
        """The answer in a shape. Raises PullError for an answer that does not have it."""
        try:
            return read(self.content, shape)
        except UnknownShapeError as error:
            raise PullError(f"{self.place}: unexpected answer: {error}") from error


@final
class HeaderAuth(httpx.Auth):
    """Authenticates requests by headers."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the headers to a request."""
        request.headers.update(self._headers)
        yield request


def segment(name: str) -> str:
    """A name as one segment of a path.

    >>> segment("support/eu")
    'support%2Feu'
    """
    return quote(name, safe="")


class Connection:
    """Sends requests to one tool. An asynchronous context manager.

    Requests are repeated when the tool cannot be reached or is busy (429, 502, 503, 504), so they must only read.
    Redirects are not followed: credentials go to the configured address only.

    Args:
        url: base address of the tool; it may have a path.
        credentials: where `auth` is from, for errors.
        auth: what authenticates requests; None sends them without credentials.
        transport: replaces httpx's own, for tests.

    Raises PullError for an invalid address.
    """

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        auth: httpx.Auth | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url: Final = url.rstrip("/")
        self._credentials = credentials
        try:
            self._http = async_client(self.url, timeout=_STEP_SECONDS, auth=auth, transport=transport)
        except TRANSPORT_ERRORS as error:
            raise PullError(f"{self.url}: {explain(error)}") from error

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    async def get(self, reading: PullReading, path: str, parameters: Parameters | None = None) -> ToolAnswer:
        """The answer to GET. `path` begins with a slash and is quoted. Raises PullError, ReadingLimitError."""
        return await self._request(reading, "GET", path, parameters, None)

    async def post(
        self, reading: PullReading, path: str, document: Mapping[str, Any], parameters: Parameters | None = None
    ) -> ToolAnswer:
        """The answer to POST of a JSON document that asks for records. Raises PullError, ReadingLimitError."""
        return await self._request(reading, "POST", path, parameters, document)

    async def _request(
        self,
        reading: PullReading,
        method: str,
        path: str,
        parameters: Parameters | None,
        document: Mapping[str, Any] | None,
    ) -> ToolAnswer:
        query = {name: value for name, value in (parameters or {}).items() if value is not None}
        async for attempt in retry_requests(_backoff, ATTEMPTS):
            with attempt:
                reading.count_request()
                return await self._attempt(method, path, query, document)
        raise AssertionError("the last attempt returns or raises")

    async def _attempt(
        self, method: str, path: str, query: Mapping[str, Any], document: Mapping[str, Any] | None
    ) -> ToolAnswer:
        place = f"{method} {self.url}{path}"
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                response = await self._http.request(method, self.url + path, params=query, json=document)
        except TimeoutError as error:
            raise ToolBusyError(f"{place}: no complete answer in {ANSWER_SECONDS:.0f} s") from error
        except httpx.LocalProtocolError:
            # Its text has the header.
            raise PullError(f"{place}: no header can have these credentials; check {self._credentials}") from None
        except TRANSPORT_ERRORS as error:
            away = isinstance(error, httpx.TransportError) and not isinstance(error, httpx.UnsupportedProtocol)
            raise (ToolBusyError if away else PullError)(f"{place}: {explain(error)}") from error
        content = response.content
        if response.status_code == httpx.codes.OK:
            if sum(map(content.count, (b",", b"{", b"["))) > ANSWER_PARTS:
                raise PullError(f"{place}: the answer has more than {ANSWER_PARTS:,} parts")
            return ToolAnswer(place, content)
        raise self._refusal(place, response)

    def _refusal(self, place: str, response: httpx.Response) -> PullError:
        status = response.status_code
        if status in _BUSY:
            wait = asked_wait(response.headers, datetime.now(UTC))
            if wait is None or wait <= LONGEST_RETRY_AFTER_S:
                return ToolBusyError(f"{place}: status {status}", wait)
            message = f"{place}: status {status}; it asks to wait {wait:,.0f} s, waiting {LONGEST_RETRY_AFTER_S:.0f} s"
            return ToolBusyError(message, LONGEST_RETRY_AFTER_S)
        if status in _REFUSED:
            return PullError(f"{place}: access refused (status {status}); check {self._credentials}")
        if response.is_redirect:
            target = response.headers.get("location", "")
            return PullError(f"{place}: redirected to {_printable(target)}, which is not followed; correct `url`")
        kind = ToolNotFoundError if status == httpx.codes.NOT_FOUND else PullError
        return kind(f"{place}: status {status}: {_printable(response.content.decode(errors='replace'))}")


def _backoff(error: Exception) -> bool | float:
    """Whether to repeat a request, or the seconds to wait before."""
    if not isinstance(error, ToolBusyError):
        return False
    return True if error.wait is None else error.wait


def _printable(text: str) -> str:
    """The beginning of a text of the tool on one line."""
    shown = "".join(character if character.isprintable() else " " for character in text.strip())
    return shown if len(shown) <= _DETAIL else f"{shown[:_DETAIL]}..."
