"""The events of a client between the call and the answer: batches, retries, and who is told what. Pure.

Every event that was added is, in the end, exactly one of accepted, rejected or unsent. Times are seconds of a monotonic
clock, given by the caller. One batch is in flight at a time, so events are sent, and decided, in the order of calls.
"""

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, assert_never

import msgspec

from eval_alignment.client.answers import Decided, DeliveryOutcome, Postponed, Refused, TooLarge

FIRST_BACKOFF_S: Final = 0.5
LONGEST_BACKOFF_S: Final = 10.0
MOST_BATCH_EVENTS: Final = 10_000
"""The most events that ingest takes in one request."""


@dataclass(frozen=True, slots=True)
class OutgoingEvent:
    """An event on its way."""

    index: int
    """Number of the event among all of this client, from 0."""
    id: str
    line: bytes
    """The event as JSON, a line that `eval-alignment load` reads."""

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of the event, with its `kind`."""
        fields: dict[str, Any] = msgspec.json.decode(self.line)
        return fields


@dataclass(frozen=True, slots=True)
class RejectedEvent:
    """An event that ingest rejected. It is not sent again."""

    event: OutgoingEvent
    reason: str
    """One of the reject reasons of the documentation."""
    detail: str
    """What is wrong, with the JSON path."""

    @property
    def index(self) -> int:
        """Number of the event among all of this client, from 0."""
        return self.event.index

    @property
    def id(self) -> str:
        """The id of the event."""
        return self.event.id

    def __str__(self) -> str:
        return f"event {self.index} (id {self.id}): {self.reason}: {self.detail}"


@dataclass(frozen=True, slots=True)
class EventWarning:
    """An event that ingest accepted, with a warning, for example about a field that it does not know."""

    event: OutgoingEvent
    message: str

    def __str__(self) -> str:
        return f"event {self.event.index} (id {self.event.id}): {self.message}"


@dataclass(frozen=True, slots=True)
class EventBatch:
    """Events of one request."""

    events: Sequence[OutgoingEvent]
    size: int
    """Bytes of the body."""

    @property
    def body(self) -> bytes:
        """The request's body, as NDJSON."""
        return b"".join(b"%b\n" % event.line for event in self.events)


@dataclass(frozen=True, slots=True)
class Settlement:
    """What the answer to a batch means for its callers."""

    rejected: Sequence[RejectedEvent] = ()
    warnings: Sequence[EventWarning] = ()


@dataclass(frozen=True, slots=True)
class OutboxLimits:
    """Bounds of a client's memory and of its requests."""

    events: int
    """Events that are queued or in flight."""
    bytes: int
    """Bytes of these events."""
    batch_events: int
    """Events of one request."""
    batch_bytes: int
    """Bytes of one request. An event that is larger is sent alone."""
    linger_s: float
    """Seconds that an event may wait for others to fill its batch."""


