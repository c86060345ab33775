"""Which gauges the cap on series keeps: a fair share for every queue, and no pair that comes and goes.

The cap always wins. Every queue gets an equal share, at least one pair, the queues with most comparisons first; what
one leaves goes to the next. Within a queue the pairs with most comparisons come first. So pairs are kept in this order:
the largest pair of every queue, then the second of every queue, and so on, until the cap is reached.

Alerts must not resolve and fire again because two pairs of similar size change places. So a pair changes sides only
when the counts have been for it for a day; a pair that is new has no side yet. A pair that the cap forces out comes
back a day later at the earliest.
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

log = logging.getLogger(__name__)

DAY_SECONDS: Final = 86_400.0
"""Time for which the counts must be for a change before a pair changes sides."""

LOG_SECONDS: Final = 60.0
"""Minimum time between two log lines about what is left out."""
_NAMED: Final = 5
"""Most pairs that a log line names."""


class Pair(NamedTuple):
    """A criterion and a metric of a queue."""

    queue: str
    criterion: str
    metric: str | None
    """None for the series of the criterion itself, which come with its first pair, or alone when it has none."""

    @property
    def of_criterion(self) -> "Pair":
        """The series of the criterion itself."""
        return self._replace(metric=None)


@dataclass(frozen=True, slots=True)
class Shares:
    """The decision on every pair."""

    kept: tuple[Pair, ...]
    """Pairs with gauges, in the order in which they are kept."""
    dropped: tuple[Pair, ...]
    """The other ones, in the same order."""
    waiting: Mapping[Pair, float]
    """Pairs that the counts want on the other side, and the time since which they do."""


def fair_shares(
    pairs: Mapping[Pair, int], limit: int, size: Callable[[Pair], int], before: Shares | None, now: float
) -> Shares:
    """Decide which pairs have gauges.

    Args:
        pairs: comparisons by pair; a criterion without pairs is a pair without a metric.
        limit: most series of the pairs that are kept.
        size: returns the number of series of a pair, without those of its criterion. It is called for the pairs that
            are kept and the one after them only.
        before: the decision before this one; None to start from the counts.
        now: seconds of a clock that only runs forward.
    """
    order = _order(pairs)
    wanted = set(_longest_start(order, limit, size))
    kept, waiting = wanted, {}
    if before is not None:
        had = set(before.kept)
        known = had.union(before.dropped)
        waiting = {
            pair: before.waiting.get(pair, now) for pair in order if pair in known and (pair in wanted) != (pair in had)
        }
        held = {pair for pair, since in waiting.items() if now - since < DAY_SECONDS}
        # All that is wanted fits, and comes before all that is not: the cap forces only unwanted pairs out.
        candidates = (pair for pair in order if (pair in had if pair in held else pair in wanted))
        kept = set(_longest_start(candidates, limit, size))
        waiting = {pair: since for pair, since in waiting.items() if (pair in kept) == (pair in had)}
    return Shares(
        tuple(pair for pair in order if pair in kept), tuple(pair for pair in order if pair not in kept), waiting
    )


def _order(pairs: Mapping[Pair, int]) -> list[Pair]:
    """Pairs by their place in their queue, then by the comparisons of the queue."""
    totals: Counter[str] = Counter()
    by_queue: dict[str, list[Pair]] = defaultdict(list)
    for pair, comparisons in pairs.items():
        totals[pair.queue] += comparisons
        by_queue[pair.queue].append(pair)
    places: dict[Pair, int] = {}
    for of_queue in by_queue.values():
        of_queue.sort(key=lambda pair: (-pairs[pair], pair.criterion, pair.metric or ""))
        places.update(zip(of_queue, range(len(of_queue)), strict=True))
    return sorted(places, key=lambda pair: (places[pair], -totals[pair.queue], pair.queue))


def _longest_start(order: Iterable[Pair], limit: int, size: Callable[[Pair], int]) -> list[Pair]:
    """The pairs from the first to the last before the one with which the series would be more than the limit."""
    start: list[Pair] = []
    counted: set[Pair] = set()
    series = 0
    for pair in order:
        added = {pair, pair.of_criterion} - counted
        series += sum(map(size, added))
        if series > limit:
            break
        counted |= added
        start.append(pair)
    return start


class SeriesCap:
    """The cap of a view: decides with regard to its last decision, and logs what it leaves out.

    Args:
        limit: most series.
        clock: returns monotonic seconds.
    """

    def __init__(self, limit: int, clock: Callable[[], float]) -> None:
        self._limit = limit
        self._clock = clock
        self._last: Shares | None = None
        self._logged: frozenset[Pair] = frozenset()
        self._logged_at = float("-inf")

    def decide(self, pairs: Mapping[Pair, int], size: Callable[[Pair], int], *, caught_up: bool) -> Shares:
        """The decision on pairs, now; see `fair_shares`.

        While the view reads old events (`caught_up` is false), every decision starts from the counts: otherwise what
        was read first would stay for a day.
        """
        now = self._clock()
        shares = fair_shares(pairs, self._limit, size, self._last, now)
        self._last = shares if caught_up else None
        if caught_up:
            self._log(shares.dropped, now)
        return shares

    def _log(self, dropped: Sequence[Pair], now: float) -> None:
        if now - self._logged_at < LOG_SECONDS or self._logged == (left_out := frozenset(dropped)):
            return
        self._logged, self._logged_at = left_out, now
        if not dropped:
            log.info("gauges are complete again: series_limit=%d leaves out nothing", self._limit)
            return
        log.warning(
            "gauges left out: series_limit=%d, queues=%d, pairs=%d, those with most comparisons: %s",
            self._limit,
            len({pair.queue for pair in dropped}),
            len(dropped),
            ", ".join(str(tuple(filter(None, pair))) for pair in dropped[:_NAMED]),
        )
