"""What the tallies log says of one partition, kept as a reader keeps it."""

from collections.abc import Sequence

import orjson

from aggregator.tallies import MARKER_KEY, Payload, in_place, parse_payload, parse_stamp
from streams.kafka.batches import Record
from streams.ledger.log import Log
from streams.runtime.failures import Failure, WorkerFailure


class Published:
    """Per key the later record, of one ledger id; a record below a position that stands before it comes late.

    `last`: policy and value by key, without `marker`; None where the last record came late, or where readers dropped
    it. `highest`: the highest position of all. `records`: how many records there are at all, of any ledger id.
    """

    def __init__(self, ledger: str | None) -> None:
        self._ledger = ledger
        self.records = 0
        self.highest = 0
        self.last: dict[bytes, tuple[str, bytes] | None] = {}
        self._policy: str | None = None
        self._open: list[bytes] = []

    def fold(self, log: Log, records: Sequence[Record]) -> None:
        """Take records in. Raises WorkerFailure on one that is no tally."""
        self.records += len(records)
        for record in records:
            try:
                self._take(record.offset, record.key, record.value or b"")
            except ValueError as error:
                raise unreadable(log, record, error) from error

    def _take(self, offset: int, key: bytes | None, value: bytes) -> None:
        stamp = parse_stamp(value)
        if stamp.ledger != self._ledger or key is None:
            return
        if stamp.position < self.highest:
            # Readers pass over what a predecessor wrote late, but compaction would leave it.
            if key != MARKER_KEY:
                self.last[key] = None
            return
        self.highest = stamp.position
        if stamp.policy != self._policy:
            # What a predecessor left open counts under another policy: readers drop it.
            self.last.update(dict.fromkeys(self._open))
            self._open.clear()
            self._policy = stamp.policy
        if key == MARKER_KEY:
            if in_place(orjson.loads(value), offset):
                self._open.clear()
        else:
            self._open.append(key)
            self.last[key] = (stamp.policy, value)

    def tallies(self) -> dict[bytes, tuple[str, Payload] | None]:
        """`last`, with payloads. Raises WorkerFailure on one that is none."""
        try:
            return {key: kept and (kept[0], parse_payload(kept[1])) for key, kept in self.last.items()}
        except ValueError as error:
            raise WorkerFailure(Failure.LEDGER_UNREADABLE, f"a tally of ledger {self._ledger}: {error}") from error


def unreadable(log: Log, record: Record, error: Exception) -> WorkerFailure:
    """The failure that a record means which no worker wrote."""
    return WorkerFailure(
        Failure.LEDGER_UNREADABLE,
        f"{log.topic}[{log.partition}] offset {record.offset}: {type(error).__name__}: {error}",
    )
