"""Connections to the broker: settings, what this broker supports, and starting a client of aiokafka."""

# ruff: noqa: SLF001 -- a contract test covers the private names of aiokafka

import asyncio
import logging
import random
import ssl
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.cluster import ClusterMetadata
from aiokafka.conn import create_conn
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnknownError,
    UnsupportedSaslMechanismError,
    UnsupportedVersionError,
)

from streams.runtime.failures import BrokerUntrustedError
from streams.runtime.outage import BrokerOutage

_log = logging.getLogger(__name__)

CONNECT_SECONDS: Final = 30.0
"""How long a client may take to start."""
_TIMEOUT_MS: Final = 10_000
RETRY_MS: Final = 75, 150
"""The shortest and the longest pause of a client between two attempts, in milliseconds."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The differences between Apache Kafka and the embedded broker."""

    idempotence: bool
    """Whether producers can be idempotent."""
    exact_ends: bool
    """Whether reported end offsets are exact, so that the idle fence can compare them."""
    append_time: bool
    """Whether records get the broker's time; otherwise they keep the time of their producer."""
    session_seconds: float
    """The group's session timeout; the embedded broker answers a join only after half of it."""

    @property
    def topics_in_memory(self) -> bool:
        """Whether a restart of the broker loses its topics: only the embedded one reports no exact ends."""
        return not self.exact_ends

    @property
    def heartbeat_seconds(self) -> float:
        """Interval of heartbeats."""
        return self.session_seconds / 5


KAFKA = Capabilities(idempotence=True, exact_ends=True, append_time=True, session_seconds=10.0)
EMBEDDED = Capabilities(idempotence=False, exact_ends=False, append_time=False, session_seconds=6.0)


@dataclass(frozen=True, slots=True)
class KafkaClient:
    """How to connect to the brokers."""

    brokers: Sequence[str]
    """Addresses as host:port."""
    security: Mapping[str, Any] = field(default_factory=dict)
    """aiokafka's arguments for SASL and TLS."""

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments of an aiokafka client, with a random pause between its attempts.

        Clients that lost the same broker therefore reconnect at different times.
        """
        pause = random.randint(*RETRY_MS)
        return {"bootstrap_servers": list(self.brokers), "retry_backoff_ms": pause, **self.security}

    async def probe(self) -> Capabilities:
        """Determine the kind of broker: only the embedded one refuses an idempotent producer.

        Raises KafkaConnectionError if no broker answers, and the error of `refusal` if a broker refuses the connection.
        """
        producer = AIOKafkaProducer(**self.settings, enable_idempotence=True, request_timeout_ms=_TIMEOUT_MS)
        # The refusal is an expected answer here, which need not be logged.
        sender_log = logging.getLogger("aiokafka.producer.sender")
        level = sender_log.level
        sender_log.setLevel(logging.CRITICAL)
        try:
            await connect(producer)
        except (UnknownError, UnsupportedVersionError) as error:
            _log.info("broker without idempotent producers, treated as the embedded broker: %s", error)
            return EMBEDDED
        except KafkaConnectionError:
            if (reason := await self.refusal()) is not None:
                raise reason from None
            raise
        finally:
            sender_log.setLevel(level)
            await producer.stop()
        return KAFKA

    async def refusal(self) -> KafkaError | None:
        """Why a reachable broker refuses the connection: its credentials check or TLS fails. None if no broker does.

        aiokafka's clients only log such a reason, and report the broker as unreachable.
        """
        for broker in self.brokers:
            host, _, port = broker.rpartition(":")
            try:
                connection = await create_conn(
                    host.removeprefix("[").removesuffix("]"), int(port), request_timeout_ms=_TIMEOUT_MS, **self.security
                )
            except (SaslAuthenticationFailed, UnsupportedSaslMechanismError) as error:
                return error
            except ssl.SSLError as error:
                return BrokerUntrustedError(f"{broker}: {getattr(error, 'verify_message', None) or error}")
            except (OSError, KafkaError, TimeoutError):
                continue
            connection.close()
        return None


class KafkaConnection(Protocol):
    """A producer, consumer or admin client of aiokafka."""

    async def start(self) -> None:
        """Connect."""


async def connect(connection: KafkaConnection, outage: BrokerOutage | None = None) -> None:
    """Start a client of aiokafka. Raises KafkaConnectionError if no broker is ready within `CONNECT_SECONDS`.

    While the client lives, `outage` learns whether brokers answer its metadata requests, which it repeats without a
    connection.

    A broker that is starting reports no broker, not even itself. aiokafka keeps that connection for further metadata
    requests; if it breaks, no known broker is left, and the client would wait forever. Such a start raises
    KafkaConnectionError too.
    """
    network: Any = getattr(connection, "client", None) or connection._client  # type: ignore[attr-defined]
    back_off_on_missing_leader(network, outage)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await connection.start()
    except TimeoutError:
        raise KafkaConnectionError(f"no broker was ready within {CONNECT_SECONDS:g} s") from None
    if not network.cluster.brokers():
        # A consumer whose tasks never ran cannot be stopped: that would raise CancelledError.
        await asyncio.sleep(0)
        raise KafkaConnectionError("the broker that answers is still starting: it reports no brokers")


def back_off_on_missing_leader(network: Any, outage: BrokerOutage | None = None) -> None:
    """Make a network client of aiokafka pause between metadata requests while a partition has no leader, or no broker
    answers.

    Without a pause, fetcher and sender repeat the request immediately, and use a whole core. `outage` learns whether a
    broker answered.
    """
    update = network._metadata_update

    async def updated(cluster: ClusterMetadata, topics: Collection[str]) -> bool:
        known: bool = await update(cluster, topics)
        if outage is not None:
            outage.answered() if known else outage.failed("no broker answers a metadata request")
        if not known or any(_leaderless(cluster, topic) for topic in topics or cluster.topics()):
            await asyncio.sleep(network._retry_backoff)
        return known

    network._metadata_update = updated


def _leaderless(cluster: ClusterMetadata, topic: str) -> bool:
    partitions = cluster.partitions_for_topic(topic)
    return partitions is None or partitions != cluster.available_partitions_for_topic(topic)
