"""From settings to what each part takes."""

import asyncio
import ssl
from typing import Any

import click
from aiokafka.errors import KafkaConnectionError
from aiokafka.helpers import create_ssl_context

from aggregator.snapshot.inputs import CountingRules
from eval_alignment import __version__
from eval_alignment.settings import TOPIC_ROLES, Settings, SettingsError
from streams.events.decoder import Decoder
from streams.kafka.client import KafkaClient
from streams.kafka.topics import Topics


def client(settings: Settings) -> KafkaClient:
    """How to reach Kafka. Raises SettingsError when certificate or password files cannot be used."""
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


def failed(settings: Settings, error: Exception) -> click.ClickException:
    """The end of a command that Kafka kept from its work: where, and why, also where aiokafka only says that nobody
    answers. Not for a running event loop.
    """
    reason = asyncio.run(client(settings).refusal()) if isinstance(error, KafkaConnectionError) else None
    return click.ClickException(f"{settings.brokers}: {reason or repr(error)}")


def _ssl_context(settings: Settings) -> ssl.SSLContext:
    def text(path: object) -> str | None:
        return None if path is None else str(path)

    try:
        # Without a CA file this trusts the system's; host names are checked in any case.
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


def group(settings: Settings) -> str:
    """Consumer group of the workers."""
    return settings.group or f"{settings.topic_prefix}eval-alignment"


def decoder(settings: Settings) -> Decoder:
    """What decides of events."""
    metrics = {name: metric.defaults() for name, metric in settings.metrics.items()}
    return Decoder(metrics=metrics, future_ms=settings.future_limit_ms)


def counting_rules(settings: Settings) -> CountingRules:
    """What applies when counts are read."""
    return CountingRules(
        pass_stars=settings.pass_stars, criterion_metrics=settings.criterion_metrics, limits=settings.limits()
    )


def partitions(settings: Settings) -> int | None:
    """P as it was asked for; None when nobody said, so that topics which exist decide."""
    return settings.partitions if "partitions" in settings.model_fields_set else None


def identity(settings: Settings) -> dict[str, object]:
    """Fields of the first log line of a worker or view: what runs, and where."""
    return {
        "release": __version__,
        "brokers": settings.brokers,
        "topic_prefix": settings.topic_prefix,
        "partitions": partitions(settings) or "as the topics have",
    }
