"""The outbox: batches, halves, waits; every event ends as exactly one of accepted, rejected and unsent."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval_alignment.client.answers import Decided, DeliveryOutcome, Postponed, Refused, RejectedEntry, TooLarge
from eval_alignment.client.outbox import LONGEST_BACKOFF_S, EventBatch, Outbox, OutboxLimits, RejectedEvent


def limits(**more: Any) -> OutboxLimits:
    """Limits that no test reaches unless it names them."""
    chosen = {"events": 1_000, "bytes": 1_000_000, "batch_events": 500, "batch_bytes": 100_000, "linger_s": 0.2} | more
    return OutboxLimits(**chosen)


def filled(sizes: Sequence[int], **more: Any) -> Outbox:
    """An outbox with events of these sizes, which include a newline, ids in order from 0."""
    outbox = Outbox(limits(**more))
    for number, size in enumerate(sizes):
        outbox.add(str(number), b"x" * (size - 1), 0.0)
    return outbox


def ids(batch: EventBatch) -> list[int]:
    """The numbers of a batch's events."""
    return [int(event.id) for event in batch.events]


def accept(batch: EventBatch) -> Decided:
    """The answer that takes all."""
    return Decided(len(batch.events))


def test_a_batch_is_due_when_it_is_full_old_or_flushed() -> None:
    outbox = filled([10, 10], batch_events=3)
    assert outbox.due_in(0.05) == pytest.approx(0.15)
    assert outbox.due_in(0.2) == 0
    assert outbox.add("2", b"x", 0.1)
    assert outbox.due_in(0.1) == 0
    assert filled([10, 10], batch_bytes=20).due_in(0) == 0
    lone = filled([10])
    assert lone.due_in(0) == pytest.approx(0.2)
    assert lone.flush() == 1
    assert lone.due_in(0) == 0


def test_only_an_event_that_changes_the_next_batch_wakes_the_sender() -> None:
    outbox = Outbox(limits(batch_events=3))
    assert [outbox.add(str(number), b"x", 0.0) for number in range(3)] == [True, False, True]


def test_batches_are_bounded_by_count_and_bytes_and_keep_the_order() -> None:
    outbox = filled([10, 10, 10, 10, 90, 200, 10], batch_events=3, batch_bytes=100)
    batches = []
    while outbox.pending:
        outbox.flush()
        batches.append(outbox.take())
        assert outbox.due_in(0) is None
        outbox.settle(batches[-1], accept(batches[-1]), 0.0)
    assert [ids(batch) for batch in batches] == [[0, 1, 2], [3, 4], [5], [6]]
    assert [len(batch.body) for batch in batches] == [batch.size for batch in batches] == [30, 100, 200, 10]


def test_the_room_is_bounded_by_count_and_bytes_and_includes_what_is_in_flight() -> None:
    outbox = filled([10, 10], events=3, bytes=35)
    batch = outbox.take()
    assert not outbox.has_room(b"x" * 15)
    assert outbox.has_room(b"x" * 14)
    outbox.add("2", b"x", 0.0)
    assert not outbox.has_room(b"")
    outbox.settle(batch, accept(batch), 0.0)
    assert outbox.has_room(b"x" * 14)
    # One event larger than the bound is not refused for ever.
    assert Outbox(limits(bytes=1)).has_room(b"x" * 100)


def test_a_batch_that_is_too_large_is_halved_and_one_event_alone_is_rejected() -> None:
    outbox = filled([10] * 4 + [70] + [10] * 3)
    sent: list[list[int]] = []
    rejected: list[RejectedEvent] = []
    while outbox.pending:
        outbox.flush()
        batch = outbox.take()
        sent.append(ids(batch))
        settled = outbox.settle(batch, TooLarge("413") if 4 in ids(batch) else accept(batch), 0.0)
        rejected += settled.rejected
    assert sent[0] == list(range(8))
    assert [(entry.index, entry.reason) for entry in rejected] == [(4, "oversized")]
    assert "70 bytes (413)" in rejected[0].detail
    assert (outbox.accepted, outbox.rejected) == (7, 1)
    # What the server does not take is not tried with every batch again.
    for number in range(8, 16):
        outbox.add(str(number), b"x" * 9, 0.0)
    assert outbox.take().size < sum([10] * 7 + [70])


