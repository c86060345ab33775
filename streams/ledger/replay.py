"""Replays a ledger partition into a shard, and decides on the records that are no rows.

Only workers write to the ledger, but a tool can delete a record, or another program can write one. As in compaction,
the last record of a key decides. So a record that is no row does no harm as long as the row of its key is known:

- A null value, or an invalid one: the row of the key is written again, if another record still has it.
- An invalid value where no record has a row of its key: the row may be lost. The record is `damaged` until a later
  record of its key is a row or a null value.
- A key that no row can have, and an invalid claim: passed over, because no row is lost with it.
- Records of which not even the key can be read: rows may be lost, and they stay `unreadable` as long as they are in
  the log.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import islice
from operator import itemgetter
from typing import Final

from aggregator.shard import Shard
from streams.kafka.batches import Record, UnreadableRecords
from streams.ledger.claim import CLAIM_KEY, Claim, parse_claim
from streams.ledger.passed_over import NAMED, PassedOver, listed

MAX_DAMAGED: Final = 10_000
"""Most damaged records that are kept, and that `--accept-loss` gives up. More are not a stray writer's."""


class LedgerReplay:
    """What was read of one ledger partition. Bytes that are invalid raise no error.

    Args:
        shard: takes the rows.
    """

    def __init__(self, shard: Shard) -> None:
        self._shard = shard
        self.claim: Claim | None = None
        """The last valid claim."""
        self.waited = False
        """Whether evaluations wait outside of this ledger: a worker that lets them wait claimed it before this one."""
        self.own_claims: set[int] = set()
        """Offsets of the claims of this worker's process."""
        self.passed_over = PassedOver()
        """Records that are no rows."""
        self.damaged: dict[bytes, str] = {}
        """By key, the description of an invalid record whose row is not known; at most `MAX_DAMAGED` + 1."""
        self.foreign: list[int] = []
        """Offsets of rows after a claim whose producer has written no claim: no worker's, but they count."""
        self._claimants: set[int | None] = set()
        self.unreadable = PassedOver()
        """Records of which not even the key can be read."""

    def read(self, records: Sequence[Record], producers: Sequence[tuple[int, int | None]] = ()) -> None:
        """Read the next records.

        Args:
            records: of one fetch.
            producers: first offset and producer id of the record batches that they are in.
        """
        replay, damaged = self._shard.replay, self.damaged
        # Nearly always the producer of the last claim alone.
        strange = any(producer not in self._claimants for _, producer in producers)
        for record in records:
            key, value = record.key, record.value
            try:
                if key is None or value is None:
                    raise ValueError("no key" if key is None else "null value")
                if key == CLAIM_KEY:
                    claim = parse_claim(value)
                    self.claim = claim
                    self.waited |= claim.waits and record.offset not in self.own_claims
                    self._claimants.add(_producer_of(record.offset, producers))
                    continue
                replay(key, value)
            except ValueError as error:
                self._pass_over(record, error)
            else:
                if damaged:
                    damaged.pop(key, None)
                # Before the first claim that is left, compaction may have removed the claims of the rows.
                if strange and self.claim and _producer_of(record.offset, producers) not in self._claimants:
                    self.foreign.append(record.offset)

    def rewrite(self, records: Sequence[Record]) -> None:
        """Second pass: a record that is the row of a key in `Shard.needs_rewrite` becomes dirty."""
        shard = self._shard
        for record in records:
            if record.value is not None and record.key in shard.needs_rewrite:
                try:
                    shard.repair(record.key, record.value)
                except ValueError:
                    # The first pass passed over it.
                    continue

    @property
    def losses(self) -> int:
        """Number of records whose rows may be lost."""
        return len(self.damaged) + self.unreadable.count

    def describe_losses(self) -> str:
        """Describe the records whose rows may be lost."""
        named = [*islice(self.damaged.values(), NAMED), *self.unreadable.named]
        return listed(named[:NAMED], self.losses)

    def give_up(self) -> list[bytes]:
        """Forget the records whose rows may be lost; returns the keys that then need a null value."""
        keys = list(self.damaged)
        self.damaged.clear()
        self.unreadable.take()
        return keys

    def _pass_over(self, record: Record, error: ValueError) -> None:
        if isinstance(record, UnreadableRecords):
            self.unreadable.add(record.offset, None, record.detail, record.count)
            return
        described = self.passed_over.add(record.offset, record.key, error)
        key = record.key
        if key is None or key == CLAIM_KEY:
            return
        try:
            known = self._shard.hide(key)
        except ValueError:
            return
        if known or record.value is None:
            self.damaged.pop(key, None)
        elif len(self.damaged) <= MAX_DAMAGED:
            self.damaged[key] = described


def _producer_of(offset: int, producers: Sequence[tuple[int, int | None]]) -> int | None:
    """The producer id of the record batch with this offset."""
    index = bisect_right(producers, offset, key=itemgetter(0))
    return producers[index - 1][1] if index else None
