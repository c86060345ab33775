"""Publishes records and waits for the broker: one producer, connected and watched in the background.

The broker may be away: requests are then refused with 503, and records that it did not acknowledge in time may still
arrive. Their repetition is harmless, since equal events merge. A broker that takes a right away is away too, until it
is given back; only one that has never let this user write ends the process.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
)

from ingest.clock import BrokerClock
from ingest.config import IngestConfig
from ingest.limits import TURN
from streams.kafka.client import connect
from streams.kafka.producer import Outgoing, producer, require_sources
from streams.kafka.rights import require_writing
from streams.kafka.topics import TopicsError
from streams.runtime.errors import EvalAlignmentError
from streams.runtime.exit_codes import ExitCode
from streams.runtime.failures import REFUSALS
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
        """Done when the producer must be replaced."""
        self._refused: str | None = None
        """How the broker refuses this user, which it has let write before."""
        self._was_connected = False
        self._connected = asyncio.Event()
        """Set while there is a producer."""
        self._replaced_until = -AWAY_SECONDS
        """Until when a missing producer is taken to be back in a moment."""

    @property
    def away(self) -> str | None:
        """Why nothing can be published; None when it can."""
        if self._producer is None:
            if self._refused is not None:
                return self._refused
            back_soon = time.monotonic() < self._replaced_until
            return None if back_soon else "not connected to the broker, or a source topic is missing"
        silent = time.monotonic() - self._answered
        return None if silent < AWAY_SECONDS else f"the broker has not answered for {silent:.0f} s"

    async def run(self) -> None:
        """Connect, and keep the connection until cancelled.

        Raises KafkaError when the broker refuses this user at the start. Later, that is waited for.
        """
        closing: set[asyncio.Task[None]] = set()
        try:
            while True:
                connected = await self._connect()
                self._ended = asyncio.get_running_loop().create_future()
                self._answered = time.monotonic()
                self._producer = connected
                self._refused, self._was_connected = None, True
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
        """Return when a producer must be replaced."""
        while not ended.done():
            await self._ask(connected)
            cluster = connected.client.cluster
            if unseen := set(self._config.topics.sources) - cluster.topics():
                # Requests would wait for it until they time out, and `away` would be None.
                refused = sorted(unseen & cluster.unauthorized_topics)
                missing = TopicsError(f"missing topics: {', '.join(sorted(unseen))}")
                self._end(ended, TopicAuthorizationFailedError(refused[0]) if refused else missing)
            await asyncio.wait([ended], timeout=_ASK_SECONDS)

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

    def _end(self, ended: "asyncio.Future[None]", error: BaseException) -> None:
        """End the use of a producer."""
        if ended.done():
            return
        self._note(error)
        _log.warning("producer is replaced: %r", error)
        ended.set_result(None)

    def _note(self, error: BaseException) -> None:
        """Remember how the broker refuses this user: requests need not wait for the next producer then."""
        topics = set(self._config.topics.sources)
        if isinstance(error, TopicAuthorizationFailedError):
            topics &= {*error.args}
        elif self._refused is not None:
            # It names a topic. A user without any right to write is refused in a way that does not.
            return
        # Without a right that only some sources need, such as that to write dead letters, all others go on.
        if not isinstance(error, REFUSALS) or not topics:
            return
        reason = f"the broker refuses to let this user write to {', '.join(sorted(topics))}: {error!r}"
        if self._refused is None:
            _log.error("%s. Events are answered with 503 until its right is given back", reason)
        self._refused = reason

    async def _connect(self) -> AIOKafkaProducer:
        refusals = REFUSALS if self._was_connected else ()
        async for attempt in retry_forever(*_RETRIED, *refusals):
            with attempt, self._noting():
                capabilities = await self._config.kafka.probe()
                if not capabilities.append_time:
                    self.clock.use_own()
                await require_sources(self._config.kafka, self._config.topics)
                connected = producer(self._config.kafka, linger_ms=0, idempotent=capabilities.idempotence)
                try:
                    await connect(connected)
                    # So that the answers about metadata have them before they are used.
                    await connected.client.set_topics(self._config.topics.sources)
                    if capabilities.idempotence:
                        # The embedded broker knows no rights.
                        await require_writing(connected, self._config.topics.sources)
                except BaseException:
                    await connected.stop()
                    raise
                return connected
        raise AssertionError("retries do not end")

    @contextlib.contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except REFUSALS as error:
            if self._was_connected:
                self._note(error)
            raise

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
