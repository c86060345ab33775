"""How large the records of the worker's topics may be, asked from the broker when the worker starts.

A topic takes no batch above its `max.message.bytes`. Batches are kept below it, parts of tallies and dead letters are
made to fit. What cannot be divided is a ledger row: a topic that does not take the largest is named at the start.
"""

# ruff: noqa: SLF001 -- a contract test covers the private names of aiokafka

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import MessageSizeTooLargeError, RecordListTooLargeError
from aiokafka.record.memory_records import MemoryRecords

from aggregator.parts import RECORD_BYTES
from streams.kafka.client import connect
from streams.kafka.topics import MAX_MESSAGE_BYTES, Topics, read_configs
from streams.runtime.exit_codes import ExitCode
from streams.runtime.failures import FatalError

_log = logging.getLogger(__name__)

TOO_LARGE: Final = (MessageSizeTooLargeError, RecordListTooLargeError)
"""What a broker answers to a batch that is too large for its topic."""
BATCH_BYTES: Final = 768 * 1024
"""Largest batch before compression: even incompressible, it fits into a broker's default message size."""
MAX_CARRIED_BYTES: Final = 700 * 1024
"""Size of key, value and headers of a dead letter together above which parts are replaced by their SHA-256."""
MAX_ROW_BYTES: Final = 256 * 1024
"""Bytes that the largest ledger row needs, with its key and the overhead of a batch: all texts at their limits, of
characters that JSON escapes.
"""
_KEY_AND_STAMP_BYTES: Final = 6 << 10
"""Bytes of a tally besides its judges: a key of four names, the stamp, and the overhead of a batch."""
_SHOWN_KEY: Final = 300


@dataclass(frozen=True, slots=True)
class RecordLimits:
    """`max.message.bytes` of the topics that a worker writes; None where the broker does not report it."""

    facts: int | None = None
    tallies: int | None = None
    dead_letters: int | None = None

    @property
    def batch_bytes(self) -> int:
        """Largest batch of the ledger and the tallies before compression."""
        reported = [_incompressible(limit) for limit in (self.facts, self.tallies) if limit is not None]
        return min([BATCH_BYTES, *reported])

    @property
    def judges_bytes(self) -> int:
        """Most bytes of the judges in one record of a cells tally."""
        if self.tallies is None:
            return RECORD_BYTES
        return max(1, min(RECORD_BYTES, _incompressible(self.tallies) - _KEY_AND_STAMP_BYTES))

    @property
    def dead_letter_bytes(self) -> int:
        """Largest dead letter before compression."""
        return BATCH_BYTES if self.dead_letters is None else min(BATCH_BYTES, _incompressible(self.dead_letters))

    def check(self, topics: Topics) -> None:
        """Log what may not fit, and what is not known."""
        for problem in self._problems(topics):
            _log.warning("%s", problem)

    def _problems(self, topics: Topics) -> Iterator[str]:
        if self.facts is not None and self.facts < MAX_ROW_BYTES:
            yield (
                f"{topics.facts} takes records of {self.facts} bytes (max.message.bytes), a ledger row may need "
                f"{MAX_ROW_BYTES}: the worker ends when one does not fit. Raise it; `topics diff` lists all limits"
            )
        unknown = [name for name in ("facts", "tallies", "dead_letters") if getattr(self, name) is None]
        if unknown:
            names = ", ".join(getattr(topics, name) for name in unknown)
            yield f"max.message.bytes is not reported for {names}: batches of {self.batch_bytes} bytes are sent"


def too_large(where: str, batch: Any, limit: int | None) -> FatalError:
    """The failure for a batch that a topic refused because of its size; names the largest record.

    A batch of several records was below the limit when that was asked: it is lower now, and a new process asks again.
    Where the broker does not report a limit, it would send the same batch again.
    """
    data = bytes(batch._buffer)
    read = MemoryRecords(data).next_batch()
    assert read is not None, "the producer has built the batch"
    records = [(len(record.key or b"") + len(record.value or b""), record.key) for record in read]
    size, key = max(records, key=lambda record: record[0])
    observed = (
        f"{where} refuses a batch of {len(data)} bytes, {len(records)} records; the largest has {size} bytes before "
        f"compression, key {(key or b'')[:_SHOWN_KEY].decode(errors='replace')}"
    )
    if len(records) > 1 and limit is not None:
        return FatalError(ExitCode.BROKER_LOST, f"{observed}. max.message.bytes was {limit} when this worker started")
    return FatalError(ExitCode.RECORD_TOO_LARGE, observed)


def _incompressible(limit: int) -> int:
    """Bytes that are within a limit after compression too, which adds to them at worst."""
    return max(1, limit - limit // 128 - 128)


async def read_record_limits(client: Mapping[str, Any], topics: Topics) -> RecordLimits:
    """Ask the broker. `client`: arguments of an aiokafka client. Raises KafkaError when it is not reached."""
    admin = AIOKafkaAdminClient(**client)
    try:
        await connect(admin)
        configs = await read_configs(admin, [topics.facts, topics.tallies, topics.dead_letters])
    finally:
        await admin.close()

    def limit(topic: str) -> int | None:
        reported = configs.get(topic, {}).get(MAX_MESSAGE_BYTES)
        return None if reported is None else int(reported)

    return RecordLimits(limit(topics.facts), limit(topics.tallies), limit(topics.dead_letters))
