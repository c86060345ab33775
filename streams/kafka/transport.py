"""The batch transport: a Faust consumer that passes all batches of one fetch to the agent as one message.

Faust's cost is per message, and at a thousand events per second a fetch has two events of each of a dozen partitions.
Faust provides the app, the agent, the membership, the co-partitioned assignment, the commit timer and the life cycle.
The consumer commits the offsets that the checkpoint has released (`make_committable`), never those that an agent
acknowledged: the topics of batches have Faust's acknowledgements turned off.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, Final, cast

import faust
from aiokafka import AIOKafkaConsumer, TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage
from faust.types.transports import TPorTopicSet

from streams.kafka.batches import Batch, drain, wait_for_fetch
from streams.kafka.client import back_off_on_missing_leader
from streams.kafka.reading_order import ReadingOrder
from streams.kafka.watermarks import Watermarks
from streams.runtime.failures import end_process

FETCH_MAX_WAIT_MS: Final = 50
FETCH_MIN_BYTES: Final = 256 << 10
"""Bytes for which the broker waits before it answers a fetch, until `FETCH_MAX_WAIT_MS`. The cost is per fetch: an
answer with the first event alone would be followed by one more fetch for each partition that gets an event.
"""
MAX_QUEUED_FETCHES: Final = 1
"""Fetches that wait for the agent."""
ENOUGH_RECORDS: Final = 20_000
"""Records after which a fetch takes no further response."""
_ROOM_POLL_SECONDS: Final = 0.005
# Heartbeats alone keep the membership: a paused worker does not poll.
_NEVER_MS: Final = 2**31 - 1

Fetched = list[Batch]
"""The batches of one fetch: at least one, at most one per partition, all of the same generation."""


class BatchThread(driver.AIOKafkaConsumerThread):
    """The consumer's thread. Everything that touches the aiokafka consumer runs here."""

    consumer: "BatchConsumer"
    _order: ReadingOrder | None = None

    def _lag(self, partition: TopicPartition) -> int:
        """Records that a consumer can get now beyond what was taken; 0 while that is not known."""
        marks, state = self.watermarks(TP(*partition)), self._state(TP(*partition))
        return 0 if marks is None or not state.has_valid_position else marks.stable - state.position

    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        """Make an aiokafka consumer with the product's settings and Faust's assignor, which co-partitions."""
        conf = self.app.conf
        self._assignor = self.app.assignor
        batches = cast("BatchTransport", transport)
        self._order = ReadingOrder(batches.read_last, self._lag)
        consumer = AIOKafkaConsumer(
            **batches.client_settings,
            client_id=conf.broker_client_id,
            group_id=conf.id,
            group_instance_id=conf.consumer_group_instance_id,
            partition_assignment_strategy=[self._assignor],
            enable_auto_commit=False,
            auto_offset_reset=conf.consumer_auto_offset_reset,
            isolation_level="read_committed",
            fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
            fetch_min_bytes=FETCH_MIN_BYTES,
            max_partition_fetch_bytes=conf.consumer_max_fetch_size,
            max_poll_interval_ms=_NEVER_MS,
            request_timeout_ms=int(conf.broker_request_timeout * 1000),
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
        )
        back_off_on_missing_leader(consumer._client)
        return consumer

    async def _fetch_records(
        self,
        consumer: AIOKafkaConsumer,
        active_partitions: set[TP],
        timeout: float | None = None,  # noqa: ASYNC109 Faust's signature
        max_records: int | None = None,  # noqa: ARG002
    ) -> dict[TP, list[Fetched]]:
        """Return batches of the active partitions; an empty dict if none was fetched within `timeout` seconds.

        If the coordinator's task has died, the process ends. Without this check the worker would stay alive without
        membership.
        """
        try:
            return await self._fetch_batches(consumer, active_partitions, time.monotonic() + (timeout or 0.0))
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 -- every failure ends the process
            end_process(error)

    async def _fetch_batches(
        self, consumer: AIOKafkaConsumer, active: set[TP], deadline: float
    ) -> dict[TP, list[Fetched]]:
        fetcher: Any = consumer._fetcher
        coordinator: Any = consumer._coordinator
        with fetcher._subscriptions.fetch_context():
            while True:
                coordinator.check_errors()
                if self.consumer.flow_active and not fetcher._subscriptions.reassignment_in_progress:
                    batches = drain(fetcher, active, ENOUGH_RECORDS, coordinator.generation, self._order)
                    for batch in batches:
                        if batch.corrupt is not None:
                            consumer.pause(TopicPartition(batch.topic, batch.partition))
                    if batches:
                        first = batches[0]
                        return {TP(first.topic, first.partition): [batches]}
                remaining = deadline - time.monotonic()
                if remaining <= 0 or not self.consumer.flow_active:
                    return {}
                await wait_for_fetch(fetcher, min(remaining, 0.5))

    async def seek_all(self, positions: Mapping[TP, int]) -> None:
        """Seek these partitions; the positions apply on return."""
        await self.call_thread(self._seek_all, positions)

    async def _seek_all(self, positions: Mapping[TP, int]) -> None:
        for partition, offset in positions.items():
            self._ensure_consumer().seek(TopicPartition(*partition), offset)

    async def committed(self, partitions: Iterable[TP]) -> dict[TP, int | None]:
        """Return the committed offset of each partition; None for one without."""
        offsets: dict[TP, int | None] = await self.call_thread(self._committed, list(partitions))
        return offsets

    async def _committed(self, partitions: list[TP]) -> dict[TP, int | None]:
        consumer = self._ensure_consumer()
        offsets = await asyncio.gather(*(consumer.committed(TopicPartition(*tp)) for tp in partitions))
        return dict(zip(partitions, offsets, strict=True))

    def membership(self) -> tuple[int, bool]:
        """The coordinator's generation (-1: not a member), and whether the task that keeps the membership is alive."""
        coordinator: Any = None if self._consumer is None else self._consumer._coordinator
        if coordinator is None:
            return -1, True
        return coordinator.generation, not coordinator._coordination_task.done()

    def watermarks(self, partition: TP) -> Watermarks | None:
        """The ends that the last fetch of an assigned partition reported; None before the first."""
        state = self._state(partition)
        if state is None:
            return None
        # The time first: this thread is not the consumer's, and a newer end is no excuse for an older time.
        at, high, stable = state.timestamp, state.highwater, state.lso
        if at is None or high is None:
            return None
        return Watermarks(high, high if stable is None or stable < 0 else stable, at)

    def _state(self, partition: TP) -> Any:
        """What aiokafka knows of an assigned partition; None of another."""
        subscription: Any = self._ensure_consumer()._subscription.subscription
        assignment = None if subscription is None else subscription.assignment
        return None if assignment is None or partition not in assignment.tps else assignment.state_value(partition)


