"""Address and token of ingest, and one request's arguments and outcome, for both kinds of httpx client."""

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx

from eval_alignment.client.answers import DeliveryOutcome, Postponed, Refused, read_answer
from eval_alignment.client.outbox import EventBatch
from streams.runtime.http_client import TRANSPORT_ERRORS, client_options, explain

DEFAULT_URL: Final = "http://127.0.0.1:8389"
URL_VARIABLE: Final = "EVAL_ALIGNMENT_CLIENT_URL"
TOKEN_VARIABLE: Final = "EVAL_ALIGNMENT_CLIENT_TOKEN"
TOKEN_FILE_VARIABLE: Final = "EVAL_ALIGNMENT_CLIENT_TOKEN_FILE"
TIMEOUT_S: Final = 30.0
"""Longest wait for one step of a request, in seconds."""

REQUEST_ERRORS: Final = TRANSPORT_ERRORS
"""What a request may raise."""

_PATH: Final = "/api/v1/events"
_TOKEN: Final = re.compile(rb"[\x21-\x7e]+")


class _TokenFileError(ValueError):
    """The token file cannot be read, or has no token."""


class IngestConnection:
    """Where events go, and as whom. Its representation has no token.

    Args:
        url: base address of ingest; default: the variable `EVAL_ALIGNMENT_CLIENT_URL`, else 127.0.0.1:8389.
        token: bearer token; default: the variable `EVAL_ALIGNMENT_CLIENT_TOKEN`.
        token_file: file with the token, read for every request, so the token can change; default: the variable
            `EVAL_ALIGNMENT_CLIENT_TOKEN_FILE`.
        transport: replaces httpx's own, for tests.

    Raises ValueError for an invalid address or token, OSError for a token file that cannot be read.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        token_file: str | os.PathLike[str] | None = None,
        transport: Any = None,
    ) -> None:
        base = url or os.environ.get(URL_VARIABLE) or DEFAULT_URL
        if token is None and token_file is None:
            token = os.environ.get(TOKEN_VARIABLE) or None
            token_file = os.environ.get(TOKEN_FILE_VARIABLE) or None
        if token is not None and token_file is not None:
            raise ValueError("token and token_file: only one can be given")
        self.url = _address(base)
        self._token = None if token is None else _checked(token.encode())
        self._token_file = None if token_file is None else Path(token_file)
        self._transport = transport
        self._headers()

    def __repr__(self) -> str:
        return f"IngestConnection({self.url!r})"

    def client_arguments(self) -> dict[str, Any]:
        """Arguments of `sync_client` and `async_client`."""
        return {"url": self.url, "timeout": TIMEOUT_S, "transport": self._transport}

    def request(self, batch: EventBatch) -> dict[str, Any]:
        """Arguments of `post` for a batch. Raises one of `REQUEST_ERRORS` if the token file has become invalid."""
        try:
            headers = self._headers()
        except (OSError, ValueError) as error:
            raise _TokenFileError(f"{self._token_file}: {explain(error)}") from error
        return {"url": self.url, "content": batch.body, "headers": headers}

    def answered(self, response: httpx.Response, batch: EventBatch) -> DeliveryOutcome:
        """What a response means for the batch."""
        headers = {name.lower(): value for name, value in response.headers.items()}
        outcome = read_answer(
            response.status_code, headers, response.content, events=len(batch.events), now=datetime.now(UTC)
        )
        # Perhaps another server answers at that address.
        return Refused(f"{self.url}: {outcome.cause}") if isinstance(outcome, Refused) else outcome

    def failed(self, error: Exception) -> DeliveryOutcome:
        """What one of `REQUEST_ERRORS` means for its batch."""
        if isinstance(error, _TokenFileError):
            return Refused(str(error))
        return Postponed(f"{self.url}: {explain(error)}")

    def _headers(self) -> dict[str, bytes]:
        headers = {"Content-Type": b"application/x-ndjson", "Accept": b"application/json, application/problem+json"}
        token = self._token if self._token_file is None else _checked(self._token_file.read_bytes().strip())
        return headers if token is None else {**headers, "Authorization": b"Bearer " + token}


def _address(base: str) -> str:
    try:
        parsed = httpx.URL(base)
        client_options(base, timeout=TIMEOUT_S)
    except httpx.InvalidURL as error:
        raise ValueError(f"invalid address of ingest: {error}") from None
    if parsed.userinfo:
        raise ValueError("the address of ingest has a user name or password: use `token` or `token_file`")
    if parsed.query or parsed.fragment:
        raise ValueError("the address of ingest has a query or a fragment: only its scheme, host, port and path count")
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise ValueError(f"{base!r} is not an http or https address, expected one such as {DEFAULT_URL}")
    return base.rstrip("/").removesuffix(_PATH) + _PATH


def _checked(token: bytes) -> bytes:
    """The token, which no error repeats."""
    if not _TOKEN.fullmatch(token):
        raise ValueError("the token is empty, or has white space or characters that are not ASCII")
    return token
