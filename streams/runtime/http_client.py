"""The HTTP clients of the product: every client is made here.

Redirects are never followed, so a token goes to the named address only. Certificates are checked against the system's
CAs. Proxies of the environment apply, except to loopback addresses. Cookies are not kept. An answer is read and
unpacked to a limit, whichever server sent it.
"""

import functools
import ssl
import zlib
from collections.abc import AsyncIterator, Iterator
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Final, final

import httpx

_MAX_PORT: Final = 65535
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})

TRANSPORT_ERRORS: Final = (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, ImportError)
"""What a request may raise; the last two come from proxy settings of the environment that httpx cannot use."""


ANSWER_BYTES: Final = 64 << 20
"""Largest answer after decompression, and largest line of one that is read line by line."""
_STREAMED: Final = "eval_alignment_streamed"
STREAMED: Final = {_STREAMED: True}
"""The argument `extensions` of a request whose answer, if it succeeds, is read with `lines`: it may have any number."""
_PIECE_BYTES: Final = 64 << 10
_GZIP: Final = 31
_FREE_PARTS: Final = 4_096
"""Parts of an answer that may have any size."""
_PART_BYTES: Final = 64
"""Least size of its other parts, on average: taking a part of one byte takes as long as one of a thousand."""


def client_options(url: str, *, timeout: float, token: bytes | None = None) -> dict[str, Any]:
    """Arguments for `httpx.Client` and `httpx.AsyncClient`.

    Args:
        url: an address that the client will request; decides whether proxies apply.
        timeout: seconds for each step (connect, send, receive a chunk).
        token: sent as a bearer token.

    Raises httpx.InvalidURL.
    """
    address = httpx.URL(url)
    if (address.port or 0) > _MAX_PORT:
        # Sockets raise OverflowError for it, which no client of HTTP expects.
        raise httpx.InvalidURL(f"invalid port {address.port}")
    return {
        "headers": {"Accept-Encoding": b"gzip"} | ({} if token is None else {"Authorization": b"Bearer " + token}),
        "timeout": timeout,
        "cookies": CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        "trust_env": address.host not in _LOOPBACK,
        "verify": _system_certificates(),
    }


def sync_client(url: str, *, timeout: float, token: bytes | None = None, **more: Any) -> httpx.Client:
    """A client for `url`. Arguments and errors as those of `client_options`; `more` are httpx's own."""
    options = client_options(url, timeout=timeout, token=token)
    return httpx.Client(**options, **more, event_hooks={"response": [_bound]})


def async_client(url: str, *, timeout: float, token: bytes | None = None, **more: Any) -> httpx.AsyncClient:
    """A client for `url`, as `sync_client`."""

    async def bound(response: httpx.Response) -> None:
        _bound(response)

    options = client_options(url, timeout=timeout, token=token)
    return httpx.AsyncClient(**options, **more, event_hooks={"response": [bound]})


async def lines(response: httpx.Response) -> AsyncIterator[bytes]:
    """The lines of an answer to a request with `STREAMED`, as they come. Raises httpx.DecodingError for a long one."""
    begun = bytearray()
    async for chunk in response.aiter_bytes():
        *ended, rest = chunk.split(b"\n")
        for line in ended:
            yield bytes(begun + line)
            begun.clear()
        begun += rest
        if len(begun) > ANSWER_BYTES:
            raise _too_large("a line of the answer")
    if begun:
        yield bytes(begun)


def _bound(response: httpx.Response) -> None:
    """Have the body of an answer read to a limit. Raises httpx.DecodingError for a content coding other than gzip.

    httpx has no limit, and unpacks each part that arrives in full, by each coding: a few kilobytes that are packed
    twice become gigabytes. So the body is unpacked here, before httpx reads it.
    """
    codings = response.headers.get_list("content-encoding", split_commas=True)
    if len(codings) > 1:
        raise httpx.DecodingError(f"the answer has {len(codings)} content codings, expected one")
    coding = codings[0].strip().lower() if codings else "identity"
    if coding not in {"gzip", "identity"}:
        raise httpx.DecodingError(f"the answer has the content coding {coding!r}, expected gzip or none")
    if codings:
        del response.headers["content-encoding"]
    limit = None if _STREAMED in response.request.extensions and response.is_success else ANSWER_BYTES
    body = _Body(is_packed=coding == "gzip", limit=limit)
    if isinstance(response.stream, httpx.AsyncByteStream):
        response.stream = _AsyncBoundedStream(response.stream, body)
    else:
        assert isinstance(response.stream, httpx.SyncByteStream)
        response.stream = _BoundedStream(response.stream, body)


@final
class _Body:
    """Unpacks the parts of a body, up to a number of bytes."""

    def __init__(self, *, is_packed: bool, limit: int | None) -> None:
        self._unpacker = zlib.decompressobj(_GZIP) if is_packed else None
        self._limit = limit
        self._size = 0
        self._owed = 0
        self._has_begun = False

    def take(self, part: bytes) -> Iterator[bytes]:
        """The bytes of a part. Raises httpx.DecodingError."""
        self._owed = max(0, self._owed + _PART_BYTES - len(part))
        if self._limit is not None and self._owed > _FREE_PARTS * _PART_BYTES:
            raise httpx.DecodingError(f"the answer has too many parts of less than {_PART_BYTES} bytes")
        if self._unpacker is None:
            yield self._count(part)
            return
        self._has_begun = self._has_begun or bool(part)
        while part:
            try:
                piece = self._unpacker.decompress(part, _PIECE_BYTES)
            except zlib.error as error:
                raise httpx.DecodingError(f"the answer is not gzip: {error}") from None
            yield self._count(piece)
            part = self._unpacker.unconsumed_tail

    def end(self) -> None:
        """Raise httpx.DecodingError for a body that was cut off."""
        if self._unpacker is not None and self._has_begun and not self._unpacker.eof:
            raise httpx.DecodingError("the answer is cut off")

    def _count(self, piece: bytes) -> bytes:
        self._size += len(piece)
        if self._limit is not None and self._size > self._limit:
            raise _too_large("the answer")
        return piece


@final
class _BoundedStream(httpx.SyncByteStream):
    def __init__(self, stream: httpx.SyncByteStream, body: _Body) -> None:
        self._stream = stream
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        for part in self._stream:
            yield from self._body.take(part)
        self._body.end()

    def close(self) -> None:
        self._stream.close()


@final
class _AsyncBoundedStream(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream, body: _Body) -> None:
        self._stream = stream
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._stream:
            for piece in self._body.take(part):
                yield piece
        self._body.end()

    async def aclose(self) -> None:
        await self._stream.aclose()


def _too_large(what: str) -> httpx.DecodingError:
    limit = f"{ANSWER_BYTES >> 20} MiB"
    return httpx.DecodingError(
        f"{what} is larger than {limit} after decompression: check which server has this address"
    )


def explain(error: BaseException) -> str:
    """The root cause of an error that a request raised, such as `[Errno 111] Connection refused`."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause.exceptions[0] if isinstance(cause, BaseExceptionGroup) else cause
    return str(error) or repr(error)


@functools.cache
def _system_certificates() -> ssl.SSLContext:
    return ssl.create_default_context()
