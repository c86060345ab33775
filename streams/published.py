"""What the tallies log says of one partition, kept as a reader keeps it."""

from collections.abc import Sequence
from typing import Any, Final

import orjson

from aggregator.tallies import CLOSED_KEY, in_place
from streams.failures import Failure, WorkerFailure
from streams.fetching import Record
from streams.log import Log

_STAMP: Final = ("ledger", "position", "policy")


class Published:
    """Per key the later record, of one ledger id; a record below a position that stands before it comes late.

    `tallies`: policy and payload by key, without `closed`; None where the last record came late, or where readers
    dropped it. `highest`: the highest position of all. `records`: how many records there are at all, of any ledger id.
    """

    def __init__(self, ledger: str | None) -> None:
        self._ledger = ledger
        self.records = 0
        self.highest = 0
        self.tallies: dict[bytes, tuple[str, Any] | None] = {}
        self._policy: str | None = None
        self._open: list[bytes] = []

    def fold(self, log: Log, records: Sequence[Record]) -> None:
        """Take records in. Raises WorkerFailure on one that is no tally."""
        self.records += len(records)
        for record in records:
            key = record.key
            try:
                payload = orjson.loads(record.value or b"")
                ledger, position, policy = (payload.pop(name) for name in _STAMP)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise unreadable(log, record, error) from error
            if ledger != self._ledger or key is None:
                continue
            if position < self.highest:
                # Readers pass over what a predecessor wrote late, but compaction would leave it.
                if key != CLOSED_KEY:
                    self.tallies[key] = None
                continue
            self.highest = position
            self._take(record.offset, key, policy, payload)

    def _take(self, offset: int, key: bytes, policy: str, payload: Any) -> None:
        if policy != self._policy:
            # What a predecessor left open counts under another policy: readers drop it.
            self.tallies.update(dict.fromkeys(self._open))
            self._open.clear()
            self._policy = policy
        if key == CLOSED_KEY:
            if in_place(payload, offset):
                self._open.clear()
        else:
            self._open.append(key)
            self.tallies[key] = (policy, payload)


def unreadable(log: Log, record: Record, error: Exception) -> WorkerFailure:
    """The failure that a record means which no worker wrote."""
    return WorkerFailure(
        Failure.LEDGER_UNREADABLE,
        f"{log.topic}[{log.partition}] offset {record.offset}: {type(error).__name__}: {error}",
    )
