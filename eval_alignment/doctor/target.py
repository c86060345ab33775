"""What is examined, and the errors that keep a check from being made."""

from dataclasses import dataclass
from pathlib import Path

from aggregator.policy import Policy
from streams.events.decoder import Decoder
from streams.kafka.client import KafkaClient
from streams.kafka.topics import Topics
from streams.runtime.errors import EvalAlignmentError


class BlockedError(EvalAlignmentError):
    """A check has nothing to stand on; the finding of another check says why."""


@dataclass(frozen=True, slots=True)
class Target:
    """An installation, as its settings describe it.

    `partitions`: P as it was asked for, None when nobody said. `partition`: the one to recount, None to choose.
    `workers`, `view`, `prometheus`, `alertmanager`: base addresses, the last two empty when there are none. `token`:
    what workers and view ask for. `seconds`: the longest that a check may take.
    """

    client: KafkaClient
    topics: Topics
    group: str
    decoder: Decoder
    policy: Policy
    partitions: int | None
    partition: int | None
    workers: tuple[str, ...]
    view: str
    prometheus: str
    alertmanager: str
    token: bytes | None
    data_dir: Path
    seconds: float