def test_an_answer_names_the_events_by_their_numbers() -> None:
    outbox = filled([10] * 4, batch_events=2)
    rejected: list[RejectedEvent] = []
    for _ in range(2):
        rejected += outbox.settle(outbox.take(), Decided(1, [RejectedEntry(1, "invalid_field", "x")]), 0.0).rejected
    assert [str(entry) for entry in rejected] == [
        "event 1 (id 1): invalid_field: x",
        "event 3 (id 3): invalid_field: x",
    ]


def test_a_failure_repeats_the_same_batch_after_a_wait_with_jitter() -> None:
    waits = []
    for _ in range(50):
        outbox = filled([10])
        for _attempt in range(8):
            outbox.settle(outbox.take(), Postponed("503"), 100.0)
        waits.append(outbox.due_in(100.0) or 0.0)
        assert ids(outbox.take()) == [0]
    assert 0 <= min(waits) < max(waits) <= LONGEST_BACKOFF_S
    assert len(set(waits)) == 50


def test_the_time_that_the_server_asks_for_is_kept_by_a_flush_and_the_backoff_is_not() -> None:
    outbox = filled([10])
    outbox.settle(outbox.take(), Postponed("429", 60.0), 100.0)
    outbox.flush()
    assert (outbox.due_in(100.0) or 0) >= 60
    assert outbox.waits_beyond(150.0)
    assert not outbox.waits_beyond(200.0)
    outbox.settle(outbox.take(), Postponed("503"), 200.0)
    outbox.flush()
    assert outbox.due_in(200.0) == 0


def test_trouble_ends_with_the_next_decision() -> None:
    outbox = filled([10, 10], batch_events=1)
    outbox.settle(outbox.take(), Refused("401"), 0.0)
    assert (outbox.trouble, outbox.refusals, outbox.pending) == ("401", 1, 2)
    batch = outbox.take()
    outbox.settle(batch, accept(batch), 0.0)
    assert (outbox.trouble, outbox.refusals, outbox.pending) == (None, 1, 1)


def test_an_answer_that_comes_after_giving_up_changes_nothing() -> None:
    outbox = filled([10, 10])
    batch = outbox.take()
    assert [event.id for event in outbox.give_up()] == ["0", "1"]
    outbox.settle(batch, accept(batch), 0.0)
    assert (outbox.pending, outbox.accepted, outbox.settled, outbox.bytes) == (0, 0, 2, 0)


@given(st.data())
def test_every_event_is_exactly_one_of_accepted_rejected_and_unsent(data: st.DataObject) -> None:
    draw = data.draw
    largest, most = draw(st.integers(5, 60)), draw(st.integers(1, 6))
    outbox = Outbox(limits(batch_events=draw(st.integers(1, 8)), batch_bytes=draw(st.integers(1, 80))))
    taken: list[int] = []
    refused: list[int] = []
    now, added = 0.0, 0

    def outcome(batch: EventBatch) -> DeliveryOutcome:
        if batch.size > largest or len(batch.events) > most:
            return TooLarge("413")
        kind = draw(st.sampled_from(["decided", "decided", "postponed", "refused"]))
        if kind == "postponed":
            return Postponed("503", draw(st.none() | st.floats(0, 100)))
        if kind == "refused":
            return Refused("401")
        indexes = draw(st.sets(st.integers(0, len(batch.events) - 1)))
        taken.extend(event.index for index, event in enumerate(batch.events) if index not in indexes)
        entries = [RejectedEntry(index, "invalid_field") for index in sorted(indexes)]
        return Decided(len(batch.events) - len(entries), entries)

    for _ in range(draw(st.integers(0, 30))):
        for _ in range(draw(st.integers(0, 4))):
            outbox.add(str(added), b"x" * draw(st.integers(0, 80)), now)
            added += 1
        if draw(st.booleans()):
            outbox.flush()
        due_in = outbox.due_in(now)
        assert (due_in is None) == (not outbox.pending)
        if due_in is not None:
            now += due_in
            assert outbox.due_in(now) == pytest.approx(0, abs=1e-9)
            batch = outbox.take()
            refused.extend(entry.index for entry in outbox.settle(batch, outcome(batch), now).rejected)
        assert outbox.bytes == sum(len(event.line) + 1 for event in outbox.unsettled())
    unsent = [event.index for event in outbox.give_up()]
    assert sorted(taken + refused + unsent) == list(range(added))
    # In the order of calls, so that nothing overtakes.
    assert (taken, refused, unsent) == (sorted(taken), sorted(refused), sorted(unsent))
    assert (outbox.accepted, outbox.rejected, outbox.pending) == (len(taken), len(refused), 0)
