"""The order in which a worker takes what is fetched: what makes an item known before the evaluations of the item.

An evaluation of an item that nobody annotated yet waits in a store and is looked up later, which costs several times
what it costs to merge it. A worker that catches up would let nearly all of them wait: there are fewer evaluations than
annotations of an annotated item, so equal fetches of both read the evaluations ahead of the annotations.

Every order leads to the same counts. So only this is bounded: evaluations are held back for a number of fetches, and
only while others of their partition keep coming. Where nothing lags, nothing is held back. Pure, except for the clock.
"""

import time
from collections.abc import Callable, Iterable
from typing import Final

from aiokafka import TopicPartition

LAG_RECORDS: Final = 2_000
"""Records that are still to be taken of a partition, from which on its evaluations are held back."""
FETCHES_AHEAD: Final = 4
"""Fetches of annotations or queue items of a partition after which its evaluations are not held back.

The dense load has 2.7 annotations for each evaluation.
"""
HOLD_SECONDS: Final = 10.0
"""Time without such a fetch after which its evaluations are not held back: its leader may be away."""


class ReadingOrder:
    """Which fetched responses are taken, and in which order.

    Args:
        last: the topic that is read after the others: the evaluations.
        lag: number of records of a partition of another topic that the broker has beyond what was taken.
        clock: seconds that only grow.
    """

    def __init__(
        self, last: str, lag: Callable[[TopicPartition], int], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._last = last
        self._lag = lag
        self._clock = clock
        self._taken_at: dict[int, dict[TopicPartition, float]] = {}
        """By number of the partition, when a response of each other topic was last taken."""
        self._ahead: dict[int, int] = {}
        """By number of the partition, responses of other topics since the last one of the topic that is read last."""

    def of(self, fetched: Iterable[TopicPartition]) -> list[TopicPartition]:
        """The partitions to take from, in this order. Those that are held back are left out.

        The order in which they came, so that no partition waits for another, but evaluations follow the others of their
        partition.
        """
        came = {tp: place for place, tp in enumerate(fetched)}
        others: dict[int, list[TopicPartition]] = {}
        for tp in came:
            if tp.topic != self._last:
                others.setdefault(tp.partition, []).append(tp)
        places: dict[TopicPartition, float] = {}
        for tp, place in came.items():
            before = others.get(tp.partition, [])
            if tp.topic != self._last or self._ahead.get(tp.partition, 0) >= FETCHES_AHEAD:
                places[tp] = place
            elif not self._is_held_back(tp.partition, before):
                places[tp] = max([place, *(came[other] + 0.5 for other in before)])
        return sorted(places, key=places.__getitem__)

    def took(self, tp: TopicPartition) -> None:
        """Note that the response of a partition was taken."""
        if tp.topic == self._last:
            self._ahead[tp.partition] = 0
        else:
            self._ahead[tp.partition] = self._ahead.get(tp.partition, 0) + 1
            self._taken_at.setdefault(tp.partition, {})[tp] = self._clock()

    def _is_held_back(self, partition: int, others: Iterable[TopicPartition]) -> bool:
        """Whether another topic of this partition lags, and is at hand (`others`) or was a moment ago."""
        since = self._clock() - HOLD_SECONDS
        coming = {tp for tp, at in self._taken_at.get(partition, {}).items() if at > since}
        return any(self._lag(tp) >= LAG_RECORDS for tp in coming.union(others))
