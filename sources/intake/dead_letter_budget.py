"""Bounds how many dead letters the records of one request become."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from sources.records import Malformed, SourceRecord, UnknownShapeError
from sources.source import EventRejection, RecordOutcome

MAX_DEAD_LETTERS: Final = 1_000
"""Most dead letters of one request."""
_SHOWN: Final = 20
"""Most reasons in the error."""


class TooManyRejectedError(UnknownShapeError):
    """More records of a request are rejected than become dead letters; the message has the first reasons."""


@dataclass(slots=True)
class DeadLetterBudget:
    """The dead letters that the records of a request may become.

    Args:
        records: of the request.

    Raises TooManyRejectedError when more of them than allowed cannot be read. Then nothing of them was sent.
    """

    records: Sequence[SourceRecord]
    sent: int = 0
    """Events of the request that the broker has acknowledged."""
    _rejected: list[RecordOutcome] = field(default_factory=list)

    def __post_init__(self) -> None:
        results = ((record.native, result) for record in self.records for result in record.results)
        malformed = (RecordOutcome(native, result) for native, result in results if isinstance(result, Malformed))
        self._require(list(islice(malformed, MAX_DEAD_LETTERS + 1)))

    def spend(self, outcomes: Iterable[RecordOutcome]) -> None:
        """Take what is rejected before it is sent. Raises TooManyRejectedError."""
        self._rejected += (each for each in outcomes if isinstance(each.result, Malformed | EventRejection))
        self._require(self._rejected)

    def _require(self, rejected: Sequence[RecordOutcome]) -> None:
        if len(rejected) <= MAX_DEAD_LETTERS:
            return
        reasons = "; ".join(map(_reason, rejected[:_SHOWN]))
        raise TooManyRejectedError(
            f"more than {MAX_DEAD_LETTERS:,} of its {len(self.records):,} records are rejected, and the rest was not "
            f"sent ({self.sent:,} events were); the first reasons: {reasons}"
        )


def _reason(outcome: RecordOutcome) -> str:
    match outcome.result:
        case Malformed(why):
            return why
        case EventRejection(rejection):
            return f"record {outcome.native!r}: {rejection.detail}"
    raise AssertionError("only what is rejected has a reason")
