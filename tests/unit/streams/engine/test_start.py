"""Where a source partition starts, from what group, tallies and topic have."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.tallies import SourcePosition
from streams.engine.start import Known, Start, seen_is_left, start_of


def tallied(position: int, end: int | None = None, topic_id: str | None = None) -> SourcePosition:
    entry = SourcePosition(position=position, end=position if end is None else end)
    if topic_id is not None:
        entry["topic_id"] = topic_id
    return entry


KNOWN = Known(committed=40, tallied=tallied(40, topic_id="a"), oldest=0, end=70, topic_id="a")


@pytest.mark.parametrize(
    ("committed", "offset", "noted"),
    [
        pytest.param(40, 40, False, id="as committed"),
        pytest.param(35, 35, False, id="killed between marker and commit, or shifted back"),
        pytest.param(0, 0, False, id="reset to earliest"),
        pytest.param(70, 40, True, id="reset to latest"),
        pytest.param(45, 40, True, id="shifted forward"),
        pytest.param(900, 40, True, id="beyond the end"),
        pytest.param(None, 40, True, id="group deleted"),
    ],
)
def test_a_reset_group_passes_over_nothing(committed: int | None, offset: int, noted: bool) -> None:
    start = start_of(replace(KNOWN, committed=committed))
    assert (start.offset, bool(start.note), start.lost) == (offset, noted, "")


@given(
    committed=st.none() | st.integers(0, 100),
    position=st.integers(0, 100),
    oldest=st.integers(0, 100),
    more=st.integers(0, 100),
)
def test_nothing_between_the_position_and_the_start_is_passed_over(
    committed: int | None, position: int, oldest: int, more: int
) -> None:
    known = Known(committed, tallied(position, topic_id="a"), oldest, oldest + more, topic_id="a")
    start = start_of(known)
    if oldest <= position <= oldest + more:
        assert oldest <= start.offset <= position
        assert not start.lost
        assert committed is None or start.offset == position or start.offset == max(committed, oldest)
        assert max(start.offset, start.counted) == position
    else:
        assert start.lost
        assert start.offset == oldest


@pytest.mark.parametrize(
    "known",
    [
        pytest.param(replace(KNOWN, oldest=41), id="unread events were deleted"),
        pytest.param(replace(KNOWN, oldest=41, committed=60), id="and the group was reset past them"),
        pytest.param(replace(KNOWN, oldest=41, committed=None), id="and the group was deleted"),
        pytest.param(replace(KNOWN, end=39, committed=10), id="the topic ends before what was counted"),
        pytest.param(replace(KNOWN, tallied=None, committed=80), id="no tallies, committed beyond the end"),
        pytest.param(replace(KNOWN, tallied=None, committed=4, oldest=5), id="no tallies, committed below the oldest"),
        pytest.param(
            replace(KNOWN, tallied=None, committed=None, oldest=5, marked=False), id="rows, but no offset is known"
        ),
    ],
)
def test_events_that_are_gone_are_lost(known: Known) -> None:
    start = start_of(known)
    assert start.lost
    assert start.offset == known.oldest


def test_a_commit_older_than_the_topics_records_loses_nothing_that_is_counted() -> None:
    assert start_of(replace(KNOWN, committed=2, oldest=30)) == Start(30, counted=40)


def test_without_tallies_the_committed_offset_decides() -> None:
    assert start_of(replace(KNOWN, tallied=None, committed=12)) == Start(12)
    # A source that the marker does not have: its topic has another name now.
    assert start_of(replace(KNOWN, tallied=None, committed=None, oldest=5)) == Start(5)


def test_an_empty_ledger_starts_at_the_oldest_event() -> None:
    empty = replace(KNOWN, tallied=None, marked=False, rows=False, oldest=5)
    assert start_of(empty) == start_of(replace(empty, committed=None)) == Start(5)


def test_without_a_commit_the_position_of_a_topic_that_may_be_another_does_not_count() -> None:
    """The broker drops the committed offsets of a deleted topic."""
    unknown = replace(KNOWN, committed=None, tallied=tallied(40))
    assert start_of(unknown) == Start(0)
    assert start_of(replace(unknown, topic_id=None)) == Start(0)


def test_positions_of_a_deleted_topic_are_void() -> None:
    start = start_of(replace(KNOWN, topic_id="b", committed=60))
    assert (start.offset, start.lost) == (0, "")
    assert "deleted and created again" in start.note


def test_unprocessed_events_of_a_deleted_topic_are_lost() -> None:
    start = start_of(replace(KNOWN, topic_id="b", tallied=tallied(40, end=43, topic_id="a")))
    assert "3 of its events" in start.lost


@pytest.mark.parametrize(
    ("seen", "changes", "left"),
    [
        pytest.param(60, {}, True, id="the same topic"),
        pytest.param(70, {}, True, id="up to its end"),
        pytest.param(60, {"topic_id": "b"}, False, id="created again"),
        pytest.param(71, {}, False, id="beyond the end"),
        pytest.param(71, {"end": None}, True, id="no exact end"),
        pytest.param(60, {"topic_id": None}, True, id="a broker without ids"),
        pytest.param(60, {"tallied": tallied(40)}, True, id="a marker of an earlier release"),
        pytest.param(60, {"tallied": None}, False, id="no position"),
    ],
)
def test_what_a_circuit_breaker_saw_is_void_in_another_topic(seen: int, changes: dict[str, Any], left: bool) -> None:
    assert seen_is_left(seen, replace(KNOWN, **changes)) is left
