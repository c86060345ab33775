"""The item that makes most tallies of a shard, for the operator of one that has too many."""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from aggregator.rivals import metrics_of
from aggregator.rows import ItemRow
from aggregator.sides import numbers


class LargestItem(NamedTuple):
    """An item with what its tallies are the product of."""

    item: str
    queue: str
    """The queue in which it makes most."""
    tallies: int
    """How many tallies it makes at most; other items may share them."""
    groups: int
    """Queues, criteria and days of its annotations, and queues in which queue items place it."""
    metrics: int
    """Metrics with evaluations of it."""


def largest_item(items: Mapping[str, ItemRow]) -> LargestItem:
    """The item of these that makes most tallies. Of two, the one that comes first."""
    name = max(items, key=lambda name: _product(items[name]))
    item = items[name]
    tallies = {bucket.tally for bucket, _ in numbers(item.compared)}
    groups = Counter(tally.queue for tally in tallies)
    groups.update(queue for queue, row in (item.queues or {}).items() if row.placed)
    metrics = len(set(metrics_of(item)))
    (queue, _), *_ = groups.most_common(1) or [("", 0)]
    return LargestItem(name, queue, groups.total() * metrics, groups.total(), metrics)


def _product(item: ItemRow) -> int:
    """What bounds its tallies, without a look at each row."""
    return len(item.compared) * len(item.verdicts) + len(item.queues or ()) * len(item.evaluations)
