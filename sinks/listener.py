"""The listener of every HTTP server of the product: its socket, and uvicorn with the product's limits.

Idle connections stay open longer than a proxy keeps them (60 s), because a proxy that reuses a connection while the
server closes it answers 502. A connection that sends no complete header within `HEADER_SECONDS`, or takes nothing of a
response for `READ_SECONDS`, is closed. What all clients together have not read yet is bounded.
"""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, cast

import h11
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.server import ServerState

from sinks.access import BindError, asks_for_health, client_address, problem
from sinks.connections import LOOPBACK_NETWORKS, Admission, Connections
from streams.runtime.exit_codes import ExitCode
from streams.runtime.refusals import RefusalReason, Refusals

HEADER_SECONDS: Final = 10.0
"""Time within which the header of a request must be complete, from its first byte or from the connection."""
READ_SECONDS: Final = 30.0
"""Time in which a client must take a part of the response that waits for it."""
_HEADER_BYTES: Final = 16_384
_PART_BYTES: Final = 1 << 16
"""Bytes of a connection that are read before others have their turn: asyncio's 256 KiB would take long in chunks."""
_FREE_CHUNKS: Final = 256
"""Chunks of a body that may have any size."""
_CHUNK_BYTES: Final = 64
"""Least size of its other chunks, on average: reading a chunk of one byte takes as long as one of a thousand."""
_BACKLOG: Final = 128
"""Connections that are accepted in one go: each has an open file before it is known whether it has a place."""
_UNSENT_BYTES: Final = 1 << 16
"""Bytes that the system takes before the client has room for them. What is above waits here, where it is counted. Half
of it in `READ_SECONDS` is the slowest that a client may read.
"""
_READ_BEGINS_SECONDS: Final = 1.0
"""Time that a client has before its speed of reading is compared with that of others."""


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
        # `create_server` adds the address to the reason.
        reason = str(error.strerror).partition(" (while attempting")[0]
        raise kind(f"cannot listen on {host}:{port}: {reason}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """What the clients of a server may use."""

    connections: int
    """Connections of all clients together. Above it the one that waits longest for a request ends for a new one."""
    per_address: int = 100
    """Connections of one address."""
    proxies: Sequence[str] = LOOPBACK_NETWORKS
    """Networks of proxies, which may have all connections: they send the requests of others."""
    unread_bytes: int = 64 << 20
    """Bytes of responses that clients have not read. Above it the slowest reader is dropped."""


class HttpServer(uvicorn.Server):
    """A server that leaves signals to the process. Set `should_exit` to stop it: running requests are finished.

    Args:
        app: the application.
        limits: what its clients may use.
        refusals: counts and logs what is refused.
        keep_alive_s: seconds that an idle connection stays open.
        grace_s: seconds that running requests have when the server stops.
    """

    def __init__(
        self, app: ASGIApp, *, limits: ServerLimits, refusals: Refusals, keep_alive_s: int, grace_s: int
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=_Protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                backlog=_BACKLOG,
                timeout_keep_alive=keep_alive_s,
                timeout_graceful_shutdown=grace_s,
                h11_max_incomplete_event_size=_HEADER_BYTES,
            )
        )
        self.server_state = _State(limits, refusals)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


class _State(ServerState):
    """What the connections of a server share."""

    def __init__(self, limits: ServerLimits, refusals: Refusals) -> None:
        super().__init__()
        self.places: Connections[_Protocol] = Connections(limits.connections, limits.per_address, limits.proxies)
        self.refusals = refusals
        self.unread = _Unread(limits.unread_bytes)


class _SlowReader(NamedTuple):
    """A client that has not read its response, since when, and how much there was of it."""

    since: float
    unread: int


class _Unread:
    """The clients for whom a response waits."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._readers: dict[_Protocol, _SlowReader] = {}

    def begin(self, connection: "_Protocol", now: float) -> "_Protocol | None":
        """A response waits for its client. Returns the connection to drop, when that is too much for all together."""
        self._readers[connection] = _SlowReader(now, connection.unread)
        if sum(reading.unread for reading in self._readers) <= self._limit:
            return None
        known = [c for c, reader in self._readers.items() if now - reader.since >= _READ_BEGINS_SECONDS]
        return min(known, key=lambda c: self._speed(c, now), default=connection)

    def end(self, connection: "_Protocol") -> None:
        """Nothing waits for a client any more."""
        self._readers.pop(connection, None)

    def _speed(self, connection: "_Protocol", now: float) -> float:
        reader = self._readers[connection]
        return (reader.unread - connection.unread) / (now - reader.since)


class _Parser(h11.Connection):
    """Reads HTTP, and takes a body in very many tiny chunks for no HTTP."""

    _owed = 0
    """Bytes that the chunks of this body lack of the average."""

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """The next event of what arrived. Raises RemoteProtocolError."""
        event = super().next_event()
        if isinstance(event, h11.Data):
            # A body with a length has one that starts no chunk, for each part that arrives.
            self._owed = max(0, self._owed + _CHUNK_BYTES * event.chunk_start - len(event.data))
            if self._owed > _FREE_CHUNKS * _CHUNK_BYTES:
                raise h11.RemoteProtocolError("the body has too many small chunks")
        elif isinstance(event, h11.Request):
            self._owed = 0
        return event


class _Protocol(H11Protocol):
    """One connection: it sends each write immediately, and ends when its next request does not come (uvicorn ends it
    only between two requests), when its response is not read, and when another needs its place.
    """

    _header_timer: asyncio.TimerHandle | None = None
    _read_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.conn = _Parser(h11.SERVER, _HEADER_BYTES)
        # Of the transports of asyncio's selector loops.
        transport.max_size = _PART_BYTES  # type: ignore[attr-defined]
        place, victim = self._state.places.enter(self, self._address)
        if victim is not None:
            self._refuse(RefusalReason.PLACES)
            victim.transport.abort()
        if place is Admission.NONE:
            self._refuse(RefusalReason.PLACES)
            transport.abort()
            return
        if place is Admission.HEALTH:
            self.app = _only_health(self.app, self._state.refusals)
        connection = transport.get_extra_info("socket")
        # uvicorn writes head and body of a response apart. Without this option the body waits for the client to
        # acknowledge the head, which takes 40 ms. asyncio sets it only for sockets that are created as TCP by name.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if (unsent := getattr(socket, "TCP_NOTSENT_LOWAT", None)) is not None:
            connection.setsockopt(socket.IPPROTO_TCP, unsent, _UNSENT_BYTES)
        self._await_header()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._idle():
            self._end_wait()
            self._state.places.serve(self)
        elif self._header_timer is None:
            self._await_header()

    def connection_lost(self, exc: Exception | None) -> None:
        self._state.places.leave(self)
        super().connection_lost(exc)
        self._end_wait()
        self._end_read_timer()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._wait()
        # The next head has begun before the response was complete.
        if self._idle() and self.conn.trailing_data[0] and self._header_timer is None:
            self._await_header()

    def pause_writing(self) -> None:
        super().pause_writing()
        if (slowest := self._state.unread.begin(self, self.loop.time())) is not None:
            slowest.drop()
        self._await_reader()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._end_read_timer()
        self._wait()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 -- uvicorn's signature
        """Answer what is not HTTP, where that is still possible, and close the connection."""
        self._refuse(RefusalReason.MALFORMED)
        if self.cycle is not None:
            # Otherwise the application goes on to answer a request that has no end.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            response = problem(400, "not a valid HTTP request", {"Connection": "close", "Cache-Control": "no-store"})
            head = b"".join(b"%b: %b\r\n" % header for header in response.raw_headers)
            # Not by h11, which would write it as the response to the method of the request before, perhaps HEAD.
            self.transport.write(b"HTTP/1.1 400 Bad Request\r\n%b\r\n%b" % (head, bytes(response.body)))
        self.transport.close()

    def drop(self) -> None:
        """End the connection of a client that does not read, with all that waits for it."""
        self._refuse(RefusalReason.READER)
        # Closing it would keep what is not read.
        self.transport.abort()

    @property
    def unread(self) -> int:
        """Bytes of the response that the client has not taken."""
        return self.transport.get_write_buffer_size()

    @property
    def _state(self) -> _State:
        return cast("_State", self.server_state)

    @property
    def _address(self) -> str:
        return "" if self.client is None else self.client[0]

    def _refuse(self, reason: RefusalReason) -> None:
        self._state.refusals.note(reason, self._address)

    def _should_upgrade(self) -> bool:
        """No: the request is answered as one without the header Upgrade."""
        return False

    def _idle(self) -> bool:
        """Whether no request is being answered."""
        # None before the first request.
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete

    def _wait(self) -> None:
        """Let another have the place, unless a request is being answered or its response being read."""
        if self._idle() and not self.flow.write_paused:
            self._state.places.wait(self)

    def _await_header(self) -> None:
        self._header_timer = self.loop.call_later(HEADER_SECONDS, self._close)

    def _end_wait(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _close(self) -> None:
        self._header_timer = None
        if self._idle() and not self.transport.is_closing():
            self._refuse(RefusalReason.HEAD)
            self.transport.close()

    def _await_reader(self) -> None:
        self._read_timer = self.loop.call_later(READ_SECONDS, self._check_reader, self.unread)

    def _check_reader(self, before: int) -> None:
        if self.unread < before:
            self._await_reader()
        else:
            self.drop()

    def _end_read_timer(self) -> None:
        self._state.unread.end(self)
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None


def _only_health(app: ASGIApp, refusals: Refusals) -> ASGIApp:
    """An application that answers health and refuses everything else, because no place is left. Connections end."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def closing(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        if asks_for_health(scope):
            await app(scope, receive, closing)
            return
        refusals.note(RefusalReason.PLACES, client_address(scope))
        headers = {"Retry-After": "1", "Cache-Control": "no-store"}
        response = problem(503, "too many connections: retry later", headers)
        await response(scope, receive, closing)

    return answer
