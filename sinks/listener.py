"""The listener of every HTTP server of the product: its socket, and uvicorn with the product's limits.

Idle connections stay open longer than a proxy keeps them (60 s), because a proxy that reuses a connection while the
server closes it answers 502. A connection that sends no complete header within `HEADER_SECONDS`, or takes nothing of a
response for `READ_SECONDS`, is closed.
"""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator
from typing import Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from sinks.access import BindError
from streams.runtime.exit_codes import ExitCode

HEADER_SECONDS: Final = 30.0
"""Time within which the header of a request must be complete, from its first byte or from the connection."""
READ_SECONDS: Final = 30.0
"""Time in which a client must take a part of the response that waits for it."""
_HEADER_BYTES: Final = 16_384


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


class HttpServer(uvicorn.Server):
    """A server that leaves signals to the process. Set `should_exit` to stop it: running requests are finished.

    Args:
        app: the application.
        keep_alive_s: seconds that an idle connection stays open.
        connections: connections at which further requests are refused with 503.
        grace_s: seconds that running requests have when the server stops.
    """

    def __init__(self, app: ASGIApp, *, keep_alive_s: int, connections: int, grace_s: int) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=_Protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                limit_concurrency=connections,
                timeout_keep_alive=keep_alive_s,
                timeout_graceful_shutdown=grace_s,
                h11_max_incomplete_event_size=_HEADER_BYTES,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


class _Protocol(H11Protocol):
    """Sends each write immediately, and closes a connection whose next request does not come (uvicorn closes it only
    between two requests) or whose response is not read.
    """

    _header_timer: asyncio.TimerHandle | None = None
    _read_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # uvicorn writes head and body of a response apart. Without this option the body waits for the client to
        # acknowledge the head, which takes 40 ms. asyncio sets it only for sockets that are created as TCP by name.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._await_header()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._idle():
            self._end_wait()
        elif self._header_timer is None:
            self._await_header()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._end_wait()
        self._end_read_timer()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._await_reader()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._end_read_timer()

    def _idle(self) -> bool:
        """Whether no request is being answered."""
        # None before the first request.
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete

    def _await_header(self) -> None:
        self._header_timer = self.loop.call_later(HEADER_SECONDS, self._close)

    def _end_wait(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _close(self) -> None:
        self._header_timer = None
        if self._idle() and not self.transport.is_closing():
            self.transport.close()

    def _await_reader(self) -> None:
        unread = self.transport.get_write_buffer_size()
        self._read_timer = self.loop.call_later(READ_SECONDS, self._check_reader, unread)

    def _check_reader(self, before: int) -> None:
        if self.transport.get_write_buffer_size() < before:
            self._await_reader()
        else:
            # Closing it would keep what is not read.
            self.transport.abort()

    def _end_read_timer(self) -> None:
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None
