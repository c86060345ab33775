"""`python -m bench.large_queue`: times of the pages of very large queues, in one process and without a broker."""

import argparse
import asyncio
import random
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aggregator.facts import Annotation, Evaluation, Fact
from bench.end_to_end.report import machine, table
from bench.end_to_end.site import Row
from bench.page import text, times
from sinks.store.store import Store
from sinks.store.tail import Tail
from streams.runtime.heap import collect_seldom, freeze_heap
from tests.support.logs import Logs, feed
from tests.support.sample_view import HOUR_MS, NOW_MS

_QUEUE: Final = "support"
_PIECE: Final = 5_000
"""Items of a checkpoint."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a queue has. All of its items are annotated."""

    items: int
    metrics: int = 3
    judged: int = 3
    """Metrics that judge an item, a random choice."""
    criteria: int = 3
    rated: int = 2
    """Criteria that an item is rated on, a random choice."""
    people: int = 2
    """Most people who rate an item on a criterion."""
    days: int = 6
    """Days on which people annotate: of an item each rating is on another one."""
    judges: int = 2
    """Judge versions, each of which judged a part of the items."""


SHAPES: Final = {
    "50,000 items": Shape(50_000),
    "200,000 items": Shape(200_000),
    "50,000 different items": Shape(50_000, metrics=20, judged=12, criteria=4, rated=4, people=3, days=90, judges=20),
}


def rows(path: Path, shape: Shape, repeats: int) -> Iterator[Row]:
    """All rows, in order; the store is made where `path` has none."""
    made = path.exists()
    store = Store(path)
    try:
        if not made:
            _fill(store, shape)
        yield from asyncio.run(_measure(store, path.parent, repeats))
    finally:
        store.close()


def _fill(store: Store, shape: Shape) -> None:
    rng, logs, tail = random.Random(1), Logs(at=NOW_MS), Tail(0)
    facts_from = tallies_from = 0
    for first in range(0, shape.items, _PIECE):
        numbers = range(first, min(first + _PIECE, shape.items))
        logs.write(fact for number in numbers for fact in _item(number, rng, shape))
        feed(tail, logs, facts_from, tallies_from)
        facts_from, tallies_from = len(logs.facts), len(logs.tallies)
        step = tail.step()
        assert step is not None, "each piece ends with a checkpoint"
        store.apply([step], 1)
    while store.write_search_documents():
        pass


def _item(number: int, rng: random.Random, shape: Shape) -> Iterator[Fact]:
    item = f"{rng.randbytes(6).hex()}-M{number}"
    for criterion in rng.sample(range(shape.criteria), shape.rated):
        for person in range(rng.randint(1, shape.people)):
            yield Annotation(
                at=NOW_MS - rng.randrange(shape.days * 24) * HOUR_MS, id=f"a{number}-{criterion}-{person}",
                queue=_QUEUE, item=item, criterion=f"criterion {criterion}",
                annotator=f"reviewer-{(number + person) % 8}", stars=rng.randint(1, 5),
            )  # fmt: skip
    for metric in rng.sample(range(shape.metrics), shape.judged):
        score = rng.randint(0, 4) / 4
        yield Evaluation(
            at=NOW_MS - rng.randrange(shape.days * 24) * HOUR_MS, id=f"e{number}-{metric}", item=item,
            metric=f"metric_{metric}", score=score, threshold=0.5, passed=score >= 0.5,
            judge=f"v{rng.randrange(shape.judges)}", reason=text(rng, 15),
        )  # fmt: skip


async def _measure(store: Store, directory: Path, repeats: int) -> list[Row]:
    freeze_heap()
    collect_seldom()
    base = f"/queues/{_QUEUE}"
    with store.read() as connection:
        item, comparisons = connection.execute(
            "SELECT (SELECT item FROM items LIMIT 1), (SELECT count(*) FROM annotations AS a "
            "CROSS JOIN evaluations AS e ON e.item_id = a.item_id AND e.current = 1)"
        ).fetchone()
    measured = [Row("comparisons", f"{comparisons:,}")]
    for what, path, before in (
        ("start page", "/", ()),
        ("page of the queue", base, ()),
        ("its details", f"{base}?more=1", (base,)),
        ("page of a judge version", f"{base}?judge=v1", ()),
        ("list of its items", f"{base}/items", (base,)),
        ("list of its items, newest first", f"{base}/items?sort=newest&page=3", (base,)),
        ("list of the items of a metric", f"{base}/items?metric=metric_0&criterion=criterion+0", (base,)),
        ("search for an item", f"{base}/items?search={item}", (base,)),
        ("an item", f"{base}/items/{item}", (base,)),
        ("comparisons by the API", f"/api/v1/queues/{_QUEUE}/comparisons?limit=50", (base,)),
        ("items on which people disagree", f"{base}/disagreements?criterion=criterion+0", (base,)),
    ):
        taken = await times(store, directory, [path], repeats, before)
        measured.append(Row(what, str(taken)))
        print(f"{what}: {measured[-1].measured}", file=sys.stderr, flush=True)
    return measured


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.large_queue", description=__doc__)
    parser.add_argument("--shape", choices=SHAPES, default="50,000 items")
    parser.add_argument("--store", type=Path, help="a file that keeps the store for the next run")
    parser.add_argument("--repeats", type=int, default=3, help="later requests of each page")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        path = options.store or Path(directory) / "large.sqlite3"
        measured = list(rows(path, SHAPES[options.shape], options.repeats))
    print(f"{machine()}\n\n{options.shape}\n\n{table(measured)}")


if __name__ == "__main__":
    main()
