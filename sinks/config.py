"""Configuration of a view."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aggregator.snapshot.inputs import CountingRules
from sinks.connections import LOOPBACK_NETWORKS


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewConfig:
    """Configuration of a view."""

    client: Mapping[str, Any]
    """Arguments of every Kafka client: bootstrap servers, security."""
    data_dir: Path
    """Directory of the store; created when it does not exist."""
    host: str = "127.0.0.1"
    port: int = 8390
    facts_topic: str = "alignment.facts.v1"
    tallies_topic: str = "alignment.tallies.v1"
    snapshots_topic: str = "alignment.snapshots.v1"
    dead_letters_topic: str = "alignment.dead-letters.v1"
    rules: CountingRules = field(default_factory=CountingRules)
    """How rows count: pass mark, criteria and their metrics, limits of the gate."""
    publish: bool = True
    """Whether to publish snapshot documents to the topic. Of several views, one publishes."""
    history_count: int = 1_000
    """Snapshot documents of a queue in the history. Of older ones the last of each day is kept."""
    history_days: int = 90
    """Age in days at which snapshot documents are deleted."""
    series_limit: int = 10_000
    """Most Prometheus series of the agreement gauges."""
    expose_judge_version: bool = False
    """Whether judge versions are labels of gauges."""
    segment_gauges: Sequence[str] = ()
    """Names of tags by whose values gauges have alignment."""
    show_annotators: bool = False
    """Whether page and API show numbers of single annotators."""
    alternative_epsilon: float = 0.2
    """How much worse than a person a metric may be in the alternative annotator test."""
    public_badges: bool = False
    """Whether badges need no token."""
    item_url: str = ""
    """Template of an item's address, with `{item}` and `{level}`, for items whose events have no `url`."""
    queue_url: str = ""
    """Template of a queue's address in the annotation tool, with `{queue}`."""
    token_file: Path | None = None
    """File with the token that clients must send; see `sinks.access`."""
    allow_open_bind: bool = False
    """Whether to listen on other addresses than loopback without a token; see `sinks.access`."""
    allowed_hosts: Sequence[str] = ()
    """Values of the Host header that are served besides loopback; see `sinks.access`."""
    keep_alive_s: int = 75
    """Seconds that an idle connection stays open."""
    connections_per_address: int = 100
    """Connections of one address; see `sinks.listener`."""
    proxy_addresses: Sequence[str] = LOOPBACK_NETWORKS
    """Networks of proxies, which may have any number of connections, requests and streams."""
    stale_after_s: float = 15.0
    """Age in seconds at which the state is stale."""
    version: str = "0"
    """The release, for `build_info`."""
