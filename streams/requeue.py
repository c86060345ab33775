"""Read dead letters back, and send their events again to the topics they came from, where that may help.

The identity of the rejected event (topic, partition, offset) identifies copies of one dead letter. A requeued event
is an ordinary event: sending it twice changes nothing.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, Self

import cramjam
from aiokafka import ConsumerRecord

from aggregator.facts import LATEST_AT, Fact
from streams.events import messages
from streams.events.cloudevents import is_utf8
from streams.events.decoder import Decoder, Kind, Rejection
from streams.events.reasons import Reason
from streams.kafka.acknowledgements import (
    Acknowledgements,
    acknowledge_all,
    read_acknowledgements,
    unacknowledged,
)
from streams.kafka.client import KafkaClient
from streams.kafka.dead_letters import RECORDS
from streams.kafka.producer import Outgoing, require_sources, send_all
from streams.kafka.record_batches import Header
from streams.kafka.scan import scan
from streams.kafka.topics import Topics

DeadRecord = ConsumerRecord[bytes | None, bytes | None]
"""A record of the topic of dead letters."""
_LEVEL: Final = 1
_FIRST: Final = "alignment-topic"
_FIRST_OF_BODY: Final = "alignment-source"
_PARTS: Final = ("value", "headers", "key")
_RECORDS: Final = RECORDS.removeprefix("alignment-")
_SHOWN: Final = 30


class Identity(NamedTuple):
    """Where the rejected event is in its source topic."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}:{self.partition}:{self.offset}"

    @property
    def origin(self) -> str:
        """Where the event was."""
        return self.topic


class BodyIdentity(NamedTuple):
    """What ingest received for a source, and was never in a source topic."""

    source: str
    sha256: str
    """Of the value, in hexadecimal."""

    def __str__(self) -> str:
        return f"{self.source}:{self.sha256}"

    @property
    def origin(self) -> str:
        """Where it came from."""
        return f"source {self.source}"


@dataclass(frozen=True, slots=True)
class StoredDeadLetter:
    """A dead letter read from its topic: the original event, and why it was rejected."""

    identity: Identity | BodyIdentity
    timestamp: int
    """The original's, in milliseconds; of a body, when ingest got it."""
    stage: str
    reason: str
    detail: str
    key: bytes | None
    packed: bytes | None
    """The value, compressed, so that a flood of large events that pack to little needs little memory."""
    headers: list[Header]
    left_out: list[str]
    """Parts (value, headers, key) that were too large to carry."""
    records: int | None = None
    """Number of records that could not be read, of which the letter has none; None for an event that was read."""

    @property
    def value(self) -> bytes | None:
        """The original's value; None where it had none, or where it is left out."""
        return None if self.packed is None else bytes(cramjam.zstd.decompress(self.packed))

    def rekeyed(self, sources: Mapping[str, Kind], decoder: Decoder) -> "StoredDeadLetter":
        """The same event with the item's bytes as its key, where the item can be read."""
        fact = self._decode(sources, decoder)
        return self if fact is None or isinstance(fact, Rejection) else replace(self, key=fact.item.encode())

    def obstacle(self, sources: Mapping[str, Kind], decoder: Decoder) -> str | None:
        """Why it does not help to send this event again to its topic, one of `sources`; None if it may help."""
        if (missing := self._missing(sources)) is not None:
            return missing
        fact = self._decode(sources, decoder)
        if isinstance(fact, Rejection):
            # The worker may have a threshold in its settings.
            if fact.reason is Reason.NO_VERDICT:
                return None
            return f"its value is rejected again ({fact.reason.value}: {fact.detail}): correct it at its producer"
        if fact is not None and self.key != fact.item.encode():
            return f"its key is rejected again ({messages.key_mismatch(self.key, fact.item)}): requeue it with --rekey"
        return None

    def _missing(self, sources: Mapping[str, Kind]) -> str | None:
        """Why there is nothing to send; None if there is a whole event of a source topic."""
        if isinstance(self.identity, BodyIdentity):
            return (
                "it was never an event: correct the source's rules or its tool, and let the tool send it again, or "
                "`load --source` its export"
            )
        if self.identity.topic not in sources:
            return f"{self.identity.topic} is not a source topic of this installation"
        if self.records is not None:
            return f"it stands for {self.records:,} records that could not be read: send the originals again"
        if self.left_out:
            return (
                f"the dead letter lacks the {' and '.join(self.left_out)}, too large to carry: send the original again"
            )
        return None

    def _decode(self, sources: Mapping[str, Kind], decoder: Decoder) -> Fact | Rejection | None:
        kind = None if isinstance(self.identity, BodyIdentity) else sources.get(self.identity.topic)
        return None if kind is None else decoder.decode_value(kind, self.value, self.headers)


