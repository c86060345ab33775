"""Builds the Kafka client and the topic names from the settings, and explains a failed connection."""

import asyncio
import ssl
from collections.abc import Coroutine
from typing import Any, TypeVar

import click
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.helpers import create_ssl_context

from eval_alignment.options import EMBEDDED_BROKER_PORT
from eval_alignment.settings import TOPIC_ROLES, Settings, SettingsError
from streams.kafka.client import KafkaClient
from streams.kafka.topics import Topics, TopicsError

Result = TypeVar("Result")


def client(settings: Settings) -> KafkaClient:
    """How to connect to Kafka. Raises SettingsError when a certificate, key or password file cannot be used."""
    security: dict[str, Any] = {"security_protocol": settings.security_protocol}
    if settings.security_protocol.startswith("SASL"):
        security |= {
            "sasl_mechanism": settings.sasl_mechanism,
            "sasl_plain_username": settings.sasl_username,
            "sasl_plain_password": settings.password(),
        }
    if settings.security_protocol.endswith("SSL"):
        security["ssl_context"] = _ssl_context(settings)
    return KafkaClient([broker.strip() for broker in settings.brokers.split(",")], security)


def failure(settings: Settings, error: Exception) -> click.ClickException:
    """The error of a command that failed because of Kafka: the address, the cause, and a hint.

    aiokafka's own error does not name the cause of a failed connection, so this connects once more to find it. Do not
    call it in a running event loop.
    """
    if not isinstance(error, KafkaConnectionError):
        return click.ClickException(f"{settings.brokers}: {error!r}")
    reason = asyncio.run(client(settings).refusal()) or "no broker answers"
    embedded = f"127.0.0.1:{EMBEDDED_BROKER_PORT}"
    hint = "" if settings.brokers == embedded else f"; the embedded broker of `up` listens at {embedded} (--broker)"
    return click.ClickException(f"{settings.brokers}: {reason}{hint}")


def run(settings: Settings, job: Coroutine[Any, Any, Result]) -> Result:
    """Run what needs the broker, and return its result. Raises ClickException when the broker fails it."""
    try:
        return asyncio.run(job)
    except TopicsError as error:
        raise click.ClickException(str(error)) from error
    except (KafkaError, TimeoutError) as error:
        raise failure(settings, error) from error


def _ssl_context(settings: Settings) -> ssl.SSLContext:
    def text(path: object) -> str | None:
        return None if path is None else str(path)

    try:
        # Without a CA file this trusts the system's CAs. Host names are always checked.
        return create_ssl_context(
            cafile=text(settings.ssl_ca_file),
            certfile=text(settings.ssl_certificate_file),
            keyfile=text(settings.ssl_key_file),
        )
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"ssl_ca_file, ssl_certificate_file, ssl_key_file: {error}") from error


def topics(settings: Settings) -> Topics:
    """Full topic names."""
    return Topics(**{role: settings.topic(role) for role in TOPIC_ROLES})
