"""Reads a view's documents over HTTP, for commands that need no Kafka."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

import httpx
import msgspec

from aggregator.snapshot.schema import SnapshotDocument
from sinks.access import read_token
from sinks.api.parameters import path_segment
from sinks.api.responses import ProblemDetails, QueueList, QueueListing, SourceProgress, ViewPositions
from sinks.queries.comparisons import Comparison, Page
from sinks.queries.item_answer import ItemTrace
from sinks.queries.results import Ceiling, WaitingTotals, WhatIf
from streams.runtime.errors import EvalAlignmentError
from streams.runtime.exit_codes import ExitCode
from streams.runtime.http_client import TRANSPORT_ERRORS, explain, sync_client

DEFAULT_URL: Final = "http://127.0.0.1:8390"
_TIMEOUT_SECONDS: Final = 30.0
_COMPARISONS: Final = 500
"""Most comparisons of an answer."""

_Body = TypeVar("_Body")


class UnreachableError(EvalAlignmentError):
    """A view returned no usable document; the message starts with the address and continues with the reason."""

    exit_code = ExitCode.UNREACHABLE


class QueueNotFoundError(UnreachableError):
    """The queue, or the item in it, is not found. A view that has read all events knows every queue."""


class View:
    """A view at a base address. A context manager, which closes its connections.

    Args:
        url: base address, `http` or `https`.
        token: content of the view's `token_file`.

    Raises UnreachableError when `url` is not a valid address.
    """

    def __init__(self, url: str = DEFAULT_URL, token: bytes | None = None) -> None:
        self.url = url.rstrip("/")
        if not self.url.lower().startswith(("http://", "https://")):
            raise UnreachableError(f"{url}: not an http or https address")
        try:
            self._client = sync_client(self.url, timeout=_TIMEOUT_SECONDS, token=token)
        except TRANSPORT_ERRORS as error:
            raise UnreachableError(f"{url}: {explain(error)}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def document(self, queue: str, window: str = "all") -> SnapshotDocument:
        """The current document of a queue. Raises UnreachableError, for an unknown queue QueueNotFoundError."""
        return self._get(f"/api/v1/queues/{path_segment(queue)}", {"window": window}, SnapshotDocument)

    def ceiling(self, queue: str, window: str, criterion: str) -> Ceiling:
        """The human ceiling of a criterion. Raises UnreachableError."""
        parameters = {"window": window, "criterion": criterion}
        return self._get(f"/api/v1/queues/{path_segment(queue)}/ceiling", parameters, Ceiling)

    def what_if(self, queue: str, window: str, criterion: str, metric: str) -> WhatIf:
        """A metric at other thresholds. Raises UnreachableError."""
        parameters = {"window": window, "criterion": criterion, "metric": metric}
        return self._get(f"/api/v1/queues/{path_segment(queue)}/what-if", parameters, WhatIf)

    def trace(self, queue: str, item: str) -> ItemTrace:
        """An item, and what its rows count for. Raises UnreachableError; QueueNotFoundError for an unknown name."""
        return self._get(f"/api/v1/queues/{path_segment(queue)}/items/{path_segment(item)}", {}, ItemTrace)

    def disagreements(
        self, queue: str, window: str, criterion: str | None = None, metric: str | None = None
    ) -> Iterator[Comparison]:
        """The misaligned comparisons of a queue, off-topic ones too, newest annotation first. Raises UnreachableError.

        They are read in parts: one that changes meanwhile may be missing or come twice.
        """
        chosen = {"criterion": criterion, "metric": metric}
        parameters = {"window": window, "outcome": "fp,fn", "limit": str(_COMPARISONS)}
        parameters |= {name: value for name, value in chosen.items() if value is not None}
        while True:
            page = self._get(f"/api/v1/queues/{path_segment(queue)}/comparisons", parameters, Page)
            yield from page["comparisons"]
            if page["next"] is None:
                return
            parameters["cursor"] = page["next"]

    def queues(
        self,
        on_failed: Callable[[str], object] = lambda _: None,
        on_waiting: Callable[[WaitingTotals], object] = lambda _: None,
    ) -> Iterator[QueueListing]:
        """The queues in which anything stands, in the order in which the view first saw them.

        Calls `on_failed` with the name of each queue that the view cannot show, and `on_waiting` with what waits for an
        annotation, unless nothing is reported, as by a view of an earlier release. Raises UnreachableError.
        """
        parameters: Mapping[str, str] = {}
        while True:
            page = self._get("/api/v1/queues", parameters, QueueList)
            if not parameters and (waiting := page.get("waiting")) is not None:
                on_waiting(waiting)
            yield from page["queues"]
            for queue in page.get("failed", ()):
                on_failed(queue)
            if page["next"] is None:
                return
            parameters = {"cursor": page["next"]}

    def ready(self) -> bool:
        """Whether the view has read the topics to their end since it started. Raises UnreachableError."""
        return self._get("/api/v1/queues", {"limit": "1"}, QueueList)["ready"]

    def positions(self) -> list[SourceProgress]:
        """How far the state of the view covers the source topics. Raises UnreachableError."""
        return self._get("/api/v1/positions", {}, ViewPositions)["sources"]

    def _get(self, path: str, parameters: Mapping[str, str], body: type[_Body]) -> _Body:
        url = f"{self.url}{path}"
        if parameters:
            url += f"?{httpx.QueryParams(parameters)}"
        try:
            response = self._client.get(url, headers={"Accept": "application/json"})
        except httpx.ConnectError as error:
            raise UnreachableError(f"{url}: {explain(error)}; is a view running at this address?") from error
        except TRANSPORT_ERRORS as error:
            raise UnreachableError(f"{url}: {explain(error)}") from error
        if not response.is_success:
            detail = _detail(response)
            error_type = QueueNotFoundError if response.status_code == 404 and detail else UnreachableError
            raise error_type(f"{url}: {response.status_code} {response.reason_phrase}{detail}")
        try:
            return msgspec.json.decode(response.content, type=body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UnreachableError(f"{url}: the response is not a view's: {error}") from error


def open_view(url: str, token_file: Path | None) -> View:
    """A view with the token in a file. Raises UnreachableError, and BindError when the file has no token."""
    return View(url, None if token_file is None else read_token(token_file))


def _detail(response: httpx.Response) -> str:
    """The view's explanation of an error, and what to do about a missing token; empty for another server's error."""
    try:
        detail = msgspec.json.decode(response.content, type=ProblemDetails)["detail"]
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    return f": {detail}" + ("; name the token's file with --token-file" if response.status_code == 401 else "")
