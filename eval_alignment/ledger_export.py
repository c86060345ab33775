"""Reads the ledger as events, which `export` writes and `load` accepts.

Rows with the same key are merged by their version: a log may have an older row after the newer one. Deletions are rows
and are exported too.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import msgspec
import orjson

from aggregator.facts import Evaluation, Fact, parse, version
from aggregator.tallies import MARKER_KEY, CheckpointMarker
from streams.events.decoder import KIND_OF
from streams.events.encoder import encode_event
from streams.kafka.client import KafkaClient
from streams.kafka.scan import Records, scan
from streams.kafka.topics import Topics
from streams.ledger.claim import CLAIM_KEY, parse_claim
from streams.runtime.errors import EvalAlignmentError
from streams.runtime.exit_codes import ExitCode

_MARKER_WITHIN: Final = 5_000
"""Number of offsets at the end of a tallies partition that are searched for its last checkpoint marker."""


class LedgerError(EvalAlignmentError):
    """An invalid record of the ledger or the tallies; the message names topic, partition and offset."""

    exit_code = ExitCode.FAILED


@dataclass(slots=True)
class Ledger:
    """The content of a ledger."""

    rows: dict[bytes, tuple[str, bytes]] = field(default_factory=dict)
    """Version and value of each row, by key."""
    missing: list[int] = field(default_factory=list)
    """Partitions whose tallies are ahead of the ledger's end, so that rows are missing."""
    unprocessed: int = 0
    """Number of source events that were not processed at the last checkpoint."""

    def facts(self, queue: str | None = None) -> Iterator[Fact]:
        """The current rows in the order of their keys.

        With a queue: its annotations and queue items, the evaluations of their items, and of other items the first and
        the last verdict of each judge version, which decide which version is in use. So the export of a queue counts to
        the queue's document.
        """
        items: set[str] = set()
        others = _JudgePeriods()
        # Evaluations last: by then the items of the queue are known.
        for key in sorted(self.rows, key=lambda key: (key[2:3] in b"ex", key)):
            fact = parse(key, self.rows[key][1])
            if queue is None or (fact.item in items if isinstance(fact, Evaluation) else fact.queue == queue):
                items.add(fact.item)
                yield fact
            elif isinstance(fact, Evaluation):
                others.add(fact)
        yield from others.bounds()


class _JudgePeriods:
    """The first and the last verdict of each judge version of each metric."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, str], Evaluation] = {}
        self._last: dict[tuple[str, str], Evaluation] = {}

    def add(self, evaluation: Evaluation) -> None:
        if evaluation.failed or evaluation.deleted:
            return
        name = evaluation.metric, evaluation.judge
        if evaluation.at < self._first.setdefault(name, evaluation).at:
            self._first[name] = evaluation
        if evaluation.at > self._last.setdefault(name, evaluation).at:
            self._last[name] = evaluation

    def bounds(self) -> Iterator[Evaluation]:
        for name, first in self._first.items():
            yield first
            if (last := self._last[name]) is not first:
                yield last


def line(fact: Fact) -> bytes:
    """A fact as a line of an NDJSON file of events."""
    return orjson.dumps({"kind": KIND_OF[type(fact)]})[:-1] + b"," + encode_event(fact)[1:] + b"\n"


async def read_ledger(client: KafkaClient, topics: Topics, progress: Callable[[int], object]) -> Ledger:
    """Read the whole ledger; calls `progress` with the number of records read so far.

    Raises LedgerError, and what `scan` raises.
    """
    # Workers write rows before tallies. The ledger is read after the tallies, so it must reach their positions.
    markers = await last_markers(client, topics)
    ledger = Ledger()
    ids: dict[int, str] = {}
    read = 0

    def fold(partition: int, records: Records) -> None:
        nonlocal read
        _merge(ledger, ids, topics.facts, partition, records)
        read += len(records)
        progress(read)

    ends = await scan(client, topics.facts, fold)
    for partition, (last, _) in sorted(markers.items()):
        if last["ledger"] == ids.get(partition, last["ledger"]) and last["position"] > ends.get(partition, 0):
            ledger.missing.append(partition)
        ledger.unprocessed += sum(max(0, s["end"] - s["position"]) for s in last["sources"].values())
    return ledger


async def last_markers(client: KafkaClient, topics: Topics) -> dict[int, tuple[CheckpointMarker, int]]:
    """The last checkpoint marker of each partition that has one, with its broker timestamp in milliseconds.

    Raises LedgerError, and what `scan` raises.
    """
    markers: dict[int, tuple[CheckpointMarker, int]] = {}

    def note(partition: int, records: Records) -> None:
        for record in records:
            if record.key == MARKER_KEY:
                try:
                    markers[partition] = (
                        msgspec.json.decode(record.value or b"", type=CheckpointMarker),
                        record.timestamp,
                    )
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    raise LedgerError(f"{topics.tallies}[{partition}] at {record.offset}: {error}") from error

    await scan(client, topics.tallies, note, last=_MARKER_WITHIN)
    return markers


def _merge(ledger: Ledger, ids: dict[int, str], topic: str, partition: int, records: Records) -> None:
    for record in records:
        try:
            key, value = record.key or b"", record.value or b""
            if key == CLAIM_KEY:
                ids[partition] = parse_claim(value).ledger
                continue
            candidate = version(parse(key, value))
        except ValueError as error:
            raise LedgerError(f"{topic}[{partition}] at {record.offset}: {error}") from error
        known = ledger.rows.get(key)
        if known is None or candidate > known[0]:
            ledger.rows[key] = candidate, value
