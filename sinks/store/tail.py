"""One partition's tail: which facts and tallies become visible together. Pure; the reader feeds it, the store
applies.

Tallies wait until their `marker`; a `marker` waits until the ledger was read up to its position. Then
everything that belongs to it goes to the store as one `Step`: facts below the position, tallies, positions.
So the store never holds half a checkpoint.

Who may speak: only records of the current ledger id, which the newest claim on the ledger tells, and only
positions that are not below any that was read before. So a zombie, whose positions lie below its successor's
claim, never wins: it cannot even close what its successor has begun to publish. And a `marker` speaks only where its
writer meant it to stand: what a zombie published in between is not mixed with what its successor adds.

A tail that resumed in the middle of a log cannot tell a new ledger from a zombie of a lost one. When it meets
another ledger id it asks to be restarted from the beginning of both logs, once; from there the claims tell. Unless
the logs are made anew under the tail, and the new ones are at least as long as what was read of the old: then its
claim was never read. So a `marker` of a ledger without a claim asks for a restart too, once for each ledger.
"""

from collections import deque
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import msgspec
import orjson

from aggregator import tallies
from aggregator.tallies import CheckpointMarker, TallyGroup
from streams.ledger.claim import CLAIM_KEY, SCHEMA, parse_claim


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """A ledger row as it was read."""

    position: int
    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class StampedTally:
    """A tally: the position that it is the fold of, and its payload as JSON without the stamp."""

    position: int
    payload: bytes


# The same few are published again with every checkpoint.
_group: Final = lru_cache(maxsize=4096)(tallies.parse_key)

_Read = dict[TallyGroup, tuple[int, bytes]]
"""Tallies as they were read: position and value by group. Most are followed by a newer one before they are applied."""


@dataclass(frozen=True, slots=True)
class Step:
    """All that becomes visible with one `marker`: the facts below its position, its tallies, and where to go
    on.

    `anew`: the facts are those of a whole other log, so the rows that the store holds of this partition go.
    """

    partition: int
    marker: CheckpointMarker
    facts: list[LedgerRow]
    tallies: dict[TallyGroup, StampedTally]
    tallies_next: int
    anew: bool


@dataclass(slots=True)
class _Segment:
    marker: CheckpointMarker
    tallies: _Read
    tallies_next: int


@dataclass(slots=True)
class _Ledger:
    """What was read of one ledger id: tallies after the last `marker`, and closed ones that wait for the
    facts.

    `floor` is the highest position so far: whatever is below it comes late, from a predecessor. `policy` is that of
    the open tallies.
    """

    floor: int
    policy: str | None = None
    open: _Read = field(default_factory=dict)
    segments: deque[_Segment] = field(default_factory=deque)


