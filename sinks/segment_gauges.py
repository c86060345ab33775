"""Gauges of alignment by the values of tags that the setting `segment_gauges` names."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from aggregator.days import Window
from aggregator.snapshot.inputs import CountingRules
from sinks import budgets
from sinks.queries.queues import QueueEntry
from sinks.queries.scope import Scope
from sinks.queries.segments import TAG, SegmentAlignment, divide
from sinks.series import SeriesLine, label, line
from sinks.series_cap import Pair
from streams.runtime.metric_specs import gauge

_LABELS: Final = ("queue", "criterion", "metric", "tag", "value")
_RATIO: Final = gauge(
    "segment_agreement_ratio", "Alignment of the comparisons with a value of a tag, over all days.", *_LABELS
)
_LOW: Final = gauge(
    "segment_agreement_ci_low", "Lower bound of its Wilson 95 % interval, over distinct items.", *_LABELS
)
_HIGH: Final = gauge(
    "segment_agreement_ci_high", "Upper bound of its Wilson 95 % interval, over distinct items.", *_LABELS
)
_ITEMS: Final = gauge("segment_items", "Distinct items among these comparisons.", *_LABELS)
_WORSE: Final = gauge(
    "segment_worse",
    "1 where the segment is aligned worse than the rest, by Fisher's exact test with Holm's correction; else 0.",
    *_LABELS,
)
SEGMENT_FAMILIES: Final = (_RATIO, _LOW, _HIGH, _ITEMS, _WORSE)
"""The gauges of segments, which only the setting adds."""

SEGMENTS_SECONDS: Final = 15.0
"""Minimum time between two computations of a pair's segments, which read rows instead of counts."""
_REST: Final = 20
"""A pair is computed again after this many times as long as the last computations of all pairs took together."""


@dataclass(frozen=True, slots=True)
class _PairLines:
    """The lines of a pair."""

    revision: int
    day: date
    at: float
    """Monotonic time of the computation."""
    took: float
    """How long it took, in seconds."""
    lines: list[SeriesLine]


class SegmentGauges:
    """Renders the gauges of segments, and keeps them until their queue changes.

    Args:
        tags: names of the tags.
        rules: how rows count.
        clock: returns monotonic seconds.
    """

    def __init__(self, tags: Sequence[str], rules: CountingRules, clock: Callable[[], float]) -> None:
        self._tags = tags
        self._rules = rules
        self._clock = clock
        self._known: dict[Pair, _PairLines] = {}
        self._took = 0.0
        """Seconds that the computations of all known pairs took."""

    def lines(self, connection: sqlite3.Connection, entry: QueueEntry, pair: Pair, today: date) -> list[SeriesLine]:
        """The lines of a pair in the state that a connection sees; none for a criterion itself."""
        if not self._tags or pair.metric is None:
            return []
        known, now = self._known.get(pair), self._clock()
        if known is not None and (
            (known.revision, known.day) == (entry.revision, today)
            or now - known.at < max(SEGMENTS_SECONDS, _REST * self._took)
        ):
            return known.lines
        found = list(self._lines(connection, pair, pair.metric, today))
        self.forget([pair])
        self._known[pair] = _PairLines(entry.revision, today, now, took := self._clock() - now, found)
        self._took += took
        return found

    def forget(self, pairs: Iterable[Pair]) -> None:
        """Drop pairs that have no gauges."""
        for pair in pairs:
            if (known := self._known.pop(pair, None)) is not None:
                self._took -= known.took

    def _lines(self, connection: sqlite3.Connection, pair: Pair, metric: str, today: date) -> Iterator[SeriesLine]:
        scope = Scope(pair.queue, Window.ALL, today, self._rules)
        of_pair = f"queue={label(pair.queue)},criterion={label(pair.criterion)},metric={label(metric)}"
        for tag in self._tags:
            divided = divide(connection, scope, pair.criterion, metric, f"{TAG}{tag}")
            for segment in divided.segments[: budgets.SEGMENTS]:
                # Comparisons without the tag are no segment that a label could name.
                if segment["value"] is not None:
                    yield from _segment(f"{of_pair},tag={label(tag)},value={label(segment['value'])}", segment)


def _segment(labels: str, segment: SegmentAlignment) -> Iterator[SeriesLine]:
    rest = segment["rest_alignment"]
    worse = segment["differs"] and rest is not None and segment["alignment"] < rest
    values = segment["alignment"], segment["alignment_low"], segment["alignment_high"], segment["items"], worse
    for spec, value in zip(SEGMENT_FAMILIES, values, strict=True):
        yield line(spec, labels, value)
