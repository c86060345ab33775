"""An ingest application in this process, with a publisher that keeps what it gets."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import cramjam
import httpx
from starlette.types import ASGIApp

from ingest.app import create_app
from ingest.clock import BrokerClock
from ingest.config import IngestConfig, Limits
from ingest.metrics import IngestMetrics
from ingest.pulls import IngestPulls
from ingest.source_access import read_verifiers
from ingest.sources import open_intakes
from sinks.access import AccessToken
from sources.intake.store import IndexStore
from sources.pulls.registry import open_streams
from sources.pulls.sync import OpenStreams
from sources.source import ToolSource
from streams.events.decoder import Decoder
from streams.kafka.client import KafkaClient
from streams.kafka.producer import Outgoing
from streams.kafka.topics import Topics

NOW_MS = 1_790_000_000_000
"""The time of all clocks."""
AT = "2026-09-21T14:00:00Z"
"""Before `NOW_MS`."""


TOPICS = Topics()
"""The names of the topics."""
CE = {"ce_specversion": "1.0", "ce_type": "rating", "ce_source": "/tool"}
"""Headers of a CloudEvent in binary mode."""


def annotation(id: str = "a1", **fields: Any) -> dict[str, Any]:
    return {"id": id, "at": AT, "queue": "support", "item": "i1", "thumbs": "up", **fields}


def evaluation(id: str = "e1", **fields: Any) -> dict[str, Any]:
    return {"id": id, "at": AT, "item": "i1", "metric": "relevance", "score": 0.9, "threshold": 0.5, **fields}


def lines(*events: Mapping[str, Any]) -> str:
    return "".join(f"{json.dumps(event)}\n" for event in events)


def packed(body: bytes, encoding: str) -> bytes:
    return gzip.compress(body) if encoding.endswith("gzip") else bytes(cramjam.zstd.compress(body))


@dataclass
class FakePublisher:
    """Acknowledges everything, unless told otherwise."""

    clock: BrokerClock = field(default_factory=lambda: BrokerClock(steady=lambda: 0.0, wall=lambda: NOW_MS))
    away: str | None = None
    error: Exception | None = None
    broker_ms: int = NOW_MS
    sent: list[Outgoing] = field(default_factory=list)
    waiting: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Event | None = None
    """Acknowledgements wait for it."""

    async def publish(self, records: Sequence[Outgoing]) -> None:
        self.waiting.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.sent += records
        self.clock.observe(self.broker_ms)


@dataclass
class Door:
    """An application, its publisher and its metrics."""

    client: httpx.AsyncClient
    publisher: FakePublisher
    metrics: IngestMetrics
    pulls: IngestPulls

    async def send(self, body: bytes | str, content_type: str | None = None, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if content_type is not None:
            named["content-type"] = content_type
        return await self.client.post("/api/v1/events", content=body, headers=named)

    def metric(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"eval_alignment_ingest_{name}", labels) or 0.0


@asynccontextmanager
async def open_door(
    tokens: Sequence[AccessToken] = (),
    decoder: Decoder | None = None,
    sources: Mapping[str, ToolSource] | None = None,
    store: IndexStore | None = None,
    connect: OpenStreams = open_streams,
    **limits: Any,
) -> AsyncIterator[Door]:
    """An application with these limits."""
    app, publisher, metrics, pulls = _application(tokens, decoder, sources, store, connect, **limits)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield Door(client, publisher, metrics, pulls)


def fake_app(sources: Mapping[str, ToolSource]) -> ASGIApp:
    """An application with these sources, whose publisher acknowledges everything."""
    app, *_ = _application(sources=sources)
    return app


def _application(
    tokens: Sequence[AccessToken] = (),
    decoder: Decoder | None = None,
    sources: Mapping[str, ToolSource] | None = None,
    store: IndexStore | None = None,
    connect: OpenStreams = open_streams,
    **limits: Any,
) -> tuple[ASGIApp, FakePublisher, IngestMetrics, IngestPulls]:
    config = IngestConfig(
        kafka=KafkaClient(["127.0.0.1:1"]),
        decoder=decoder or Decoder(),
        sources=sources or {},
        # As in settings, no body is larger than all bytes in flight.
        limits=Limits(**{"source_body_bytes": limits.get("body_bytes", 8 << 20), **limits}),
    )
    publisher, metrics = FakePublisher(), IngestMetrics("1")
    intakes, verifiers = open_intakes(config, publisher, store), read_verifiers(config.sources)
    pulls = IngestPulls(intakes, publisher, metrics, connect)
    app = create_app(config, publisher, metrics, tokens, intakes, verifiers=verifiers, pulls=pulls)
    return app, publisher, metrics, pulls
