"""The broker as the worker sees it: connection settings, and what this broker can do."""

# ruff: noqa: SLF001 -- what is used of aiokafka has a contract test

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

_log = logging.getLogger(__name__)

CONNECT_SECONDS: Final = 30.0
_TIMEOUT_MS: Final = 10_000
RETRY_MS: Final = 75, 150
"""The least and the longest pause of a client before it asks again."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What differs between Apache Kafka and the embedded broker, as one value.

    `idempotence`: producers may be idempotent. `exact_ends`: the end offset that the broker tells is exact, so the
    idle fence can compare it. `session_seconds`: the group's session time-out; the embedded broker answers a join
    only after half of it.
    """

    idempotence: bool
    exact_ends: bool
    session_seconds: float

    @property
    def heartbeat_seconds(self) -> float:
        """Interval of heartbeats."""
        return self.session_seconds / 5


KAFKA = Capabilities(idempotence=True, exact_ends=True, session_seconds=10.0)
EMBEDDED = Capabilities(idempotence=False, exact_ends=False, session_seconds=6.0)


@dataclass(frozen=True, slots=True)
class KafkaClient:
    """Where the broker is and how to talk to it. `security` are aiokafka's own arguments (SASL, TLS)."""

    brokers: Sequence[str]
    security: Mapping[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, Any]:
        """What every aiokafka client takes. Each one has a pause of its own between attempts: those that lost the same
        broker do not come back in step.
        """
        pause = random.randint(*RETRY_MS)
        return {"bootstrap_servers": list(self.brokers), "retry_backoff_ms": pause, **self.security}

    async def probe(self) -> Capabilities:
        """Find out which kind of broker answers: only the embedded one refuses an idempotent producer.

        Raises KafkaConnectionError when none answers, and what `refusal` gives when one does and it comes to nothing.
        """
        producer = AIOKafkaProducer(**self.settings, enable_idempotence=True, request_timeout_ms=_TIMEOUT_MS)
        # The refusal is an answer here, not a problem to be logged.
        sender_log = logging.getLogger("aiokafka.producer.sender")
        level = sender_log.level
        sender_log.setLevel(logging.CRITICAL)
        try:
            await connect(producer)
        except (UnknownError, UnsupportedVersionError) as error:
            _log.info("the broker has no idempotent producers (%s): it is treated as an embedded one", error)
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
        """Why a broker that can be reached is of no use: it refuses the credentials, or cannot be trusted. None when
        there is no such broker.

        aiokafka's clients log such reasons, and then call the broker unreachable.
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


async def connect(connection: KafkaConnection) -> None:
    """Start a client of aiokafka. Raises KafkaConnectionError when no broker answers, or none that knows of a broker.

    A broker that just starts tells of none, not even of itself. aiokafka keeps that connection to ask again, and when
    it breaks there is nobody left to ask: the client would wait without end.
    """
    network: Any = getattr(connection, "client", None) or connection._client  # type: ignore[attr-defined]
    back_off_on_missing_leader(network)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await connection.start()
    except TimeoutError:
        raise KafkaConnectionError(f"no broker was ready within {CONNECT_SECONDS:g} s") from None
    if not network.cluster.brokers():
        # A consumer whose tasks never ran cannot be stopped: that would raise CancelledError.
        await asyncio.sleep(0)
        raise KafkaConnectionError("the broker that answers does not know of any broker yet")


def back_off_on_missing_leader(network: Any) -> None:
    """Let aiokafka's part that talks to brokers pause before it asks again where a partition has no leader, or no
    broker answers.

    Fetcher and sender ask for a leader, and where there is none at once again: as often as a core can.
    """
    update = network._metadata_update

    async def updated(cluster: ClusterMetadata, topics: Collection[str]) -> bool:
        known: bool = await update(cluster, topics)
        if not known or any(_leaderless(cluster, topic) for topic in topics or cluster.topics()):
            await asyncio.sleep(network._retry_backoff)
        return known

    network._metadata_update = updated


def _leaderless(cluster: ClusterMetadata, topic: str) -> bool:
    partitions = cluster.partitions_for_topic(topic)
    return partitions is None or partitions != cluster.available_partitions_for_topic(topic)
