"""Fuzzes the parser of record batches: for any bytes, it returns, and goes on after them."""

import time

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fuzz.batches import LOG_APPEND_TIME, RawBatch, RawRecord

_BYTES = st.binary(max_size=12)
_NULLABLE = st.none() | _BYTES
_NAMES = (
    st.sampled_from([b"ce_id", b"ce_time", b"CE_\xff", b"content-type", b"\xff\xfe", b"\xed\xa0\x80", b""]) | _BYTES
)
_INT32 = st.integers(-(2**31), 2**31 - 1)
_INT64 = st.integers(-(2**63), 2**63 - 1)


@st.composite
def raw_records(draw: st.DrawFn, offset_delta: int) -> RawRecord:
    """A record that a producer may send."""
    return RawRecord(
        draw(_NULLABLE),
        draw(_NULLABLE),
        draw(st.lists(st.tuples(_NAMES, _NULLABLE), max_size=3)),
        offset_delta,
        draw(st.integers(-1000, 1000)),
    )


@st.composite
def batches(draw: st.DrawFn) -> RawBatch:
    """A batch that a producer may send: any codec, keys, values and headers."""
    deltas = draw(st.lists(st.integers(0, 3), max_size=5).map(_running))
    return RawBatch(
        [draw(raw_records(delta)) for delta in deltas],
        base_offset=draw(st.integers(0, 2**40)),
        codec=draw(st.integers(0, 4)),
        attributes=draw(st.sampled_from([0, LOG_APPEND_TIME])),
        last_offset_delta=max(deltas, default=0) + draw(st.integers(0, 2)),
    )


@st.composite
def spoiled_batches(draw: st.DrawFn) -> RawBatch:
    """A batch with a right frame and checksum, and content that no producer should send."""
    batch = draw(batches())
    payload = bytearray(batch.plain())
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(payload)))
        match draw(st.sampled_from(["set", "insert", "delete", "cut"])):
            case "set":
                payload[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case "insert":
                payload[at:at] = draw(st.binary(min_size=1, max_size=11))
            case "delete":
                del payload[at : at + draw(st.integers(1, 9))]
            case _:
                del payload[at:]
    batch.payload = bytes(payload)
    batch.count = draw(st.sampled_from([len(batch.records), len(batch.records) + 1, 0, -1, 2**31 - 1]) | _INT32)
    batch.first_timestamp, batch.max_timestamp = draw(_INT64), draw(_INT64)
    if draw(st.booleans()) and batch.codec:
        batch.packed = draw(st.binary(max_size=40))
    return batch


def _running(steps: list[int]) -> list[int]:
    total, sums = -1, []
    for step in steps:
        total += step + 1
        sums.append(total)
    return sums


def run(seconds: float) -> int:
    """Fuzz for a while; returns the number of batches. Raises what the parser raises, which is a finding."""
    from streams.kafka.record_batches import read, split  # noqa: PLC0415 -- the tests import the generators alone

    until, tried = time.monotonic() + seconds, 0

    @settings(
        max_examples=2_000,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(st.lists(spoiled_batches(), max_size=3))
    def fuzz(several: list[RawBatch]) -> None:
        nonlocal tried
        if time.monotonic() > until:
            return
        tried += len(several)
        for batch, raw in split(b"".join(each.encode() for each in several)):
            read(batch, raw)

    while time.monotonic() < until:
        fuzz()
    return tried
