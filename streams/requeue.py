"""The way back: stored dead letters, each once, and sent again to the topic they came from.

The source's identity (topic, partition, offset) tells copies of one dead letter; a requeued one is an event like any
other, so sending it twice changes nothing.
"""

from collections.abc import AsyncIterator, Collection, Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from aiokafka import ConsumerRecord

from streams.kafka.client import KafkaClient
from streams.kafka.dead_letters import Header
from streams.kafka.producer import Outgoing, require_sources, send_all
from streams.kafka.scan import Records, scan
from streams.kafka.topics import Topics

_FIRST: Final = "alignment-topic"
_PARTS: Final = ("value", "headers", "key")


class Identity(NamedTuple):
    """Where the rejected event stands in its source topic."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}:{self.partition}:{self.offset}"


@dataclass(frozen=True, slots=True)
class StoredDeadLetter:
    """A dead letter as it was read: the original event, where it stood, and why it was rejected.

    `timestamp` is the original's, in milliseconds; `left_out` names the parts that were too large to carry.
    """

    identity: Identity
    timestamp: int
    stage: str
    reason: str
    detail: str
    key: bytes | None
    value: bytes | None
    headers: list[Header]
    left_out: list[str]

    def obstacle(self, sources: Collection[str]) -> str | None:
        """Why this cannot be sent again to one of `sources`; None when it can."""
        if self.identity.topic not in sources:
            return f"{self.identity.topic} is no source topic of this installation"
        if self.left_out:
            return f"its {' and '.join(self.left_out)} was too large to carry: send the original again"
        if self.key is None and self.value is None:
            return "it has neither key nor value"
        return None


def restore(record: ConsumerRecord[bytes | None, bytes | None]) -> StoredDeadLetter:
    """The dead letter of a record. Raises ValueError when it is none."""
    headers: list[Header] = list(record.headers)
    # Ours stand last; what comes before them is the original's, whatever it is called.
    start = max((i for i, (name, _) in enumerate(headers) if name == _FIRST), default=None)
    if start is None:
        raise ValueError(f"no header {_FIRST}")
    ours = {name.removeprefix("alignment-"): _text(value) for name, value in headers[start:]}
    try:
        return StoredDeadLetter(
            identity=Identity(ours["topic"], int(ours["partition"]), int(ours["offset"])),
            timestamp=int(ours["timestamp"]),
            stage=ours["stage"],
            reason=ours["reason"],
            detail=ours["detail"],
            key=record.key,
            value=record.value,
            headers=headers[:start],
            left_out=[part for part in _PARTS if f"{part}-sha256" in ours],
        )
    except KeyError as error:
        raise ValueError(f"no header alignment-{error.args[0]}") from error


async def read_dead_letters(client: KafkaClient, topics: Topics) -> tuple[dict[Identity, StoredDeadLetter], list[str]]:
    """All dead letters by identity, oldest first, and what is wrong with each record that is none.

    Raises what `scan` raises.
    """
    dead_letters: dict[Identity, StoredDeadLetter] = {}
    problems: list[str] = []

    def fold(partition: int, records: Records) -> None:
        for record in records:
            try:
                dead_letter = restore(record)
            except ValueError as error:
                problems.append(f"{topics.dead_letters}[{partition}] at {record.offset} is no dead letter: {error}")
            else:
                dead_letters[dead_letter.identity] = dead_letter

    await scan(client, topics.dead_letters, fold)
    return dict(sorted(dead_letters.items(), key=lambda pair: (pair[1].timestamp, pair[0]))), problems


async def send_again(client: KafkaClient, topics: Topics, dead_letters: Iterable[StoredDeadLetter]) -> int:
    """Send original keys, values and headers, byte for byte, and return how many the broker acknowledged: all.

    An event goes to its item's home partition, which a misrouted one had missed; without a key, to the partition it
    was in. No letter may have an obstacle. Raises KafkaError, TopicsError.
    """
    counts = await require_sources(client, topics)

    async def records() -> AsyncIterator[Outgoing]:
        for dead_letter in dead_letters:
            topic, partition, _ = dead_letter.identity
            chosen = partition % counts[topic] if dead_letter.key is None else None
            yield Outgoing(topic, dead_letter.value, dead_letter.key, dead_letter.headers, chosen)

    return len([acknowledged async for acknowledged in send_all(client, records())])


def _text(value: bytes | None) -> str:
    return (value or b"").decode(errors="replace")
