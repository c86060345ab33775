"""Rules of every HTTP server of the product: addresses that it may bind, requests that it serves, form of errors.

A token file has one token per line, alone or after the name of who sends it: `NAME TOKEN`. Blank lines and lines that
begin with `#` are skipped. Two lines may have one name, so that a token can be replaced without a pause.
"""

import base64
import binascii
import hmac
import ipaddress
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from streams.runtime.errors import EvalAlignmentError
from streams.runtime.exit_codes import ExitCode
from streams.runtime.refusals import RefusalReason, Refusals
from streams.runtime.secret_files import invalid_secret, read_secret_file

TOKEN_BYTES: Final = 32
"""Minimum length of a token."""
HEALTH_PATHS: Final = frozenset({"/healthz", "/readyz"})
"""They need no token, and are served under every host name: health checks send the address of a pod."""
LOOPBACK_HOSTS: Final = ("127.0.0.1", "localhost", "[::1]")
CHALLENGE: Final = {"WWW-Authenticate": 'Basic realm="eval-alignment", charset="UTF-8"'}
"""Headers of a response with status 401."""

_HEADERS: Final = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
)
READ_METHODS: Final = ("GET", "HEAD")
_READ_HEADERS: Final = frozenset({b"authorization", b"content-length", b"host", b"transfer-encoding"})
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_PORT: Final = re.compile(r"[0-9]{0,5}")
"""What follows the colon of a Host header: a path there would be read as the path of the request's address."""


class AccessToken(NamedTuple):
    """A token, and the name of who sends it."""

    name: str
    """Empty for a line without a name."""
    token: bytes


class BindError(EvalAlignmentError):
    """A server must not, or cannot, listen as configured; the message names the setting to change."""

    exit_code = ExitCode.USAGE


def read_tokens(path: Path) -> Sequence[AccessToken]:
    """The tokens in a file, at least one.

    Raises BindError when the file cannot be read, has no token, or a line is invalid; the message has no token.
    """
    try:
        lines = read_secret_file(path).splitlines()
    except OSError as error:
        raise BindError(f"cannot read the token file {path}: {error.strerror}") from error
    except ValueError as error:
        raise BindError(f"the token file {path} is {error}") from None
    tokens = [
        _token(path, number, line.split())
        for number, line in enumerate(lines, start=1)
        if line.strip() and not line.lstrip().startswith(b"#")
    ]
    if not tokens:
        raise BindError(f"the token file {path} is empty, expected a token of at least {TOKEN_BYTES} bytes")
    return tokens


def _token(path: Path, number: int, fields: Sequence[bytes]) -> AccessToken:
    *names, token = fields
    name = b" ".join(names).decode(errors="replace")
    if name and not _NAME.fullmatch(name):
        raise BindError(
            f"line {number} of {path}: expected NAME TOKEN or TOKEN; a name has 1 to 64 of A-Z, a-z, 0-9, '.', '_', '-'"
        )
    if len(token) < TOKEN_BYTES:
        raise BindError(f"the token in line {number} of {path} has {len(token)} bytes, expected at least {TOKEN_BYTES}")
    if (why := invalid_secret(token)) is not None:
        raise BindError(f"the token in line {number} of {path} {why}")
    return AccessToken(name, token)


def read_token(path: Path) -> bytes:
    """The token that a client of a server with this token file sends: the first. Raises BindError as `read_tokens`."""
    return read_tokens(path)[0].token


def guard_bind(
    host: str, token_file: Path | None, *, allow_open: bool, setting: str = "token_file"
) -> Sequence[AccessToken]:
    """The tokens of which clients of a server on `host` must send one; empty when none is configured.

    Raises BindError for an address other than loopback without a token, unless `allow_open` is set. The message names
    the `setting` with the token file.
    """
    if token_file is not None:
        return read_tokens(token_file)
    if not (is_loopback(host) or allow_open):
        raise BindError(
            f"{host} is reachable from other machines: set {setting} (a file with {TOKEN_BYTES} bytes or more), or "
            "allow_open_bind where a proxy or firewall controls access"
        )
    return ()


def is_loopback(host: str) -> bool:
    """Whether a host is a loopback address. A name other than localhost is not resolved: its address may change."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def asks_for_health(scope: Scope) -> bool:
    """Whether a request is a health check. Another path with the same meaning, such as `/%68ealthz`, is not."""
    # A server need not pass it on.
    raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
    return scope["path"] in HEALTH_PATHS and raw_path.partition(b"?")[0].decode("latin-1") in HEALTH_PATHS


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """An error as `application/problem+json` (RFC 9457)."""
    title = HTTPException(status).detail
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return Response(orjson.dumps(body), status, headers, media_type="application/problem+json")


async def on_http_error(_request: Request, error: Exception) -> Response:
    """Starlette's handler for HTTPException."""
    if not isinstance(error, HTTPException):
        raise error
    headers = dict(error.headers or {})
    # Starlette's detail is the title once more.
    detail = f"method not allowed: only {headers['Allow']}" if error.status_code == 405 else error.detail
    return problem(error.status_code, detail, headers)


