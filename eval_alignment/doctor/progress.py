"""Observes progress: members of the group, checkpoint markers, waiting events, commits."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from aggregator.days import in_words
from aggregator.ledger_ids import common_id
from aggregator.policy import Policy
from aggregator.tallies import WAITING_WORDS, CheckpointMarker
from eval_alignment.doctor.findings import Finding, ok, problem_found
from eval_alignment.doctor.problems import Problem
from eval_alignment.doctor.target import Target
from streams.kafka.client import connect

STALE_SECONDS: Final = 15.0
"""Workers write a checkpoint marker every 5 s, also when idle."""
WATCH_SECONDS: Final = 6.0
"""How long commits are watched; workers commit every second."""
_SAMPLE_SECONDS: Final = 0.5
_SMALL_LAG: Final = 1_000
_NAMED: Final = 5

LastMarkers = Mapping[int, tuple[CheckpointMarker, int]]
"""By partition the last checkpoint marker and its broker timestamp in milliseconds."""


@dataclass(frozen=True, slots=True)
class GroupState:
    """The consumer group of the workers."""

    name: str
    state: str
    """Kafka's name of the state, such as `Stable`."""
    members: int
    """Number of members."""


@dataclass(frozen=True, slots=True)
class Offsets:
    """Offsets of one source partition."""

    start: int
    """The oldest offset that is left."""
    end: int
    committed: int | None
    """The committed offset; None without a commit."""
    stable: int | None = None
    """The offset of the first record of an open transaction; None where it was not asked."""

    @property
    def held(self) -> bool:
        """Whether all that waits is in an open transaction, or after its start."""
        return self.stable is not None and self.stable < self.end and (self.committed or self.start) >= self.stable

    @property
    def lag(self) -> int:
        """Number of offsets that are not committed."""
        return max(0, self.end - (self.start if self.committed is None else self.committed))


OffsetSample = Mapping[TopicPartition, Offsets]


async def describe_group(target: Target) -> GroupState:
    """Request the state of the workers' consumer group."""
    admin = AIOKafkaAdminClient(**target.client.settings)
    try:
        await connect(admin)
        (response,) = await admin.describe_consumer_groups([target.group])
    finally:
        await admin.close()
    (group,) = response.to_object()["groups"]
    return GroupState(target.group, group["state"], len(group["members"]))


async def sample(target: Target, partitions: int) -> list[OffsetSample]:
    """Sample the offsets of all source partitions, and again after a while where events wait.

    Returns the first and the last sample, or one sample when no events wait. Ends as soon as every partition with
    waiting events has a new commit, after `WATCH_SECONDS` at the latest.
    """
    sources = [TopicPartition(topic, number) for topic in target.topics.sources for number in range(partitions)]
    admin = AIOKafkaAdminClient(**target.client.settings)
    consumer, stable = (
        AIOKafkaConsumer(**target.client.settings, enable_auto_commit=False, isolation_level=level)
        for level in ("read_uncommitted", "read_committed")
    )
    try:
        for client in (admin, consumer, stable):
            await connect(client)
        first = await _sample(admin, consumer, stable, target.group, sources)
        waiting = {tp for tp, offsets in first.items() if offsets.lag}
        end = time.monotonic() + WATCH_SECONDS
        last = first
        while time.monotonic() < end and any(last[tp].committed == first[tp].committed for tp in waiting):
            await asyncio.sleep(_SAMPLE_SECONDS)
            last = await _sample(admin, consumer, stable, target.group, sources)
    finally:
        await stable.stop()
        await consumer.stop()
        await admin.close()
    return [first, last] if waiting else [first]


async def _sample(
    admin: AIOKafkaAdminClient,
    consumer: AIOKafkaConsumer,
    stable: AIOKafkaConsumer,
    group: str,
    sources: Sequence[TopicPartition],
) -> OffsetSample:
    # Committed offsets first, so that no end is lower than the committed offset.
    commits = await admin.list_consumer_group_offsets(group, partitions=list(sources))
    committed = {tp: commits[tp].offset if tp in commits and commits[tp].offset >= 0 else None for tp in sources}
    starts = await consumer.beginning_offsets(list(sources))
    # To a consumer that reads committed records only, a partition ends where the first open transaction starts.
    stables = await stable.end_offsets(list(sources))
    ends = await consumer.end_offsets(list(sources))
    return {tp: Offsets(starts[tp], ends[tp], committed[tp], stables[tp]) for tp in sources}


