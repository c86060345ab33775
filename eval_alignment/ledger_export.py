"""Reads the ledger, and what waits in the evaluations topic, as events, which `export` writes and `load` accepts.

Rows with the same key are merged by their version: a log may have an older row after the newer one. Deletions are rows
and are exported too.
"""

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

import orjson
from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord

from aggregator.facts import Evaluation, Fact, parse, version
from aggregator.tallies import MARKER_KEY, CheckpointMarker, parse_marker
from streams.events.decoder import KIND_OF, Decoder, Kind
from streams.events.encoder import encode_event
from streams.kafka.client import KafkaClient
from streams.kafka.decide import decide
from streams.kafka.scan import Records, bounds, scan
from streams.kafka.topics import Topics, partition_counts
from streams.ledger.claim import CLAIM_KEY, Claim, parse_claim
from streams.ledger.passed_over import PassedOver
from streams.runtime.errors import EvalAlignmentError
from streams.runtime.exit_codes import ExitCode

if TYPE_CHECKING:
    from streams.kafka.batches import Record

Stored = ConsumerRecord[bytes | None, bytes | None]
OnUnreadable = Callable[[str, Stored, object], None]
"""Takes the topic, the record and the reason."""

_MARKER_WITHIN: Final = 5_000
"""Number of offsets at the end of a tallies partition that are searched for its last checkpoint marker."""


class LedgerError(EvalAlignmentError):
    """An invalid record of the ledger or the tallies; the message names topic, partition and offset."""

    exit_code = ExitCode.FAILED


class JudgePeriods:
    """The first and the last verdict of each judge version of each metric."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, str], Evaluation] = {}
        self._last: dict[tuple[str, str], Evaluation] = {}

    def add(self, evaluation: Evaluation) -> None:
        """Note an evaluation."""
        if evaluation.failed or evaluation.deleted:
            return
        name = evaluation.metric, evaluation.judge
        if evaluation.at < self._first.setdefault(name, evaluation).at:
            self._first[name] = evaluation
        if evaluation.at > self._last.setdefault(name, evaluation).at:
            self._last[name] = evaluation

    def bounds(self) -> Iterator[Evaluation]:
        """These verdicts."""
        for name, first in self._first.items():
            yield first
            if (last := self._last[name]) is not first:
                yield last


@dataclass(slots=True)
class Ledger:
    """The content of a ledger."""

    rows: dict[bytes, tuple[str, bytes]] = field(default_factory=dict)
    """Version and value of each row, by key."""
    missing: list[int] = field(default_factory=list)
    """Partitions whose tallies are ahead of the ledger's end, so that rows are missing."""
    cut: list[int] = field(default_factory=list)
    """Partitions whose ledger lost its beginning since it was claimed, so that rows are missing."""
    unprocessed: int = 0
    """Number of source events that were not processed at the last checkpoint."""
    skipped: dict[str, PassedOver] = field(default_factory=dict)
    """Records that cannot be read, by topic and partition such as `facts[3]`."""
    rebuilding: int = 0
    """Offsets of the evaluations topic that workers read again, as of the last checkpoint markers."""
    others: JudgePeriods = field(default_factory=JudgePeriods)
    """Of the evaluations that an export of a queue leaves out."""

    def items(self) -> set[str]:
        """The items that an annotation or a queue item names, deleted or not. Evaluations of all others wait."""
        return {parse(row, value).item for row, (_, value) in self.rows.items() if row[2:3] not in b"ex"}

    def facts(self, queue: str | None = None) -> Iterator[Fact]:
        """The current rows in the order of their keys.

        With a queue: its annotations and queue items, and the evaluations of their items. The other evaluations are
        noted in `others`: the first and the last verdict of each judge version decide which version is in use, so with
        them the export of a queue counts to the queue's document.
        """
        items: set[str] = set()
        # Evaluations last: by then the items of the queue are known.
        for row in sorted(self.rows, key=lambda row: (row[2:3] in b"ex", row)):
            fact = parse(row, self.rows[row][1])
            if queue is None or (fact.item in items if isinstance(fact, Evaluation) else fact.queue == queue):
                items.add(fact.item)
                yield fact
            elif isinstance(fact, Evaluation):
                self.others.add(fact)


def line(fact: Fact) -> bytes:
    """A fact as a line of an NDJSON file of events."""
    return orjson.dumps({"kind": KIND_OF[type(fact)]})[:-1] + b"," + encode_event(fact)[1:] + b"\n"


