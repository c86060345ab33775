"""Alignment over time: by day of annotation with the present rows, and as it was published."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from aggregator.days import day_name, day_number
from aggregator.snapshot.inputs import CountingRules, Vector
from aggregator.snapshot.schema import Cards, CriterionDocument, MetricDocument, SnapshotDocument
from aggregator.statistics.confusion import wilson

WEEK: Final = 7
"""Days that are pooled, because a single day has few comparisons."""


class AlignedShare(NamedTuple):
    """The aligned comparisons among some comparisons, at least one."""

    k: int
    """Aligned comparisons."""
    n: int
    """All comparisons."""
    items: int
    """Distinct items among them."""

    @property
    def alignment(self) -> float:
        """Share of comparisons in which people and metric agree."""
        return self.k / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson 95 % interval on distinct items."""
        return wilson(self.alignment, self.items)


def by_day(
    vectors: Iterable[tuple[str, str, Vector]], items: Mapping[str, int], rules: CountingRules
) -> dict[str, AlignedShare]:
    """Comparisons by day, oldest first, without days that have none.

    Args:
        vectors: cell vectors with their day and criterion, any number for each.
        items: distinct items among the comparisons, by day.
        rules: what a human pass is.
    """
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for day, criterion, vector in vectors:
        tp, _, tn, _ = rules.outcomes(criterion, vector)
        sums[day][0] += tp + tn
        sums[day][1] += sum(vector)
    return {day: AlignedShare(k, n, items[day]) for day, (k, n) in sorted(sums.items()) if n}


def by_week(days: Mapping[str, AlignedShare], items: Mapping[str, int]) -> dict[str, AlignedShare]:
    """Comparisons of the week that ends on each of these days. `items` has the distinct items of these weeks."""
    weeks = {}
    for day in days:
        last = day_number(day)
        names = [day_name(last - back) for back in range(WEEK)]
        shares = [days[name] for name in names if name in days]
        weeks[day] = AlignedShare(sum(share.k for share in shares), sum(share.n for share in shares), items[day])
    return weeks


def in_document(document: SnapshotDocument, criterion: str | None, metric: str | None) -> AlignedShare | None:
    """The comparisons in a document, of a criterion and metric, of a criterion, or (both None) of the queue.

    None when there are no comparisons. Raises ValueError for a metric without a criterion, which no document has:
    criteria share items, so their numbers do not add up.
    """
    part: Cards | CriterionDocument | MetricDocument | None = document["cards"]
    if criterion is not None:
        of_criterion = next((each for each in document["criteria"] if each["criterion"] == criterion), None)
        part = of_criterion
        if of_criterion is not None and metric is not None:
            part = next((each for each in of_criterion["metrics"] if each["metric"] == metric), None)
    elif metric is not None:
        raise ValueError("a metric needs a criterion")
    if part is None or not part["comparisons"]:
        return None
    n = part["comparisons"]
    return AlignedShare(n - part["misaligned"], n, part["items_compared"])
