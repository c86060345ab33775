"""Fuzzes the parser of record batches: for any bytes, it returns, and goes on after them."""

import random
import time
from dataclasses import replace
from typing import Final

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from streams.kafka.record_batches import read, split
from tests.fuzz.batches import COMPRESS, LOG_APPEND_TIME, RawBatch, RawRecord

_VARIANTS: Final = 300
_SPOILED_COMPRESSED: Final = 0.3

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
    """Fuzz for a while; returns the number of batches. Raises what the parser raises, which is a finding.

    Hypothesis makes batches, and each is spoiled at random many times: that is quicker than to make as many.
    """
    until, tried, rng = time.monotonic() + seconds, 0, random.Random()

    @settings(
        max_examples=20,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(spoiled_batches())
    def fuzz(batch: RawBatch) -> None:
        nonlocal tried
        for _ in range(_VARIANTS):
            if time.monotonic() > until:
                return
            read_all(batch)
            tried += 1
            batch = spoiled(batch, rng)

    while time.monotonic() < until:
        fuzz()
    return tried


def read_all(batch: RawBatch) -> None:
    """Read a batch and one after it. Raises AssertionError when the one after it is not read."""
    after = RawBatch([RawRecord()], base_offset=2**41)
    records = [record for parsed, raw in split(batch.encode() + after.encode()) for record in read(parsed, raw)[0]]
    if not records or (records[-1].offset, records[-1].value) != (2**41, b"v"):
        raise AssertionError(f"what follows is not read after {batch!r}")


def spoiled(batch: RawBatch, rng: random.Random) -> RawBatch:
    """The batch with a few bytes changed, before or after compression."""
    compressed = rng.random() < _SPOILED_COMPRESSED and batch.codec
    content = bytearray(COMPRESS[batch.codec](batch.plain()) if compressed else batch.plain())
    for _ in range(rng.randint(1, 4)):
        at = rng.randint(0, len(content))
        content[at : at + rng.randint(0, 2)] = rng.randbytes(rng.randint(0, 2))
    if compressed:
        return replace(batch, packed=bytes(content))
    return replace(batch, payload=bytes(content), packed=None, codec=rng.randint(0, 4))
