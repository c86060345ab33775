"""The installation to examine, and the error of a check that cannot run."""

from dataclasses import dataclass
from pathlib import Path

from aggregator.policy import Policy
from streams.events.decoder import Decoder
from streams.kafka.client import KafkaClient
from streams.kafka.topics import Topics
from streams.runtime.errors import EvalAlignmentError


class BlockedError(EvalAlignmentError):
    """A check cannot run; the finding of another check explains why."""


@dataclass(frozen=True, slots=True)
class Target:
    """An installation, from the settings and options."""

    client: KafkaClient
    topics: Topics
    group: str
    """Consumer group of the workers."""
    acknowledgement_group: str
    """Consumer group whose committed offsets are the acknowledged dead letters."""
    decoder: Decoder
    policy: Policy
    partitions: int | None
    """The configured number of partitions; None without that setting."""
    wait_days: int
    """Days that evaluations wait; None where they do not."""
    partition: int | None
    """The partition to recount; None to choose one."""
    workers: tuple[str, ...]
    """Base addresses of the workers."""
    view: str
    """Base address of the view."""
    ingests: tuple[str, ...]
    """Base addresses of ingest processes."""
    ingest_expected: bool
    """Whether somebody named them. Else an ingest may or may not run at the default address."""
    prometheus: str
    """Base address of Prometheus; empty without one."""
    alertmanager: str
    """Base address of Alertmanager; empty without one."""
    token: bytes | None
    """The token for workers and view."""
    ingest_token: bytes | None
    """The token for ingest."""
    data_dir: Path
    seconds: float
    """Time limit of a check."""
