"""Acknowledged dead letters: what is left of a topic, also of one that was created again."""

from typing import NamedTuple

import pytest

from streams.kafka.acknowledgements import Acknowledgement, acknowledge_all, unacknowledged


class Rejected(NamedTuple):
    """A record of the topic of dead letters."""

    partition: int
    offset: int
    timestamp: int


RECORDS = [Rejected(0, 3, 100), Rejected(0, 4, 90), Rejected(1, 0, 50)]
ENDS = {0: 5, 1: 1}


def test_everything_up_to_the_ends_is_acknowledged() -> None:
    acknowledged = acknowledge_all(RECORDS, ENDS)
    assert acknowledged == {0: Acknowledgement(5, 100), 1: Acknowledgement(1, 50)}
    assert unacknowledged(RECORDS, ENDS, acknowledged) == ([], False)
    later = [Rejected(0, 5, 80), Rejected(1, 1, 200)]
    assert unacknowledged([*RECORDS, *later], {0: 6, 1: 2}, acknowledged) == (later, False)


def test_without_an_acknowledgement_everything_is_left() -> None:
    assert unacknowledged(RECORDS, ENDS, {}) == (RECORDS, False)
    assert unacknowledged(RECORDS, ENDS, {0: Acknowledgement(5, 100)}) == ([RECORDS[2]], False)
    assert acknowledge_all([], {0: 0}) == {0: Acknowledgement(0, None)}


@pytest.mark.parametrize(
    ("acknowledged", "recreated"),
    [
        (Acknowledgement(6, 200), True),
        (Acknowledgement(6, None), True),
        (Acknowledgement(5, 99), True),
        (Acknowledgement(5, 100), False),
        # The embedded broker stores no timestamp.
        (Acknowledgement(5, None), False),
    ],
)
def test_a_topic_that_was_created_again_has_a_lower_end_or_newer_records(
    acknowledged: Acknowledgement, recreated: bool
) -> None:
    left, outdated = unacknowledged(RECORDS, ENDS, {0: acknowledged})
    assert outdated is recreated
    assert left == (RECORDS if recreated else [RECORDS[2]])