def judge_workers(
    group: GroupState, markers: LastMarkers, partitions: int, policy: Policy, now_ms: int
) -> list[Finding]:
    """Whether workers own all partitions: members of the group, and age of each partition's checkpoint marker."""
    findings = []
    if not group.members:
        findings.append(
            problem_found(Problem.NO_WORKER, f"group {group.name} is {group.state or 'unknown'}, without members")
        )
    elif group.state in ("PreparingRebalance", "CompletingRebalance"):
        findings.append(problem_found(Problem.REBALANCING, f"group {group.name} is {group.state}"))
    stale = {partition: (now_ms - at) / 1000 for partition, (_, at) in markers.items()}
    stale = {partition: age for partition, age in stale.items() if age > STALE_SECONDS}
    if stale:
        findings.append(
            problem_found(
                Problem.PARTITION_STALE,
                f"{_numbers(list(stale))}: no checkpoint marker for {max(stale.values()):.0f} s",
            )
        )
    late = {
        partition: last
        for partition, (last, at) in markers.items()
        if partition not in stale and "behind" in last and (at - last["at"]) / 1000 > STALE_SECONDS
    }
    for partition, last in sorted(late.items()):
        words = WAITING_WORDS.get(last["behind"], "events wait since {since}").format(since=in_words(last["at"]))
        findings.append(problem_found(Problem.EVENTS_WAIT, f"{_numbers([partition])}: {words}"))
    if group.members and (never := [number for number in range(partitions) if number not in markers]):
        findings.append(problem_found(Problem.PARTITION_STALE, f"{_numbers(never)}: no checkpoint marker yet"))
    # A partition that went on after a loss has a renewed id, which is the same ledger.
    ids = {common_id(last["ledger"]) for last, _ in markers.values()}
    if len(ids) > 1:
        findings.append(problem_found(Problem.LEDGER_IDS, f"ledger ids {', '.join(sorted(ids))}"))
    policies = {last["policy"] for last, _ in markers.values()} | {str(policy)}
    if len(policies) > 1:
        findings.append(
            problem_found(Problem.POLICIES, f"policies {', '.join(sorted(policies))}; the setting is {policy}")
        )
    return findings or [
        ok(
            "workers",
            f"{group.members} in group {group.name}, all {partitions} partitions have a recent checkpoint marker",
        )
    ]


def judge_lag(samples: Sequence[OffsetSample]) -> list[Finding]:
    """Whether events wait, and whether their number falls."""
    first, last = samples[0], samples[-1]
    lost = [
        f"{_name(tp)}: committed {offsets.committed}, but the topic has {offsets.start} to {offsets.end}"
        for tp, offsets in last.items()
        # The embedded broker may report ends that are too low, so only the start is reliable.
        if offsets.committed is not None and offsets.committed < offsets.start
    ]
    if lost:
        return [problem_found(Problem.INPUT_LOST, "; ".join(lost[:_NAMED]))]
    if held := [tp for tp in last if first[tp].held and last[tp].held and first[tp].stable == last[tp].stable]:
        listed = ", ".join(f"{_name(tp)} from {last[tp].stable} to {last[tp].end}" for tp in held[:_NAMED])
        return [problem_found(Problem.TRANSACTION_OPEN, listed)]
    before, now = (sum(offsets.lag for offsets in each.values()) for each in (first, last))
    if not now:
        return [ok("lag", "no events wait")]
    waiting = sorted((tp for tp in last if last[tp].lag), key=lambda tp: -last[tp].lag)
    listed = ", ".join(f"{_name(tp)} {last[tp].lag}" for tp in waiting[:_NAMED])
    observed = f"{now} events wait ({before} in the first sample), most in {listed}"
    moves = all(last[tp].committed != first[tp].committed for tp in waiting if first[tp].lag)
    if moves and now <= _SMALL_LAG:
        return [ok("lag", f"{now} events wait, and commits advance")]
    return [problem_found(Problem.LAG_FALLS if moves and now < before else Problem.LAG, observed)]


def judge_commits(samples: Sequence[OffsetSample]) -> list[Finding]:
    """Whether the committed offset advances in every partition where events wait."""
    first, last = samples[0], samples[-1]
    frozen = [
        tp
        for tp in first
        if first[tp].lag and last[tp].lag and first[tp].committed == last[tp].committed and not last[tp].held
    ]
    if not frozen:
        return [ok("commits", "committed offsets are at the end or advance")]
    listed = ", ".join(f"{_name(tp)} at {last[tp].committed}" for tp in frozen[:_NAMED])
    more = f" and {len(frozen) - _NAMED} more" if len(frozen) > _NAMED else ""
    return [problem_found(Problem.COMMITS_FROZEN, f"not advanced within {WATCH_SECONDS:g} s: {listed}{more}")]


def broker_ahead_s(markers: LastMarkers) -> float | None:
    """By how many seconds the broker's clock is ahead of the workers' clocks; None without checkpoint markers.

    A marker has the worker's time and the broker's timestamp, unless events of its partition wait. A slow write makes
    the broker appear to be ahead, so the result is the minimum over the partitions.
    """
    return min(((at - last["at"]) / 1000 for last, at in markers.values() if "behind" not in last), default=None)


def _name(tp: TopicPartition) -> str:
    return f"{tp.topic}[{tp.partition}]"


def _numbers(partitions: Sequence[int]) -> str:
    listed = ", ".join(map(str, sorted(partitions)))
    return f"partition{'s' if len(partitions) > 1 else ''} {listed}"
