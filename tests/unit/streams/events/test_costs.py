"""The time of a decision grows with the size of an event, not faster: one event must not hold up a worker."""

import json
import time
import unicodedata
from collections.abc import Callable
from typing import Any

import pytest

from aggregator.facts import MAX_NAME, MAX_TAG_VALUE, Annotation
from streams.events.decoder import MAX_VALUE_BYTES, Decoder, Kind, Rejection
from streams.events.reasons import Reason
from streams.events.values import replace_non_text

SECONDS = 2.0
"""Far above what a decision takes, far below what a quadratic one would take."""
EVENT = {"id": "a1", "at": 1_700_000_000_000, "queue": "support", "item": "t1", "thumbs": "up"}
MARKS = "a" + "\u0301\u0316" * (MAX_VALUE_BYTES // 6)
"""Combining characters, of which each must change places with all others."""
SHRINKS = unicodedata.normalize("NFD", "\u1f82")
"""The four characters of one in NFC."""


def decide(**changes: Any) -> tuple[Any, float]:
    """The decision on an annotation, and the seconds that it took."""
    value = json.dumps({**EVENT, **changes}, ensure_ascii=False).encode()
    return timed(lambda: Decoder().decode(Kind.ANNOTATION, value, b"t1"))


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    started = time.thread_time()
    result = work()
    return result, time.thread_time() - started


@pytest.mark.parametrize("changes", [{"queue": MARKS}, {"criterion": MARKS}, {"tags": {"city": MARKS}}])
def test_a_name_of_combining_characters_is_rejected_in_time(changes: dict[str, Any]) -> None:
    decision, seconds = decide(**changes)
    assert isinstance(decision, Rejection) and decision.reason is Reason.INVALID_NAME
    assert seconds < SECONDS


def test_a_name_may_be_as_long_as_it_is_in_nfc() -> None:
    longest, _ = decide(queue=SHRINKS * MAX_NAME, tags={"city": SHRINKS * MAX_TAG_VALUE})
    assert isinstance(longest, Annotation) and longest.queue == "\u1f82" * MAX_NAME
    longer, _ = decide(queue=SHRINKS * (MAX_NAME + 1))
    assert isinstance(longer, Rejection)


@pytest.mark.parametrize("escape", [rb"\ud83d", rb"\n", rb"\\", b"\xff.", rb"\ud83d\ude00"])
def test_escapes_are_replaced_in_time(escape: bytes) -> None:
    value = b'"%b"' % (escape * (8 * MAX_VALUE_BYTES // len(escape)))
    replaced, seconds = timed(lambda: replace_non_text(value, "?"))
    assert json.loads(replaced)
    assert seconds < SECONDS
