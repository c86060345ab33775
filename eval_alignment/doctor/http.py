"""One GET, in a thread, with a time limit: what answered, or why nothing did."""

import asyncio
import http.client
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final

import msgspec

from eval_alignment.view_client import OPENER

_SECONDS: Final = 5.0
_MOST_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: `ahead_s` is by how many seconds its clock is ahead of ours at least (negative: behind), by its
    `Date`; None without one. Status 0: nothing answered, and `error` says why.
    """

    url: str
    status: int
    body: bytes = b""
    error: str = ""
    ahead_s: float | None = None

    def json(self) -> Any:
        """The body. Raises ValueError when it is not JSON."""
        return msgspec.json.decode(self.body)


async def get(url: str, token: bytes | None = None) -> Answer:
    """Ask, whatever comes; redirects are not followed, so the token goes nowhere else."""
    return await asyncio.to_thread(_get, url, token)


def _get(url: str, token: bytes | None) -> Answer:
    if not url.lower().startswith(("http://", "https://")):
        return Answer(url, 0, error="not an http or https address")
    headers = {} if token is None else {"Authorization": f"Bearer {token.decode('latin-1')}"}
    asked = time.time()
    try:
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 -- the scheme is checked above
        try:
            response = OPENER.open(request, timeout=_SECONDS)
        except urllib.error.HTTPError as error:
            response = error
        with response:
            body = response.read(_MOST_BYTES)
            ahead = _ahead(response.headers.get("Date"), asked, time.time())
            return Answer(url, response.status, body, ahead_s=ahead)
    except urllib.error.URLError as error:
        return Answer(url, 0, error=str(error.reason))
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Answer(url, 0, error=repr(error))


def _ahead(date: str | None, asked: float, answered: float) -> float | None:
    """What no delay between asking and answering explains; a `Date` is a whole second.

    >>> _ahead("Thu, 01 Jan 1970 00:00:10 GMT", 9.0, 10.5), _ahead("Thu, 01 Jan 1970 00:00:10 GMT", 14.0, 15.0)
    (0.0, -3.0)
    >>> _ahead("Thu, 01 Jan 1970 00:00:10 GMT", 5.0, 6.0)
    4.0
    """
    try:
        told = None if date is None else parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None
    return None if told is None else max(0.0, told - answered) + min(0.0, told + 1 - asked)
