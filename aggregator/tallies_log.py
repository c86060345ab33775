"""The rules by which every reader of the tallies log decides which records of a partition count.

A partition has one owner at a time, but a worker that lost it may still append for a moment. These rules make what it
writes harmless:

- Ledger id: a record belongs to the ledger that its stamp names. Records of different ledgers are read apart.
- Late records: a record whose position is below the highest position read before it is late, so a predecessor wrote
  it. Readers ignore it.
- Policy change: a tally is open until a checkpoint marker closes it. The first record of another policy drops all open
  tallies; the successor that changed the policy publishes every tally again.
- Marker in place: a marker closes the open tallies only at the offset that its writer states in it. At another
  offset, somebody else's records lie in between, or records before it are missing.

Readers are the worker (`streams.ledger.published`, for restore and audit) and the view (`sinks.store.tail`).
"""

import msgspec

from aggregator.tallies import MARKER_KEY, CheckpointMarker, parse_marker, parse_stamp


class LedgerTallies(msgspec.Struct, eq=False):
    """What was read of one ledger id."""

    id: str
    """The ledger id."""
    highest: int = 0
    """The highest position read so far."""
    policy: str | None = None
    """The policy of the last record that was not late, and so of all open tallies."""
    open: dict[bytes, tuple[int, bytes]] = {}
    """Position and value, by key, of each tally that no marker has closed."""


class TalliesReader:
    """Reads the tallies log of one partition, record by record. Subclasses keep what they need in the `on_` methods."""

    def __init__(self) -> None:
        self.ledgers: dict[str, LedgerTallies] = {}
        """What was read, by ledger id."""

    def tally(self, offset: int, key: bytes, value: bytes) -> None:
        """Read the record at this offset. Raises ValueError, and changes nothing, when its value has no valid stamp, or
        is that of a marker and invalid.
        """
        stamp = parse_stamp(value)
        marker = parse_marker(value) if key == MARKER_KEY else None
        ledger = self.ledgers.get(stamp.ledger)
        if ledger is None:
            ledger = self.ledgers[stamp.ledger] = self.on_ledger(stamp.ledger)
        if marker is not None:
            self.on_marker(ledger, marker)
        if stamp.position < ledger.highest:
            self.on_late(ledger, key)
            return
        ledger.highest = stamp.position
        if stamp.policy != ledger.policy:
            self.on_policy_change(ledger)
            ledger.policy = stamp.policy
            ledger.open = {}
        if marker is None:
            ledger.open[key] = stamp.position, value
            return
        if in_place(marker, offset):
            self.on_close(ledger, marker, offset)
            ledger.open = {}

    def on_ledger(self, id: str) -> LedgerTallies:
        """The first record of a ledger id is read; returns the ledger to read it into."""
        return LedgerTallies(id)

    def on_marker(self, ledger: LedgerTallies, marker: CheckpointMarker) -> None:
        """A marker is read, which may be late or not in place."""

    def on_late(self, ledger: LedgerTallies, key: bytes) -> None:
        """A record with this key is late."""

    def on_policy_change(self, ledger: LedgerTallies) -> None:
        """The policy changes: the open tallies are about to be dropped."""

    def on_close(self, ledger: LedgerTallies, marker: CheckpointMarker, offset: int) -> None:
        """A marker in place is read at this offset: it closes the open tallies."""


def in_place(marker: CheckpointMarker, offset: int) -> bool:
    """Whether a marker found at this offset is where its writer meant it to be. Release 0.1.0 did not state it."""
    return marker.get("offset", offset) == offset
