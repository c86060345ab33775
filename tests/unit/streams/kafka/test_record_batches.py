"""Record batches as bytes: everything that can be read is read, and nothing stops the reader."""

import gzip
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from streams.events.reasons import Reason
from streams.kafka import record_batches
from streams.kafka.codecs import MAX_UNPACKED_BYTES
from streams.kafka.record_batches import CorruptBatchError, Record, UnreadableRecords, is_abort_marker, read, split
from tests.fuzz.batches import COMPRESS, CONTROL, LOG_APPEND_TIME, RawBatch, RawMessage, RawRecord, varint
from tests.fuzz.records import batches, spoiled_batches

# Read as snappy, its length is small.
GARBAGE = b"\x40" + b"\xfe" * 98
EVENT = RawRecord(b"item", b'{"id":"1"}', [(b"ce_id", b"1")])


def everything(*parts: RawBatch | RawMessage) -> list[Record]:
    return [record for batch, raw in split(b"".join(part.encode() for part in parts)) for record in read(batch, raw)[0]]


def contents(records: Sequence[Record]) -> list[tuple[Any, ...]]:
    return [(each.offset, each.timestamp, each.key, each.value, list(each.headers)) for each in records]


def expected(batch: RawBatch) -> list[tuple[Any, ...]]:
    appended = batch.attributes & LOG_APPEND_TIME
    return [
        (
            batch.base_offset + record.offset_delta,
            batch.max_timestamp if appended else batch.first_timestamp + record.timestamp_delta,
            record.key,
            record.value,
            [(name.decode(errors="surrogateescape"), value) for name, value in record.headers],
        )
        for record in batch.records
    ]


@given(st.lists(batches(), max_size=3))
def test_every_record_is_read_whatever_its_key_value_and_headers_are(several: list[RawBatch]) -> None:
    assert contents(everything(*several)) == [record for batch in several for record in expected(batch)]


@given(spoiled_batches())
def test_no_content_stops_the_reader(batch: RawBatch) -> None:
    after = RawBatch([EVENT], base_offset=10_000)
    records = everything(batch, after)
    assert contents(records[-1:]) == expected(after)
    before = [record.offset for record in records[:-1]]
    last = batch.base_offset + (batch.last_offset_delta or 0)
    assert all(batch.base_offset <= offset <= last for offset in before)
    assert before == sorted(before)
    for record in records:
        if isinstance(record, UnreadableRecords):
            assert record.reason in {Reason.MALFORMED, Reason.OVERSIZED}
            assert (record.key, record.value, record.headers) == (None, None, [])


@given(spoiled_batches())
def test_both_parsers_agree_where_both_read(batch: RawBatch) -> None:
    ((parsed, raw),) = split(batch.encode())
    try:
        by_aiokafka = list(parsed)
    except Exception:  # noqa: BLE001 -- what it does not read is not compared
        return
    offsets = [record.offset for record in by_aiokafka]
    assume(offsets == sorted(set(offsets)) and all(parsed.base_offset <= each < parsed.next_offset for each in offsets))
    records, _ = read(parsed, raw)
    assert contents(records) == contents(by_aiokafka)
    if batch.packed is not None:
        return
    own = record_batches._parse(parsed, batch.plain(), len(by_aiokafka))
    assert contents(list(own)) == contents(by_aiokafka)


@pytest.mark.parametrize("codec", COMPRESS)
def test_a_header_whose_name_is_not_utf_8_costs_no_record(codec: int) -> None:
    odd = replace(EVENT, headers=[(b"\xff\xfe", b"x"), (b"ce_id", b"\xff")], offset_delta=1)
    records = everything(RawBatch([EVENT, odd, replace(EVENT, offset_delta=2)], codec=codec))
    assert [record.offset for record in records] == [0, 1, 2]
    assert records[1].headers == [("\udcff\udcfe", b"x"), ("ce_id", b"\xff")]


@pytest.mark.parametrize("codec", [1, 2, 3, 4])
def test_a_batch_is_one_unreadable_record_when_it_would_unpack_to_more_than_the_limit(codec: int) -> None:
    value = bytes(MAX_UNPACKED_BYTES)
    bomb = RawBatch([replace(EVENT, value=value), replace(EVENT, offset_delta=1)], base_offset=7, codec=codec)
    (record, after) = everything(bomb, RawBatch([EVENT], base_offset=9))
    assert isinstance(record, UnreadableRecords)
    assert (record.offset, record.count, record.reason) == (7, 2, Reason.OVERSIZED)
    assert record.detail == "a record batch of 2 records unpacks to more than 64 MiB or 500,000 records"
    assert after.offset == 9


def test_a_batch_has_a_limit_of_records_and_of_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_batches, "MAX_BATCH_RECORDS", 10)
    monkeypatch.setattr(record_batches, "_ALWAYS_OWN_PARSER", 0)
    many = [replace(EVENT, offset_delta=index) for index in range(11)]
    assert [type(record) for record in everything(RawBatch(many))] == [UnreadableRecords]
    six, four = ([(b"", None)] * number for number in (6, 4))
    headers = RawBatch([replace(EVENT, headers=six), many[1], replace(EVENT, headers=four, offset_delta=2)])
    assert [type(record) for record in everything(headers)] == [UnreadableRecords]
    assert len(everything(RawBatch(many[:10]))) == 10


def test_a_record_that_cannot_be_read_costs_no_other() -> None:
    torn = varint(5) + b"\0\0\x02\x64\0"
    payload = EVENT.encode() + torn + replace(EVENT, offset_delta=2).encode()
    records = everything(RawBatch([EVENT] * 3, payload=payload, base_offset=100))
    assert [record.offset for record in records] == [100, 101, 102]
    assert [isinstance(record, UnreadableRecords) for record in records] == [False, True, False]


