"""The waiting evaluations of one owned partition, as the engine sees them: no I/O, no clock.

Every offset of the evaluations topic below the processed position is covered, or in a gap: see `coverage`. An item is
owed as long as what waits for it may not be merged yet; while any is, the ledger offset of `Settled` stays.
"""

import contextlib
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from aggregator.facts import identity
from aggregator.shard import Shard
from streams.kafka.batches import Record
from streams.waiting.clock import SourceReach
from streams.waiting.coverage import OffsetRanges
from streams.waiting.report import WaitingReport
from streams.waiting.store import Settled, StorePlace

_PEOPLE: Final = frozenset((b"a", b"q"))
"""Kinds of ledger keys whose rows make an item known."""
NOTHING: Final = OffsetRanges()


@dataclass(frozen=True, slots=True)
class Continuation:
    """Where a partition continues, for `WaitingEvaluations.restored`."""

    ledger: str
    """The ledger id."""
    ledger_next: int
    """The end of the ledger."""
    start: int
    """The next offset of the evaluations topic to process."""
    end: int | None
    """The end of that topic; None where the broker does not report it exactly."""
    topic_id: str | None
    """Its id; None where the broker has none."""
    old: bool
    """Whether no worker that lets evaluations wait ever claimed the ledger: it has everything that was processed."""
    anew: bool
    """Whether nothing is known of the position: neither a commit nor the tallies have one."""
    shortened: bool = False
    """Whether the ledger lost rows."""

    def accepts(self, kept: Settled) -> bool:
        """Whether what a store has settled is of this ledger and this topic, and the topic was not cut off since."""
        same_topic = kept.topic_id == self.topic_id or None in (kept.topic_id, self.topic_id)
        is_left = self.end is None or kept.covered.end <= self.end
        return kept.ledger == self.ledger and same_topic and is_left and not self.anew and not self.shortened


@dataclass(frozen=True, slots=True)
class Noted:
    """What is settled once the checkpoint that drained with it is acknowledged."""

    covered: OffsetRanges
    store: int
    """Of which store: see `WaitingEvaluations.mark`."""
    owes: bool
    progress: Mapping[str, SourceReach]
    """By source topic."""