class Outbox:
    """The queue of a client, and the state of its delivery. Not thread-safe: the caller has the lock."""

    def __init__(self, limits: OutboxLimits) -> None:
        self._limits = limits
        self._queue: deque[OutgoingEvent] = deque()
        self._in_flight: EventBatch | None = None
        self._oldest_at = 0.0
        self._not_before = 0.0
        self._asked_to_wait = False
        self._attempts = 0
        self._flush_to = 0
        # Halved by each 413, and never raised again: to find a new limit costs more than to send smaller batches.
        self._batch_bytes = limits.batch_bytes
        self.bytes = 0
        """Bytes that are queued or in flight."""
        self.added = 0
        """Events that were added."""
        self.settled = 0
        """Events that are decided, or were given up."""
        self.accepted = 0
        self.rejected = 0
        self.refusals = 0
        """Attempts that failed for a cause that retries do not mend."""
        self.trouble: str | None = None
        """Why the last attempt failed; None if it did not."""

    @property
    def pending(self) -> int:
        """Events that are queued or in flight."""
        return self.added - self.settled

    def has_room(self, line: bytes) -> bool:
        """Whether the bounds allow one more event. An empty outbox takes every event."""
        return not self.pending or (
            self.pending < self._limits.events and self.bytes + len(line) + 1 <= self._limits.bytes
        )

    def add(self, id: str, line: bytes, now: float) -> bool:
        """Queue an event. Returns whether the time of the next batch has changed."""
        if not self._queue:
            self._oldest_at = now
        event = OutgoingEvent(self.added, id, line)
        self._queue.append(event)
        self.added += 1
        self.bytes += _size(event)
        return len(self._queue) == 1 or self._full()

    def flush(self) -> int:
        """Make all events due, in batches of any size. Returns the count of settled events to wait for.

        The backoff ends, because somebody waits. A time that the server asked for stays.
        """
        self._flush_to = self.added
        if not self._asked_to_wait:
            self._not_before = 0.0
        return self.added

    def due_in(self, now: float) -> float | None:
        """Return the seconds until the next batch is due; None while nothing is queued, or a batch is in flight."""
        if not self._queue or self._in_flight is not None:
            return None
        at_once = self._full() or self._queue[0].index < self._flush_to
        due_at = now if at_once else self._oldest_at + self._limits.linger_s
        return max(0.0, due_at - now, self._not_before - now)

    def waits_beyond(self, deadline: float) -> bool:
        """Whether the server asked to wait for longer than the deadline."""
        return self._asked_to_wait and self._not_before > deadline

    def take(self) -> EventBatch:
        """Return the next batch, which is then in flight. At least one event is queued."""
        size = 0
        events: list[OutgoingEvent] = []
        while self._queue and len(events) < self._limits.batch_events:
            more = _size(self._queue[0])
            if events and size + more > self._batch_bytes:
                break
            events.append(self._queue.popleft())
            size += more
        assert self._in_flight is None, "one batch at a time"
        assert events, "something is queued"
        self._in_flight = EventBatch(events, size)
        return self._in_flight

    def settle(self, batch: EventBatch, outcome: DeliveryOutcome, now: float) -> Settlement:
        """Apply the answer to the batch in flight. A batch that was given up meanwhile is ignored."""
        if batch is not self._in_flight:
            return Settlement()
        self._in_flight = None
        match outcome:
            case Decided():
                return self._decide(batch, outcome, now)
            case TooLarge():
                return self._halve(batch, outcome, now)
            case Postponed():
                # Full jitter spreads clients; it is added to the server's time, so that they do not return together.
                ceiling = min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2 ** min(self._attempts, 20))
                wait_s = (outcome.retry_after_s or 0.0) + random.uniform(0, ceiling)
                self._again(batch, outcome.cause, now + wait_s, asked=bool(outcome.retry_after_s))
            case Refused():
                self.refusals += 1
                self._again(batch, outcome.cause, now + LONGEST_BACKOFF_S, asked=False)
            case _:
                assert_never(outcome)
        return Settlement()

    def give_up(self) -> list[OutgoingEvent]:
        """Remove and return everything that is queued or in flight. What is in flight may still arrive."""
        unsent = self.unsettled()
        self._in_flight = None
        self._queue.clear()
        self.settled += len(unsent)
        self.bytes = 0
        return unsent

    def unsettled(self, before: int | None = None) -> list[OutgoingEvent]:
        """Return what is queued or in flight, in order; with `before`, only events of a lower index."""
        pending = [*(self._in_flight.events if self._in_flight else ()), *self._queue]
        return pending if before is None else [event for event in pending if event.index < before]

    def _full(self) -> bool:
        in_flight = self._in_flight.size if self._in_flight else 0
        return len(self._queue) >= self._limits.batch_events or self.bytes - in_flight >= self._batch_bytes

    def _decide(self, batch: EventBatch, decided: Decided, now: float) -> Settlement:
        events = batch.events
        self.accepted += decided.accepted
        self._leave(batch, now)
        self._attempts, self.trouble, self._not_before, self._asked_to_wait = 0, None, 0.0, False
        rejected = [RejectedEvent(events[entry.index], entry.reason, entry.detail) for entry in decided.rejected]
        self.rejected += len(rejected)
        return Settlement(rejected, [EventWarning(events[entry.index], entry.message) for entry in decided.warnings])

    def _halve(self, batch: EventBatch, outcome: TooLarge, now: float) -> Settlement:
        if len(batch.events) > 1:
            self._batch_bytes = min(self._batch_bytes, batch.size // 2)
            self._queue.extendleft(reversed(batch.events))
            return Settlement()
        self._leave(batch, now)
        self.rejected += 1
        detail = f"the server does not take {batch.size:,} bytes ({outcome.cause})"
        return Settlement([RejectedEvent(batch.events[0], "oversized", detail)])

    def _again(self, batch: EventBatch, cause: str, not_before: float, *, asked: bool) -> None:
        self._queue.extendleft(reversed(batch.events))
        self._attempts += 1
        self.trouble, self._not_before, self._asked_to_wait = cause, not_before, asked

    def _leave(self, batch: EventBatch, now: float) -> None:
        self.settled += len(batch.events)
        self.bytes -= batch.size
        self._oldest_at = now


def _size(event: OutgoingEvent) -> int:
    return len(event.line) + 1
