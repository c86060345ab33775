"""The published tallies of one partition, as restore and audit compare them with the rows of the ledger."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from aggregator.shard import Shard
from aggregator.tallies import (
    MARKER_KEY,
    CheckpointMarker,
    Payload,
    SourcePosition,
    empty,
    is_key,
    parse_key,
    parse_payload,
)
from aggregator.tallies_log import LedgerTallies, TalliesReader
from streams.kafka.batches import Record
from streams.ledger.passed_over import PassedOver

_SKEW_MS: Final = 5_000


class Published(TalliesReader):
    """The last record of each tally of one ledger id.

    A view ignores late records as long as the records before them are in the log. Compaction removes those, so a tally
    whose last record is late must be published again; so must a tally that a change of policy dropped.

    Args:
        ledger: the ledger id; records of any other are only counted.
        ledger_end: the end of the ledger as predecessors left it, for `sources`; None where that is not asked.
    """

    def __init__(self, ledger: str | None, ledger_end: int | None = None) -> None:
        super().__init__()
        self._ledger = self.ledgers[ledger or ""] = LedgerTallies(ledger or "")
        self._closed: dict[bytes, tuple[str, bytes] | None] = {}
        self._ledger_end = ledger_end
        self._timestamp = 0
        self.records = 0
        """Number of valid records read, of any ledger id."""
        self.marker: CheckpointMarker | None = None
        """The checkpoint marker with the highest position whose rows are in the ledger."""
        self.complete = 0
        """The time in milliseconds up to which such markers state that the partition is complete; 0 without one."""
        self.passed_over = PassedOver()
        """Records that are invalid, so that no reader counts them."""

    @property
    def ledger(self) -> str:
        """The ledger id."""
        return self._ledger.id

    @property
    def highest(self) -> int:
        """The highest position that a record names."""
        return self._ledger.highest

    @property
    def exceed_ledger(self) -> bool:
        """Whether they were made from rows that the ledger no longer has."""
        return self._ledger_end is not None and self.highest > self._ledger_end

    @property
    def sources(self) -> Mapping[str, SourcePosition] | None:
        """By source topic, how far the rows of the ledger are the fold of its events; None without a marker.

        From the marker of the highest position, as far as the ledger has its rows. A marker need not be in place: its
        writer had the acknowledgements of its rows.
        """
        return None if self.marker is None else self.marker["sources"]

    def read(self, records: Sequence[Record]) -> None:
        """Read the next records. Bytes that are invalid raise no error."""
        for record in records:
            key, value = record.key, record.value
            self._timestamp = record.timestamp
            try:
                if key is None or value is None:
                    raise ValueError("no key" if key is None else "null value")
                self.tally(record.offset, key, value)
            except ValueError as error:
                self.passed_over.add(record.offset, key, error)
                if key is not None:
                    self._publish_again(key)
            else:
                self.records += 1

    def on_marker(self, ledger: LedgerTallies, marker: CheckpointMarker) -> None:
        """Keep the one with the highest position whose rows are in the ledger."""
        if (
            ledger is self._ledger
            and (self._ledger_end is None or marker["position"] <= self._ledger_end)
            and (self.marker is None or marker["position"] >= self.marker["position"])
        ):
            self.marker = marker
            # A marker from after its record was appended is of a worker whose clock was wrong.
            if not 0 < self._timestamp < marker["at"] - _SKEW_MS:
                self.complete = max(self.complete, marker["at"])

    def on_late(self, ledger: LedgerTallies, key: bytes) -> None:
        """The tally must be published again."""
        if ledger is self._ledger:
            self._publish_again(key)

    def on_policy_change(self, ledger: LedgerTallies) -> None:
        """The dropped tallies must be published again."""
        if ledger is self._ledger:
            self._closed.update(dict.fromkeys(ledger.open))

    def on_close(self, ledger: LedgerTallies, marker: CheckpointMarker, offset: int) -> None:
        """Keep the closed tallies."""
        del marker, offset
        if ledger is self._ledger:
            self._closed.update(self._open())

    def _publish_again(self, key: bytes) -> None:
        """Compaction would keep a record that readers ignore."""
        if key != MARKER_KEY:
            self._ledger.open.pop(key, None)
            self._closed[key] = None

    def _open(self) -> dict[bytes, tuple[str, bytes]]:
        policy = self._ledger.policy or ""
        return {key: (policy, value) for key, (_, value) in self._ledger.open.items()}

    def tallies(self) -> dict[bytes, tuple[str, Payload] | None]:
        """Policy and payload by key, open tallies included; None where the tally must be published again."""
        return dict(filter(None, self.parsing()))

    def parsing(self) -> Iterator[tuple[bytes, tuple[str, Payload] | None] | None]:
        """As `tallies`, in steps; None for a step without one."""
        last = self._closed | self._open()
        for key, kept in last.items():
            yield (key, None if kept is None else _parsed(key, *kept)) if is_key(key) else None


def _parsed(key: bytes, policy: str, value: bytes) -> tuple[str, Payload] | None:
    """Policy and payload; None for an invalid payload."""
    try:
        return policy, parse_payload(parse_key(key).group, value)
    except ValueError:
        return None


def comparing(shard: Shard, published: Published) -> Iterator[None]:
    """Touch every tally that differs from what is published, in steps."""
    policy = shard.policy.value
    yield from shard.settling()
    # Replay touched every tally, and most are published already.
    for _ in shard.counts.draining():
        yield
    tallies: dict[bytes, tuple[str, Payload] | None] = {}
    for last in published.parsing():
        if last is not None:
            tallies[last[0]] = last[1]
        yield
    for tally in shard.counts.tallying():
        if tally is not None and tallies.pop(tally[0], None) != (policy, tally[1]):
            shard.touch(tally[0])
        yield
    for key, kept in tallies.items():
        # Emptied under another policy is not enough: readers drop what that predecessor did not close.
        if kept != (policy, empty(parse_key(key).group)):
            shard.touch(key)
        yield
