"""Alignment over time: by day of annotation with today's rows, and as it was published."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from aggregator.days import day_name, day_number
from aggregator.snapshot.inputs import CountingRules, Vector
from aggregator.snapshot.schema import Cards, CriterionDocument, MetricDocument, SnapshotDocument
from aggregator.statistics.confusion import wilson

WEEK: Final = 7
"""Days that are looked at together where one alone has few comparisons."""


class AlignedShare(NamedTuple):
    """`k` aligned of `n` comparisons, one or more, on `items` distinct items."""

    k: int
    n: int
    items: int

    @property
    def alignment(self) -> float:
        """Share of comparisons in which people and metric agree."""
        return self.k / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson 95 % interval on distinct items."""
        return wilson(self.alignment, self.items)


def by_day(
    vectors: Iterable[tuple[str, Vector]], items: Mapping[str, int], rules: CountingRules
) -> dict[str, AlignedShare]:
    """Comparisons by day, oldest first, days without any left out.

    Args:
        vectors: cell vectors with their day; those of one day add up.
        items: distinct items among the comparisons of each day.
        reading: the pass convention.
    """
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for day, vector in vectors:
        tp, _, tn, _ = rules.outcomes(vector)
        sums[day][0] += tp + tn
        sums[day][1] += sum(vector)
    return {day: AlignedShare(k, n, items[day]) for day, (k, n) in sorted(sums.items()) if n}


def by_week(days: Mapping[str, AlignedShare], items: Mapping[str, int]) -> dict[str, AlignedShare]:
    """The comparisons of the week that ends on each of these days; `items`: distinct ones of each such week."""
    weeks = {}
    for day in days:
        last = day_number(day)
        names = [day_name(last - back) for back in range(WEEK)]
        shares = [days[name] for name in names if name in days]
        weeks[day] = AlignedShare(sum(share.k for share in shares), sum(share.n for share in shares), items[day])
    return weeks


def in_document(document: SnapshotDocument, criterion: str | None, metric: str | None) -> AlignedShare | None:
    """What a document says of a criterion and metric, of a criterion (metric None), or of all; None: no comparison.

    A metric without a criterion is not in a document: its criteria share items. Raises ValueError.
    """
    found: Cards | CriterionDocument | MetricDocument | None = document["cards"]
    if criterion is not None:
        criteria = (part for part in document["criteria"] if part["criterion"] == criterion)
        chosen = next(criteria, None)
        found = chosen
        if chosen is not None and metric is not None:
            found = next((part for part in chosen["metrics"] if part["metric"] == metric), None)
    elif metric is not None:
        raise ValueError("a metric needs a criterion")
    if found is None or not found["comparisons"]:
        return None
    n = found["comparisons"]
    return AlignedShare(n - found["misaligned"], n, found["items_compared"])
