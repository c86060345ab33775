"""The tail of one partition: which facts and tallies become visible together.

Pure: the reader feeds it records, the store applies its steps. Tallies wait for the checkpoint marker that closes
them, and a marker waits until the ledger is read up to its position. Then everything that belongs to it becomes one
`Step`: facts below the position, tallies, positions. So the store never holds half a checkpoint.

`aggregator.tallies_log` has the rules by which records of the tallies log count. The current ledger id is the one of
the newest claim on the ledger. A worker that lost the partition writes below its successor's claim, so its records are
late, and its markers close nothing.

A tail that resumed in the middle of a log cannot tell a new ledger from a lost one. When it reads another ledger id, it
asks once to be restarted from the beginning of both logs, where it reads the claims. When both logs were deleted and
created again and the new ones are at least as long as what was read of the old ones, the tail never reads the new
claim. So a marker of a ledger without a claim asks for a restart too, once for each ledger.

A record that no worker writes (a tombstone, garbage, a tally that is not valid) never raises. The last record of a key
decides, and whether its worker knows of it:

- A tally that is invalid holds every later checkpoint back, until a valid record of its key follows.
- A key that is not a tally's, and a deleted tally, hold checkpoints back until a marker follows that states its own
  offset. The worker that wrote it had read the log to its end, and goes on: the first is passed over, the second counts
  nothing.
- A ledger record that is not a row is passed over when a marker beyond it is reached. A worker that appends beyond a
  foreign record has restored from the ledger with it.

`problem` has the reason meanwhile. Checkpoints before the invalid record still become visible.
"""

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import msgspec

from aggregator import tallies
from aggregator.facts import parse
from aggregator.tallies import MARKER_KEY, CheckpointMarker, TallyKey
from aggregator.tallies_log import LedgerTallies, TalliesReader
from streams.ledger.claim import CLAIM_KEY, check_schema, parse_claim


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """A ledger row as it was read."""

    position: int
    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class StampedTally:
    """A tally as the store takes it."""

    position: int
    """The ledger position whose fold it is."""
    payload: bytes
    """Its payload as JSON, without the stamp."""


# Every checkpoint publishes the same few groups again.
_key: Final = lru_cache(maxsize=4096)(tallies.parse_key)

_Read = dict[bytes, tuple[int, bytes | None]]
"""Position and value by key. They are parsed when they are applied: most are replaced by a newer one before."""

_SHOWN: Final = 200
"""Most bytes of an invalid record that a message shows."""


@dataclass(frozen=True, slots=True)
class Step:
    """All that becomes visible together."""

    partition: int
    marker: CheckpointMarker
    facts: list[LedgerRow]
    """Facts below the position of the marker."""
    tallies: dict[TallyKey, StampedTally]
    tallies_next: int
    """The offset where reading of the tallies goes on."""
    replaces_rows: bool
    """Whether the facts are those of another log, so that the store must drop the rows it has of this partition."""
    appended: int | None = None
    """The broker's timestamp of the marker's record in milliseconds; None when the broker has none."""
    passed_over: Sequence[str] = ()
    """Invalid records that the worker has read and gone on from, in words."""

    @property
    def complete(self) -> int:
        """Time up to which the partition is complete: what its worker states, but not later than the broker's clock."""
        at = self.marker["at"]
        return at if self.appended is None else min(at, self.appended)


@dataclass(slots=True)
class _Segment:
    """Closed tallies that wait for the facts of their marker."""

    marker: CheckpointMarker
    tallies: _Read
    tallies_next: int
    appended: int | None
    held: bool = False
    """Whether it is known to have an invalid tally."""

    @property
    def knows(self) -> bool:
        """Whether its worker had read every record before it (release 0.1.0 did not state the offset)."""
        return "offset" in self.marker

    def after(self, earlier: "_Segment | None") -> "_Segment":
        """Both as one checkpoint."""
        read = self.tallies if earlier is None else {**earlier.tallies, **self.tallies}
        return _Segment(self.marker, read, self.tallies_next, self.appended)


