"""The content of a dead letter."""

import hashlib
from dataclasses import dataclass, field

from streams.events.decoder import Rejection
from streams.events.reasons import Reason
from streams.kafka.batches import UnreadableRecords
from streams.kafka.dead_letters import RejectedRecord, compose
from streams.kafka.record_limits import MAX_CARRIED_BYTES


@dataclass
class Stored:
    key: bytes | None = b"item"
    value: bytes | None = b"\xff{"
    headers: list[tuple[str, bytes | None]] = field(default_factory=list)
    offset: int = 7
    timestamp: int = 1_780_000_000_000


REJECTION = Rejection(Reason.MALFORMED, "not UTF-8")


def test_a_dead_letter_has_the_original_byte_for_byte_and_the_reason() -> None:
    original: list[tuple[str, bytes | None]] = [("ce_id", b"\x00\xff"), ("empty", None), ("ce_id", b"again")]
    dead_letter = compose(RejectedRecord("t", 3, Stored(headers=original), REJECTION))
    assert (dead_letter.key, dead_letter.value) == (b"item", b"\xff{")
    assert dead_letter.headers == [
        *original,
        ("alignment-topic", b"t"),
        ("alignment-partition", b"3"),
        ("alignment-offset", b"7"),
        ("alignment-timestamp", b"1780000000000"),
        ("alignment-stage", b"decode"),
        ("alignment-reason", b"malformed"),
        ("alignment-detail", b"not UTF-8"),
        ("alignment-version", b"1"),
    ]


def test_a_null_key_or_value_stays_null() -> None:
    dead_letter = compose(RejectedRecord("t", 0, Stored(key=None, value=None), REJECTION))
    assert (dead_letter.key, dead_letter.value) == (None, None)


def test_a_value_too_large_to_carry_is_null_with_its_hash() -> None:
    value = b"x" * (MAX_CARRIED_BYTES + 1)
    dead_letter = compose(RejectedRecord("t", 0, Stored(value=value), REJECTION))
    assert (dead_letter.key, dead_letter.value) == (b"item", None)
    headers = dict(dead_letter.headers)
    assert headers["alignment-value-sha256"] == hashlib.sha256(value).hexdigest().encode()
    assert headers["alignment-value-bytes"] == str(len(value)).encode()


def test_a_huge_key_and_huge_headers_are_carried_by_their_hashes_too() -> None:
    large = b"x" * MAX_CARRIED_BYTES
    stored = Stored(key=large + b"k", value=large, headers=[("h", large + b"h")])
    dead_letter = compose(RejectedRecord("t", 0, stored, REJECTION))
    assert (dead_letter.key, dead_letter.value) == (None, None)
    named = dict(dead_letter.headers)
    assert named["alignment-key-sha256"] == hashlib.sha256(large + b"k").hexdigest().encode()
    assert named["alignment-headers-bytes"] == str(len(large) + 3).encode()
    assert "h" not in named
    assert sum(len(name) + len(content or b"") for name, content in dead_letter.headers) < 2000


def test_headers_whose_names_are_not_utf_8_are_carried_by_their_hash() -> None:
    odd: list[tuple[str, bytes | None]] = [("\udcff", b"x"), ("ce_id", b"1"), ("\udcfe", None)]
    dead_letter = compose(RejectedRecord("t", 0, Stored(headers=odd), REJECTION))
    assert dead_letter.headers[0] == ("ce_id", b"1")
    named = dict(dead_letter.headers)
    assert named["alignment-binary-headers-sha256"] == hashlib.sha256(b"\xff\0x\xfe\0").hexdigest().encode()
    assert named["alignment-binary-headers-bytes"] == b"5"
    for name, _ in dead_letter.headers:
        name.encode()


def test_empty_headers_and_a_long_detail_are_within_the_limit_too() -> None:
    empty: list[tuple[str, bytes | None]] = [("", b"")] * (MAX_CARRIED_BYTES // 4 + 1)
    detail = Rejection(Reason.INVALID_FIELD, f"not UTF-8 - at header `{'ce_' * MAX_CARRIED_BYTES}`")
    dead_letter = compose(RejectedRecord("t", 0, Stored(headers=empty), detail))
    assert sum(4 + len(name) + len(content or b"") for name, content in dead_letter.headers) < 4000


def test_records_that_cannot_be_read_are_one_dead_letter_with_their_number() -> None:
    unreadable = UnreadableRecords(7, 1_780_000_000_000, 1234, Reason.OVERSIZED, "a record batch of 1,234 records ...")
    rejection = Rejection(unreadable.reason, unreadable.detail)
    dead_letter = compose(RejectedRecord("t", 3, unreadable, rejection))
    assert (dead_letter.key, dead_letter.value) == (None, None)
    named = dict(dead_letter.headers)
    assert (named["alignment-offset"], named["alignment-records"]) == (b"7", b"1234")
    assert named["alignment-reason"] == b"oversized"
