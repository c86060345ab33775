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
"""

from collections import defaultdict, deque
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import msgspec

from aggregator import tallies
from aggregator.tallies import CheckpointMarker, TallyKey
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

_Read = dict[bytes, tuple[int, bytes]]
"""Position and value by key. They are parsed when they are applied: most are replaced by a newer one before."""


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

    def fact(self, position: int, key: bytes, value: bytes) -> None:
        """Read a record of the ledger.

        Raises ValueError for an invalid claim, FatalError for the claim of a newer release.
        """
        self.facts_next = position + 1
        if key != CLAIM_KEY:
            self._facts.append(LedgerRow(position, key, value))
            return
        claim = parse_claim(value)
        check_schema(claim, f"ledger partition {self.partition}")
        self._claimed.add(claim.ledger)
        if claim.ledger != self.ledger:
            self.ledgers.pop(self.ledger or "", None)
            self._segments.pop(self.ledger or "", None)
            self.ledger = claim.ledger
            self.restart = self._resumed

    def on_ledger(self, id: str) -> LedgerTallies:
        """A ledger id other than that of a resumed tail asks for a restart."""
        if self._resumed and id != self.ledger:
            self.restart = True
        return LedgerTallies(id, self._position if id == self._stored else 0)

    def on_close(self, ledger: LedgerTallies, marker: CheckpointMarker, offset: int) -> None:
        """The closed tallies wait for the facts of their marker."""
        self._segments[ledger.id].append(_Segment(marker, ledger.open, offset + 1, self.timestamp))

    def skip_to(self, facts_next: int) -> None:
        """Count ledger offsets below `facts_next` as read: compacted records and control batches leave gaps."""
        self.facts_next = max(self.facts_next, facts_next)

    def spool(self) -> list[LedgerRow]:
        """Take the waiting facts out of memory, for the store to keep."""
        facts = list(self._facts)
        self._facts.clear()
        return facts

    def step(self) -> Step | None:
        """Take what may become visible now, several markers as one step; None when there is nothing.

        Raises ValueError for a tally whose key or payload is invalid.
        """
        segments = self._segments.get(self.ledger or "")
        changed: _Read = {}
        last: _Segment | None = None
        while segments and not self.restart and self._reached(segments):
            last = segments.popleft()
            changed.update(last.tallies)
        if last is None:
            self._seek_claims()
            return None
        facts: list[LedgerRow] = []
        while self._facts and self._facts[0].position < last.marker["position"]:
            facts.append(self._facts.popleft())
        replaces_rows = self._replacing and self.ledger != self._stored
        self._replacing = False
        return Step(
            self.partition, last.marker, facts, stamped(changed), last.tallies_next, replaces_rows, last.appended
        )

    def _reached(self, segments: deque[_Segment]) -> bool:
        return bool(segments) and segments[0].marker["position"] <= self.facts_next

    def _seek_claims(self) -> None:
        """Ask for a restart when a marker is reached whose ledger has no claim in what was read."""
        known = self._claimed | self.unclaimed | {self.ledger}
        lacking = {id for id, segments in self._segments.items() if id not in known and self._reached(segments)}
        if lacking:
            self.restart = True
            self.unclaimed |= lacking


def stamped(read: _Read) -> dict[TallyKey, StampedTally]:
    """Tallies as the store takes them. Raises ValueError for a key or payload that is invalid."""
    # Not orjson: it keeps 4 KiB for each result, however short.
    return {
        tally_key: StampedTally(position, msgspec.json.encode(tallies.parse_payload(tally_key.group, value)))
        for key, (position, value) in read.items()
        for tally_key in (_key(key),)
    }