class Tail(TalliesReader):
    """Reads one partition of facts and tallies, and makes steps of what may become visible.

    Args:
        partition: the partition.
        ledger: id of the ledger of which the store has this partition; None when the store has nothing of it.
        position: the position of the last applied marker, 0 before the first.
        facts_next: the ledger offset where reading goes on; None when both logs are read from their beginning.
        unclaimed: the `unclaimed` of the tail that asked for a restart.
    """

    def __init__(
        self,
        partition: int,
        ledger: str | None = None,
        position: int = 0,
        facts_next: int | None = None,
        unclaimed: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__()
        self.partition = partition
        self.facts_next = facts_next or 0
        """The next ledger offset to read."""
        self.timestamp: int | None = None
        """The broker's timestamp of the tallies record that is being read, in milliseconds."""
        self.restart = False
        """Whether a new tail must read both logs from their beginning, because this one read another ledger id."""
        self.unclaimed = unclaimed
        """Ledgers whose claim was looked for by reading from the beginning. The claim of a lost ledger is gone."""
        self._claimed: set[str] = set()
        self._resumed = facts_next is not None
        self._stored = ledger
        self._position = position
        self.ledger = ledger if self._resumed else None
        """The current ledger id; None until a claim is read: the rows of the store may be those of another log."""
        self._replacing = ledger is not None and not self._resumed
        self._facts: deque[LedgerRow] = deque()
        self._inspected = 0
        self._unread_facts: deque[tuple[int, str]] = deque()
        """Position of each ledger record that is not a row, and why, which no marker has reached."""
        self._unread: dict[bytes, tuple[int, bytes | None, str]] = {}
        """Offset, value and why, by key, of each record of the tallies that has no valid stamp, and that no step passed
        over.
        """
        self._closed_to: defaultdict[str, int] = defaultdict(int)
        """Offset after the last marker, by ledger id."""
        self._late = False
        self._held: str | None = None
        """Why checkpoints are held back."""
        self._segments: dict[str, deque[_Segment]] = defaultdict(deque)

    @property
    def highest(self) -> int:
        """The highest position of the current ledger's tallies, 0 when none was read."""
        read = self.ledgers.get(self.ledger or "")
        return 0 if read is None else read.highest

    @property
    def waiting(self) -> int:
        """Number of facts in memory that no marker has reached."""
        return len(self._facts)

    @property
    def problem(self) -> str | None:
        """Why nothing newer may become visible, in words; None while nothing is known to be wrong."""
        if self._held is not None:
            return self._held
        closed_to = self._closed_to[self.ledger or ""]
        for offset, why in ((at, why) for at, _, why in self._unread.values() if at >= closed_to):
            return f"invalid record at offset {offset} of the tallies: {why}"
        for position, why in self._unread_facts:
            return f"invalid record at offset {position} of the ledger: {why}"
        return None

    def fact(self, position: int, key: bytes | None, value: bytes | None) -> None:
        """Read a record of the ledger. Raises FatalError for the claim of a newer release."""
        self.facts_next = position + 1
        if key is None or value is None:
            self._unread_facts.append((position, f"it has no {'key' if key is None else 'value'}"))
        elif key != CLAIM_KEY:
            self._facts.append(LedgerRow(position, key, value))
        else:
            self._claim(position, value)

    def _claim(self, position: int, value: bytes) -> None:
        try:
            claim = parse_claim(value)
        except ValueError as error:
            self._unread_facts.append((position, f"invalid claim: {error}"))
            return
        check_schema(claim, f"ledger partition {self.partition}")
        self._claimed.add(claim.ledger)
        if claim.ledger != self.ledger:
            self.ledgers.pop(self.ledger or "", None)
            self._segments.pop(self.ledger or "", None)
            self._held = None
            self.ledger = claim.ledger
            self.restart = self._resumed

    def inspect(self) -> None:
        """Look for invalid rows among the facts that wait in memory. They are parsed only when they are applied, so a
        reader calls this where no marker arrives.
        """
        waiting, self._facts = self._facts, deque()
        for row in waiting:
            try:
                if row.position >= self._inspected:
                    parse(row.key, row.value)
            except ValueError as error:
                self._unread_facts.append((row.position, f"{row.key[:_SHOWN]!r}: {error}"))
            else:
                self._facts.append(row)
        self._inspected = self.facts_next
        self._unread_facts = deque(sorted(self._unread_facts))

    def tally(self, offset: int, key: bytes | None, value: bytes | None) -> None:
        """Read a record of the tallies."""
        self._late = False
        key = b"" if key is None else key
        try:
            if value is None:
                raise ValueError(f"{key[:_SHOWN]!r} was deleted")
            super().tally(offset, key, value)
        except ValueError as error:
            # The value of a key that is not a tally's decides nothing, and there may be many of them.
            self._unread[key] = offset, value if tallies.is_key(key) else None, str(error)
        else:
            if not self._late:
                self._unread.pop(key, None)

    def on_late(self, ledger: LedgerTallies, key: bytes) -> None:
        """A late record does not make up for an invalid one."""
        del ledger, key
        self._late = True

    def on_ledger(self, id: str) -> LedgerTallies:
        """A ledger id other than that of a resumed tail asks for a restart."""
        if self._resumed and id != self.ledger:
            self.restart = True
        return LedgerTallies(id, self._position if id == self._stored else 0)

    def on_close(self, ledger: LedgerTallies, marker: CheckpointMarker, offset: int) -> None:
        """The closed tallies wait for the facts of their marker."""
        # Without a stamp, it is not known of which ledger they are.
        unread: _Read = {
            key: (marker["position"], value)
            for key, (at, value, _) in self._unread.items()
            if at >= self._closed_to[ledger.id] and key != MARKER_KEY
        }
        self._segments[ledger.id].append(_Segment(marker, {**ledger.open, **unread}, offset + 1, self.timestamp))
        self._closed_to[ledger.id] = offset + 1

    def skip_to(self, facts_next: int) -> None:
        """Count ledger offsets below `facts_next` as read: compacted records and control batches leave gaps."""
        self.facts_next = max(self.facts_next, facts_next)

    def spool(self) -> list[LedgerRow]:
        """Take the waiting facts out of memory, for the store to keep."""
        facts = list(self._facts)
        self._facts.clear()
        return facts

    def step(self) -> Step | None:
        """Take what may become visible now, several markers as one step; None when there is nothing."""
        segments = self._segments.get(self.ledger or "")
        reached: list[_Segment] = []
        while segments and not self.restart and self._reached(segments):
            reached.append(segments.popleft())
        if not reached:
            self._seek_claims()
            return None
        assert segments is not None
        last, read, passed_over = self._whole(reached, segments)
        if last is None:
            return None
        position = last.marker["position"]
        facts: list[LedgerRow] = []
        while self._facts and self._facts[0].position < position:
            facts.append(self._facts.popleft())
        while self._unread_facts and self._unread_facts[0][0] < position:
            offset, why = self._unread_facts.popleft()
            passed_over.append(f"offset {offset} of the ledger: {why}")
        self._forget(last.tallies_next)
        replaces_rows = self._replacing and self.ledger != self._stored
        self._replacing = False
        return Step(
            self.partition, last.marker, facts, read, last.tallies_next, replaces_rows, last.appended, passed_over
        )

    def _forget(self, tallies_next: int) -> None:
        """Drop what is invalid below an offset up to which a step was taken: its worker went on from it.

        A ledger that is read too, and has no marker beyond such a record yet, may be the one that it is of.
        """
        if self._unread:
            passed = min(tallies_next, *(self._closed_to.get(id, 0) for id in self.ledgers))
            self._unread = {key: read for key, read in self._unread.items() if read[0] >= passed}

    def _whole(
        self, reached: list[_Segment], waiting: deque[_Segment]
    ) -> tuple[_Segment | None, dict[TallyKey, StampedTally], list[str]]:
        """The longest run of checkpoints after which every tally is valid, as one; its tallies; what is passed over.

        Puts the others back to those that are waiting. None when there is no such run.
        """
        if len(reached) == 1 and reached[0].held:
            waiting.extendleft(reached)
            return None, {}, []
        merged: _Segment | None = None
        for segment in reached:
            merged = segment.after(merged)
        assert merged is not None
        try:
            read, passed_over = stamped(merged.tallies, knows=merged.knows)
        except ValueError as error:
            self._held = str(error)
        else:
            self._held = None
            return merged, read, passed_over
        count = _count_whole(reached)
        held: _Segment | None = None
        for segment in reached[count:]:
            held = segment.after(held)
        assert held is not None
        held.held = True
        waiting.appendleft(held)
        if not count:
            return None, {}, []
        merged = None
        for segment in reached[:count]:
            merged = segment.after(merged)
        assert merged is not None
        return merged, *stamped(merged.tallies, knows=merged.knows)

    def _reached(self, segments: deque[_Segment]) -> bool:
        return bool(segments) and segments[0].marker["position"] <= self.facts_next

    def _seek_claims(self) -> None:
        """Ask for a restart when a marker is reached whose ledger has no claim in what was read."""
        known = self._claimed | self.unclaimed | {self.ledger}
        lacking = {id for id, segments in self._segments.items() if id not in known and self._reached(segments)}
        if lacking:
            self.restart = True
            self.unclaimed |= lacking


def _count_whole(segments: Sequence[_Segment]) -> int:
    """The number of segments in the longest run from the first after which every tally is valid."""
    doubtful: _Read = {}
    count = 0
    for number, segment in enumerate(segments, start=1):
        for key, read in segment.tallies.items():
            doubtful.pop(key, None)
            if not _is_valid({key: read}, knows=False):
                doubtful[key] = read
        if _is_valid(doubtful, knows=segment.knows):
            count = number
    return count


def _is_valid(read: _Read, *, knows: bool) -> bool:
    try:
        stamped(read, knows=knows)
    except ValueError:
        return False
    return True


def stamped(
    read: Mapping[bytes, tuple[int, bytes | None]], *, knows: bool
) -> tuple[dict[TallyKey, StampedTally], list[str]]:
    """Tallies as the store takes them, and what is passed over of what was read, in words.

    Args:
        read: the last record of each key.
        knows: whether the worker whose marker closes them had read them all.

    Raises ValueError for a tally that is invalid, and for what may be passed over only if the worker knows of it.
    """
    taken: dict[TallyKey, StampedTally] = {}
    passed_over: list[str] = []
    for key, (position, value) in read.items():
        try:
            tally = _key(key)
        except ValueError as error:
            if not knows:
                raise
            passed_over.append(f"tallies: {error}")
            continue
        if value is not None:
            try:
                payload = tallies.parse_payload(tally.group, value)
            except ValueError as error:
                raise ValueError(f"invalid tally {key[:_SHOWN].decode(errors='replace')}: {error}") from error
        elif knows:
            payload = tallies.empty(tally.group)
            passed_over.append(f"tallies: {key[:_SHOWN]!r} was deleted, and counts nothing")
        else:
            raise ValueError(f"the tally {key[:_SHOWN].decode(errors='replace')} was deleted")
        # Not orjson: it keeps 4 KiB for each result, however short.
        taken[tally] = StampedTally(position, msgspec.json.encode(payload))
    return taken, passed_over
