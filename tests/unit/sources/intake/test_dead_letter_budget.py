"""A request of which very much is rejected is refused, with the first reasons, and does not flood the dead letters."""

from typing import Any

import pytest

from sources.intake import dead_letter_budget
from sources.intake.dead_letter_budget import DeadLetterBudget, TooManyRejectedError
from sources.records import Malformed, SourceRecord
from sources.source import EventRejection, RecordOutcome
from streams.events.decoder import Rejection
from streams.events.reasons import Reason


@pytest.fixture(autouse=True)
def _limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letter_budget, "MAX_DEAD_LETTERS", 3)


def malformed(count: int) -> list[SourceRecord]:
    return [SourceRecord(str(number), (Malformed(f"record {number}: no id"),)) for number in range(count)]


def rejected(count: int) -> list[RecordOutcome]:
    result: Any = EventRejection(Rejection(Reason.INVALID_NAME, "item is empty"), b"{}")
    return [RecordOutcome(f"r{number}", result) for number in range(count)]


def test_as_many_as_allowed_become_dead_letters() -> None:
    budget = DeadLetterBudget(malformed(3))
    budget.spend(rejected(2))
    budget.spend(rejected(1))


def test_records_that_cannot_be_read_are_refused_before_anything_is_sent() -> None:
    with pytest.raises(TooManyRejectedError, match=r"more than 3 of its 4 records.*record 0: no id; record 1: no id"):
        DeadLetterBudget(malformed(4))


def test_the_error_names_what_was_sent_before() -> None:
    budget = DeadLetterBudget([SourceRecord(str(number)) for number in range(9)])
    budget.spend(rejected(3))
    budget.sent += 5
    with pytest.raises(TooManyRejectedError, match=r"of its 9 records.*5 events were.*record 'r0': item is empty"):
        budget.spend(rejected(1))
