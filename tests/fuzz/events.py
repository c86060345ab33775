"""Fuzzes the decoder: for any bytes it returns a fact or a rejection, and both of its paths return the same.

Events are made field by field from the edges of each type, written with varying escapes and spaces, then sometimes
damaged. A fact must keep its identity and its content on the ledger, and decode to itself again.
"""

import json
import random
import time
from collections.abc import Sequence
from typing import Final

from aggregator import facts
from aggregator.facts import Fact
from streams.events.cloudevents import Headers
from streams.events.decoder import KIND_OF, Decoder, Kind, MetricDefaults, Rejection
from streams.events.encoder import encode_event
from streams.events.wire import AnnotationEvent, EvaluationEvent, QueueItemEvent

AT: Final = 1_764_000_000_000
_ROUND: Final = 300
"""Events of one decoder: its fast path takes names that it has seen."""
_MOST_DETAIL: Final = 400
_STRUCTS: Final = {
    Kind.ANNOTATION: AnnotationEvent,
    Kind.EVALUATION: EvaluationEvent,
    Kind.QUEUE_ITEM: QueueItemEvent,
}
_BASE: Final = {
    Kind.ANNOTATION: {"id": "a1", "at": AT, "queue": "q", "item": "i", "thumbs": "up"},
    Kind.EVALUATION: {"id": "e1", "at": AT, "item": "i", "metric": "m", "score": 0.5, "threshold": 0.5},
    Kind.QUEUE_ITEM: {"id": "q1", "at": AT, "queue": "q", "item": "i"},
}
_NUMBERS: Final = (
    *("0", "-0", "0.0", "-0.0", "1", "5", "6", "-1", "1e0", "5.0", "3.5", "1e400", "-1e400", "1e-400", "NaN"),
    *("253402300799999", "253402300800000", "9223372036854775808", "18446744073709551616", "1" + "0" * 400, "01", "1."),
    *(".5", "+1", "0x10", "1_000", "1e", "-", "5E-324", "1.7976931348623159e308", "0." + "3" * 700, str(AT), f"{AT}.5"),
)  # fmt: skip
_TEXTS: Final = (
    *("", "a", "a b", "é", "e\u0301", "ﬁ", "\u200b", "\u202e", "\u00a0", "\x7f", "\x85", "\u2028", "\ufeff", "\ud800"),
    *("\udc00", "😀", "\x00", "\x1f", "\n", "\uffff", "\U0010ffff", "up", "down", "trace", "higher", "lower", "error"),
    *("x" * 127, "x" * 129, "é" * 128, "e\u0301" * 65, "x" * 256, "x" * 257, "x" * 8193, "é" * 4096, "😀" * 2049),
    *("https://x", "HTTP://x", "https://", "https://x y", "javascript:alert(1)", "https://" + "é" * 1021, "https://\x00"),
    *("2026-11-23T10:15:00Z", "2026-11-23 10:15:00Z", "2026-02-30T00:00:00Z", "1969-12-31T23:59:59Z", "2026-W01-1"),
    *("9999-12-31T23:59:59.999-23:59", "0001-01-01T00:00:00+23:59", "2026-11-23T23:59:60Z", "2026-11-23T10:15:00,5Z"),
)  # fmt: skip
_OTHER: Final = ("true", "false", "null", "[]", "{}", '{"a":1}', '{"a":"b"}', "[" * 2_000 + "]" * 2_000, "", "nul")
_HEADERS: Final[Sequence[Headers]] = (
    (),
    [("a", b"b")],
    [("content-type", b"application/cloudevents+json")],
    [("content-type", b"\xff")],
    [("ce_specversion", b"1.0"), ("ce_id", b"x"), ("ce_time", b"2026-11-23T10:15:00Z")],
    [("ce_specversion", b"1.0"), ("ce_id", b"\xff")],
    [("ce_specversion", None)],
    [("ce_specversion", b"1.0"), ("ce_id", None), ("ce_time", b"0001-01-01T00:00:00+23:59")],
    [("CE_SpecVersion", b"0.3")],
)
_METRICS: Final = {"m": MetricDefaults(0.5, "lower")}


def run(seconds: float) -> int:
    """Fuzz for a while; returns the number of events. Raises what the decoder raises, or AssertionError."""
    until, tried, rng = time.monotonic() + seconds, 0, random.Random()
    while time.monotonic() < until:
        decoder = Decoder(metrics=rng.choice([{}, _METRICS]))
        for _ in range(_ROUND):
            check(decoder, event(rng), rng)
            tried += 1
    return tried


