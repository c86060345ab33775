"""What a shard holds, in bytes: measured on small shards, and as a formula of rows, items and tallies.

Everything that a shard allocates is counted (tracemalloc), on rows that were replayed from bytes of their own, as a
restore does. The formula's coefficients are the differences of shards that differ in one thing.
"""

import gc
import random
import tracemalloc
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from aggregator import facts
from aggregator.days import DAY_MS
from aggregator.facts import Annotation, Evaluation, Fact
from aggregator.shard import Shard

_START_MS: Final = 1_780_000_000_000
_CRITERIA: Final = 4


@dataclass(frozen=True, slots=True)
class Shape:
    """Items that are alike: annotations and evaluations of each, and the number of days over which they spread."""

    annotations: int
    evaluations: int
    days: int = 1


ONE_EVALUATION: Final = Shape(0, 1)
"""One metric judged the item: a row that stands for nothing else. Those of a ledger of the first release do."""
REFERENCE: Final = Shape(24, 9)
"""SummEval's shape: 4 criteria, 6 annotators, 9 metrics."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much a shard holds."""

    annotations: int
    evaluations: int
    items: int
    tallies: int


@dataclass(frozen=True, slots=True)
class Coefficients:
    """Bytes of each thing that a shard holds; `base` is what a worker needs without any, in bytes."""

    annotation: float
    evaluation: float
    item: float
    tally: float

    def bytes(self, size: Size) -> float:
        """Bytes that a shard of this size holds."""
        return (
            self.annotation * size.annotations
            + self.evaluation * size.evaluations
            + self.item * size.items
            + self.tally * size.tallies
        )


@dataclass(frozen=True, slots=True)
class Held:
    """A measured shard."""

    size: Size
    bytes: int


def made(shape: Shape, items: int, seed: int = 1) -> Iterator[Fact]:
    """The facts of items of a shape. Ids have the reference load's lengths."""
    rng = random.Random(seed)
    for number in range(items):
        item = f"{rng.randbytes(6).hex()}-M{number}"
        at = _START_MS + rng.randrange(shape.days) * DAY_MS + rng.randrange(DAY_MS // 2)
        for metric in range(shape.evaluations):
            yield Evaluation(
                at=at + metric,
                id=rng.randbytes(9).hex(),
                item=item,
                metric=f"metric {metric} by judge",
                judge="gpt-4o/p3",
                score=rng.randint(0, 4) / 4,
                threshold=0.5,
                passed=rng.random() < 0.5,
            )
        for annotation in range(shape.annotations):
            yield Annotation(
                at=at + annotation,
                id=rng.randbytes(9).hex(),
                queue="support",
                item=item,
                criterion=f"criterion-{annotation % _CRITERIA}",
                annotator=f"annotator-{annotation // _CRITERIA}",
                stars=rng.randint(1, 5),
            )


def replayed(rows: Iterable[tuple[bytes, bytes]]) -> tuple[Shard, int]:
    """An empty shard into which these rows were replayed, and the bytes that it holds."""
    gc.collect()
    tracemalloc.start()
    try:
        shard = Shard(0)
        for key, value in rows:
            # Copies, as a fetch makes them: what the shard keeps of a record counts.
            shard.replay(bytes(bytearray(key)), bytes(bytearray(value)))
        shard.drain()
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return shard, held


def hold(of: Iterable[Fact]) -> Held:
    """Replay these facts into an empty shard, and measure it."""
    rows = [(facts.key(fact), facts.encode(fact)) for fact in of]
    shard, held = replayed(rows)
    annotations = sum(key.startswith(b'["a"') for key, _ in rows)
    return Held(Size(annotations, len(rows) - annotations, shard.items, sum(1 for _ in shard.tallies())), held)


def held(shape: Shape, items: int, seed: int = 1) -> Held:
    """Replay items of a shape into an empty shard, and measure it."""
    return hold(made(shape, items, seed))


def coefficients(items: int) -> Coefficients:
    """Measured on shards of so many items.

    evaluation = (nine metrics - one metric) / 8, item = one metric - evaluation, annotation = (24 annotations - item)
    / 24, tally = (the same rows over 60 days - over one day) / more tallies.
    """
    one, nine = held(ONE_EVALUATION, items), held(Shape(0, 9), items)
    evaluation = (nine.bytes - one.bytes) / (8 * items)
    item = one.bytes / items - evaluation
    annotated = held(Shape(24, 0), items)
    annotation = (annotated.bytes / items - item) / 24
    day, days = held(Shape(4, 3), items), held(Shape(4, 3, days=60), items)
    tally = (days.bytes - day.bytes) / (days.size.tallies - day.size.tallies)
    return Coefficients(annotation, evaluation, item, tally)
