"""The batch transport: a Faust consumer that hands all partition batches of a fetch to the agent as one message.

Faust's work is per message, and at a thousand events a second a fetch brings two events of each of a dozen partitions.
Faust keeps what it is good at: the app, the agent, membership, the co-partitioned assignment, the commit timer and the
life cycle. What the consumer commits is what the checkpoint released (`make_committable`), never what an agent
acknowledged: the topics of batches have Faust's acknowledgements switched off.
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
from streams.runtime.failures import end_process

FETCH_MAX_WAIT_MS: Final = 50
FETCH_MIN_BYTES: Final = 256 << 10
"""Until there are so many, or the time is over, the broker lets events come together: the cost is per fetch, and one
that ends with the first event is followed by another for every partition in which one comes.
"""
MAX_QUEUED_FETCHES: Final = 1
ENOUGH_RECORDS: Final = 20_000
"""Of one fetch: a response more may be in it."""
_ROOM_POLL_SECONDS: Final = 0.005
# Membership is kept by heartbeats alone: a paused worker polls nothing.
_NEVER_MS: Final = 2**31 - 1

Fetched = list[Batch]
"""What one fetch brought: a batch each of some partitions, at least one, all of the same generation."""


class BatchThread(driver.AIOKafkaConsumerThread):
    """The consumer's thread. Everything that touches the aiokafka consumer runs here."""

    consumer: "BatchConsumer"

    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        """An aiokafka consumer with our settings; Faust's own assignor, which co-partitions, is always used."""
        conf = self.app.conf
        self._assignor = self.app.assignor
        consumer = AIOKafkaConsumer(
            **cast("BatchTransport", transport).client_settings,
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
        """Batches of the active partitions, one each at most; empty when none came within `timeout` seconds.

        A dead coordinator raises here: without this check its worker would be mute, alive and without membership.
        """
        try:
            return await self._fetch_batches(consumer, active_partitions, time.monotonic() + (timeout or 0.0))
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 whatever it is, it ends the process
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
                    batches = drain(fetcher, active, ENOUGH_RECORDS, coordinator.generation)
                    if batches:
                        first = batches[0]
                        return {TP(first.topic, first.partition): [batches]}
                remaining = deadline - time.monotonic()
                if remaining <= 0 or not self.consumer.flow_active:
                    return {}
                await wait_for_fetch(fetcher, min(remaining, 0.5))

    async def seek_all(self, positions: Mapping[TP, int]) -> None:
        """Seek these partitions; the positions hold when this returns."""
        await self.call_thread(self._seek_all, positions)

    async def _seek_all(self, positions: Mapping[TP, int]) -> None:
        for partition, offset in positions.items():
            self._ensure_consumer().seek(TopicPartition(*partition), offset)

    async def committed(self, partitions: Iterable[TP]) -> dict[TP, int | None]:
        """Committed offset of each partition, None where none was ever committed."""
        found: dict[TP, int | None] = await self.call_thread(self._committed, list(partitions))
        return found

    async def _committed(self, partitions: list[TP]) -> dict[TP, int | None]:
        consumer = self._ensure_consumer()
        offsets = await asyncio.gather(*(consumer.committed(TopicPartition(*tp)) for tp in partitions))
        return dict(zip(partitions, offsets, strict=True))

    def membership(self) -> tuple[int, bool]:
        """The group's generation as the coordinator knows it (-1: not a member), and whether its task is alive."""
        coordinator: Any = None if self._consumer is None else self._consumer._coordinator
        if coordinator is None:
            return -1, True
        return coordinator.generation, not coordinator._coordination_task.done()

    def end_offset(self, partition: TP) -> int | None:
        """End offset of an assigned partition, for readers of committed transactions, as the last fetch told it."""
        subscription: Any = self._ensure_consumer()._subscription.subscription
        assignment = None if subscription is None else subscription.assignment
        if assignment is None or partition not in assignment.tps:
            return None
        state = assignment.state_value(partition)
        # What an open transaction holds back cannot be processed yet.
        stable: int | None = state.lso if state.lso is not None and state.lso >= 0 else state.highwater
        return stable


class BatchConsumer(driver.Consumer):
    """The consumer of partition batches."""

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
        """Fetch, unless the agent has enough waiting: what it has next hides the latency, more only costs memory."""
        if self._queue is not None and self._queue.qsize() >= MAX_QUEUED_FETCHES:
            await asyncio.sleep(_ROOM_POLL_SECONDS)
            return {}
        return await super()._getmany(active_partitions, timeout)

    def _to_message(self, tp: TP, record: Fetched) -> ConsumerMessage:
        # Faust orders and drops messages by offset, in their partition: a fetch counts as the end of its first batch.
        message: Any = ConsumerMessage
        first = record[0]
        return cast(
            "ConsumerMessage",
            message(
                first.topic,
                first.partition,
                first.next - 1,
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
        """Gaps between messages are the batches themselves; Faust would build an interval tree of every offset."""

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust's warnings about slow streams know acknowledgements only; the watchdog replaces them."""

    # ---- committing

    def make_committable(self, positions: Mapping[TP, int]) -> None:
        """Release positions: the commit timer may commit them from now on."""
        self._committable.update(positions)

    def forget_committable(self) -> None:
        """Nothing is released any more: the assignment is over."""
        self._committable.clear()

    def committed_offset(self, tp: TP) -> int | None:
        """What this consumer knows to be committed."""
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
        # Faust's own draws a table of all offsets for a log message that nobody sees, and takes what was refused for
        # committed.
        assigned = self.assignment()
        held = {tp: offset for tp, offset in offsets.items() if tp in assigned}
        if not held or not await self._commit(held):
            return False
        self._committed_offset.update(held)
        self.commits += 1
        return True

    async def commit_pending(self) -> bool:
        """Commit until nothing released is pending; False when the group moved on and refused.

        `commit` returns at once when the timer's commit is in flight, and what was released after that one started is
        then not committed: hence the loop.
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
    """Faust's transport with our consumer; `client_settings` are what every aiokafka client takes."""

    Consumer = BatchConsumer

    def __init__(self, app: faust.App, client_settings: Mapping[str, Any]) -> None:
        super().__init__(app.conf.broker_consumer, app)
        self.client_settings = dict(client_settings)


class BatchSchema(faust.Schema[None, Fetched]):
    """Lets batches through to the agent as they are."""

    def loads_key(self, *args: Any, **kwargs: Any) -> None:
        """Batches have no key."""

    def loads_value(self, app: Any, message: Any, **kwargs: Any) -> Fetched:  # noqa: ARG002 Faust's signature
        """The batches."""
        fetched: Fetched = message.value
        return fetched
