"""Dead letters of bodies, which were never in a source topic."""

import tracemalloc
from types import SimpleNamespace
from typing import Any

import pytest

from aggregator.days import timestamp
from streams.events.decoder import MAX_VALUE_BYTES, Decoder, Rejection
from streams.events.reasons import Reason
from streams.kafka.batches import UnreadableRecords
from streams.kafka.dead_letters import RejectedBody, RejectedRecord, compose, compose_body
from streams.kafka.record_batches import ParsedRecord
from streams.kafka.record_limits import MAX_CARRIED_BYTES
from streams.kafka.topics import Topics
from streams.requeue import BodyIdentity, ReadDeadLetter, parse_dead_letter, read_dead_letters

UNUSED: Any = SimpleNamespace()
REJECTION = Rejection(Reason.UNKNOWN_SHAPE, "expected an object - at `$`")


def stored(value: bytes) -> Any:
    letter = compose_body(RejectedBody("studio", 1_790_000_000_000, value, REJECTION))
    return parse_dead_letter(SimpleNamespace(key=letter.key, value=letter.value, headers=letter.headers))  # type: ignore[arg-type]


def test_the_dead_letter_of_a_body_is_identified_by_its_source_and_hash() -> None:
    parsed = stored(b"[]")
    assert isinstance(parsed.identity, BodyIdentity)
    assert str(parsed.identity) == "studio:4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"
    assert (parsed.timestamp, parsed.reason, parsed.value) == (1_790_000_000_000, "unknown_shape", b"[]")
    assert parsed.headers == [] and parsed.left_out == []


def test_a_body_cannot_be_requeued() -> None:
    obstacle = stored(b"[]").obstacle(Topics().sources, Decoder())
    assert obstacle is not None and "never an event" in obstacle


def test_a_body_that_is_too_large_is_left_out() -> None:
    parsed = stored(b"x" * (MAX_CARRIED_BYTES + 1))
    assert parsed.value is None and parsed.left_out == ["value"]


async def test_dead_letters_of_large_values_that_pack_to_little_need_little_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A producer sends thousands of them with one batch, and all are read to list them."""
    large = b"{" + bytes(MAX_VALUE_BYTES)

    async def scan(_client: Any, topic: str, on_records: Any) -> dict[int, int]:
        for offset in range(300):
            rejected = ParsedRecord(offset, 1_790_000_000_000, b"k", bytes(bytearray(large)), [])
            letter = compose(RejectedRecord(Topics().annotations, 0, rejected, REJECTION))
            record = SimpleNamespace(
                topic=topic,
                partition=0,
                offset=offset,
                timestamp=1,
                key=b"k",
                value=letter.value,
                headers=letter.headers,
            )
            on_records(0, [record])
        return {0: 300}

    monkeypatch.setattr("streams.requeue.scan", scan)
    tracemalloc.start()
    try:
        read = await read_dead_letters(UNUSED, Topics(), None)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [each.value for each in read.stored] == [large] * 300
    assert kept < 20 * len(large), "not all three hundred"


def test_records_that_could_not_be_read_are_not_requeued() -> None:
    unreadable = UnreadableRecords(7, 1_790_000_000_000, 1234, Reason.OVERSIZED, "a record batch of 1,234 records ...")
    letter = compose(RejectedRecord(Topics().annotations, 0, unreadable, Rejection(unreadable.reason, "large")))
    headers = [("\udcff", b"of somebody else"), *letter.headers]
    parsed = parse_dead_letter(SimpleNamespace(key=None, value=None, headers=headers))  # type: ignore[arg-type]
    assert (parsed.records, parsed.headers) == (1234, [])
    obstacle = parsed.obstacle(Topics().sources, Decoder())
    assert obstacle == "it stands for 1,234 records that could not be read: send the originals again"


@pytest.mark.parametrize(
    ("header", "value", "shown"),
    [
        ("alignment-timestamp", str(-(2**62)), "1970-01-01T00:00:00.000Z"),
        ("alignment-timestamp", str(2**63 - 1), "9999-12-31T23:59:59.999Z"),
        ("alignment-timestamp", "9" * 5000, None),
        ("alignment-offset", str(2**63), None),
        ("alignment-partition", "-1", None),
        ("alignment-records", str(10**30), None),
    ],
)
def test_numbers_that_no_broker_has_end_no_command(header: str, value: str, shown: str | None) -> None:
    """A producer sets any time where a topic does not have the broker's."""
    letter = compose(RejectedRecord(Topics().annotations, 0, ParsedRecord(7, 1, b"k", b"{}", []), REJECTION))
    headers = [*letter.headers, (header, value.encode())]
    record: Any = SimpleNamespace(partition=0, offset=3, timestamp=1, key=b"k", value=b"{}", headers=headers)
    read = ReadDeadLetter.of(record).parsed
    if shown is None:
        assert isinstance(read, str)
    else:
        assert not isinstance(read, str)
        assert timestamp(read.timestamp) == shown
