"""The ledger as events: what `export` writes and `load` accepts.

The ledger's rows merge by their version, as everywhere: a compacted or crashed log may hold a losing record behind the
winner. Deletions are rows, so they are exported too.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import msgspec
import orjson

from aggregator.facts import Evaluation, Fact, encode, parse, version
from aggregator.tallies import MARKER_KEY, CheckpointMarker
from streams.events.decoder import KIND_OF
from streams.kafka.client import KafkaClient
from streams.kafka.scan import Records, scan
from streams.kafka.topics import Topics
from streams.ledger.claim import CLAIM_KEY, parse_claim
from streams.runtime.errors import EvalAlignmentError
from streams.runtime.exit_codes import ExitCode

_CLOSED_WITHIN: Final = 5_000
"""Offsets before the end of a tallies partition in which its last `marker` is looked for."""


class LedgerError(EvalAlignmentError):
    """A record of the ledger or of the tallies is none; the message names topic, partition and offset."""

    exit_code = ExitCode.FAILED


@dataclass(slots=True)
class Ledger:
    """What was read of a ledger.

    `missing`: partitions whose tallies were made from rows behind the ledger's end. `unprocessed`: source events that
    the workers had not processed at their last checkpoint.
    """

    rows: dict[bytes, tuple[str, bytes]] = field(default_factory=dict)
    missing: list[int] = field(default_factory=list)
    unprocessed: int = 0

    def facts(self, queue: str | None = None) -> Iterator[Fact]:
        """The current rows in the order of their keys.

        With a queue: its annotations and queue items, and the evaluations of the items that these name.
        """
        items: set[str] = set()
        # Evaluations come last: by then the queue's items are known.
        for key in sorted(self.rows, key=lambda key: (key[2:3] in b"ex", key)):
            fact = parse(key, self.rows[key][1])
            if queue is None or (fact.item in items if isinstance(fact, Evaluation) else fact.queue == queue):
                items.add(fact.item)
                yield fact


def line(fact: Fact) -> bytes:
    """A fact as a line of a file of events."""
    return orjson.dumps({"kind": KIND_OF[type(fact)]})[:-1] + b"," + encode(fact)[1:] + b"\n"


async def read_ledger(client: KafkaClient, topics: Topics, progress: Callable[[int], object]) -> Ledger:
    """Read the whole ledger; `progress` is called with the number of records read so far.

    Raises LedgerError, and what `scan` raises.
    """
    # Rows are written before the tallies made from them: the ledger, read afterwards, must reach all these positions.
    marker = await last_markers(client, topics)
    ledger = Ledger()
    ids: dict[int, str] = {}
    read = 0

    def fold(partition: int, records: Records) -> None:
        nonlocal read
        _merge(ledger, ids, topics.facts, partition, records)
        read += len(records)
        progress(read)

    ends = await scan(client, topics.facts, fold)
    for partition, (last, _) in sorted(marker.items()):
        if last["ledger"] == ids.get(partition, last["ledger"]) and last["position"] > ends.get(partition, 0):
            ledger.missing.append(partition)
        ledger.unprocessed += sum(max(0, s["end"] - s["position"]) for s in last["sources"].values())
    return ledger


async def last_markers(client: KafkaClient, topics: Topics) -> dict[int, tuple[CheckpointMarker, int]]:
    """The last `marker` of each partition that has one, with the broker's time of it in milliseconds.

    Raises LedgerError, and what `scan` raises.
    """
    marker: dict[int, tuple[CheckpointMarker, int]] = {}

    def note(partition: int, records: Records) -> None:
        for record in records:
            if record.key == MARKER_KEY:
                try:
                    marker[partition] = (
                        msgspec.json.decode(record.value or b"", type=CheckpointMarker),
                        record.timestamp,
                    )
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    raise LedgerError(f"{topics.tallies}[{partition}] at {record.offset}: {error}") from error

    await scan(client, topics.tallies, note, last=_CLOSED_WITHIN)
    return marker


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
