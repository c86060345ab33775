"""When waiting evaluations expire: by the slowest source, by no clock of the future, and never while they are owed."""

from streams.waiting.clock import SourceReach
from tests.unit.streams.waiting.test_waiting import AT, Worker, annotation, evaluation, record


def test_nothing_expires_that_is_owed() -> None:
    worker = Worker()
    worker.store.part = 1
    worker.checkpoint(progress=[SourceReach(AT, lags=True)])
    worker.live(record(evaluation()), record(evaluation(metric="n"), 1), record(annotation()))
    worker.checkpoint(progress=[SourceReach(AT + 90_000, lags=False)])
    worker.waiting.expire()
    assert worker.store.expired == [AT - 1000]
    while worker.waiting.work_off(worker.part):
        pass
    worker.checkpoint(progress=[SourceReach(AT + 90_000, lags=False)])
    worker.waiting.expire()
    assert worker.store.expired == [AT - 1000, AT + 89_000]


def test_what_is_too_old_expires_by_the_slowest_source() -> None:
    worker = Worker()
    worker.waiting.expire()
    assert worker.store.expired == [], "nothing is known of the sources yet"
    worker.checkpoint(progress=[SourceReach(AT, lags=True), SourceReach(AT + 5000, lags=False)])
    worker.waiting.expire()
    assert worker.store.expired == [AT - 1000]
    worker.live(record(evaluation(), timestamp=AT - 1001), record(evaluation(), 1, timestamp=AT - 1000))
    assert worker.store.evaluations() == 1


def test_a_clock_of_the_future_does_not_wipe_the_store() -> None:
    worker = Worker()
    worker.checkpoint(progress=[SourceReach(2**50, lags=False)])
    worker.waiting.expire()
    assert worker.store.expired[0] < 2**42
