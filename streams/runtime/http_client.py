"""What all HTTP clients of the product have in common.

Redirects are never followed, so a token goes to the named address only. Certificates are checked against the system's
CAs. Proxies of the environment apply, except to loopback addresses.
"""

import functools
import ssl
from typing import Any, Final

import httpx

_MAX_PORT: Final = 65535
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})

TRANSPORT_ERRORS: Final = (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, ImportError)
"""What a request may raise; the last two come from proxy settings of the environment that httpx cannot use."""


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
        "headers": {} if token is None else {"Authorization": b"Bearer " + token},
        "timeout": timeout,
        "trust_env": address.host not in _LOOPBACK,
        "verify": _system_certificates(),
    }


def one_coding_hooks() -> dict[str, Any]:
    """The argument `event_hooks` of an `httpx.Client`: each answer has one content coding, or the request raises."""
    return {"response": [_require_one_coding]}


def async_one_coding_hooks() -> dict[str, Any]:
    """The argument `event_hooks` of an `httpx.AsyncClient`: each answer has one content coding."""

    async def require(response: httpx.Response) -> None:
        _require_one_coding(response)

    return {"response": [require]}


def _require_one_coding(response: httpx.Response) -> None:
    """Raise httpx.DecodingError for an answer with several content codings, before its body is read.

    httpx unpacks what has arrived by each of them in full: a few kilobytes that are packed twice become gigabytes.
    """
    codings = response.headers.get_list("content-encoding", split_commas=True)
    if len(codings) > 1:
        raise httpx.DecodingError(
            f"the answer has {len(codings)} content codings, expected one", request=response.request
        )


def explain(error: BaseException) -> str:
    """The root cause of an error that a request raised, such as `[Errno 111] Connection refused`."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause.exceptions[0] if isinstance(cause, BaseExceptionGroup) else cause
    return str(error) or repr(error)


@functools.cache
def _system_certificates() -> ssl.SSLContext:
    return ssl.create_default_context()
