"""What both clients have in common: options, the outbox, reports, and the end of the process."""

import atexit
import logging
import os
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Final

from eval_alignment.client.answers import DeliveryOutcome
from eval_alignment.client.connection import IngestConnection
from eval_alignment.client.errors import ClientError, DeliveryError, QueueFullError
from eval_alignment.client.outbox import (
    MOST_BATCH_EVENTS,
    EventBatch,
    EventWarning,
    Outbox,
    OutboxLimits,
    OutgoingEvent,
    RejectedEvent,
    Settlement,
)

_log = logging.getLogger("eval_alignment.client")

_MOST_REPORTED: Final = 1_000


class BaseClient:
    """The parts of a client that neither block nor await.

    Args:
        url: base address of `eval-alignment ingest`; default: the variable `EVAL_ALIGNMENT_CLIENT_URL`, else
            http://127.0.0.1:8389.
        token: bearer token; default: the variable `EVAL_ALIGNMENT_CLIENT_TOKEN`.
        token_file: file with the token, read for every request; default: the variable
            `EVAL_ALIGNMENT_CLIENT_TOKEN_FILE`.
        on_rejected: called with every rejected event. Without it, `flush` and `close` raise them.
        on_warning: called with every warning. Without it, warnings are logged.
        max_events, max_bytes: bounds of the queue, in events and bytes of JSON.
        block_s: how long a call waits, in seconds, while the queue is full. Then it raises QueueFullError.
        batch_events, batch_bytes: bounds of one request.
        linger_s: how long an event waits for others to fill its batch, in seconds.
        close_s: how long `close`, `with` and the end of the program wait for the queue to be sent, in seconds.
        transport: replaces the transport of httpx, for tests.

    Raises ValueError for an invalid address, token or bound, OSError for a token file that cannot be read.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        token_file: str | os.PathLike[str] | None = None,
        on_rejected: Callable[[RejectedEvent], object] | None = None,
        on_warning: Callable[[EventWarning], object] | None = None,
        max_events: int = 10_000,
        max_bytes: int = 32 * 1024 * 1024,
        block_s: float = 10.0,
        batch_events: int = 500,
        batch_bytes: int = 1024 * 1024,
        linger_s: float = 0.2,
        close_s: float = 10.0,
        transport: Any = None,
    ) -> None:
        if min(max_events, max_bytes, batch_bytes) < 1 or not 1 <= batch_events <= MOST_BATCH_EVENTS:
            raise ValueError(
                f"max_events, max_bytes, batch_bytes: at least 1; batch_events: 1 to {MOST_BATCH_EVENTS:,}"
            )
        if min(block_s, linger_s, close_s) < 0:
            raise ValueError("block_s, linger_s and close_s cannot be negative")
        self._connection = IngestConnection(url, token, token_file, transport)
        self._on_rejected, self._on_warning = on_rejected, on_warning
        self._block_s, self._close_s = block_s, close_s
        self._limits = OutboxLimits(max_events, max_bytes, batch_events, batch_bytes, linger_s)
        self._start_afresh()
        _clients.add(self)

    def _start_afresh(self) -> None:
        """Begin with an empty queue. In a forked child too: the parent sends what it has queued."""
        self._outbox = Outbox(self._limits)
        self._closed = False
        self._failure: BaseException | None = None
        self._reported = 0
        self._unreported: list[RejectedEvent] = []
        self._unreported_count = 0

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._connection.url!r}, pending={self.pending})"

    @property
    def accepted(self) -> int:
        """Events that ingest has acknowledged."""
        return self._outbox.accepted

    @property
    def rejected(self) -> int:
        """Events that ingest has rejected."""
        return self._outbox.rejected

    @property
    def pending(self) -> int:
        """Events that are neither acknowledged nor rejected yet."""
        return self._outbox.pending

    @property
    def _ended_by(self) -> str:
        return f"the client was ended by an error: {self._failure!r}"

    def _check_usable(self) -> None:
        if self._closed:
            raise ClientError("the client is closed")
        if self._failure is not None:
            raise ClientError(self._ended_by) from self._failure

    def _queue_full(self) -> QueueFullError:
        outbox = self._outbox
        cause = f"; {outbox.trouble}" if outbox.trouble else ""
        return QueueFullError(f"{outbox.pending:,} events ({outbox.bytes:,} bytes) wait to be sent{cause}")

    def _flushed(self, target: int, refusals: int, deadline: float) -> bool:
        """Whether a flush has to wait no longer: all is settled and reported, or cannot be before the deadline."""
        outbox = self._outbox
        done = self._reported >= target
        hopeless = outbox.refusals > refusals or outbox.waits_beyond(deadline)
        return done or hopeless or self._failure is not None

    def _settle(self, batch: EventBatch, outcome: DeliveryOutcome) -> Settlement:
        """Apply an answer, and keep the rejected events that no callback takes. Logs where trouble begins and ends."""
        outbox, before = self._outbox, self._outbox.trouble
        settlement = outbox.settle(batch, outcome, time.monotonic())
        if self._on_rejected is None:
            self._unreported_count += len(settlement.rejected)
            self._unreported += settlement.rejected[: _MOST_REPORTED - len(self._unreported)]
        if outbox.trouble is not None and outbox.trouble != before:
            _log.warning("events cannot be sent, retrying: %s", outbox.trouble)
        elif outbox.trouble is None and before is not None:
            _log.info("events are sent again")
        return settlement

    def _report(self, settlement: Settlement) -> None:
        """Hand rejected events and warnings to their callbacks, or log them. Callbacks run without a lock."""
        if settlement.rejected and self._on_rejected is None:
            _log.warning("events rejected: %d, first %s", len(settlement.rejected), settlement.rejected[0])
        elif self._on_rejected is not None:
            for rejected in settlement.rejected:
                self._on_rejected(rejected)
        for warning in settlement.warnings:
            if self._on_warning is not None:
                self._on_warning(warning)
            else:
                _log.warning("event accepted with a warning: %s", warning)

    def _undelivered(self, unsent: Sequence[OutgoingEvent]) -> ClientError | None:
        """The error for what was not delivered, if anything. The rejected events count as reported from now on."""
        rejected, count = self._unreported, self._unreported_count
        self._unreported, self._unreported_count = [], 0
        error: ClientError | None = None
        if count or unsent:
            cause = self._ended_by if self._failure else self._outbox.trouble or "there was not enough time"
            error = DeliveryError(rejected, count, unsent, cause if unsent else "")
        elif self._failure is not None:
            error = ClientError(self._ended_by)
        if error is not None:
            error.__cause__ = self._failure
        return error

    def _leave_block(self, error: BaseException | None, undelivered: ClientError) -> None:
        """Raise what was not delivered, or add it to the error of a `with` block, which is the one to handle."""
        if error is None:
            raise undelivered
        error.add_note(str(undelivered))
        _log.error("%s", undelivered)

    def _log_interrupted(self) -> None:
        """Log what an interrupted `close` leaves."""
        if (error := self._undelivered(self._outbox.unsettled())) is not None:
            _log.error("%s", error)

    def _log_at_exit(self, error: ClientError | None) -> None:
        if error is not None:
            _log.error("%s; close the client, or use it in a `with` block, to handle this in the program", error)

    def _in_child(self) -> None:
        """Begin afresh in a forked child."""
        closed = self._closed
        self._start_afresh()
        self._closed = closed

    def _at_exit(self, started: float) -> None:
        """Send or report what is queued when the program ends. `started`: when the end began."""
        raise NotImplementedError


_clients: "weakref.WeakSet[BaseClient]" = weakref.WeakSet()


def _clients_at_exit() -> None:
    started = time.monotonic()
    for client in list(_clients):
        client._at_exit(started)  # noqa: SLF001 -- of this module's own class


def _clients_in_child() -> None:
    for client in list(_clients):
        client._in_child()  # noqa: SLF001 -- of this module's own class


atexit.register(_clients_at_exit)
os.register_at_fork(after_in_child=_clients_in_child)
