"""A view's documents over HTTP, for commands that need no Kafka."""

import http.client
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec

from aggregator.snapshot.schema import SnapshotDocument
from sinks.api.parameters import queue_segment
from sinks.api.responses import ProblemDetails, QueueList, QueueListing

DEFAULT_URL: Final = "http://127.0.0.1:8390"
_TIMEOUT_SECONDS: Final = 30.0

_Answer = TypeVar("_Answer")


class UnreachableError(Exception):
    """A view gave no usable answer; the message says which address, and what came instead."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect is an error: following it would hand the token to whoever it names."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


OPENER: Final = urllib.request.build_opener(_NoRedirects)
"""Opens addresses without following redirects."""


@dataclass(frozen=True, slots=True)
class View:
    """A view at a base address, `http` or `https`; `token` as its `token_file` has it."""

    url: str = DEFAULT_URL
    token: bytes | None = None

    def document(self, queue: str, window: str = "all") -> SnapshotDocument:
        """The current document of a queue. Raises UnreachableError, also when there is no such queue."""
        path = f"/api/v1/queues/{queue_segment(queue)}"
        return self._get(path, {"window": window}, SnapshotDocument)

    def queues(self) -> Iterator[QueueListing]:
        """All queues, in the order in which they were first seen. Raises UnreachableError."""
        parameters: Mapping[str, str] = {}
        while True:
            page = self._get("/api/v1/queues", parameters, QueueList)
            yield from page["queues"]
            if page["next"] is None:
                return
            parameters = {"cursor": page["next"]}

    def _get(self, path: str, parameters: Mapping[str, str], answer: type[_Answer]) -> _Answer:
        url = f"{self.url.rstrip('/')}{path}"
        if parameters:
            url += f"?{urllib.parse.urlencode(parameters)}"
        if not url.lower().startswith(("http://", "https://")):
            raise UnreachableError(f"{url}: not an http or https address")
        headers = {"Accept": "application/json"}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token.decode('latin-1')}"
        try:
            request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the scheme is checked above
            with OPENER.open(request, timeout=_TIMEOUT_SECONDS) as response:
                body = response.read()
        except urllib.error.HTTPError as error:
            with error:
                raise UnreachableError(f"{url}: {error.code} {error.reason}{_detail(error)}") from error
        except urllib.error.URLError as error:
            raise UnreachableError(f"{url}: {error.reason}") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise UnreachableError(f"{url}: {error!r}") from error
        try:
            return msgspec.json.decode(body, type=answer)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UnreachableError(f"{url}: the answer is not what a view gives: {error}") from error


def _detail(error: urllib.error.HTTPError) -> str:
    """What the view says of an error; nothing when somebody else answered."""
    try:
        return f": {msgspec.json.decode(error.read(), type=ProblemDetails)['detail']}"
    except (OSError, http.client.HTTPException, msgspec.DecodeError, UnicodeDecodeError):
        return ""
