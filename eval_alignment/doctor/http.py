"""One GET request with a time limit: its response, or why there is no response."""

import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final

import msgspec

from streams.runtime.http_client import TRANSPORT_ERRORS, async_client, explain

_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a request."""

    url: str
    status: int
    """Status of the response; 0 when the server did not answer."""
    body: bytes = b""
    error: str = ""
    """Why the server did not answer."""
    ahead_s: float | None = None
    """The least number of seconds by which the server's clock is ahead of this machine's, from its `Date` header;
    negative when it is slow, None without that header."""

    def json(self) -> Any:
        """The decoded body. Raises ValueError when it is not JSON."""
        return msgspec.json.decode(self.body)


async def get(url: str, token: bytes | None = None) -> Answer:
    """Request `url`. Never raises for a failed request."""
    if not url.lower().startswith(("http://", "https://")):
        return Answer(url, 0, error="not an http or https address")
    requested = time.time()
    try:
        async with async_client(url, timeout=_SECONDS, token=token) as client:
            response = await client.get(url)
    except TRANSPORT_ERRORS as error:
        return Answer(url, 0, error=explain(error))
    ahead = _ahead(response.headers.get("Date"), requested, time.time())
    return Answer(url, response.status_code, response.content, ahead_s=ahead)


def _ahead(date: str | None, requested: float, answered: float) -> float | None:
    """The difference between the clocks that the delay of the response cannot explain; a `Date` is a whole second.

    >>> _ahead("Thu, 01 Jan 1970 00:00:10 GMT", 9.0, 10.5), _ahead("Thu, 01 Jan 1970 00:00:10 GMT", 14.0, 15.0)
    (0.0, -3.0)
    >>> _ahead("Thu, 01 Jan 1970 00:00:10 GMT", 5.0, 6.0)
    4.0
    """
    try:
        remote = None if date is None else parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None
    return None if remote is None else max(0.0, remote - answered) + min(0.0, remote + 1 - requested)