def event(rng: random.Random) -> tuple[Kind, bytes]:
    """A nearly valid event of a kind, as JSON that may be damaged."""
    kind = rng.choice(list(_BASE))
    fields = {name: json.dumps(value).encode() for name, value in _BASE[kind].items()}
    for _ in range(rng.choice((0, 0, 1, 1, 2, 3))):
        fields[rng.choice(_STRUCTS[kind].__struct_fields__)] = _value(rng)
    pairs = [(_text(name, rng) if rng.random() < 0.02 else json.dumps(name).encode(), fields[name]) for name in fields]
    if rng.random() < 0.15:
        name = rng.choice((rng.choice(pairs)[0], b'"new"'))
        pairs.insert(rng.randrange(len(pairs)), (name, _value(rng)))
    space = rng.choice((b"", b"", b" ", b"\t\n\r "))
    body = b"{" + (b"," + space).join(name + space + b":" + value for name, value in pairs) + space + b"}"
    return kind, _damaged(body, rng)


def check(decoder: Decoder, made: tuple[Kind, bytes], rng: random.Random) -> None:
    """Decode an event in every way. Raises AssertionError when two ways differ."""
    kind, body = made
    headers = rng.choice(_HEADERS)
    timestamp = rng.choice((None, AT, 0, -1, AT - 300_000, AT - 300_001, 2**62))
    key = rng.choice((b"i", b"i", b"i", None, b"", b"\xff", b"j"))
    # With a header that means nothing, the event takes the slow path.
    slow = decoder.decode(kind, body, key, [*headers, ("other", b"1")], timestamp)
    fast = decoder.decode(kind, body, key, headers, timestamp)
    _expect(_same(slow, fast), "the two paths differ", made, slow, fast)
    line = decoder.decode_line(body, headers, timestamp)
    if isinstance(slow, Rejection):
        _expect(len(slow.detail.encode()) <= 4 * _MOST_DETAIL, "a long detail", made, slow)
        return
    if not isinstance(line, Rejection) and line[0] is kind:
        _expect(_same(line[1], slow), "a line differs", made, line, slow)
    encoded = facts.encode(slow)
    _expect(_same(facts.parse(facts.key(slow), encoded), slow), "the ledger has another fact", made, slow)
    again = decoder.decode_value(KIND_OF[type(slow)], encode_event(slow))
    _expect(_same(again, slow), "the exported event is another fact", made, slow, again)


def _same(one: Fact | Rejection, other: Fact | Rejection) -> bool:
    """Whether both are equal and written alike: 0.0 equals -0.0."""
    if isinstance(one, Rejection) or isinstance(other, Rejection):
        return one == other
    return type(one) is type(other) and facts.key(one) == facts.key(other) and facts.encode(one) == facts.encode(other)


def _expect(holds: bool, what: str, *shown: object) -> None:
    if not holds:
        raise AssertionError(f"{what}: " + "\n".join(repr(each) for each in shown))


def _value(rng: random.Random) -> bytes:
    chance = rng.random()
    if chance < 0.35:
        return rng.choice(_NUMBERS).encode()
    return _text(rng.choice(_TEXTS), rng) if chance < 0.85 else rng.choice(_OTHER).encode()


def _text(text: str, rng: random.Random) -> bytes:
    """A JSON string of a text: half of a surrogate pair is an escape, or the bytes that some encoders write."""
    match rng.randrange(4):
        case 0:
            return json.dumps(text).encode()
        case 1:
            return json.dumps(text, ensure_ascii=False).encode("utf-8", "surrogatepass")
        case 2:
            units = text.encode("utf-16-be", "surrogatepass").hex()
            return ('"' + "".join(rf"\u{units[at : at + 4]}" for at in range(0, len(units), 4)) + '"').encode()
        case _:
            # Control characters stand in it as they are.
            return ('"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"').encode("utf-8", "surrogatepass")


def _damaged(body: bytes, rng: random.Random) -> bytes:
    chance = rng.random()
    if chance < 0.03:
        return rng.choice((b"\xef\xbb\xbf", b" ", b"\x00", b"[", b"1", b"\xff")) + body
    if chance < 0.06:
        return body + rng.choice((b" ", b"x", b"{}", b"\x00", b",", body))
    if chance < 0.1:
        at = rng.randrange(len(body))
        return body[:at] + rng.randbytes(1) + body[at + 1 :]
    if chance < 0.12:
        return body[: rng.randrange(len(body))]
    if chance < 0.14:
        return b'{"specversion":"1.0","id":' + _value(rng) + b',"time":' + _value(rng) + b',"data":' + body + b"}"
    return body
