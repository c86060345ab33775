"""When changed items become searchable: never while records wait, seldom while they arrive."""

import sqlite3

import pytest

from sinks.metrics import ViewMetrics
from sinks.store import search_writer
from sinks.store.search_writer import MOST_LAG, SearchWriter


class Steps:
    """A store of so many writes, each of which takes a second, and a clock."""

    def __init__(self, writes: int) -> None:
        self.left, self.now = writes, 1_000.0
        self.error: Exception | None = None

    def write_search_documents(self) -> bool:
        self.now += 1
        if self.error is not None:
            raise self.error
        self.left -= 1
        return self.left > 0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    """Five writes."""
    made = Steps(5)
    monkeypatch.setattr(search_writer, "time", made)
    return made


@pytest.fixture
def writer(steps: Steps) -> SearchWriter:
    """A writer of them."""
    return SearchWriter(steps, ViewMetrics("1"))  # type: ignore[arg-type]


async def test_everything_is_written_while_nothing_arrives(steps: Steps, writer: SearchWriter) -> None:
    for _ in range(9):
        await writer.write_some(lag=0, busy=False)
    assert steps.left == 0
    writer.note_change()
    await writer.write_some(lag=0, busy=False)
    assert steps.left == -1


async def test_nothing_is_written_while_records_wait(steps: Steps, writer: SearchWriter) -> None:
    await writer.write_some(lag=MOST_LAG + 1, busy=True)
    assert steps.left == 5
    await writer.write_some(lag=MOST_LAG, busy=True)
    assert steps.left == 4


async def test_a_tenth_of_the_time_is_used_while_records_arrive(steps: Steps, writer: SearchWriter) -> None:
    started = steps.now
    while steps.left:
        await writer.write_some(lag=0, busy=True)
        steps.now += 0.5
    assert steps.now - started == pytest.approx(41.5)


async def test_a_store_that_cannot_be_written_is_tried_again_later(steps: Steps, writer: SearchWriter) -> None:
    steps.error = sqlite3.OperationalError("database or disk is full")
    await writer.write_some(lag=0, busy=False)
    steps.error = None
    await writer.write_some(lag=0, busy=False)
    assert steps.left == 5
    steps.now += 10
    await writer.write_some(lag=0, busy=False)
    assert steps.left == 4
