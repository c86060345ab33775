"""Observes the broker: whether each address answers and why not, and how the topics differ from their table."""

import asyncio
import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    IllegalSaslStateError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)

from eval_alignment.doctor.findings import Finding, ok, problem_found, skipped
from eval_alignment.doctor.problems import Problem
from eval_alignment.doctor.severity import Severity
from eval_alignment.doctor.target import Target
from eval_alignment.setting_checks import address
from streams.kafka import topics
from streams.kafka.client import connect
from streams.kafka.topics import TopicsDiff

_CONNECT_SECONDS: Final = 5.0
_SASL: Final = (
    AuthenticationFailedError,
    IllegalSaslStateError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
_DECISIVE: Final = frozenset({"cleanup.policy", "message.timestamp.type"})
"""Topic settings that decide which records are kept and accepted."""
_KEPT: Final = (topics.RETENTION_MS, topics.RETENTION_BYTES)
"""Settings of the evaluations topic that decide what a worker without its disk can read again."""


@dataclass(frozen=True, slots=True)
class Reached:
    """The result of a connection to one address of the broker."""

    address: str
    advertised: bool
    """Whether the address came from the broker; else from the settings."""
    problem: Problem | None
    """Why the connection failed; None when it succeeded."""
    detail: str


def problem_of(error: Exception) -> Problem:
    """The problem that a failed connection indicates."""
    # Most of these are subclasses of OSError.
    if isinstance(error, socket.gaierror):
        return Problem.BROKER_NAME
    if isinstance(error, ssl.SSLError):
        return Problem.BROKER_TLS
    if isinstance(error, ConnectionRefusedError):
        return Problem.BROKER_REFUSED
    if isinstance(error, TimeoutError):
        return Problem.BROKER_TIMEOUT
    if isinstance(error, _SASL):
        return Problem.BROKER_SASL
    return Problem.BROKER_PROTOCOL if isinstance(error, KafkaError | EOFError) else Problem.BROKER_LOST


async def reach(target: Target) -> list[Reached]:
    """Connect to every address of the settings and, if one answers, to every advertised address."""
    bootstrap = await asyncio.gather(*(_reach(target, text, advertised=False) for text in target.client.brokers))
    if all(reached.problem for reached in bootstrap):
        return list(bootstrap)
    known = {reached.address for reached in bootstrap}
    others = [text for text in await _advertised(target) if text not in known]
    return [*bootstrap, *await asyncio.gather(*(_reach(target, text, advertised=True) for text in others))]


async def _reach(target: Target, text: str, *, advertised: bool) -> Reached:
    host, port = address(text)
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            connection = await create_conn(host, port, **target.client.security)
    except (OSError, EOFError, KafkaError) as error:
        # The text of a KafkaError begins with its name.
        detail = str(error) if isinstance(error, KafkaError) else f"{type(error).__name__}: {error}".rstrip(": ")
        return Reached(text, advertised, problem_of(error), detail)
    connection.close()
    return Reached(text, advertised, None, "")


async def _advertised(target: Target) -> list[str]:
    admin = AIOKafkaAdminClient(**target.client.settings)
    try:
        await connect(admin)
        brokers = (await admin.describe_cluster())["brokers"]
    finally:
        await admin.close()
    return [f"[{b['host']}]:{b['port']}" if ":" in b["host"] else f"{b['host']}:{b['port']}" for b in brokers]


def judge_broker(reached: Sequence[Reached]) -> list[Finding]:
    """Findings about the addresses: critical when no address of the settings answers, error when some do."""
    some = any(one.problem is None for one in reached if not one.advertised)
    findings = [
        problem_found(
            one.problem,
            f"{one.address}{' (advertised by the broker)' if one.advertised else ''}: {one.detail}",
            Severity.ERROR if some else None,
        )
        for one in reached
        if one.problem is not None
    ]
    if answering := [one.address for one in reached if one.problem is None]:
        findings.append(ok("broker", f"{', '.join(answering)} answers"))
    return findings


@dataclass(frozen=True, slots=True)
class Described:
    """The topics of the broker."""

    counts: Mapping[str, int]
    """Number of partitions by topic, all topics of the broker."""
    diff: TopicsDiff
    """The installation's topics, compared with their table."""


async def describe(target: Target) -> Described:
    """Request the topics and their settings."""
    counts = await topics.partition_counts(target.client.settings)
    compared = await topics.diff(target.client.settings, target.topics, target.partitions, target.wait_days)
    return Described(counts, compared)


def judge_topics(described: Described, names: topics.Topics) -> list[Finding]:
    """A finding per difference from the table of topics."""
    missing = [difference.topic for difference in described.diff.differences if difference.what == "topic"]
    findings = [problem_found(Problem.TOPICS_MISSING, ", ".join(missing))] if missing else []
    for difference in described.diff.differences:
        if difference.what == "topic":
            continue
        if difference.what == "partitions":
            findings.append(problem_found(Problem.TOPICS_PARTITIONS, str(difference)))
        else:
            kept = _KEPT if difference.topic == names.evaluations else ()
            severity = Severity.ERROR if difference.what in (*_DECISIVE, *kept) else None
            findings.append(problem_found(Problem.TOPICS_SETTING, str(difference), severity))
    unreported = described.diff.unreported
    if not findings:
        right = "exist" if unreported else "are correct"
        observed = f"all {len(topics.TABLE)} topics {right}, with {described.counts[names.facts]} partitions"
        findings.append(ok("topics", observed))
    if unreported:
        findings.append(skipped("topics", f"not asked: the broker does not report settings of {', '.join(unreported)}"))
    return findings
