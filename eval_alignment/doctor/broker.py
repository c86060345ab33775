"""The broker and its topics: whether each address answers, why it does not, and what differs from the table."""

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

from eval_alignment.doctor.findings import Finding, found, ok
from eval_alignment.doctor.problems import Problem, Severity
from eval_alignment.doctor.target import Target
from eval_alignment.settings import address
from streams.kafka import topics
from streams.kafka.client import connect
from streams.kafka.topics import Difference

_CONNECT_SECONDS: Final = 5.0
_SASL: Final = (
    AuthenticationFailedError,
    IllegalSaslStateError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
_DECISIVE: Final = frozenset({"cleanup.policy", "message.timestamp.type"})
"""Topic settings that decide what is kept and what is accepted."""


@dataclass(frozen=True, slots=True)
class Reached:
    """One address of the broker, from the settings or advertised, and what keeps us from talking to it, if anything."""

    address: str
    advertised: bool
    problem: Problem | None
    detail: str


def problem_of(error: Exception) -> Problem:
    """The problem that a failed connection means."""
    # Both are kinds of OSError: the narrower ones first.
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
    """Talk to every address of the settings, and, when one answers, to every address that it advertises."""
    bootstrap = await asyncio.gather(*(_reach(target, text, advertised=False) for text in target.client.brokers))
    if all(reached.problem for reached in bootstrap):
        return list(bootstrap)
    known = {reached.address for reached in bootstrap}
    told = [text for text in await _advertised(target) if text not in known]
    return [*bootstrap, *await asyncio.gather(*(_reach(target, text, advertised=True) for text in told))]


async def _reach(target: Target, text: str, *, advertised: bool) -> Reached:
    host, port = address(text)
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            connection = await create_conn(host, port, **target.client.security)
    except (OSError, EOFError, KafkaError) as error:
        # Kafka's own errors begin with their names.
        said = str(error) if isinstance(error, KafkaError) else f"{type(error).__name__}: {error}".rstrip(": ")
        return Reached(text, advertised, problem_of(error), said)
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
    """Critical when no address of the settings answers; an error when some do."""
    some = any(one.problem is None for one in reached if not one.advertised)
    findings = [
        found(
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
    """Partitions of every topic on the broker, and in what the installation's differ from the table."""

    counts: Mapping[str, int]
    differences: Sequence[Difference]


async def describe(target: Target) -> Described:
    """Ask for the topics and their settings."""
    counts = await topics.partition_counts(target.client.settings)
    return Described(counts, await topics.diff(target.client.settings, target.topics, target.partitions))


def judge_topics(described: Described, names: topics.Topics) -> list[Finding]:
    """Every difference from the table."""
    missing = [difference.topic for difference in described.differences if difference.what == "topic"]
    findings = [found(Problem.TOPICS_MISSING, ", ".join(missing))] if missing else []
    for difference in described.differences:
        if difference.what == "topic":
            continue
        if difference.what == "partitions":
            findings.append(found(Problem.TOPICS_PARTITIONS, str(difference)))
        else:
            severity = Severity.ERROR if difference.what in _DECISIVE else None
            findings.append(found(Problem.TOPICS_SETTING, str(difference), severity))
    if findings:
        return findings
    return [ok("topics", f"{len(topics.TABLE)} topics as the table wants them, P is {described.counts[names.facts]}")]
