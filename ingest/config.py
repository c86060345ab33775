"""Configuration of an ingest process."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sinks.connections import LOOPBACK_NETWORKS
from sources.source import ToolSource
from streams.events.decoder import Decoder
from streams.kafka.client import KafkaClient
from streams.kafka.topics import Topics


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one request, and all requests together, may use."""

    body_bytes: int = 8 << 20
    """Largest body after decompression."""
    source_body_bytes: int = 64 << 20
    """Largest body for a source after decompression: a tool sends what it has in one request, and never again."""
    body_setting: str = "ingest_body_bytes"
    """Name of the setting with the largest body, for messages."""
    events: int = 10_000
    """Most events of a request."""
    in_flight_bytes: int = 128 << 20
    """Bodies of all requests that are not answered or not acknowledged yet."""
    body_seconds: float = 30.0
    """Time in which a body must arrive."""
    acknowledge_seconds: float = 15.0
    """Time in which the broker must acknowledge the events of a request."""

    def of_sources(self) -> "Limits":
        """The limits of requests for sources."""
        return replace(self, body_bytes=self.source_body_bytes, body_setting="ingest_source_body_bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestConfig:
    """Configuration of an ingest process."""

    kafka: KafkaClient
    topics: Topics = field(default_factory=Topics)
    group: str = "eval-alignment"
    """Consumer group of the workers: what it has committed is on the ledger."""
    decoder: Decoder = field(default_factory=Decoder)
    """Has the workers' settings, so that it decides as they do."""
    host: str = "127.0.0.1"
    port: int = 8389
    limits: Limits = field(default_factory=Limits)
    token_file: Path | None = None
    """File with the tokens of which clients must send one; see `sinks.access`."""
    allow_open_bind: bool = False
    """Whether to listen on other addresses than loopback without a token; see `sinks.access`."""
    allowed_hosts: Sequence[str] = ()
    """Values of the Host header that are served besides loopback; see `sinks.access`."""
    sources: Mapping[str, ToolSource] = field(default_factory=dict)
    """Sources by name."""
    index_dir: Path | None = None
    """Directory of the owner index; None turns sources off that remember their records."""
    keep_alive_s: int = 75
    """Seconds that an idle connection stays open."""
    connections_per_address: int = 100
    """Connections of one address; see `sinks.listener`."""
    proxy_addresses: Sequence[str] = LOOPBACK_NETWORKS
    """Networks of proxies, which may have any number of connections."""
    version: str = "0"
    """The release, for `build_info`."""
