"""What the client raises: the queue is full, events were not delivered, or the client cannot be used any more."""

from collections.abc import Sequence

from eval_alignment.client.outbox import OutgoingEvent, RejectedEvent
from streams.runtime.errors import EvalAlignmentError


class ClientError(EvalAlignmentError):
    """The client is closed, or an unexpected error ended it: that error is the cause of this one."""


class QueueFullError(ClientError):
    """The queue had no room for an event within the time that the client waits. The event was not taken."""


class DeliveryError(ClientError):
    """Events were rejected, or were not sent. Raised by `flush` and `close`."""

    def __init__(
        self, rejected: Sequence[RejectedEvent], rejected_count: int, unsent: Sequence[OutgoingEvent], cause: str
    ) -> None:
        self.rejected = rejected
        """Rejected events that no earlier error reported, at most 1,000. Empty with a callback `on_rejected`."""
        self.rejected_count = rejected_count
        """How many they are in all."""
        self.unsent = unsent
        """Events that are not acknowledged. After `flush` the client still tries to send them, after `close` not."""
        self.cause = cause
        """Why events are unsent; empty when all were sent."""
        parts = []
        if rejected_count:
            parts.append(f"{rejected_count:,} rejected, first {rejected[0]}")
        if unsent:
            parts.append(f"{len(unsent):,} not sent: {cause}")
        super().__init__(f"events were not delivered: {'; '.join(parts)}")
