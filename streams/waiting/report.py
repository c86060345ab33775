"""What the checkpoint markers of a partition report of its waiting evaluations: told, not counted. This module is pure.

A new owner goes on from its predecessor's last report: its own store may still lack what that one had.
"""

from collections import defaultdict, deque
from heapq import nlargest
from typing import Final

from aggregator.facts import Evaluation
from aggregator.shard import Shard
from aggregator.tallies import WAITING_JUDGES, WAITING_SAMPLE, WaitingState

RENEW_SECONDS: Final = 5.0
"""Least time between two reports that differ."""
_RECENT_ITEMS: Final = 16
_JUDGES: Final = 10 * WAITING_JUDGES
"""Judge versions that are kept when there are twice as many; the report has the newest `WAITING_JUDGES`."""


class WaitingReport:
    """The report of one partition."""

    __slots__ = ("_at", "_judges", "_last", "_recent", "missing")

    def __init__(self) -> None:
        self.missing = 0
        """Offsets that the store lacks and that the topic no longer has."""
        self._judges: dict[tuple[str, str], list[int]] = {}
        self._recent: deque[str] = deque(maxlen=_RECENT_ITEMS)
        self._last: WaitingState | None = None
        self._at = float("-inf")

    def continued(self, last: WaitingState | None) -> None:
        """Go on from the last report of the predecessor."""
        if last is None:
            return
        self._last = last
        self.missing = max(self.missing, last["missing"])
        for metric, judge, first_at, last_at, count in last["judges"]:
            self._judges.setdefault((metric, judge), [first_at, last_at, count])
        self._recent.extend(last["sample"])

    def saw(self, *facts: Evaluation) -> None:
        """Note evaluations that wait."""
        for fact in facts[-_RECENT_ITEMS:]:
            if not self._recent or self._recent[-1] != fact.item:
                self._recent.append(fact.item)
        times_of = defaultdict[tuple[str, str], list[int]](list)
        for fact in facts:
            if fact.passed is not None:
                times_of[fact.metric, fact.judge].append(fact.at)
        for judge, times in times_of.items():
            first_at, last_at, count = min(times), max(times), len(times)
            seen = self._judges.get(judge)
            if seen is not None:
                self._judges[judge] = [min(seen[0], first_at), max(seen[1], last_at), seen[2] + count]
                continue
            self._judges[judge] = [first_at, last_at, count]
            if len(self._judges) > 2 * _JUDGES:
                # Those that are forgotten and seen again are counted from 1.
                self._judges = dict(self._newest(_JUDGES))

    def state(
        self, shard: Shard, evaluations: int, rebuilding: int, before: int | None, now: float
    ) -> WaitingState | None:
        """The report; None as long as nothing has ever waited.

        Args:
            shard: its known items are in no sample.
            evaluations: number of evaluations in the store.
            rebuilding: offsets that are still to be read again.
            before: broker time in milliseconds from which on evaluations are kept; None while it is not known.
            now: monotonic seconds.
        """
        last = self._last
        if last is None and not (evaluations or rebuilding or self.missing):
            return None
        if last is not None and now < self._at + RENEW_SECONDS:
            return last
        if last is not None and rebuilding:
            evaluations = max(evaluations, last["evaluations"])
        since = max(0, before or 0, 0 if last is None else last["since"])
        sample = [item for item in dict.fromkeys(reversed(self._recent)) if not shard.has_item(item)]
        self._judges = {judge: times for judge, times in self._judges.items() if times[1] >= since}
        self._at = now
        self._last = WaitingState(
            rebuilding=rebuilding,
            missing=self.missing,
            evaluations=evaluations,
            since=since,
            sample=sample[:WAITING_SAMPLE],
            judges=[
                (metric, judge, first_at, last_at, count)
                for (metric, judge), (first_at, last_at, count) in self._newest(WAITING_JUDGES)
            ],
        )
        return self._last

    def _newest(self, most: int) -> list[tuple[tuple[str, str], list[int]]]:
        """The judge versions that were seen last, newest first."""
        return nlargest(most, self._judges.items(), key=lambda judge: judge[1][1])
