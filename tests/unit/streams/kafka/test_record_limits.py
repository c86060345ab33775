"""Batches, parts and dead letters fit into what the topics take."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from hypothesis import given
from hypothesis import strategies as st

from aggregator.facts import Annotation, Evaluation, Fact, encode, key
from aggregator.parts import RECORD_BYTES
from streams.events.decoder import Rejection
from streams.events.reasons import Reason
from streams.kafka.dead_letters import RejectedRecord, compose
from streams.kafka.record_limits import BATCH_BYTES, MAX_ROW_BYTES, RecordLimits, too_large
from streams.kafka.topics import TABLE, Topics
from streams.runtime.exit_codes import ExitCode

limits = st.integers(1, 2_000_000)


def test_without_a_report_the_sizes_fit_a_broker_that_is_not_configured() -> None:
    unknown = RecordLimits()
    assert (unknown.batch_bytes, unknown.judges_bytes, unknown.dead_letter_bytes) == (
        BATCH_BYTES,
        RECORD_BYTES,
        BATCH_BYTES,
    )
    assert int(next(spec for spec in TABLE if spec.role == "facts").configs["max.message.bytes"]) > BATCH_BYTES


@given(limits, limits, limits)
def test_batches_stay_below_the_smallest_limit(facts: int, tallies: int, dead_letters: int) -> None:
    reported = RecordLimits(facts, tallies, dead_letters)
    assert 1 <= reported.batch_bytes <= max(1, min(BATCH_BYTES, facts, tallies))
    assert 1 <= reported.judges_bytes <= max(1, min(RECORD_BYTES, tallies))
    assert 1 <= reported.dead_letter_bytes <= max(1, min(BATCH_BYTES, dead_letters))


@given(st.integers(2_000, 200_000), st.binary(max_size=100), st.integers(0, 300_000), st.text(max_size=3_000))
def test_a_dead_letter_fits_and_lacks_only_what_does_not(limit: int, item: bytes, size: int, detail: str) -> None:
    record: Any = SimpleNamespace(key=item, value=bytes(size), headers=[], offset=1, timestamp=2)
    dead = compose(RejectedRecord("t" * 100, 0, record, Rejection(Reason.MALFORMED, detail)), limit)
    needs = sum(len(name) + len(value or b"") + 8 for name, value in dead.headers) + len(dead.key or b"")
    assert needs + len(dead.value or b"") <= limit
    assert dead.value is not None or size + 3_000 > limit // 2
    if dead.value is None:
        assert dict(dead.headers)["alignment-value-bytes"] == str(size).encode()


def row_at_all_limits() -> Fact:
    """Each text of 8 KiB that JSON escapes, each name of 128 characters of four bytes."""
    text, wide = "\x01" * 8192, "\U0001f600"
    return Annotation(
        9_999_999_999_999,
        "\\" * 256,
        wide * 128,
        wide * 256,
        criterion=wide * 128,
        annotator=wide * 256,
        stars=5,
        explanation=text,
        expected=text,
        input=text,
        output=text,
        url="https://" + "\\" * 2040,
        tags={chr(97 + number) * 63: wide * 128 for number in range(16)},
    )


def test_the_largest_ledger_row_has_the_bytes_that_are_asked_for() -> None:
    largest = row_at_all_limits()
    assert MAX_ROW_BYTES * 0.7 < len(key(largest)) + len(encode(largest)) + 200 < MAX_ROW_BYTES


@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        (RecordLimits(1_048_588, 1_048_588, 1_048_588), []),
        (RecordLimits(200_000, 1_048_588, 1_048_588), ["alignment.facts.v1 takes records of 200000 bytes"]),
        (RecordLimits(1_048_588, None, 1), ["max.message.bytes is not reported for alignment.tallies.v1"]),
    ],
)
def test_a_worker_says_at_its_start_what_may_not_fit(
    reported: RecordLimits, expected: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        reported.check(Topics())
    assert len(caplog.messages) == len(expected)
    assert all(message.startswith(start) for message, start in zip(caplog.messages, expected, strict=True))


def refused(rows: list[tuple[bytes, bytes]]) -> Any:
    builder = DefaultRecordBatchBuilder(2, 0, False, -1, -1, 0, 1 << 20)
    for number, (row_key, value) in enumerate(rows):
        builder.append(number, 0, row_key, value, [])
    return SimpleNamespace(_buffer=bytearray(builder.build()))


def test_a_record_that_does_not_fit_ends_the_process_for_good_and_is_named() -> None:
    fact = Evaluation(1, "e", "i", "m", passed=True, reason="x" * 5_000)
    failure = too_large("facts[3]", refused([(key(fact), encode(fact))]), 1_000)
    assert failure.exit_code is ExitCode.RECORD_TOO_LARGE
    assert "facts[3]" in str(failure) and '["e","i","m",""]' in str(failure)
    assert str(len(key(fact)) + len(encode(fact))) in str(failure)


def test_a_batch_that_does_not_fit_any_more_is_made_smaller_by_the_next_process() -> None:
    rows = [(b"k%d" % number, b"v" * number) for number in range(1, 20)]
    lowered = too_large("facts[3]", refused(rows), 1_000_000)
    assert lowered.exit_code is ExitCode.BROKER_LOST
    assert "key k19" in str(lowered) and "max.message.bytes was 1000000" in str(lowered)
    assert too_large("facts[3]", refused(rows), None).exit_code is ExitCode.RECORD_TOO_LARGE