async def read_ledger(
    client: KafkaClient, topics: Topics, progress: Callable[[int], object], *, skip_unreadable: bool = False
) -> Ledger:
    """Read the whole ledger; calls `progress` with the number of records read so far.

    A null value, which a tool writes to delete a record, is no row: the row of its key is the last one that is left.

    Args:
        client: where the topics are.
        topics: their names.
        progress: takes the number of records.
        skip_unreadable: pass over the records that cannot be read, instead of raising LedgerError for the first.

    Raises LedgerError, and what `scan` raises.
    """
    ledger = Ledger()

    def unreadable(topic: str, record: Stored, why: object) -> None:
        where = f"{topic}[{record.partition}]"
        if not skip_unreadable:
            raise LedgerError(f"{where} at {record.offset}: {why}. `export --skip-unreadable` writes the other rows")
        ledger.skipped.setdefault(where, PassedOver()).add(record.offset, record.key, why)

    # Workers write rows before tallies. The ledger is read after the tallies, so it must reach their positions.
    markers = await last_markers(client, topics, unreadable)
    claims: dict[int, Claim] = {}
    read = 0

    def fold(_: int, records: Records) -> None:
        nonlocal read
        _merge(ledger, claims, topics.facts, records, unreadable)
        read += len(records)
        progress(read)

    ends = await scan(client, topics.facts, fold)
    starts, _ = await bounds(client, [TopicPartition(topics.facts, partition) for partition in ends])
    # The claim may be gone with the beginning. Of an earlier release's, it is not known where it began.
    begun = {number: claims[number].start if number in claims else 0 for number in ends}
    ledger.cut = sorted(
        tp.partition for tp, start in starts.items() if (before := begun[tp.partition]) is not None and start > before
    )
    for partition, (last, _) in sorted(markers.items()):
        claim = claims.get(partition)
        same = claim is None or claim.ledger == last["ledger"]
        if same and last["position"] > ends.get(partition, 0):
            ledger.missing.append(partition)
        ledger.rebuilding += last.get("waiting", {}).get("rebuilding", 0)
        ledger.unprocessed += sum(max(0, s["end"] - s["position"]) for s in last["sources"].values())
    return ledger


async def read_waiting(
    known: Container[str],
    client: KafkaClient,
    topics: Topics,
    decoder: Decoder,
    *,
    on_evaluation: Callable[[Evaluation], object],
    progress: Callable[[int], object],
) -> int:
    """Read the evaluations of the topic that wait for their item; returns how many there are.

    Workers keep them on their disks, out of the ledger; the topic is their log. They may be many millions, so none is
    kept: one that another replaces is among them. What a worker would reject is left out.

    Args:
        known: the items for which none waits.
        client: where the topics are.
        topics: their names.
        decoder: decides on each event, as a worker does when the item becomes known.
        on_evaluation: takes each.
        progress: takes the number of records read so far.

    Raises what `scan` raises.
    """
    partitions = (await partition_counts(client.settings)).get(topics.evaluations, 0)
    read = waiting = 0

    def each(partition: int, records: Records) -> None:
        nonlocal read, waiting
        for record in records:
            # It has the parts that a decision needs.
            at = cast("Record", record)
            fact = decide(decoder, Kind.EVALUATION, at, partition=partition, partitions=partitions)
            if type(fact) is Evaluation and fact.item not in known:
                waiting += 1
                on_evaluation(fact)
        read += len(records)
        progress(read)

    await scan(client, topics.evaluations, each, committed_only=True)
    return waiting


def raise_unreadable(topic: str, record: Stored, why: object) -> None:
    """Raise LedgerError for a record that cannot be read."""
    raise LedgerError(f"{topic}[{record.partition}] at {record.offset}: {why}")


async def last_markers(
    client: KafkaClient, topics: Topics, unreadable: OnUnreadable = raise_unreadable
) -> dict[int, tuple[CheckpointMarker, int]]:
    """The last checkpoint marker of each partition that has one, with its broker timestamp in milliseconds.

    Calls `unreadable` for a marker that cannot be read, and passes over a null value. Raises what both raise.
    """
    markers: dict[int, tuple[CheckpointMarker, int]] = {}

    def note(_: int, records: Records) -> None:
        for record in records:
            if record.key == MARKER_KEY and record.value is not None:
                try:
                    markers[record.partition] = parse_marker(record.value), record.timestamp
                except ValueError as error:
                    unreadable(topics.tallies, record, error)

    await scan(client, topics.tallies, note, last=_MARKER_WITHIN)
    return markers


def _merge(ledger: Ledger, claims: dict[int, Claim], topic: str, records: Records, unreadable: OnUnreadable) -> None:
    for record in records:
        row, value = record.key, record.value
        if row is not None and value is None:
            continue
        try:
            if row is None or value is None:
                raise ValueError("no key")
            if row == CLAIM_KEY:
                claims[record.partition] = parse_claim(value)
                continue
            candidate = version(parse(row, value))
        except ValueError as error:
            unreadable(topic, record, error)
            continue
        known = ledger.rows.get(row)
        if known is None or candidate > known[0]:
            ledger.rows[row] = candidate, value
