"""The table of topics with names, keys, partitions and settings; creating them, and comparing a broker with the table.

Five topics have the same number of partitions, P: the three sources, and the ledger and the tallies, which a worker
writes to the partition with the source's index. The ledger's claim has P, which never changes.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from aggregator.days import DAY_MS
from streams.events.decoder import Kind
from streams.kafka.client import connect
from streams.runtime.errors import EvalAlignmentError
from streams.runtime.exit_codes import ExitCode
from streams.runtime.keep import WAIT_DAYS, keep_ms

DEFAULT_PARTITIONS: Final = 8
DEAD_LETTER_RETENTION_MS: Final = 30 * DAY_MS
MAX_MESSAGE_BYTES: Final = "max.message.bytes"
"""The setting of a topic that limits its batches of records, after compression."""
RETENTION_MS: Final = "retention.ms"
RETENTION_BYTES: Final = "retention.bytes"
_KEPT: Final = {RETENTION_MS: str(7 * DAY_MS)}
_TAKES_BATCHES: Final = {MAX_MESSAGE_BYTES: "1000000"}
"""What the batches of workers and of usual producers need."""
_COPARTITIONED: Final = 0
_SMALL: Final = 1
_LISTED_SECONDS: Final = 120.0
"""A busy broker has needed more than 15 s for the logs of 200 partitions of each topic."""


class TopicsError(EvalAlignmentError):
    """Topics are missing, cannot be created, or differ in their partitions; the message names them."""

    exit_code = ExitCode.TOPICS_WRONG


@dataclass(frozen=True, slots=True)
class Topics:
    """The name of each topic. Every name is a setting."""

    annotations: str = "alignment.annotations.v1"
    evaluations: str = "alignment.evaluations.v1"
    queue_items: str = "alignment.queue-items.v1"
    facts: str = "alignment.facts.v1"
    tallies: str = "alignment.tallies.v1"
    snapshots: str = "alignment.snapshots.v1"
    dead_letters: str = "alignment.dead-letters.v1"

    @property
    def sources(self) -> Mapping[str, Kind]:
        """The three source topics by name, with the kind of event each carries."""
        return {
            self.annotations: Kind.ANNOTATION,
            self.evaluations: Kind.EVALUATION,
            self.queue_items: Kind.QUEUE_ITEM,
        }

    @property
    def copartitioned(self) -> tuple[str, ...]:
        """The five topics that have P partitions."""
        return (*self.sources, self.facts, self.tallies)


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """One topic of the table. Texts are Markdown, for docs/topics.md."""

    role: str
    """The field of `Topics` that has the topic's name."""
    key: str
    meaning: str
    written_by: str
    read_by: str
    configs: Mapping[str, str]
    partitions: int = _COPARTITIONED
    """A fixed number, or 0 for P."""
    at_least: frozenset[str] = frozenset()
    """Names in `configs` for which a larger value is right too."""


def _source(role: str, meaning: str, written_by: str, kept: Mapping[str, str] = _KEPT) -> TopicSpec:
    configs = {"cleanup.policy": "delete", **kept, "message.timestamp.type": "LogAppendTime", **_TAKES_BATCHES}
    return TopicSpec(
        role,
        "item",
        meaning,
        f"{written_by}, `ingest`, `load`, `dlq requeue`",
        "worker, `doctor`",
        configs,
        at_least=frozenset({RETENTION_MS, MAX_MESSAGE_BYTES}),
    )


def _compacted(role: str, key: str, meaning: str, read_by: str) -> TopicSpec:
    configs = {
        "cleanup.policy": "compact",
        # A stale row must not outlive the winner before it is repaired.
        "min.compaction.lag.ms": str(DAY_MS),
        "message.timestamp.type": "LogAppendTime",
        # Compaction works on closed segments only; tallies are written again and again.
        "segment.bytes": str(128 << 20),
        **_TAKES_BATCHES,
    }
    at_least = frozenset({"min.compaction.lag.ms", MAX_MESSAGE_BYTES})
    return TopicSpec(role, key, meaning, "worker", read_by, configs, at_least=at_least)


def _evaluations(wait_days: int) -> TopicSpec:
    # A worker that lost its disk reads from here what waits.
    kept = {RETENTION_MS: str(keep_ms(wait_days)), RETENTION_BYTES: "-1"}
    return _source("evaluations", "evaluations: a metric scored an item", "evaluators", kept)