async def on_unexpected_error(_request: Request, _error: Exception) -> Response:
    """Starlette's handler for every other exception; uvicorn logs it."""
    return problem(500, "unexpected error: the log of this process has it")


class AccessMiddleware:
    """ASGI middleware: methods, allowed hosts, tokens, and on every response headers for its safety, and that no cache
    keeps it.

    Args:
        app: the application. The scope of a request that it gets has the name of the token in `sender`.
        tokens: clients must send one of them, as `Authorization: Bearer` or as the password of HTTP Basic with any
            user name, which browsers and event streams can send too. Empty admits every client. Health paths never
            need one.
        allowed_hosts: values of the Host header (without port) that are served besides loopback; `*` allows all. A
            name that starts with `*.` allows its subdomains. An IPv6 address may lack the brackets.
        methods: the methods that the server has. Those that only read have no body.
        refusals: counts and logs what is refused.
        verifies: whether the application itself verifies who sends a request for a path. Such a request needs no
            token; `sender` is in its scope only if it has one.
        is_public: whether a request needs no token because everybody may see the answer.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        refusals: Refusals,
        tokens: Sequence[AccessToken] = (),
        allowed_hosts: Iterable[str] = (),
        methods: Sequence[str] = READ_METHODS,
        verifies: Callable[[str], bool] = lambda _: False,
        is_public: Callable[[Scope], bool] = lambda _: False,
    ) -> None:
        self._app = app
        self._refusals = refusals
        self._tokens = tokens
        self._hosts = (*LOOPBACK_HOSTS, *map(_as_in_header, allowed_hosts))
        self._methods = methods
        self._verifies = verifies
        self._is_public = is_public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve or reject a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        guarded = _with_headers(send)
        rejection = self._rejection(scope)
        await (self._app if rejection is None else rejection)(scope, receive, guarded)

    def _rejection(self, scope: Scope) -> Response | None:
        headers = {name: value for name, value in scope["headers"] if name in _READ_HEADERS}
        if (why := _wrong_body(scope["method"], headers)) is not None:
            self._note(RefusalReason.BODY, scope)
            # What another program takes for the body must not be read as the next request.
            return problem(400, why, {"Connection": "close"})
        if scope["method"] not in self._methods:
            allowed = ", ".join(self._methods)
            elsewhere = "" if "POST" in self._methods else "; events go to `eval-alignment ingest`"
            return problem(405, f"method not allowed: only {allowed}{elsewhere}", {"Allow": allowed})
        if asks_for_health(scope):
            return None
        if not self._allows(headers.get(b"host", b"").decode("latin-1")):
            self._note(RefusalReason.HOST, scope)
            return problem(400, "host name not allowed: add it to the setting allowed_hosts")
        if self._tokens:
            sender = self._sender(_sent_token(headers.get(b"authorization", b"")))
            if sender is not None:
                scope["sender"] = sender
            elif not (self._verifies(scope["path"]) or self._is_public(scope)):
                self._note(RefusalReason.TOKEN, scope)
                return problem(401, "token missing or wrong", CHALLENGE)
        return None

    def _note(self, reason: RefusalReason, scope: Scope) -> None:
        self._refusals.note(reason, client_address(scope))

    def _sender(self, sent: bytes) -> str | None:
        """The name of the token that was sent; None if it is none of them. Every token is compared in constant time."""
        names = [known.name for known in self._tokens if hmac.compare_digest(sent, known.token)]
        return names[0] if names else None

    def _allows(self, host: str) -> bool:
        name = host.lower()
        before, _, port = name.rpartition(":")
        if before and _PORT.fullmatch(port):
            name = before
        return any(
            allowed in {name, "*"} or (allowed.startswith("*.") and name.endswith(allowed[1:]))
            for allowed in self._hosts
        )


def _as_in_header(host: str) -> str:
    """A host as the Host header has it: in lower case, an IPv6 address in brackets, which few settings have."""
    bare = host.lower().removeprefix("[").removesuffix("]")
    return f"[{bare}]" if ":" in bare else bare


def client_address(scope: Scope) -> str:
    """The address that a request came from; empty when it is unknown."""
    client = scope.get("client")
    return "" if client is None else str(client[0])


def _wrong_body(method: str, headers: Mapping[bytes, bytes]) -> str | None:
    """Why a request must not be read any further; None for one whose body has a clear end, or that has none."""
    length, coding = headers.get(b"content-length"), headers.get(b"transfer-encoding")
    if length is not None and coding is not None:
        return "the request has both Content-Length and Transfer-Encoding"
    if method in READ_METHODS and (coding is not None or (length or b"0").strip(b"0")):
        return f"a body is not allowed with {method}"
    return None


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
