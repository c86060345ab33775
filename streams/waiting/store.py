"""What the engine asks of a store of waiting evaluations. `streams.waiting.rocks` is the one on disk."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from streams.kafka.batches import Record
from streams.runtime.errors import EvalAlignmentError
from streams.waiting.coverage import OffsetRanges


class StoreLostError(EvalAlignmentError):
    """The rows of the store are lost, for example to a damaged block: the store is empty, and `number` has grown."""


class StoreAwayError(EvalAlignmentError):
    """The store cannot be read or written for now, for example because the disk is full: `number` has grown."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What is durable elsewhere of one partition, so that its positions may be kept on disk."""

    ledger: str
    """The ledger id that the offsets of `adopted_to` belong to."""
    topic_id: str | None
    """The id of the topic that the offsets of `covered` belong to; None where the broker has none."""
    covered: OffsetRanges = field(default_factory=OffsetRanges)
    """OffsetRanges of the evaluations topic, as of the last acknowledged checkpoint."""
    adopted_to: int = 0
    """A ledger offset: every item with a row of a person below it was adopted from this store."""


StorePlace = tuple[int, bytes]
"""Where a look-up goes on. Only the store knows what it means."""


class Found(NamedTuple):
    """A part of what waits of an item."""

    records: list[Record]
    rest: StorePlace | None = None
    """Where the next part begins; None after the last one."""


class WaitingStore(Protocol):
    """Where evaluations of items that nobody annotated wait: one per worker, for all its partitions.

    Every method is for the event loop, and only `flush`, `seal` and `close` wait for the disk in a thread.
    """

    @property
    def number(self) -> int:
        """Grows whenever rows may have been lost: what was noted of the store before does not hold for it any more."""
        ...

    @property
    def away(self) -> str | None:
        """Why the store cannot be used for now; None while it can. `open` is then to be called from time to time."""
        ...

    @property
    def unflushed_bytes(self) -> int:
        """Bytes of the evaluations that the next flush makes durable."""
        ...

    @property
    def bytes_on_disk(self) -> int:
        """Bytes of all files."""
        ...

    @property
    def oldest_ms(self) -> int | None:
        """Broker time of about the oldest evaluation; None while nothing waits."""
        ...

    def evaluations(self, partition: int | None = None) -> int:
        """About the number of waiting evaluations, of one partition or of all, without those that were adopted."""
        ...

    def take_given_up(self) -> Mapping[int, int]:
        """Evaluations by partition that were dropped before their time since the last call, for want of space."""
        ...

    def open(self) -> None:
        """Open the directory, or begin an empty one; `away` states why that failed."""
        ...

    def settled(self, partition: int) -> Settled | None:
        """What the last flush kept for a partition; None if the store knows nothing of it."""
        ...

    def forget(self, partition: int) -> None:
        """Keep no positions of a partition, because its topic was created again: its rows are not found again.

        On the embedded broker, whose offsets start again with every start, they are still found. Durable when it
        returns.
        """
        ...

    def put(self, partition: int, *records: Record) -> None:
        """Take records into the window. Raises StoreAwayError where a full window cannot be written."""
        ...

    def look_up(self, partition: int, item: bytes, after: StorePlace | None = None) -> Found:
        """The next waiting records of an item, also those of items whose hash is the same, from a place on.

        A part has a few MiB, however much waits. Nothing of the item may be put between the first part and the last.
        Raises StoreLostError or StoreAwayError.
        """
        ...

    def adopted(self, partition: int, records: Iterable[Record]) -> None:
        """Do not count these records as waiting any more, which stay in the store until they expire."""
        ...

    def count_all(self, partition: int) -> None:
        """Count everything of a partition as waiting again, because all of its known items are looked up again."""
        ...

    def write_window(self) -> None:
        """Write everything that was put; on the embedded broker, it is durable when this returns.

        Raises StoreAwayError.
        """
        ...

    async def flush(self, settled: Mapping[int, Settled]) -> None:
        """Make all rows durable, then these positions, in this order. What fails is told by `away` and `number`."""
        ...

    def expire(self, before: int) -> None:
        """Drop the spans that end before this broker time in milliseconds."""
        ...

    async def seal(self) -> None:
        """Compact a span into which nothing comes any more. Call it from time to time, in a task of its own."""
        ...

    async def close(self) -> None:
        """Give the directory back, without a flush."""
        ...
