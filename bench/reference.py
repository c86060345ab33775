"""The reference load: events of SummEval's shape from a seed. Names, times and sizes are like those of SummEval.

24 annotations per item (4 criteria, 6 of 8 annotators) and 9 of 12 metrics by three judges, in random order.
"""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import orjson

from streams.events.decoder import Kind
from tests.support import summeval

QUEUE: Final = "summeval"
EVENTS_PER_ITEM: Final = 33
EVALUATIONS_OF_ITEM: Final = 9

_CRITERIA: Final = ("coherence", "consistency", "fluency", "relevance")
_ANNOTATORS: Final = (*(f"expert-{n}" for n in range(1, 4)), *(f"turker-{n}" for n in range(1, 6)))
_METRICS: Final = tuple(
    (f"{criterion} {way} gpt-3.5", f"gpt-3.5/{way}") for criterion in _CRITERIA for way in ("rts", "mcq", "stareval")
)
_START_MS: Final = 1_683_000_000_000

Event = tuple[Kind, bytes, bytes]
"""Kind, key and value."""


def events(items: int, seed: int = 1, *, start_ms: int = _START_MS, queue: str = QUEUE) -> list[Event]:
    """33 events per item of one queue, all in one random order, within two days from `start_ms` on."""
    rng = random.Random(seed)
    made = [
        event for item in range(items) for event in _of_item(rng, f"{rng.randbytes(6).hex()}-M{item}", start_ms, queue)
    ]
    rng.shuffle(made)
    return made


def _of_item(rng: random.Random, item: str, start_ms: int, queue: str) -> Iterator[Event]:
    """All events of one item, at random times within two days."""
    for criterion in _CRITERIA:
        for annotator in rng.sample(_ANNOTATORS, 6):
            yield _event(
                rng,
                Kind.ANNOTATION,
                item,
                start_ms,
                {"queue": queue, "criterion": criterion, "annotator": annotator, "stars": rng.randint(1, 5)},
            )
    for metric, judge in rng.sample(_METRICS, EVALUATIONS_OF_ITEM):
        yield _event(
            rng,
            Kind.EVALUATION,
            item,
            start_ms,
            {"metric": metric, "score": rng.randint(0, 4) / 4, "threshold": 0.5, "judge": judge},
        )


def _event(rng: random.Random, kind: Kind, item: str, start_ms: int, fields: dict[str, object]) -> Event:
    at = start_ms + rng.randrange(2 * 86_400) * 1000
    value = orjson.dumps({"id": rng.randbytes(9).hex(), "at": at, "item": item, "level": "trace", **fields})
    return kind, item.encode(), value


def summeval_events(directory: Path, seed: int = 1) -> list[Event]:
    """The events of SummEval, in one random order."""
    made = []
    for line in summeval.shuffled(directory, seed):
        event = orjson.loads(line)
        made.append((Kind.EVALUATION if "metric" in event else Kind.ANNOTATION, event["item"].encode(), line.rstrip()))
    return made