TABLE: Final = (
    _source("annotations", "annotations: a person judged an item", "annotation tools"),
    _evaluations(WAIT_DAYS),
    _source(
        "queue_items",
        "queue items: an item is in a queue (the events are optional, the topic is not)",
        "annotation tools",
    ),
    _compacted(
        "facts",
        "identity of the row",
        "the ledger: the current row of every identity, in the partition of its source",
        "worker (restore, audit), view, `export`, `doctor`",
    ),
    _compacted(
        "tallies",
        "kind and group; the number of a part where the judges of a group need several records",
        "absolute counts of every group, in the partition of their source, and checkpoint markers",
        "view, worker (restore, audit), `export`, `doctor`",
    ),
    TopicSpec(
        "snapshots",
        "queue",
        "the current [snapshot document](snapshot.md) of every queue, over all days",
        "view (setting `publish`)",
        "your consumers",
        {"cleanup.policy": "compact"},
        partitions=_SMALL,
    ),
    TopicSpec(
        "dead_letters",
        "key of the event",
        "rejected events, byte for byte, with the [reason](reasons.md) in their headers",
        "worker",
        "view (numbers only), `dlq`, `doctor`",
        {"cleanup.policy": "delete", RETENTION_MS: str(DEAD_LETTER_RETENTION_MS), **_TAKES_BATCHES},
        partitions=_SMALL,
        at_least=frozenset({RETENTION_MS, MAX_MESSAGE_BYTES}),
    ),
)


def table(wait_days: int) -> Sequence[TopicSpec]:
    """The table for a value of the setting `wait_days`."""
    return [_evaluations(wait_days) if spec.role == "evaluations" else spec for spec in TABLE]


