"""Decides on partitions whose logs cannot be read correctly: repaired, in quarantine, or continued with a loss.

What concerns one partition puts that partition in quarantine: the worker goes on with its others. `--accept-loss`
continues with what is left. It is bounded, and what was accepted once is not asked again.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Final

from faust.types import TP

from aggregator.ledger_ids import renewed
from streams.engine.partition import OwnedPartition
from streams.engine.start import Start
from streams.kafka.batches import CorruptPartitionError
from streams.ledger.claim import CLAIM_KEY, Claim, check_claim
from streams.ledger.published import Published
from streams.ledger.replay import MAX_DAMAGED
from streams.runtime.exit_codes import ExitCode
from streams.runtime.failures import FatalError

_log = logging.getLogger(__name__)

MAX_FILL: Final = 1_000_000
"""Most claims that a shortened ledger is filled with. Beyond that, its partition gets a new ledger id."""


@dataclass(frozen=True, slots=True)
class Salvage:
    """The decisions of one worker."""

    facts: str
    """Name of the ledger's topic."""
    tallies: str
    """Name of the tallies' topic."""
    partitions: int
    """P, the number of partitions."""
    accept_loss: bool
    pseudonyms: str = ""
    """Fingerprint of the key of annotators' pseudonyms; empty without one."""

    def corrupt(self, owned: OwnedPartition, error: CorruptPartitionError) -> None:
        """Put a partition in quarantine whose log is corrupt on the broker's disk."""
        owned.quarantine(f"{error.why}. Restore the broker's log, for example from a replica, and restart the worker")

    def check_rows(self, partitions: Iterable[OwnedPartition]) -> None:
        """Put partitions in quarantine whose ledger has invalid records instead of rows, unless that is accepted."""
        for owned in partitions:
            replay, where = owned.replay, f"{self.facts}[{owned.partition}]"
            if described := replay.passed_over.take():
                _log.warning("%s: passed over what is no row: %s. Only workers may write there", where, described)
            if not replay.losses or owned.quarantined is not None:
                continue
            loss = f"{where}: no record has the row of {replay.describe_losses()}"
            if len(replay.damaged) > MAX_DAMAGED:
                owned.quarantine(f"{loss}. Load an `export` made with `--skip-unreadable` under a new prefix")
            elif not self.accept_loss:
                owned.quarantine(f"{loss}. Start the worker once with `--accept-loss` to continue without these rows")

    def check_ledgers(self, partitions: Iterable[OwnedPartition], lost: Sequence[OwnedPartition]) -> None:
        """Put partitions in quarantine whose ledger is lost, unless that is accepted.

        If no partition of this worker has a ledger, the topic was deleted: raises FatalError.
        """
        numbers = [owned.partition for owned in lost]
        loss = f"{self.facts} has no claim in partitions {numbers}, but tallies or committed offsets exist"
        if self.accept_loss:
            _log.warning("lost ledger accepted, rebuilding it from the source topics: %s", loss)
        elif all(owned.claim is None for owned in partitions):
            raise FatalError(ExitCode.LEDGER_LOST, loss)
        else:
            for owned in lost:
                owned.quarantine(f"{loss}. {ExitCode.LEDGER_LOST.action}")

    def check_starts(self, claimed: Iterable[OwnedPartition], starts: Mapping[int, int]) -> None:
        """Put partitions in quarantine whose ledger lost its beginning, unless that is accepted.

        Compaction never moves the oldest offset of a partition: a deletion by age or by size does, or an operator.

        Args:
            claimed: partitions whose predecessors' claims are known.
            starts: by partition, the oldest offset that its ledger has.
        """
        for owned in claimed:
            start = starts[owned.partition]
            if owned.claim is None or start <= (owned.claim.start or 0):
                continue
            if owned.claim.start is None:
                _log.warning(
                    "%s[%d] begins at offset %d, and the earlier release that claimed it did not state where it began: "
                    "rows may have been deleted before. From now on a deletion is noticed",
                    self.facts,
                    owned.partition,
                    start,
                )
                continue
            loss = (
                f"{self.facts}[{owned.partition}] begins at offset {start}, it began at {owned.claim.start} when it "
                "was claimed, and compaction does not change that: rows were deleted"
            )
            if self.accept_loss:
                _log.warning("lost rows accepted, continuing with those that are left: %s", loss)
            else:
                owned.quarantine(
                    f"{loss}. Set cleanup.policy=compact. Restore the topic, or start the worker once with "
                    "`--accept-loss` to continue with the rows that are left, and let each view make its store again"
                )

    def check_positions(self, partitions: Sequence[OwnedPartition], starts: Mapping[TP, Start]) -> None:
        """Put partitions in quarantine whose tallies carry a position beyond the end of a source, unless that is
        accepted. Where all do, the topic is not the one that it was, and the restore ends the worker.
        """
        beyond = {tp.partition: f"{tp.topic}[{tp.partition}]: {at.lost}" for tp, at in starts.items() if at.beyond}
        if self.accept_loss or all(owned.partition in beyond for owned in partitions):
            return
        for owned in partitions:
            if (loss := beyond.get(owned.partition)) is not None:
                owned.quarantine(
                    f"{loss}. Another program wrote a checkpoint marker, or the topic lost its end. Restore it, or "
                    "start the worker once with `--accept-loss`: it reads again what the topic has"
                )

    def check_claims(self, partitions: Iterable[OwnedPartition], claimed: Iterable[OwnedPartition]) -> None:
        """Check the claims of predecessors in `claimed`. One that differs from the other partitions' is no worker's.

        Raises FatalError when the claims of all partitions say that this worker must not continue.
        """
        claims = [owned.claim for owned in partitions if owned.claim is not None]
        named_alike = sum(claim.pseudonyms == self.pseudonyms for claim in claims)
        is_foreign = {
            ExitCode.PARTITIONS_CHANGED: any(claim.partitions == self.partitions for claim in claims),
            # Most of them: a worker with a wrong key must write nothing.
            ExitCode.USAGE: 2 * named_alike > len(claims),
        }
        for owned in claimed:
            if owned.claim is None:
                continue
            try:
                check_claim(owned.claim, self.partitions, f"{self.facts}[{owned.partition}]", self.pseudonyms)
            except FatalError as error:
                if not is_foreign.get(error.exit_code, False):
                    raise
                if self.accept_loss:
                    _log.warning("claim replaced: %s", error)
                else:
                    owned.quarantine(f"{error}. Start the worker once with `--accept-loss` to replace this claim")

    def report(self, owned: OwnedPartition, published: Published) -> None:
        """Log which records of the tallies are passed over, and which rows of the ledger no worker wrote.

        The first are published again. The others are valid, so they are counted.
        """
        if foreign := owned.compared(published.marker):
            _log.warning(
                "%s[%d]: %d rows of another program are counted, from offset %d to %d. Only workers may write there",
                self.facts,
                owned.partition,
                len(foreign),
                foreign[0],
                foreign[-1],
            )
        if described := published.passed_over.take():
            where = f"{self.tallies}[{owned.partition}]"
            _log.warning("%s: passed over what is no tally: %s. Only workers may write there", where, described)

    async def outgrow(self, owned: OwnedPartition, highest: int, claim_of: Callable[[str, int | None], Claim]) -> None:
        """Outgrow position `highest`, from which tallies were published, although the ledger ends before it.

        Readers keep what has the higher position, so new rows must come after every published position, or belong to
        another ledger id. That the ledger is too short is accepted first; otherwise the partition is in quarantine.

        Args:
            owned: the partition; this worker is its only writer.
            highest: the position.
            claim_of: makes this worker's claim of a ledger id that begins at an offset.
        """
        ledger, claim = owned.ledger, owned.claim
        assert claim is not None, "only claimed partitions are compared"
        loss = f"{ledger.topic}[{ledger.partition}] ends at {ledger.next}, tallies were published for {highest}"
        if not self.accept_loss:
            owned.quarantine(f"{loss}. {ExitCode.LEDGER_LOST.action}")
        elif highest - ledger.next < MAX_FILL:
            _log.warning("shortened ledger accepted, filling it with claims: %s", loss)
            await ledger.append(repeat((CLAIM_KEY, claim.encode()), highest - ledger.next + 1))
        else:
            renewal = claim_of(renewed(claim.ledger), claim.start)
            _log.warning("shortened ledger accepted, continuing under ledger id %s: %s", renewal.ledger, loss)
            await ledger.append([(CLAIM_KEY, renewal.encode())])
            owned.claimed(renewal)

    async def give_up(self, claimed: Iterable[OwnedPartition]) -> None:
        """Continue without the rows that are lost. By now, that is accepted in every partition with such a loss."""
        for owned in sound(claimed):
            if owned.replay.losses:
                where, described = f"{self.facts}[{owned.partition}]", owned.replay.describe_losses()
                _log.warning("%s: lost rows accepted, continuing without the rows of %s", where, described)
                # The next restore does without them too: as in compaction, the last record of a key decides.
                await owned.ledger.append([(key, None) for key in owned.replay.give_up()])


def sound(partitions: Iterable[OwnedPartition]) -> list[OwnedPartition]:
    """The partitions that are not in quarantine."""
    return [owned for owned in partitions if owned.quarantined is None]