class WaitingPartition:
    """One owned partition.

    Args:
        partition: its number.
        shard: its rows.
        kept: what the store has settled of it; None if nothing.
        unread: whether the store is away, so that `kept` is not known yet.
    """

    __slots__ = (
        "_floor",
        "_note_from",
        "_places",
        "_unread",
        "begun",
        "covered",
        "found",
        "kept",
        "owed",
        "partition",
        "progress",
        "report",
        "settled",
        "shard",
    )

    def __init__(self, partition: int, shard: Shard, kept: Settled | None, *, unread: bool = False) -> None:
        self.partition = partition
        self.shard = shard
        self.kept = kept
        self.begun = False
        """Whether it is restored: `covered` and `settled` are of its ledger and its topic."""
        self.covered = NOTHING
        self.settled = Settled("", None)
        self.owed: dict[str, StorePlace | None] = {}
        """Items that are still to be looked up, each from a place in the store on; None: from the beginning."""
        self.found: deque[Record] = deque()
        """Records that were looked up, and are still to be merged."""
        self.report = WaitingReport()
        """What its checkpoint markers report."""
        self.progress: Mapping[str, SourceReach] | None = None
        """By source topic, as of the last acknowledged checkpoint at which nothing was owed."""
        self._unread = unread
        self._places: list[Continuation] = []
        """Where it was restored since the store was last read."""
        self._floor = 0
        # A store without positions of this partition has nothing that is covered: the rebuild merges what is known.
        self._note_from = None if kept is None else kept.adopted_to

    @property
    def owes(self) -> bool:
        """Whether an item is known, and what waits for it may not be merged yet."""
        return bool(self.owed or self.found) or self._unread

    def gaps(self, position: int) -> OffsetRanges:
        """What the store lacks of the events below the processed position."""
        return self.covered.missing(0, position)

    # ---- restore

    def replayed(self, records: Sequence[Record]) -> None:
        """Note the items of records of the ledger that this store may not have been asked for."""
        note_from = self._note_from
        if note_from is None or not records or records[-1].offset < note_from:
            return
        for record in records:
            if record.offset >= note_from and record.key is not None and record.key[2:3] in _PEOPLE:
                # What is no row makes no item known.
                with contextlib.suppress(ValueError):
                    self.owed[identity(record.key)[2]] = None

    def reread(self, kept: Settled | None, *, away: bool) -> None:
        """The store was replaced, is away or is back, before the ledger was read."""
        self.kept = kept
        self._unread = self._unread or away

    def begin(self, place: Continuation, kept: Settled | None, *, away: bool) -> bool:
        """The ledger is read.

        Args:
            place: where the partition continues.
            kept: what the store has settled, of this ledger and this topic.
            away: whether the store is away.

        Returns:
            Whether all known items are owed now.
        """
        self.begun = True
        # Before it nothing waits: everything is in the ledger.
        self._floor = place.start if place.old else 0
        adopted_to = place.ledger_next if kept is None else kept.adopted_to
        self.settled = Settled(place.ledger, place.topic_id, NOTHING, adopted_to)
        # From now on, what is replayed was written by somebody else.
        self._note_from = 0
        return self.store_changed(kept, away=away)

    def restored_at(self, place: Continuation) -> None:
        """Note where it continues, for a store that can only be read later."""
        if self._unread:
            self._places.append(place)

    def accepts(self, kept: Settled) -> bool:
        """Whether what a store has settled that is back is of this ledger and this topic."""
        settled = self.settled
        same_topic = kept.topic_id == settled.topic_id or None in (kept.topic_id, settled.topic_id)
        return kept.ledger == settled.ledger and same_topic and all(place.accepts(kept) for place in self._places)

    def sweep_all(self) -> None:
        """Owe all known items: it is not known which of them the store was asked for."""
        self.owed.update(dict.fromkeys(self.shard.known_items))

    def forget_owed(self) -> None:
        """Owe nothing: the store has no rows of this partition."""
        self.owed.clear()
        self.found.clear()

    # ---- the store was replaced, is away or is back

    def store_changed(self, kept: Settled | None, *, away: bool) -> bool:
        """What was covered by the store before does not count for this one.

        Args:
            kept: what this store has settled, of this ledger and this topic.
            away: whether the store is away.

        Returns:
            Whether all known items are owed now.
        """
        read = self._unread and not away
        if read:
            self._unread = False
            self.sweep_all()
            adopted_to = 0 if kept is None else kept.adopted_to
            self.settled = replace(self.settled, adopted_to=min(adopted_to, self.settled.adopted_to))
        if not away:
            self._places.clear()
        self._cover_again(kept)
        return read

    def _cover_again(self, kept: Settled | None) -> None:
        covered = NOTHING if kept is None else kept.covered
        self.covered = covered.with_interval(0, self._floor)
        self.settled = replace(self.settled, covered=self.covered)

    # ---- checkpoints

    def note(self, store: int, progress: Mapping[str, SourceReach]) -> Noted:
        """Take what the acknowledgement of this moment's checkpoint settles."""
        return Noted(self.covered, store, self.owes, progress)

    def settle(self, noted: Noted, store: int, ledger_next: int) -> None:
        """The checkpoint is acknowledged, and the ledger ends at `ledger_next`."""
        if not noted.owes:
            # What is owed must not expire before it is looked up.
            self.progress = noted.progress
        self.settled = replace(
            self.settled,
            covered=noted.covered if noted.store == store else self.settled.covered,
            adopted_to=self.settled.adopted_to if noted.owes else ledger_next,
        )
