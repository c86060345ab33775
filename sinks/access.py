"""Rules of every HTTP server of the product: addresses that it may bind, requests that it serves, form of errors."""

import base64
import binascii
import errno
import hmac
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from pathlib import Path
from typing import Any, Final

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from streams.runtime.errors import EvalAlignmentError
from streams.runtime.exit_codes import ExitCode

TOKEN_BYTES: Final = 32
"""Minimum length of a token."""
OPEN_PATHS: Final = frozenset({"/healthz", "/readyz"})
"""Paths that need no token, for health checks."""
LOOPBACK_HOSTS: Final = ("127.0.0.1", "localhost", "[::1]")

_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
)
_METHODS: Final = ("GET", "HEAD")


class BindError(EvalAlignmentError):
    """A server must not, or cannot, listen as configured; the message names the setting to change."""

    exit_code = ExitCode.USAGE


class AddressInUseError(BindError):
    """Another program listens on the address. A restart helps once that program has ended."""

    exit_code = ExitCode.ADDRESS_IN_USE


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on an address. Raises BindError, and AddressInUseError when another program does."""
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=256
        )
    except OSError as error:
        kind = AddressInUseError if error.errno == errno.EADDRINUSE else BindError
        raise kind(f"cannot listen on {host}:{port}: {error.strerror}") from error


def read_token(path: Path) -> bytes:
    """The token in a file, without surrounding white space.

    Raises BindError when the file cannot be read or the token is too short.
    """
    try:
        token = path.read_bytes().strip()
    except OSError as error:
        raise BindError(f"cannot read the token file {path}: {error.strerror}") from error
    if len(token) < TOKEN_BYTES:
        raise BindError(f"the token in {path} has {len(token)} bytes, expected at least {TOKEN_BYTES}")
    return token


def guard_bind(host: str, token_file: Path | None, *, allow_open: bool) -> bytes | None:
    """The token that clients of a server on `host` must send; None when no token is configured.

    Raises BindError for an address other than loopback without a token, unless `allow_open` is set.
    """
    if token_file is not None:
        return read_token(token_file)
    if not (is_loopback(host) or allow_open):
        raise BindError(
            f"{host} is reachable from other machines: set token_file (a file with {TOKEN_BYTES} bytes or more), or "
            "allow_open_bind where a proxy or firewall controls access"
        )
    return None


def is_loopback(host: str) -> bool:
    """Whether a host is a loopback address. A name other than localhost is not resolved: its address may change."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """An error as `application/problem+json` (RFC 9457)."""
    title = HTTPException(status).detail
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return Response(orjson.dumps(body), status, headers, media_type="application/problem+json")


async def on_http_error(_request: Request, error: Exception) -> Response:
    """Starlette's handler for HTTPException."""
    if not isinstance(error, HTTPException):
        raise error
    return problem(error.status_code, error.detail, dict(error.headers or {}))


class AccessMiddleware:
    """ASGI middleware: GET and HEAD only, allowed hosts, the token, and security headers on every response.

    Args:
        app: the application.
        token: the token that clients must send, as `Authorization: Bearer` or as the password of HTTP Basic with any
            user name, which browsers and event streams can send too. None admits every client. Health paths never
            need it.
        allowed_hosts: values of the Host header (without port) that are served besides loopback; `*` allows all. A
            name that starts with `*.` allows its subdomains.
    """

    def __init__(self, app: ASGIApp, *, token: bytes | None = None, allowed_hosts: Iterable[str] = ()) -> None:
        self._app = app
        self._token = token
        self._hosts = (*LOOPBACK_HOSTS, *(host.lower() for host in allowed_hosts))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve or reject a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        guarded = _with_headers(send)
        rejection = self._rejection(scope)
        await (self._app if rejection is None else rejection)(scope, receive, guarded)

    def _rejection(self, scope: Scope) -> Response | None:
        headers = {name: value for name, value in scope["headers"] if name in (b"host", b"authorization")}
        if scope["method"] not in _METHODS:
            return problem(405, "method not allowed: only GET and HEAD", {"Allow": ", ".join(_METHODS)})
        if not self._allows(headers.get(b"host", b"").decode("latin-1")):
            return problem(400, "host name not allowed: add it to the setting allowed_hosts")
        if self._token is None or scope["path"] in OPEN_PATHS:
            return None
        if hmac.compare_digest(_sent_token(headers.get(b"authorization", b"")), self._token):
            return None
        return problem(
            401, "token missing or wrong", {"WWW-Authenticate": 'Basic realm="eval-alignment", charset="UTF-8"'}
        )

    def _allows(self, host: str) -> bool:
        name = host.lower()
        if not name.endswith("]"):
            name = name.rpartition(":")[0] or name
        return any(
            allowed in {name, "*"} or (allowed.startswith("*.") and name.endswith(allowed[1:]))
            for allowed in self._hosts
        )


def _sent_token(authorization: bytes) -> bytes:
    scheme, _, credentials = authorization.partition(b" ")
    if scheme.lower() == b"bearer":
        return credentials.strip()
    if scheme.lower() == b"basic":
        try:
            return base64.b64decode(credentials.strip(), validate=True).partition(b":")[2]
        except binascii.Error:
            return b""
    return b""


def _with_headers(send: Send) -> Callable[[MutableMapping[str, Any]], Awaitable[None]]:
    async def guarded(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            sent = {name for name, _ in message["headers"]}
            message["headers"] = [*message["headers"], *((n, v) for n, v in _HEADERS if n not in sent)]
        await send(message)

    return guarded
