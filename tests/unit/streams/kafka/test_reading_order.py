"""Evaluations are read after what makes their items known, and never wait for long."""

import pytest
from aiokafka import TopicPartition

from streams.kafka.reading_order import FETCHES_AHEAD, HOLD_SECONDS, LAG_RECORDS, ReadingOrder

ANNOTATIONS, QUEUE_ITEMS, EVALUATIONS = (
    [TopicPartition(topic, partition) for partition in (0, 1)]
    for topic in ("annotations", "queue-items", "evaluations")
)


class Reader:
    """A reader with a clock, and what the broker still has."""

    def __init__(self) -> None:
        self.now = 0.0
        self.lags: dict[TopicPartition, int] = {}
        self.order = ReadingOrder("evaluations", lambda tp: self.lags.get(tp, 0), lambda: self.now)

    def take(self, *fetched: TopicPartition) -> list[TopicPartition]:
        """Take all that is not held back."""
        taken = self.order.of(fetched)
        for tp in taken:
            self.order.took(tp)
        return taken


def test_evaluations_are_taken_after_the_others_of_their_partition() -> None:
    reader = Reader()
    reader.lags = {ANNOTATIONS[0]: LAG_RECORDS - 1}
    fetched = [EVALUATIONS[0], ANNOTATIONS[1], EVALUATIONS[1], QUEUE_ITEMS[0], ANNOTATIONS[0], QUEUE_ITEMS[1]]
    assert reader.take(*fetched) == [
        *(ANNOTATIONS[1], QUEUE_ITEMS[0], ANNOTATIONS[0], EVALUATIONS[0]),
        *(QUEUE_ITEMS[1], EVALUATIONS[1]),
    ]


# A reader takes only so many records at a time, which a full fetch exceeds: what is last is not taken.
def test_evaluations_of_a_partition_do_not_wait_for_another_that_lags() -> None:
    reader = Reader()
    reader.lags = {ANNOTATIONS[0]: 10**9}
    fetched = [ANNOTATIONS[0], EVALUATIONS[1]]
    firsts = []
    for _ in range(10):
        first = reader.order.of(fetched)[0]
        reader.order.took(first)
        fetched = [tp for tp in fetched if tp != first] + [first]
        firsts.append(first)
    assert firsts == [ANNOTATIONS[0], EVALUATIONS[1]] * 5


@pytest.mark.parametrize("other", [ANNOTATIONS[0], QUEUE_ITEMS[0]])
def test_evaluations_are_held_back_while_others_of_their_partition_lag(other: TopicPartition) -> None:
    reader = Reader()
    reader.lags = {other: LAG_RECORDS}
    assert reader.take(EVALUATIONS[0], EVALUATIONS[1], other) == [EVALUATIONS[1], other]
    assert reader.take(EVALUATIONS[0]) == [], "the next fetch of the other topic is on its way"
    reader.lags = {other: LAG_RECORDS - 1}
    assert reader.take(EVALUATIONS[0]) == [EVALUATIONS[0]]


def test_evaluations_are_taken_again_after_a_number_of_fetches_of_others() -> None:
    reader = Reader()
    reader.lags = dict.fromkeys(ANNOTATIONS, 10**9)
    taken = [reader.take(EVALUATIONS[0], ANNOTATIONS[0]) for _ in range(2 * FETCHES_AHEAD + 2)]
    turn = [[ANNOTATIONS[0]]] * FETCHES_AHEAD + [[EVALUATIONS[0], ANNOTATIONS[0]]]
    # The annotations of a turn count for the next one.
    assert taken == turn + turn[1:] + [[ANNOTATIONS[0]]]


# Their leader may be away, or they wait for an open transaction.
def test_evaluations_wait_for_no_topic_that_does_not_come() -> None:
    reader = Reader()
    reader.lags = {ANNOTATIONS[0]: 10**9}
    assert reader.take(EVALUATIONS[0]) == [EVALUATIONS[0]], "nothing of it was fetched yet"
    assert reader.take(EVALUATIONS[0], ANNOTATIONS[0]) == [ANNOTATIONS[0]]
    reader.now = HOLD_SECONDS - 0.1
    assert reader.take(EVALUATIONS[0]) == []
    reader.now = HOLD_SECONDS
    assert reader.take(EVALUATIONS[0]) == [EVALUATIONS[0]]
    assert reader.take(EVALUATIONS[0], ANNOTATIONS[0]) == [ANNOTATIONS[0]], "it comes again"