class BatchConsumer(driver.Consumer):
    """The Faust consumer of batches."""

    _thread: BatchThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.commits = 0
        """Number of successful commits."""
        self._committable: dict[TP, int] = {}
        self._queue: asyncio.Queue[Any] | None = None
        self._before_revocation: Callable[[], Awaitable[None]] | None = None

    def before_revocation(self, call: Callable[[], Awaitable[None]]) -> None:
        """Await this before partitions are revoked and before the consumer stops."""
        self._before_revocation = call

    def limit_by(self, queue: "asyncio.Queue[Any]") -> None:
        """Fetch only while this queue, the agent's, has room."""
        self._queue = queue

    def _new_consumer_thread(self) -> BatchThread:
        return BatchThread(self, loop=self.loop, beacon=self.beacon)

    @property
    def batches(self) -> BatchThread:
        """The thread with the aiokafka consumer."""
        return self._thread

    # ---- fetching

    async def _getmany(
        self,
        active_partitions: set[TP] | None,
        timeout: float,  # noqa: ASYNC109 Faust's signature
    ) -> Mapping[TP, list[Any]]:
        """Fetch, unless the agent has enough batches: one waiting fetch hides the latency, more only need memory."""
        if self._queue is not None and self._queue.qsize() >= MAX_QUEUED_FETCHES:
            await asyncio.sleep(_ROOM_POLL_SECONDS)
            return {}
        return await super()._getmany(active_partitions, timeout)

    def _to_message(self, tp: TP, record: Fetched) -> ConsumerMessage:
        # Faust orders and drops messages by offset and partition: for Faust, a fetch is the end of its first batch.
        message: Any = ConsumerMessage
        first = record[0]
        return cast(
            "ConsumerMessage",
            message(
                first.topic,
                first.partition,
                max(first.start, first.next - 1),
                timestamp=None,
                timestamp_type=0,
                headers=None,
                key=None,
                value=record,
                checksum=None,
                tp=tp,
                generation_id=first.generation,
            ),
        )

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Ignore gaps: they are the offsets within batches, and Faust would build an interval tree of all of them."""

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Do not warn about slow streams: Faust looks at acknowledgements only. The watchdog does this instead."""

    async def seek_all(self, positions: Mapping[TP, int]) -> None:
        """Seek these partitions, in either direction; the positions apply on return."""
        # Faust drops messages below the last one that it saw.
        self._read_offset.update(dict.fromkeys(positions))
        await self._thread.seek_all(positions)

    async def perform_seek(self) -> None:
        """Called by Faust after a restore, to seek to the committed offsets: they are noted only.

        The restore has sought already, and a partition may start at another offset than the committed one.
        """
        committed = await self._thread.committed(self.assignment())
        self._committed_offset.update({tp: offset for tp, offset in committed.items() if offset is not None})

    # ---- committing

    def make_committable(self, positions: Mapping[TP, int]) -> None:
        """Release positions for the commit timer."""
        self._committable.update(positions)

    def forget_committable(self) -> None:
        """Drop all released positions: the assignment is over."""
        self._committable.clear()

    def committed_offset(self, tp: TP) -> int | None:
        """The last offset that this consumer committed; None if it is not known."""
        return self._committed_offset.get(tp)

    def _filter_tps_with_pending_acks(
        self,
        topics: TPorTopicSet | None = None,  # noqa: ARG002 Faust's signature
    ) -> Iterator[TP]:
        return iter(list(self._committable))

    def _new_offset(self, tp: TP) -> int | None:
        return self._committable.get(tp)

    async def _commit_offsets(
        self,
        offsets: Mapping[TP, int],
        start_new_transaction: bool = True,  # noqa: ARG002 Faust's signature
    ) -> bool:
        # Faust's own method formats a table of all offsets for a debug message, and treats refused ones as committed.
        assigned = self.assignment()
        owned = {tp: offset for tp, offset in offsets.items() if tp in assigned}
        return bool(owned) and await self.commit_now(owned)

    async def commit_now(self, offsets: Mapping[TP, int]) -> bool:
        """Commit these offsets, which may be lower than before. Returns False if the group refuses."""
        if not await self._commit(offsets):
            return False
        self._committed_offset.update(offsets)
        self.commits += 1
        return True

    async def commit_pending(self) -> bool:
        """Commit until no released position is pending. Returns False if the group refuses.

        It repeats `commit`, which returns immediately while the timer's commit is in flight, and that commit lacks the
        positions released after its start.
        """
        while True:
            while self._commit_fut is not None:
                await self.maybe_wait_for_commit_to_finish()
            if not self._filter_committable_offsets(self._committable):
                return True
            if not await self.commit():
                return False

    async def wait_empty(self) -> None:
        """Called by Faust before partitions are revoked and before it stops."""
        if self._before_revocation is not None:
            await self._before_revocation()


class BatchTransport(driver.Transport):
    """Faust's transport with the consumer of batches.

    Args:
        app: the Faust app.
        client_settings: arguments of an aiokafka client.
        read_last: the topic that is read after the others while they lag.
    """

    Consumer = BatchConsumer

    def __init__(self, app: faust.App, client_settings: Mapping[str, Any], read_last: str) -> None:
        super().__init__(app.conf.broker_consumer, app)
        self.read_last = read_last
        self.client_settings = dict(client_settings)


class BatchSchema(faust.Schema[None, Fetched]):
    """Passes batches to the agent unchanged."""

    def loads_key(self, *args: Any, **kwargs: Any) -> None:
        """Return None: batches have no key."""

    def loads_value(self, app: Any, message: Any, **kwargs: Any) -> Fetched:  # noqa: ARG002 Faust's signature
        """Return the batches."""
        batches: Fetched = message.value
        return batches
