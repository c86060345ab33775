"""`doctor` over real sockets: it names the cause of a failed connection, and a failed check does not stop others."""

import asyncio
import contextlib
import dataclasses
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiokafka import TopicPartition
from aiokafka.errors import GroupAuthorizationFailedError

from aggregator.policy import Policy
from eval_alignment.doctor import broker
from eval_alignment.doctor.checks import CHECKS, Check, Observations, examine
from eval_alignment.doctor.findings import Finding, exit_code, ok
from eval_alignment.doctor.problems import Problem
from eval_alignment.doctor.target import Target
from streams.events.decoder import Decoder
from streams.kafka.batches import CorruptPartitionError
from streams.kafka.client import KafkaClient
from streams.kafka.topics import Topics


def target(address: str, seconds: float = 5, **security: Any) -> Target:
    return Target(
        client=KafkaClient([address], security),
        topics=Topics(),
        group="g",
        acknowledgement_group="g-dead-letters",
        decoder=Decoder(),
        policy=Policy.EACH,
        partitions=None,
        wait_days=30,
        partition=None,
        workers=(),
        view="",
        ingests=("http://127.0.0.1:9",),
        ingest_expected=False,
        prometheus="",
        alertmanager="",
        token=None,
        ingest_token=None,
        data_dir=Path(),
        seconds=seconds,
    )


@contextlib.asynccontextmanager
async def listening(answer: bytes | None, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server that replies to any request with these bytes and closes; with None it does not reply."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        if answer is None:
            await reader.read()
        else:
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@pytest.mark.parametrize(("expected", "name"), [(False, "skipped"), (True, "ingest_unreachable")])
async def test_an_ingest_that_nobody_named_may_be_missing(expected: bool, name: str) -> None:
    named = dataclasses.replace(target("127.0.0.1:9"), ingest_expected=expected)
    (check,) = (check for check in CHECKS if check.name == "ingest")
    (finding,) = await examine(named, [check])
    assert (finding.name, "http://127.0.0.1:9" in finding.observed) == (name, True)


async def problem(address: str, **security: Any) -> Problem | None:
    (reached,) = await broker.reach(target(address, **security))
    assert reached.address == address
    return reached.problem


def contexts(*names: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """TLS contexts of a server with these names, and of a client that trusts its CA."""
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert(*names).configure_cert(server)
    authority.configure_trust(client)
    return server, client


async def test_an_unknown_host_name_is_a_problem_of_its_own() -> None:
    assert await problem("nowhere.invalid:9092") is Problem.BROKER_NAME


async def test_a_listener_that_never_replies_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "_CONNECT_SECONDS", 0.2)
    async with listening(None) as address:
        assert await problem(address) is Problem.BROKER_TIMEOUT


async def test_a_listener_that_is_no_broker_is_named() -> None:
    async with listening(b"HTTP/1.1 400 Bad Request\r\n\r\n") as address:
        assert await problem(address) is Problem.BROKER_PROTOCOL


async def test_an_untrusted_authority_is_named() -> None:
    server, _ = contexts("127.0.0.1")
    stranger = ssl.create_default_context()
    async with listening(b"", server) as address:
        assert await problem(address, security_protocol="SSL", ssl_context=stranger) is Problem.BROKER_TLS


async def test_a_certificate_of_another_host_is_named() -> None:
    server, client = contexts("broker.example")
    async with listening(b"", server) as address:
        assert await problem(address, security_protocol="SSL", ssl_context=client) is Problem.BROKER_TLS


async def test_a_listener_without_tls_is_named() -> None:
    async with listening(b"no TLS here\r\n") as address:
        client = ssl.create_default_context()
        assert await problem(address, security_protocol="SSL", ssl_context=client) is Problem.BROKER_TLS


async def test_a_listener_that_expects_tls_is_named() -> None:
    server, _ = contexts("127.0.0.1")
    async with listening(b"", server) as address:
        assert await problem(address) is Problem.BROKER_PROTOCOL


async def test_a_failed_check_is_a_finding_and_the_others_run() -> None:
    async def hang(_: Observations) -> list[Finding]:
        await asyncio.Event().wait()
        return []

    async def refused(_: Observations) -> list[Finding]:
        raise GroupAuthorizationFailedError("not for you")

    async def well(_: Observations) -> list[Finding]:
        return [ok("disk", "room")]

    checks = [Check("lag", "", hang), Check("workers", "", refused), Check("disk", "", well)]
    findings = await examine(target("127.0.0.1:1", seconds=0.2), checks)
    assert [(finding.check, finding.name, finding.severity.name) for finding in findings] == [
        ("lag", "not_run", "WARNING"),
        ("workers", "not_run", "WARNING"),
        ("disk", "ok", "OK"),
    ]
    assert findings[0].observed == "not finished within 0.2 s"
    assert "Allow the user of doctor" in findings[1].action


async def test_an_unexpected_exception_of_a_check_is_an_error_and_the_others_run() -> None:
    async def broken(_: Observations) -> list[Finding]:
        return [ok("lag", str(1 / 0))]

    async def corrupt(_: Observations) -> list[Finding]:
        why = "t[3]: wrong checksum of the record batch at offset 7"
        raise CorruptPartitionError(why, TopicPartition("t", 3))

    async def well(_: Observations) -> list[Finding]:
        return [ok("disk", "room")]

    checks = [Check("lag", "The offsets.", broken), Check("recount", "", corrupt), Check("disk", "", well)]
    findings = await examine(target("127.0.0.1:1"), checks)
    assert [(finding.check, finding.name, finding.severity.name) for finding in findings] == [
        ("lag", "failed", "ERROR"),
        ("recount", "failed", "ERROR"),
        ("disk", "ok", "OK"),
    ]
    assert findings[0].observed.startswith("unexpected ZeroDivisionError: division by zero (test_observing.py, line ")
    assert findings[0].observed.endswith("while this was examined: The offsets.")
    assert "t[3]: wrong checksum" in findings[1].observed
    assert exit_code(findings).code == 2


async def test_a_check_of_a_silent_broker_ends_within_its_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "_CONNECT_SECONDS", 0.2)
    async with listening(None) as address:
        chosen = [check for check in CHECKS if check.name in ("broker", "topics", "lag", "recount")]
        findings = await examine(target(address), chosen)
    assert [(finding.check, finding.name) for finding in findings] == [
        ("broker", "broker_timeout"),
        *((name, "skipped") for name in ("topics", "lag", "recount")),
    ]
