"""A synchronous client of a broker for tests: sends exact records, reads whole topics."""

import asyncio
import threading
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.structs import ConsumerRecord

Header = tuple[str, bytes | None]
Stored = ConsumerRecord[bytes | None, bytes | None]
_T = TypeVar("_T")


class Place(NamedTuple):
    """Topic, partition and offset of a record."""

    topic: str
    partition: int
    offset: int


class Sent(NamedTuple):
    """A record to be sent; without `partition`, Kafka's default partitioner chooses by the key."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header] = ()
    partition: int | None = None


class Wire:
    """One producer and short-lived readers on an event loop in a thread. A context manager; methods block."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wire", daemon=True)
        self._producer: AIOKafkaProducer | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._producer is not None:
            self._call(self._producer.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def send(self, *records: Sent) -> list[Place]:
        """Send records; returns their places, in order, once all are acknowledged."""
        return self._call(self._send(records))

    def event(self, topic: str, event: Mapping[str, Any]) -> Place:
        """Send one event as a producer does: JSON, with the item's bytes as key."""
        (place,) = self.send(Sent(topic, event["item"].encode(), orjson.dumps(event)))
        return place

    def read(self, topic: str) -> list[Stored]:
        """Every record of a topic, in offset order per partition."""
        return self._call(self._read(topic))

    def committed(self, group: str, topics: Iterable[str]) -> dict[TopicPartition, int]:
        """Committed offsets of a group, 0 for a partition without one."""
        return self._call(self._committed(group, topics))

    def ends(self, topics: Iterable[str]) -> dict[TopicPartition, int]:
        """End offsets."""
        return self._call(self._ends(topics))

    def configure(self, topic: str, **configs: str) -> None:
        """Set the configurations of a topic and reset all others to the broker's; in names `_` stands for a dot."""
        dotted = {name.replace("_", "."): text for name, text in configs.items()}
        self._call(self._configure(ConfigResource(ConfigResourceType.TOPIC, topic, dotted)))

    def _call(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    async def _start(self) -> None:
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap, acks="all", max_request_size=4 << 20, max_batch_size=4 << 20
        )
        await self._producer.start()

    async def _send(self, records: Sequence[Sent]) -> list[Place]:
        assert self._producer is not None, "started"
        choose, flying = DefaultPartitioner(), []
        for record in records:
            partition = record.partition
            if partition is None:
                everything = sorted(await self._producer.partitions_for(record.topic))
                partition = choose(record.key, everything, everything)
            # A batch of one: `send` refuses a record with neither key nor value.
            batch = self._producer.create_batch()
            batch.append(timestamp=None, key=record.key, value=record.value, headers=list(record.headers))
            flying.append(await self._producer.send_batch(batch, record.topic, partition=partition))
        return [Place(sent.topic, sent.partition, sent.offset) for sent in await asyncio.gather(*flying)]

    async def _configure(self, resource: ConfigResource) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap)
        await admin.start()
        try:
            for answer in await admin.alter_configs([resource]):
                changed: Any = answer
                assert all(error[0] == 0 for error in changed.resources), answer
        finally:
            await admin.close()

    async def _read(self, topic: str) -> list[Stored]:
        consumer = AIOKafkaConsumer(bootstrap_servers=self._bootstrap, enable_auto_commit=False)
        await consumer.start()
        try:
            places = await self._places([topic])
            consumer.assign(places)
            await consumer.seek_to_beginning(*places)
            ends = await consumer.end_offsets(places)
            records: list[Stored] = []
            while any([await consumer.position(place) < ends[place] for place in places]):
                for batch in (await consumer.getmany(timeout_ms=200)).values():
                    records.extend(batch)
            return records
        finally:
            await consumer.stop()

    async def _committed(self, group: str, topics: Iterable[str]) -> dict[TopicPartition, int]:
        consumer = AIOKafkaConsumer(bootstrap_servers=self._bootstrap, group_id=group, enable_auto_commit=False)
        await consumer.start()
        try:
            places = await self._places(topics)
            consumer.assign(places)
            return {place: await consumer.committed(place) or 0 for place in places}
        finally:
            await consumer.stop()

    async def _ends(self, topics: Iterable[str]) -> dict[TopicPartition, int]:
        consumer = AIOKafkaConsumer(bootstrap_servers=self._bootstrap)
        await consumer.start()
        try:
            return dict(await consumer.end_offsets(await self._places(topics)))
        finally:
            await consumer.stop()

    async def _places(self, topics: Iterable[str]) -> list[TopicPartition]:
        assert self._producer is not None, "started"
        return [
            TopicPartition(topic, number)
            for topic in topics
            for number in sorted(await self._producer.partitions_for(topic))
        ]
