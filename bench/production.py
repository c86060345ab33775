"""The production load: most evaluations are of items that nobody ever annotates. From a seed, in order of time.

Three evaluations of each item with reasons of 60 to 200 bytes, within seconds; of 2 % of the items, one or two people
rate two criteria within ten minutes; the version of the judge changes once, in the middle of the load.
"""

import random
from collections.abc import Iterator
from typing import Final

import orjson

from bench.reference import Event
from streams.events.decoder import Kind

EVENTS_PER_ITEM: Final = 3.06
PIECE_ITEMS: Final = 20_000
OF_ITEM: Final = 3
"""Evaluations of an item."""
JUDGES: Final = ("gpt-4o/p3", "gpt-4o/p4")

_QUEUE: Final = "support"
_CRITERIA: Final = ("faithful", "helpful", "polite")
_ANNOTATORS: Final = tuple(f"reviewer-{number}" for number in range(1, 9))
_ANNOTATED: Final = 0.02
_REASON_BYTES: Final = (60, 200)
_START_MS: Final = 1_683_000_000_000
_ITEM_EVERY_MS: Final = 50
_EVALUATED_WITHIN_MS: Final = 5_000
_ANNOTATED_WITHIN_MS: Final = 600_000
_TEXT: Final = """the answer names source of claim which contradicts a passage in retrieved context and leaves out
reason for refund although user asked about delivery date invoice number customer policy"""
_WORDS: Final = _TEXT.split()


def events(first: int, count: int, total: int, seed: int) -> list[Event]:
    """All events of the items from `first` on, in order of their times. `total` is the number of items of the load."""
    rng = random.Random(seed)
    timed = [
        event for number in range(first, first + count) for event in _of_item(rng, number, JUDGES[2 * number >= total])
    ]
    timed.sort(key=lambda event: event[0])
    return [event for _, event in timed]


def _of_item(rng: random.Random, number: int, judge: str) -> Iterator[tuple[int, Event]]:
    """The events of one item, each with its time."""
    item, start_ms = new_item(rng, number), _START_MS + number * _ITEM_EVERY_MS
    for metric in range(OF_ITEM):
        at = start_ms + rng.randrange(_EVALUATED_WITHIN_MS)
        value = evaluation(rng, item, metric, at=at, judge=judge, reason_bytes=rng.randint(*_REASON_BYTES))
        yield at, (Kind.EVALUATION, item.encode(), value)
    if rng.random() >= _ANNOTATED:
        return
    for annotator in rng.sample(_ANNOTATORS, rng.randint(1, 2)):
        for criterion in rng.sample(_CRITERIA, 2):
            at = start_ms + rng.randrange(_ANNOTATED_WITHIN_MS)
            fields = {"queue": _QUEUE, "criterion": criterion, "annotator": annotator, "stars": rng.randint(1, 5)}
            value = orjson.dumps({"id": rng.randbytes(9).hex(), "at": at, "item": item, "level": "trace", **fields})
            yield at, (Kind.ANNOTATION, item.encode(), value)


def new_item(rng: random.Random, number: int) -> str:
    """A name of an item."""
    return f"{rng.randbytes(6).hex()}-M{number}"


def evaluation(rng: random.Random, item: str, metric: int, *, at: int, judge: str, reason_bytes: int) -> bytes:
    """An evaluation as JSON, by one of the metrics, with a reason of so many bytes."""
    event = {
        "id": rng.randbytes(9).hex(),
        "at": at,
        "item": item,
        "level": "trace",
        "metric": f"metric {metric} by judge",
        "score": rng.randint(0, 4) / 4,
        "threshold": 0.5,
        "judge": judge,
        "reason": " ".join(rng.choices(_WORDS, k=max(20, reason_bytes // 5)))[:reason_bytes],
    }
    return orjson.dumps(event)
