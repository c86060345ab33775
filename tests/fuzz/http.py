"""Requests on the wire, of any form, for the listeners of view, worker and ingest.

A request is clear when every HTTP parser finds the same end of it: it has one response, and so has the next one on its
connection. A request is unclear when two parsers may find two ends, or none: it has one response at most, and then the
connection ends, so that what follows is never read as a request.
"""

import contextlib
import random
import re
import socket
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from tests.support.listeners import CONNECTIONS, QUEUE, Listening, fill_store, listening

_MIB: Final = 1 << 20
MORE_BYTES: Final = 96 * _MIB
"""Memory that a listener may take above its memory at the start."""
ANSWER_SECONDS: Final = 20.0
LOG_BYTES: Final = 1 << 20
HELD: Final = 400
"""Connections that never send a whole head, held open meanwhile."""
_CHECK_EVERY: Final = 500
_SMUGGLED: Final = "/smuggled-by-the-fuzzer"
_HOST: Final = b"Host: localhost\r\n"
_LAST: Final = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

_TARGETS: Final[dict[str, Sequence[str]]] = {
    "view": (
        "/", "/glossary", "/queues/big", "/queues/big/items", "/queues/big/items.csv", "/queues/big/items.jsonl",
        "/api/v1/queues", "/api/v1/queues/big", "/api/v1/queues/big/comparisons?limit=2", "/api/v1/queues/big/history",
        "/api/v1/queues/big/what-if?criterion=overall&metric=m&cost=1e308", "/api/v1/positions", "/openapi.json",
    ),
    "worker": (),
    "ingest": ("/openapi.json", "/api/v1/events", "/v1/logs", "/v1/traces", "/api/v1/sources/none"),
}  # fmt: skip
_EVERYWHERE: Final = (
    "/metrics", "/healthz", "/readyz", "/%68ealthz", "/healthz/", "//healthz", "/healthz;x", "/healthz%00", "/nowhere",
    "/queues/%zz", "/queues/%ff", "/queues/..%2f..%2fetc%2fpasswd", "/static/../x", "/?q=%5C", "/?page=0", "*",
    "http://evil.example/healthz", "/api/v1/queues?cursor=9223372036854775807", "/api/v1/queues/%ed%a0%80",
    f"/api/v1/queues/{QUEUE}/comparisons?cursor=W10", "/queues/big?cut=1000&cost=1e-323", "/queues/big?trend=%27;DROP",
)  # fmt: skip
_HEADERS: Final = (
    b"Accept: application/openmetrics-text; version=x.y", b"Accept: text/plain; version=1.0.0; escaping=allow-utf-8",
    b"Accept: text/html", b"Accept-Encoding: gzip", b"Accept-Encoding: gzip;q=x,\xff", b"Range: bytes=0-10",
    b"X: a\r\n b",
    b"Upgrade: websocket\r\nConnection: Upgrade", b"Upgrade: h2c", b"Authorization: Basic !!!", b"Authorization: \xff",
    b"X-Forwarded-For: 1.2.3.4, \xff", b"X-Forwarded-Host: evil", b"Origin: http://evil", b"If-None-Match: *",
    b"Content-Type: application/json", b"Content-Type: application/x-ndjson", b"Content-Encoding: gzip",
    b"Content-Encoding: zstd, gzip", b"Content-Length: 0", b"Connection: keep-alive", b"X-HTTP-Method-Override: DELETE",
    b"ce-id: \xff", b"ce-specversion: 1.0", b"webhook-id: x", b"Accept: " + b"a/b;q=0.1," * 300,
)  # fmt: skip
_METHODS: Final = ("GET",) * 6 + ("HEAD", "POST", "PUT", "OPTIONS", "TRACE", "DELETE", "PATCH", "FOO")
_BODIES: Final = (
    b"{}", b"[]", b"[{}]", b"null", b"\xff\xfe", b"{" * 2_000, b'{"id":"a"}\n{"id":"b"}', b"a" * 70_000,
    b"\x1f\x8b\x08",
    b'[{"id":"e","at":1,"item":"i","metric":"m","score":0.5,"threshold":0.5}]', b"\0" * 10, b"5\r\nhello\r\n0\r\n\r\n",
)  # fmt: skip
_UNCLEAR: Final = (
    b"Content-Length: %d\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: chunked\r\nContent-Length: %d",
    b"Content-Length: %d\r\nContent-Length: 0", b"Content-Length: +%d", b"Content-Length: -%d",
    b"Content-Length: %d, 0",
    b"Content-Length: 0x%d", b"Content-Length: %d %d", b"Content-Length: \x0b%d",
    b"Content-Length: 9999999999999999999999%d",
    b"Content-Length : %d", b"Transfer-Encoding: \x0bchunked", b"Transfer-Encoding: x, chunked",
    b"Transfer-Encoding: chunked, identity", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
    b"Transfer-Encoding : chunked",
    b"Transfer-Encoding: xchunked", b"Transfer-Encoding: identity", b"Host: evil.example", b"X: a\0b", b"X: a\rb",
    b": a", b"X\xe9: a", b"X Y: a",
)  # fmt: skip
_CHUNKS: Final = (
    b"ZZ\r\n",
    b"-1\r\n",
    b"0x5\r\nhello\r\n",
    b"5\r\nhelloX0\r\n\r\n",
    b"FFFFFFFFFFFFFFFFFFFFFFFF\r\n",
    b"\r\n",
    b" 5\r\n",
)