assert [spec.role for spec in TABLE] == [field.name for field in fields(Topics)]


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference between a topic and the table."""

    topic: str
    what: str
    expected: str
    actual: str

    def __str__(self) -> str:
        return f"{self.topic}: {self.what} is {self.actual}, expected {self.expected}"


@dataclass(frozen=True, slots=True)
class TopicsDiff:
    """The topics of a broker, compared with the table."""

    differences: Sequence[Difference]
    unreported: Sequence[str]
    """Topics of which the broker did not report every setting: these settings are not compared."""

    @property
    def settings(self) -> Mapping[str, Mapping[str, str]]:
        """The settings that existing topics should have, by topic, where they differ."""
        found: dict[str, dict[str, str]] = {}
        for difference in self.differences:
            if difference.what not in ("topic", "partitions"):
                found.setdefault(difference.topic, {})[difference.what] = difference.expected
        return found


def alter_command(brokers: str, topic: str, settings: Mapping[str, str]) -> str:
    """The command of Apache Kafka that sets these settings of a topic, and keeps its others.

    >>> alter_command("kafka:9092", "t", {"retention.ms": "9", "retention.bytes": "-1"})
    'kafka-configs.sh --bootstrap-server kafka:9092 --alter --topic t --add-config retention.ms=9,retention.bytes=-1'
    """
    # A client here could only replace all settings of the topic.
    added = ",".join(f"{name}={value}" for name, value in settings.items())
    return f"kafka-configs.sh --bootstrap-server {brokers} --alter --topic {topic} --add-config {added}"


async def partition_counts(client: Mapping[str, Any]) -> dict[str, int]:
    """Return the number of partitions of every topic on the broker. `client`: arguments of an aiokafka client.

    The request is for all topics: a request for one by name would create it where the broker allows that.
    """
    admin = AIOKafkaAdminClient(**client)
    try:
        await connect(admin)
        return await _counts(admin)
    finally:
        await admin.close()


def check(topics: Topics, counts: Mapping[str, int]) -> int:
    """Return P. Raises TopicsError when a topic that a worker needs is missing, or the number of partitions differs."""
    needed = (*topics.copartitioned, topics.dead_letters)
    missing = [name for name in needed if name not in counts]
    if missing:
        raise TopicsError(f"missing topics: {', '.join(missing)}; run `eval-alignment topics apply`")
    partitions = {name: counts[name] for name in topics.copartitioned}
    if len(set(partitions.values())) != 1:
        listed = ", ".join(f"{name} has {count}" for name, count in partitions.items())
        raise TopicsError(
            f"the partitioned topics must have the same number of partitions: {listed}; `topics apply` cannot change "
            'it, see docs/operations.md, "Partitions were added"'
        )
    return partitions[topics.facts]


async def apply(
    client: Mapping[str, Any],
    topics: Topics,
    partitions: int | None = None,
    replication: int = 0,
    wait_days: int = WAIT_DAYS,
) -> list[str]:
    """Create the topics that are missing, with their settings; returns the names created.

    Without `partitions`, P is that of the topics that exist, else 8. `replication` 0 means 3 replicas, or the number of
    brokers if that is lower. Raises TopicsError, and creates nothing, when a partitioned topic has another number of
    partitions: P never changes.
    """
    admin = AIOKafkaAdminClient(**client)
    try:
        await connect(admin)
        counts = await _counts(admin)
        existing = {name: counts[name] for name in topics.copartitioned if name in counts}
        wanted = partitions or next(iter(existing.values()), DEFAULT_PARTITIONS)
        _expect_partitions(topics, counts, wanted)
        if replication == 0:
            replication = min(3, len((await admin.describe_cluster())["brokers"]))
        created = []
        for spec in table(wait_days):
            name = getattr(topics, spec.role)
            if name not in counts and await _create(admin, name, spec, spec.partitions or wanted, replication):
                created.append(name)
        # Another process may have created the others meanwhile.
        _expect_partitions(topics, await _wait_until_listed(admin, topics), wanted)
        return created
    finally:
        await admin.close()


def _expect_partitions(topics: Topics, counts: Mapping[str, int], wanted: int) -> None:
    """Raise TopicsError when a partitioned topic has another number of partitions."""
    wrong = [f"{name} has {counts[name]}" for name in topics.copartitioned if counts.get(name, wanted) != wanted]
    if wrong:
        raise TopicsError(
            f"the number of partitions cannot change: {', '.join(wrong)}, requested {wanted}. To change it, "
            "`export` the ledger and `load` it under a new prefix"
        )


async def diff(
    client: Mapping[str, Any], topics: Topics, partitions: int | None = None, wait_days: int = WAIT_DAYS
) -> TopicsDiff:
    """Compare the broker's topics with the table.

    Without `partitions` the five partitioned topics are only compared with each other.
    """
    admin = AIOKafkaAdminClient(**client)
    try:
        await connect(admin)
        counts = await _counts(admin)
        configs = await read_configs(admin, [name for name in _names(topics) if name in counts])
    finally:
        await admin.close()
    wanted = partitions or next((counts[name] for name in topics.copartitioned if name in counts), DEFAULT_PARTITIONS)
    differences, unreported = [], []
    for spec in table(wait_days):
        name = getattr(topics, spec.role)
        if name not in counts:
            differences.append(Difference(name, "topic", "present", "missing"))
            continue
        if spec.partitions == _COPARTITIONED and counts[name] != wanted:
            differences.append(Difference(name, "partitions", str(wanted), str(counts[name])))
        reported = configs.get(name, {})
        if spec.configs.keys() - reported.keys():
            unreported.append(name)
        for config, expected in spec.configs.items():
            actual = reported.get(config, expected)
            if not _fits(expected, actual, config in spec.at_least):
                differences.append(Difference(name, config, expected, actual))
    return TopicsDiff(differences, unreported)


def _names(topics: Topics) -> Sequence[str]:
    return [getattr(topics, spec.role) for spec in TABLE]


def _fits(expected: str, actual: str, at_least: bool) -> bool:
    if not at_least:
        return actual == expected
    # -1 keeps records for ever.
    return int(actual) == -1 or int(actual) >= int(expected)


async def _counts(admin: AIOKafkaAdminClient) -> dict[str, int]:
    return {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics()}


async def read_configs(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """The settings of topics by name, defaults of the broker included, where the broker reports them."""
    if not names:
        return {}
    try:
        responses = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names])
    except KafkaError:
        return {}
    found: dict[str, dict[str, str]] = {}
    for response in responses:
        for resource in response.to_object()["resources"]:
            entries = resource["config_entries"]
            found[resource["resource_name"]] = {
                entry["config_names"]: entry["config_value"] for entry in entries if entry["config_value"] is not None
            }
    return found


async def _create(admin: AIOKafkaAdminClient, name: str, spec: TopicSpec, partitions: int, replication: int) -> bool:
    """Create one topic. Returns False when another process created it at the same time, from the same table."""
    configs = dict(spec.configs)
    if replication >= 3:
        configs["min.insync.replicas"] = "2"
    response = await admin.create_topics([NewTopic(name, partitions, replication, topic_configs=configs)])
    (error,) = response.to_object()["topic_errors"]
    kind = for_code(error["error_code"])
    if error["error_code"] != 0 and kind is not TopicAlreadyExistsError:
        raise TopicsError(f"{name} cannot be created: {error.get('error_message') or kind.__name__}")
    return bool(error["error_code"] == 0)


async def _wait_until_listed(admin: AIOKafkaAdminClient, topics: Topics) -> dict[str, int]:
    """Wait until the broker lists all topics: metadata of a created topic spreads with a delay. Returns the number of
    partitions by topic.
    """
    deadline = time.monotonic() + _LISTED_SECONDS
    while missing := set(_names(topics)) - (counts := await _counts(admin)).keys():
        if time.monotonic() > deadline:
            names = ", ".join(sorted(missing))
            raise TopicsError(
                f"topics were created, but the broker does not list them after {_LISTED_SECONDS:.0f} s: {names}. Run "
                "`topics apply` again: it goes on with what exists"
            )
        await asyncio.sleep(0.05)
    return counts
