"""Everything a view is told from outside."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aggregator.snapshot.inputs import CountingRules


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewConfig:
    """Settings of a view.

    Attributes:
        client: arguments of every Kafka client: bootstrap servers, security.
        data_dir: directory of the store, made when it is not there.
        reading: pass convention, pairs and gate limits.
        publish: whether snapshot documents go to the topic; of several views, one publishes.
        history_count: snapshot documents kept per queue; older ones are thinned to one a day.
        history_days: age at which they go altogether.
        series_limit: cap on Prometheus series.
        expose_judge_version: whether judge versions may be labels of gauges.
        item_url: template of an item's address with `{item}` and `{level}`, where no `url` came.
        queue_url: template of a queue's address in the annotation tool, with `{queue}`.
        token_file, allow_open_bind, allowed_hosts: see `sinks.access`.
        stale_after_s: age of the state from which it is called stale.
        version: the release, for `build_info`.
    """

    client: Mapping[str, Any]
    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 8390
    facts_topic: str = "alignment.facts.v1"
    tallies_topic: str = "alignment.tallies.v1"
    snapshots_topic: str = "alignment.snapshots.v1"
    rules: CountingRules = field(default_factory=CountingRules)
    publish: bool = True
    history_count: int = 1_000
    history_days: int = 90
    series_limit: int = 10_000
    expose_judge_version: bool = False
    item_url: str = ""
    queue_url: str = ""
    token_file: Path | None = None
    allow_open_bind: bool = False
    allowed_hosts: Sequence[str] = ()
    stale_after_s: float = 15.0
    version: str = "0"
