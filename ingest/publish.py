"""Publishes records and waits for the broker: one producer, connected and watched in the background.

The broker may be away: requests are then refused with 503, and records that it did not acknowledge in time may still
arrive. Their repetition is harmless, since equal events merge.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError, MessageSizeTooLargeError

from ingest.clock import BrokerClock
from ingest.config import IngestConfig
from ingest.limits import TURN
from streams.kafka.client import connect
from streams.kafka.producer import Outgoing, producer, require_sources
from streams.kafka.topics import TopicsError
from streams.runtime.errors import EvalAlignmentError
from streams.runtime.exit_codes import ExitCode
from streams.runtime.failures import exit_code_of
from streams.runtime.retries import retry_forever

if TYPE_CHECKING:
    from aiokafka.structs import RecordMetadata

_log = logging.getLogger(__name__)

AWAY_SECONDS: Final = 15.0
"""Time without an answer of the broker after which it counts as away."""
_ASK_SECONDS: Final = 2.0
"""Time between two questions whether the broker answers."""
_CLOSE_SECONDS: Final = 5.0
_REPLACE_SECONDS: Final = 5.0
"""How long requests wait for a producer that replaces another one."""
_RETRIED: Final = (KafkaConnectionError, KafkaTimeoutError, TopicsError)
_LOG_APPEND_TIME: Final = 1

Pending = Collection["asyncio.Future[RecordMetadata]"]


class NotAcknowledgedError(EvalAlignmentError):
    """The broker did not acknowledge all records in time. `pending` are those that it may still get."""

    exit_code = ExitCode.BROKER_LOST

    def __init__(self, message: str, pending: Pending = ()) -> None:
        super().__init__(message)
        self.pending = pending


class TooLargeForBrokerError(NotAcknowledgedError):
    """The broker refuses records because of their size, and will refuse them again."""


class Publisher:
    """Publishes records; `run` keeps the connection.

    Args:
        config: the broker, the topics, and how long an acknowledgement may take.
    """

    def __init__(self, config: IngestConfig) -> None:
        self.clock = BrokerClock()
        self._config = config
        self._producer: AIOKafkaProducer | None = None
        self._answered = -AWAY_SECONDS
        self._silent = False
        """Whether the broker did not answer the last question."""
        self._ended: asyncio.Future[None] | None = None
        """Done when the producer must be replaced; failed when the process must end."""
        self._connected = asyncio.Event()
        """Set while there is a producer."""
        self._replaced_until = -AWAY_SECONDS
        """Until when a missing producer is taken to be back in a moment."""

    @property
    def away(self) -> str | None:
        """Why nothing can be published; None when it can."""
        if self._producer is None:
            back_soon = time.monotonic() < self._replaced_until
            return None if back_soon else "not connected to the broker, or a source topic is missing"
        silent = time.monotonic() - self._answered
        return None if silent < AWAY_SECONDS else f"the broker has not answered for {silent:.0f} s"

    async def run(self) -> None:
        """Connect, and keep the connection until cancelled. Raises KafkaError when the broker refuses this client."""
        closing: set[asyncio.Task[None]] = set()
        try:
            while True:
                connected = await self._connect()
                self._ended = asyncio.get_running_loop().create_future()
                self._answered = time.monotonic()
                self._producer = connected
                self._connected.set()
                _log.info("connected to the broker")
                try:
                    await self._watch(connected, self._ended)
                finally:
                    self._take_away()
                    # Requests wait for the next producer, not for the end of this one.
                    closing.add(asyncio.create_task(_close(connected)))
        finally:
            await asyncio.gather(*closing)

    async def _watch(self, connected: AIOKafkaProducer, ended: "asyncio.Future[None]") -> None:
        """Return when a producer must be replaced. Raises KafkaError when the broker refuses this client."""
        while not ended.done():
            await self._ask(connected)
            if deleted := set(self._config.topics.sources) - connected.client.cluster.topics():
                # Requests would wait for it until they time out, and `away` would be None.
                self._end(ended, TopicsError(f"missing topics: {', '.join(sorted(deleted))}"))
            await asyncio.wait([ended], timeout=_ASK_SECONDS)
        ended.result()

    def _take_away(self) -> None:
        self._producer = None
        self._connected.clear()

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Send records; on return the broker has acknowledged all.

        Raises NotAcknowledgedError, and TooLargeForBrokerError when sending them again is of no use.
        """
        if self._producer is None and self.away is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._replaced_until - time.monotonic()):
                    await self._connected.wait()
        out, ended = self._producer, self._ended
        if out is None or ended is None:
            raise NotAcknowledgedError(self.away or "not connected to the broker")
        sent: list[asyncio.Future[RecordMetadata]] = []
        try:
            async with asyncio.timeout(self._config.limits.acknowledge_seconds):
                for index, (topic, value, key, headers, partition) in enumerate(records, 1):
                    if index % TURN == 0:
                        # `send` waits only when a batch is full.
                        await asyncio.sleep(0)
                    sent.append(await out.send(topic, value, key=key, headers=list(headers), partition=partition))
                for future in sent:
                    if not future.done():
                        # Not by awaiting it: the time limit would cancel it.
                        await asyncio.wait([future])
        except TimeoutError:
            raise NotAcknowledgedError("the broker did not acknowledge the events in time", sent) from None
        except MessageSizeTooLargeError as error:
            # The producer refused it, and has no gap.
            raise TooLargeForBrokerError("an event is larger than a request to the broker may be", sent) from error
        except KafkaError as error:
            self._replace(ended, error)
            raise NotAcknowledgedError(f"the broker did not take the events: {error!r}", sent) from error
        self._check(sent, ended)

    def _check(self, sent: Sequence["asyncio.Future[RecordMetadata]"], ended: "asyncio.Future[None]") -> None:
        latest = 0
        for future in sent:
            if (error := future.exception()) is not None:
                self._replace(ended, error)
                if isinstance(error, MessageSizeTooLargeError):
                    raise TooLargeForBrokerError(
                        "the broker refuses events as too large (`max.message.bytes` of the topic)", sent
                    ) from error
                raise NotAcknowledgedError(f"the broker did not take the events: {error!r}", sent) from error
            acknowledged = future.result()
            if acknowledged.timestamp_type == _LOG_APPEND_TIME and acknowledged.timestamp is not None:
                latest = max(latest, acknowledged.timestamp)
        self._answered = time.monotonic()
        if latest:
            self.clock.observe(latest)

    def _replace(self, ended: "asyncio.Future[None]", error: BaseException) -> None:
        """End the use of a producer after a record that failed.

        An idempotent producer has a gap in its sequence then, so all records that follow fail too. Requests wait for
        the next producer.
        """
        if not ended.done():
            self._replaced_until = time.monotonic() + _REPLACE_SECONDS
            self._take_away()
        self._end(ended, error)

    @staticmethod
    def _end(ended: "asyncio.Future[None]", error: BaseException) -> None:
        """End the use of a producer. The process ends with it if the broker refuses this client."""
        if ended.done():
            return
        if exit_code_of(error) is ExitCode.NOT_AUTHORISED:
            ended.set_exception(error)
        else:
            _log.warning("producer is replaced: %r", error)
            ended.set_result(None)

    async def _connect(self) -> AIOKafkaProducer:
        async for attempt in retry_forever(*_RETRIED):
            with attempt:
                capabilities = await self._config.kafka.probe()
                if not capabilities.append_time:
                    self.clock.use_own()
                await require_sources(self._config.kafka, self._config.topics)
                connected = producer(self._config.kafka, linger_ms=0, idempotent=capabilities.idempotence)
                try:
                    await connect(connected)
                    # So that the answers about metadata have them before they are used.
                    await connected.client.set_topics(self._config.topics.sources)
                except BaseException:
                    await connected.stop()
                    raise
                return connected
        raise AssertionError("retries do not end")

    async def _ask(self, connected: AIOKafkaProducer) -> None:
        """Ask the broker for metadata, which any broker answers."""
        network: Any = connected.client
        try:
            async with asyncio.timeout(AWAY_SECONDS):
                answered = await network.force_metadata_update()
        except TimeoutError:
            answered = False
        if answered:
            self._answered = time.monotonic()
        if answered is self._silent:
            self._silent = not answered
            if answered:
                _log.info("broker answers again")
            else:
                _log.warning("broker does not answer")


async def _close(connected: AIOKafkaProducer) -> None:
    """Close a producer. What an unavailable broker does not take soon was not acknowledged to anyone."""
    with contextlib.suppress(TimeoutError, KafkaError):
        async with asyncio.timeout(_CLOSE_SECONDS):
            await connected.stop()