class FindingError(AssertionError):
    """A listener did what it must not."""


class Wire(NamedTuple):
    """What is sent on one connection."""

    data: bytes
    methods: Sequence[str]
    """Of the requests that may have a response, in their order."""
    whole: bool = True
    """Whether the server ends the connection by itself."""
    clear: bool = True
    """Whether every request has a response."""


class Response(NamedTuple):
    """One response."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes


@dataclass(slots=True)
class Grammar:
    """Makes what is sent to one listener."""

    name: str
    chance: random.Random
    _targets: Sequence[str] = field(init=False)

    def __post_init__(self) -> None:
        """Join the targets of all listeners and of this one."""
        self._targets = [*_EVERYWHERE, *_TARGETS[self.name], *_TARGETS[self.name]]

    def wire(self) -> Wire:
        """Some clear requests, and perhaps an unclear or incomplete one at the end."""
        requests = [self._clear() for _ in range(self.chance.choice((0, 1, 1, 1, 2, 4)))]
        data = b"".join(request for _, request in requests)
        methods = [method for method, _ in requests]
        kind = self.chance.random()
        if kind < 0.45:
            method, unclear = self._unclear()
            return Wire(data + unclear, [*methods, method], clear=False)
        if kind < 0.55:
            method, whole = self._clear()
            return Wire(data + whole[: self.chance.randrange(len(whole))], [*methods, method], whole=False, clear=False)
        if kind < 0.6:
            return Wire(data + self._noise(), [*methods, "GET", "GET", "GET"], whole=False, clear=False)
        return Wire(data + _LAST, [*methods, "GET"])

    def half_a_head(self) -> bytes:
        """What begins like a request, or nothing."""
        _, whole = self._clear()
        return whole[: self.chance.randrange(whole.index(b"\r\n\r\n"))]

    def _clear(self) -> tuple[str, bytes]:
        method = self.chance.choice(_METHODS)
        framing, body = (b"", b"") if method in ("GET", "HEAD") else self._framed(self.chance.choice(_BODIES))
        return method, self._head(method, framing) + body

    def _framed(self, body: bytes) -> tuple[bytes, bytes]:
        if self.chance.random() < 0.6:
            return b"Content-Length: %d" % len(body), body
        at = self.chance.randrange(len(body) + 1)
        parts = [part for part in (body[:at], body[at:]) if part]
        chunks = [b"%x\r\n%b\r\n" % (len(part), part) for part in parts]
        return b"Transfer-Encoding: chunked", b"".join(chunks) + b"0\r\n\r\n"

    def _head(self, method: str, framing: bytes) -> bytes:
        target = self.chance.choice(self._targets)
        lines = [_HOST.strip(), *(self.chance.choice(_HEADERS) for _ in range(self.chance.randrange(4)))]
        if framing:
            lines = [*(line for line in lines if not line.startswith(b"Content-Length")), framing]
        self.chance.shuffle(lines)
        return f"{method} {target} HTTP/1.1\r\n".encode() + b"".join(line + b"\r\n" for line in lines) + b"\r\n"

    def _unclear(self) -> tuple[str, bytes]:
        smuggled = f"GET {_SMUGGLED} HTTP/1.1\r\n".encode() + _HOST + b"\r\n"
        method = self.chance.choice(("GET", "HEAD", "POST", "PUT"))
        if self.chance.random() < 0.25:
            framing, body = b"Transfer-Encoding: chunked", self.chance.choice(_CHUNKS) + smuggled
        elif method in ("GET", "HEAD") and self.chance.random() < 0.3:
            framing, body = b"Content-Length: %d" % len(smuggled), smuggled
        else:
            framing, body = self.chance.choice(_UNCLEAR), b"0\r\n\r\n" + smuggled
            framing = framing.replace(b"%d", b"%d" % len(body))
        return method, self._head(method, framing) + body

    def _noise(self) -> bytes:
        start = self.chance.choice(
            (b"", b"\x16\x03\x01", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /healthz\r\n", b"\r\n\r\n")
        )
        return start + self.chance.randbytes(self.chance.randrange(200))


def run(seconds: float, seed: int | None = None) -> int:
    """Attack all listeners for some seconds; returns the number of connections. Raises FindingError."""
    seed = random.randrange(1 << 32) if seed is None else seed
    count = 0
    with tempfile.TemporaryDirectory() as parent, contextlib.ExitStack() as stack:
        attacks = []
        for name in CONNECTIONS:
            directory = Path(parent, name)
            directory.mkdir()
            if name == "view":
                fill_store(directory)
            attacks.append(stack.enter_context(_attack(stack.enter_context(listening(name, directory)), seed)))
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for attack in attacks:
                attack.step()
                count += 1
        for attack in attacks:
            attack.check()
    return count


@dataclass(slots=True)
class Attack:
    """What is done to one listener."""

    listener: Listening
    seed: int
    grammar: Grammar
    usual: int
    held: deque[socket.socket] = field(default_factory=deque)
    steps: int = 0

    def step(self) -> None:
        """One connection with requests, and now and then one that stays open."""
        self.steps += 1
        wire = self.grammar.wire()
        try:
            judge(wire, self._exchange(wire))
        except FindingError as error:
            log = self.listener.log.read_text()[-2_000:]
            raise FindingError(f"{self.listener.name}, seed {self.seed}: {error}\nsent: {wire.data!r}\n{log}") from None
        if self.steps % 20 == 0:
            self._hold()
        if self.steps % _CHECK_EVERY == 0:
            self.check()

    def check(self) -> None:
        """The listener lives, answers health, and has neither filled its memory nor its log."""
        began = time.monotonic()
        text = self.listener.log.read_text(errors="replace")
        problems = {
            "it ended": self.listener.process.poll() is not None,
            "health does not answer": self.listener.status("/healthz") != 200,
            "health answers late": time.monotonic() - began > ANSWER_SECONDS,
            "its memory grew": self.listener.memory() > self.usual + MORE_BYTES,
            "its log is large": len(text) > LOG_BYTES,
            "its log has a traceback": "Traceback" in text,
        }
        if found := [problem for problem, holds in problems.items() if holds]:
            raise FindingError(f"{self.listener.name}, seed {self.seed}: {', '.join(found)}\n{text[-4_000:]}")

    def _hold(self) -> None:
        client = self.listener.connect()
        client.sendall(self.grammar.half_a_head())
        self.held.append(client)
        if len(self.held) > HELD:
            self.held.popleft().close()

    def _exchange(self, wire: Wire) -> bytes:
        """All that is answered. Raises FindingError when the connection does not end."""
        received, chance = b"", self.grammar.chance
        with contextlib.closing(self.listener.connect()) as client:
            client.settimeout(ANSWER_SECONDS)
            # The server may have closed the connection meanwhile.
            with contextlib.suppress(OSError):
                for piece in _pieces(wire.data, chance):
                    client.sendall(piece)
                if not wire.whole:
                    client.shutdown(socket.SHUT_WR)
            try:
                while chunk := client.recv(1 << 16):
                    received += chunk
            except ConnectionError:
                pass
            except TimeoutError:
                raise FindingError(f"the connection does not end; received {received[-500:]!r}") from None
        return received


@contextlib.contextmanager
def _attack(listener: Listening, seed: int) -> Iterator[Attack]:
    attack = Attack(listener, seed, Grammar(listener.name, random.Random(f"{seed} {listener.name}")), listener.memory())
    try:
        yield attack
    finally:
        for client in attack.held:
            client.close()


def judge(wire: Wire, received: bytes) -> None:
    """Check what was answered. Raises FindingError."""
    responses = list(parse(received, wire.methods))
    if len(responses) > len(wire.methods):
        raise FindingError(f"{len(responses)} responses to {len(wire.methods)} requests")
    if _SMUGGLED.encode() in received:
        raise FindingError("what follows an unclear request was read as a request")
    for response in responses:
        headers = dict(response.headers)
        if response.status >= 500 and response.status != 503:
            raise FindingError(f"status {response.status}: {response.body[:500]!r}")
        if "server" in headers:
            raise FindingError(f"a response names its server: {headers['server']}")
        if response.status >= 400 and headers.get("cache-control") != "no-store":
            raise FindingError(f"a cache may keep an error: {headers}")


def parse(received: bytes, methods: Sequence[str]) -> Iterator[Response]:
    """The responses to requests with these methods. A response may lack its end, when the connection ended.

    Raises FindingError for what is no response, or more than the responses to all of them.
    """
    number = 0
    while received:
        head, found, received = received.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        status = re.fullmatch(rb"HTTP/1\.1 (\d{3}) [ -~]*", lines[0])
        if not found or status is None:
            raise FindingError(f"no response: {head[:200]!r}")
        headers = [_header(line) for line in lines[1:]]
        if status[1].startswith(b"1"):
            continue
        named = dict(headers)
        method = methods[number] if number < len(methods) else "GET"
        number += 1
        body = b""
        # A server that cannot read a request does not know that its method is HEAD.
        unread = status[1] == b"400" and received.startswith(b"{")
        if (method != "HEAD" or unread) and status[1] not in (b"204", b"304"):
            if "content-length" in named:
                length = int(named["content-length"])
                body, received = received[:length], received[length:]
            elif named.get("transfer-encoding") == "chunked":
                body, received = _chunked(received)
            else:
                body, received = received, b""
        yield Response(int(status[1]), headers, body)


def _header(line: bytes) -> tuple[str, str]:
    found = re.fullmatch(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([ -~\t\x80-\xff]*)", line)
    if found is None:
        raise FindingError(f"no header: {line[:200]!r}")
    return found[1].decode().lower(), found[2].decode("latin-1")


def _chunked(received: bytes) -> tuple[bytes, bytes]:
    body = b""
    while received:
        size, found, rest = received.partition(b"\r\n")
        if not found or not re.fullmatch(rb"[0-9a-fA-F]+", size):
            raise FindingError(f"no chunk: {received[:200]!r}")
        length = int(size, 16)
        body, received = body + rest[:length], rest[length + 2 :]
        if length == 0:
            break
    return body, received


def _pieces(data: bytes, chance: random.Random) -> Iterator[bytes]:
    """The data in one piece, or in some that arrive apart."""
    if chance.random() < 0.8:
        yield data
        return
    cuts = sorted(chance.randrange(len(data) + 1) for _ in range(chance.randrange(1, 5)))
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        yield data[start:end]
        time.sleep(chance.random() / 200)
