"""What the tallies log says of one partition, kept as a reader keeps it."""

from collections.abc import Sequence
from typing import Any, Final

import orjson

from aggregator.tallies import CLOSED_KEY
from streams.failures import Failure, WorkerFailure
from streams.fetching import Record
from streams.log import Log

_STAMP: Final = ("ledger", "position", "policy")


class Published:
    """Per key the later record of the higher position, of one ledger id.

    `tallies`: policy and payload by key, without `closed`. `highest`: the highest position of all. `records`: how many
    records there are at all, of any ledger id.
    """

    def __init__(self, ledger: str | None) -> None:
        self._ledger = ledger
        self.records = 0
        self.highest = 0
        self.tallies: dict[bytes, tuple[str, Any]] = {}
        self._positions: dict[bytes, int] = {}

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
            self.highest = max(self.highest, position)
            if key != CLOSED_KEY and position >= self._positions.get(key, 0):
                self._positions[key] = position
                self.tallies[key] = (policy, payload)


def unreadable(log: Log, record: Record, error: Exception) -> WorkerFailure:
    """The failure that a record means which no worker wrote."""
    return WorkerFailure(
        Failure.LEDGER_UNREADABLE,
        f"{log.topic}[{log.partition}] offset {record.offset}: {type(error).__name__}: {error}",
    )