class Tail:
    """Reads one partition of facts and tallies, and says what may become visible.

    Args:
        partition: the partition.
        ledger: id of the ledger of which the store holds this partition, None when it holds nothing.
        position: the position of the last applied `marker`, 0 when there is none.
        facts_next: the ledger offset where reading goes on; None when both logs are read from their
            beginning.
        unclaimed: the `unclaimed` of the tail that asked for a restart.

    Attributes:
        ledger: the current ledger id, None until it is known.
        facts_next: the next ledger offset to read.
        restart: this tail met another ledger id; a new one must read both logs from their beginning.
        unclaimed: ledgers whose claim was looked for by reading from the beginning. That of a lost ledger is gone.
    """

    def __init__(
        self,
        partition: int,
        ledger: str | None = None,
        position: int = 0,
        facts_next: int | None = None,
        unclaimed: frozenset[str] = frozenset(),
    ) -> None:
        self.partition = partition
        self.facts_next = facts_next or 0
        self.restart = False
        self.unclaimed = unclaimed
        self._claimed: set[str] = set()
        self._resumed = facts_next is not None
        self._stored = ledger
        self._position = position
        # When read from the beginning the claims tell: what the store holds may be of another log.
        self.ledger = ledger if self._resumed else None
        self._anew = ledger is not None and not self._resumed
        self._facts: deque[LedgerRow] = deque()
        self._ledgers: dict[str, _Ledger] = {}

    @property
    def waiting(self) -> int:
        """Facts in memory that no `marker` has reached."""
        return len(self._facts)

    def fact(self, position: int, key: bytes, value: bytes) -> None:
        """A record of the ledger. Raises ValueError for a claim that is none, or of a later release."""
        self.facts_next = position + 1
        if key != CLAIM_KEY:
            self._facts.append(LedgerRow(position, key, value))
            return
        claim = parse_claim(value)
        if claim.schema > SCHEMA:
            raise ValueError(f"the ledger has schema {claim.schema}, this release knows {SCHEMA} at most")
        self._claimed.add(claim.ledger)
        if claim.ledger != self.ledger:
            self._ledgers.pop(self.ledger or "", None)
            self.ledger = claim.ledger
            self.restart = self._resumed

    def tally(self, offset: int, key: bytes, value: bytes) -> None:
        """A record of the tallies. Raises ValueError when it is none."""
        stamp = tallies.parse_stamp(value)
        if self._resumed and stamp.ledger != self.ledger:
            self.restart = True
        read = self._ledgers.get(stamp.ledger)
        if read is None:
            floor = self._position if stamp.ledger == self._stored else 0
            read = self._ledgers[stamp.ledger] = _Ledger(floor)
        if stamp.position < read.floor:
            return
        read.floor = stamp.position
        if stamp.policy != read.policy:
            # What a predecessor left open counts under another policy; its successor publishes all of it again.
            read.policy = stamp.policy
            read.open = {}
        if key != tallies.MARKER_KEY:
            read.open[_group(key)] = stamp.position, value
            return
        marker = orjson.loads(value)
        if tallies.in_place(marker, offset):
            read.segments.append(_Segment(marker, read.open, offset + 1))
            read.open = {}

    def skip_to(self, facts_next: int) -> None:
        """The ledger was read up to here: offsets without records (compacted, control batches) count as
        read.
        """
        self.facts_next = max(self.facts_next, facts_next)

    def spool(self) -> list[LedgerRow]:
        """Facts that wait, for the store to keep them instead of the memory."""
        facts = list(self._facts)
        self._facts.clear()
        return facts

    def step(self) -> Step | None:
        """What may become visible now; several `marker` are one step. None when there is nothing. Raises ValueError for
        a tally whose payload is none.
        """
        read = None if self.restart or self.ledger is None else self._ledgers.get(self.ledger)
        changed: _Read = {}
        last: _Segment | None = None
        while read and self._reached(read):
            last = read.segments.popleft()
            changed.update(last.tallies)
        if last is None:
            self._seek_claims()
            return None
        facts: list[LedgerRow] = []
        while self._facts and self._facts[0].position < last.marker["position"]:
            facts.append(self._facts.popleft())
        anew = self._anew and self.ledger != self._stored
        self._anew = False
        return Step(self.partition, last.marker, facts, _stamped(changed), last.tallies_next, anew)

    def _reached(self, read: _Ledger) -> bool:
        return bool(read.segments) and read.segments[0].marker["position"] <= self.facts_next

    def _seek_claims(self) -> None:
        """Ask for a restart when a ledger closed whose claim must lie in what was read, and did not."""
        known = self._claimed | self.unclaimed | {self.ledger}
        lacking = {ledger for ledger, read in self._ledgers.items() if ledger not in known and self._reached(read)}
        if lacking:
            self.restart = True
            self.unclaimed |= lacking


def _stamped(read: _Read) -> dict[TallyGroup, StampedTally]:
    # Not orjson: it keeps 4 KiB for each result, however short.
    return {
        group: StampedTally(position, msgspec.json.encode(tallies.parse_payload(value)))
        for group, (position, value) in read.items()
    }