def parse_dead_letter(record: DeadRecord) -> StoredDeadLetter:
    """Parse a record of the dead-letter topic. Raises ValueError when it is not a dead letter."""
    # A worker replaces those with other names by their hash.
    headers: list[Header] = [header for header in record.headers if is_utf8(header[0])]
    # The added headers are last; all before them belong to the original, even under the same names.
    start = max((i for i, (name, _) in enumerate(headers) if name in {_FIRST, _FIRST_OF_BODY}), default=None)
    if start is None:
        raise ValueError(f"no header {_FIRST}")
    added = {name.removeprefix("alignment-"): _text(value) for name, value in headers[start:]}
    try:
        return StoredDeadLetter(
            identity=_identity(added, record.key),
            timestamp=_number(added, "received" if "source" in added else "timestamp"),
            stage=added["stage"],
            reason=added["reason"],
            detail=added["detail"],
            key=record.key,
            packed=None if record.value is None else bytes(cramjam.zstd.compress(record.value, _LEVEL)),
            headers=headers[:start],
            left_out=[part for part in _PARTS if f"{part}-sha256" in added],
            records=_number(added, _RECORDS) if _RECORDS in added else None,
        )
    except KeyError as error:
        raise ValueError(f"no header alignment-{error.args[0]}") from error


def _identity(added: Mapping[str, str], key: bytes | None) -> Identity | BodyIdentity:
    if "source" in added:
        return BodyIdentity(added["source"], (key or b"").decode(errors="replace"))
    return Identity(added["topic"], _number(added, "partition"), _number(added, "offset"))


def _number(added: Mapping[str, str], name: str) -> int:
    """The number of an added header. A time that no calendar has is the nearest one that it has: a producer can set any
    where topics do not have the broker's. Raises ValueError.
    """
    text = added[name]
    number = int(text)
    if name in ("received", "timestamp"):
        return min(max(number, 0), LATEST_AT)
    if not 0 <= number < 1 << 63:
        raise ValueError(f"header alignment-{name} is out of range: {text[:_SHOWN]}")
    return number


class ReadDeadLetter(NamedTuple):
    """A record of the topic of dead letters, parsed."""

    partition: int
    offset: int
    timestamp: int
    """The record's, in milliseconds."""
    parsed: StoredDeadLetter | str
    """Or why it is not a dead letter."""

    @classmethod
    def of(cls, record: DeadRecord) -> Self:
        """Parse a record, of which nothing is kept as it was."""
        try:
            parsed: StoredDeadLetter | str = parse_dead_letter(record)
        except ValueError as error:
            parsed = str(error)
        return cls(record.partition, record.offset, record.timestamp, parsed)


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """The dead letters of a topic that are not acknowledged."""

    stored: Sequence[StoredDeadLetter]
    """Oldest first. After a start of `up`, whose embedded broker counts offsets from 0 again, two may have the same
    identity; copies have the same time too, and are listed once."""
    problems: Sequence[str]
    """A message for each record that is not a dead letter, and one when the topic was created again."""
    acknowledged: int
    """Number of records that are acknowledged, and left out."""
    acknowledgement: Acknowledgements
    """What acknowledges the whole topic."""


async def read_dead_letters(client: KafkaClient, topics: Topics, group: str | None) -> DeadLetters:
    """Read the dead letters that are not acknowledged in `group`, or all without a group.

    Raises what `scan` raises.
    """
    topic = topics.dead_letters
    records: list[ReadDeadLetter] = []
    ends = await scan(client, topic, lambda _, batch: records.extend(map(ReadDeadLetter.of, batch)))
    known = {} if group is None else await read_acknowledgements(client, group, topic, len(ends))
    left, recreated = unacknowledged(records, ends, known)
    dead_letters: dict[tuple[int, Identity | BodyIdentity], StoredDeadLetter] = {}
    problems = [f"{topic} was created again after `dlq ack`: nothing in it is acknowledged"] if recreated else []
    for record in left:
        if isinstance(record.parsed, str):
            problems.append(f"{topic}[{record.partition}] at {record.offset} is not a dead letter: {record.parsed}")
        else:
            dead_letters[record.parsed.timestamp, record.parsed.identity] = record.parsed
    return DeadLetters(
        [dead_letters[key] for key in sorted(dead_letters, key=_place)],
        problems,
        len(records) - len(left),
        acknowledge_all(records, ends),
    )


def _place(key: tuple[int, Identity | BodyIdentity]) -> tuple[int, str, int, int]:
    """What orders dead letters: the time, then the place of the event."""
    time, identity = key
    offset = (0, 0) if isinstance(identity, BodyIdentity) else identity[1:]
    return time, identity.origin, *offset


async def send_again(client: KafkaClient, topics: Topics, dead_letters: Iterable[StoredDeadLetter]) -> int:
    """Send keys, values and headers of dead letters, byte for byte.

    Returns the number of acknowledged events, which is all. An event goes to the home partition of its key, also if it
    was misrouted before; without a key, to the partition it was in. No dead letter may have an obstacle. Raises
    KafkaError, TopicsError.
    """
    counts = await require_sources(client, topics)

    async def records() -> AsyncIterator[Outgoing]:
        for dead_letter in dead_letters:
            assert isinstance(dead_letter.identity, Identity), "a body has an obstacle"
            topic, partition, _ = dead_letter.identity
            chosen = partition % counts[topic] if dead_letter.key is None else None
            yield Outgoing(topic, dead_letter.value, dead_letter.key, dead_letter.headers, chosen)

    return len([acknowledged async for acknowledged in send_all(client, records())])


def _text(value: bytes | None) -> str:
    return (value or b"").decode(errors="replace")
