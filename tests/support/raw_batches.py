"""Sends record batches as they are, byte for byte, to a real broker."""

from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from tests.fuzz.batches import RawBatch


class RawSender:
    """A producer that sends bytes as record batches. A context manager."""

    def __init__(self, bootstrap: str) -> None:
        self._producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", max_request_size=64 << 20)

    async def __aenter__(self) -> Self:
        await self._producer.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._producer.stop()

    async def send(self, topic: str, partition: int, batch: RawBatch) -> int:
        """Send a batch; returns the offset of its first record. Raises KafkaError when the broker refuses it."""
        encoded = bytearray(batch.encode())
        carrier: Any = self._producer.create_batch()
        carrier.append(timestamp=None, key=None, value=b"")
        carrier._build = lambda: encoded
        written = await (await self._producer.send_batch(carrier, topic, partition=partition))
        offset: int = written.offset
        return offset

    async def try_send(self, topic: str, partition: int, batch: RawBatch) -> int | None:
        """As `send`; None when the broker refuses it."""
        try:
            return await self.send(topic, partition, batch)
        except KafkaError:
            return None