@pytest.mark.parametrize("codec", COMPRESS)
@pytest.mark.parametrize(
    ("deltas", "places", "unread", "offset"),
    [
        ([0, -1, 2], [100, 101, 102], [1], 99),
        ([-3, 1, 2], [100, 101, 102], [0], 97),
        ([-(2**31), -1, 2], [100, 101, 102], [0, 1], 99),
        ([0, 0, 2], [100, 101, 102], [1], 100),
        ([0, 3, 1], [100, 101, 101], [1], 103),
        ([0, 2, 1], [100, 102, 102], [2], 101),
    ],
)
def test_a_record_whose_offset_is_out_of_place_is_reported_and_costs_no_other(
    codec: int, deltas: list[int], places: list[int], unread: list[int], offset: int
) -> None:
    records = everything(
        RawBatch([replace(EVENT, offset_delta=delta) for delta in deltas], base_offset=100, codec=codec)
    )
    assert [record.offset for record in records] == places
    unreadable = [record for record in records if isinstance(record, UnreadableRecords)]
    assert [index for index, record in enumerate(records) if isinstance(record, UnreadableRecords)] == unread
    assert (unreadable[-1].reason, unreadable[-1].count) == (Reason.MALFORMED, 1)
    why = f"its offset {offset} is out of place: offsets ascend from 100 to 102"
    assert unreadable[-1].detail == f"the record cannot be read: {why}"


def test_what_follows_a_wrong_length_is_one_unreadable_record() -> None:
    payload = EVENT.encode() + varint(1000) + b"rest"
    _, rest = everything(RawBatch([EVENT] * 3, payload=payload, base_offset=100))
    assert isinstance(rest, UnreadableRecords)
    assert (rest.offset, rest.count, rest.reason) == (101, 2, Reason.MALFORMED)
    assert rest.detail == "the rest of the record batch at 100 cannot be read: its length is wrong"


@pytest.mark.parametrize("codec", [1, 2, 3, 4, 5, 7])
def test_bytes_that_no_codec_made_are_one_unreadable_record(codec: int) -> None:
    (record,) = everything(RawBatch([EVENT] * 4, codec=codec, packed=GARBAGE, base_offset=3))
    assert isinstance(record, UnreadableRecords)
    assert (record.offset, record.count, record.reason) == (3, 4, Reason.MALFORMED)


def test_gzip_data_of_many_members_is_one_unreadable_record() -> None:
    few, many = (gzip.compress(b"") * members + gzip.compress(EVENT.encode()) for members in (99, 100))
    assert contents(everything(RawBatch([EVENT], codec=1, packed=few))) == expected(RawBatch([EVENT]))
    (record,) = everything(RawBatch([EVENT], codec=1, packed=many))
    assert isinstance(record, UnreadableRecords)
    assert "more than 100 members" in record.detail


# Format 0 had another lz4.
@pytest.mark.parametrize(("magic", "codec"), [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (1, 3)])
def test_older_formats_are_read_within_the_same_limit(magic: int, codec: int) -> None:
    inner = [RawMessage(magic=magic, offset=index) for index in range(2)]
    message = RawMessage(magic=magic, inner=inner, codec=codec, offset=1) if codec else RawMessage(magic=magic)
    assert {record.value for record in everything(message)} == {b"v"}
    assert all(record.timestamp is not None for record in everything(message))
    if codec:
        bomb = RawMessage(magic=magic, inner=[RawMessage(value=bytes(MAX_UNPACKED_BYTES), magic=magic)], codec=codec)
        (record,) = everything(bomb)
        assert isinstance(record, UnreadableRecords)
        assert record.reason is Reason.OVERSIZED


@pytest.mark.parametrize("offsets", [(1, 0), (0, 0), (0, 5, 1)])
def test_an_older_format_with_offsets_out_of_place_is_one_unreadable_record(offsets: Sequence[int]) -> None:
    (record,) = everything(RawMessage(inner=[RawMessage(offset=each) for each in offsets], codec=1, offset=9))
    assert isinstance(record, UnreadableRecords)
    assert record.reason is Reason.MALFORMED
    assert "offset" in record.detail


def test_a_wrong_checksum_ends_the_response_after_what_is_before_it() -> None:
    good, bad = RawBatch([EVENT]), RawBatch([EVENT], base_offset=1, broken_checksum=True)
    seen: list[int] = []
    with pytest.raises(CorruptBatchError, match="wrong checksum of the record batch at offset 1"):
        seen.extend(batch.base_offset for batch, _ in split(good.encode() + bad.encode()))
    assert seen == [0]


@given(st.binary(max_size=200))
def test_bytes_that_are_no_batch_are_corrupt(data: bytes) -> None:
    assume(data)
    with pytest.raises(CorruptBatchError):
        list(split(data))


def test_an_incomplete_batch_at_the_end_is_left_out() -> None:
    data = RawBatch([EVENT]).encode()
    for cut in range(1, len(data)):
        assert len(list(split(data + data[:cut]))) == 1
    with pytest.raises(CorruptBatchError, match="incomplete"):
        list(split(data[:-1]))


@pytest.mark.parametrize(
    ("key", "aborts"),
    [(b"\0\0\0\0", True), (b"\0\0\0\1", False), (b"", False), (None, False), (b"\0", False)],
)
def test_a_control_batch_marks_an_abort_or_does_not(key: bytes | None, aborts: bool) -> None:
    ((batch, raw),) = split(RawBatch([RawRecord(key)], attributes=CONTROL).encode())
    assert is_abort_marker(batch, raw) is aborts
    ((batch, raw),) = split(RawBatch([RawRecord(key)], attributes=CONTROL, payload=b"\xff").encode())
    assert not is_abort_marker(batch, raw)
