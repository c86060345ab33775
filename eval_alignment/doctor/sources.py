"""Observes producers: recent records of each source, validated like a worker does, and recent dead letters."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from aggregator.days import DAY_MS
from aggregator.facts import Fact
from eval_alignment.doctor.findings import Finding, ok, problem_found, skipped
from eval_alignment.doctor.problems import Problem
from eval_alignment.doctor.target import Target
from streams.events.decoder import Decoder, Kind, Rejection
from streams.events.reasons import Reason
from streams.kafka.acknowledgements import read_acknowledgements, unacknowledged
from streams.kafka.batches import UnreadableRecords
from streams.kafka.producer import home_partition
from streams.kafka.scan import Records, scan
from streams.requeue import ReadDeadLetter

SAMPLED: Final = 200
"""Number of records of each source partition that are read."""
_MAX_DEAD_LETTERS: Final = 2_000
RECENT_MS: Final = DAY_MS


@dataclass(frozen=True, slots=True)
class SampledRecord:
    """One recent record of a source."""

    topic: str
    partition: int
    offset: int
    home: int | None
    """The partition for its key; None without a key."""
    mismatch: bool | None
    """Whether its key is not its item; None when its item cannot be read."""
    fact: Fact | None = None
    """Its content; None when it is invalid."""
    unreadable: str | None = None
    """Why its bytes cannot be read; None for a record that can be."""


async def sample_sources(target: Target, partitions: int) -> list[SampledRecord]:
    """Read the last records of every partition of each source."""
    seen: list[SampledRecord] = []
    for topic, kind in target.topics.sources.items():
        sampler = _Sampler(target.decoder, kind, topic, partitions)
        await scan(target.client, topic, sampler, last=SAMPLED)
        seen += sampler.seen
    return seen


@dataclass(frozen=True, slots=True)
class _Sampler:
    decoder: Decoder
    kind: Kind
    topic: str
    partitions: int
    seen: list[SampledRecord] = field(default_factory=list)

    def __call__(self, partition: int, records: Records) -> None:
        for record in records:
            part: object = record
            if isinstance(part, UnreadableRecords):
                unreadable = SampledRecord(self.topic, partition, record.offset, None, None, unreadable=part.detail)
                self.seen.append(unreadable)
                continue
            key = record.key
            outcome = self.decoder.decode(self.kind, record.value, key, record.headers, record.timestamp)
            home = None if key is None else home_partition(key, self.partitions)
            fact = None if isinstance(outcome, Rejection) else outcome
            self.seen.append(SampledRecord(self.topic, partition, record.offset, home, _mismatch(outcome), fact))


def _mismatch(outcome: Fact | Rejection) -> bool | None:
    if isinstance(outcome, Rejection):
        return True if outcome.reason is Reason.KEY_MISMATCH else None
    return False


def judge_producers(seen: Sequence[SampledRecord]) -> list[Finding]:
    """Whether keys are the items, and whether records are in the partition of their key."""
    findings = []
    for topic in dict.fromkeys(one.topic for one in seen):
        if unreadable := [one for one in seen if one.topic == topic and one.unreadable]:
            newest = max(unreadable, key=lambda one: one.offset)
            findings.append(
                problem_found(
                    Problem.RECORDS_UNREADABLE,
                    f"{topic}: {len(unreadable)} record batches or records cannot be read, the newest in partition "
                    f"{newest.partition} at {newest.offset}: {newest.unreadable}",
                )
            )
        of_topic = [one for one in seen if one.topic == topic and not one.unreadable]
        keyless = [one for one in of_topic if one.home is None]
        mismatched = [one for one in of_topic if one.home is not None and one.mismatch]
        misrouted = [one for one in of_topic if one.home is not None and one.home != one.partition]
        for problem, bad, what in (
            (Problem.KEY_MISSING, keyless, "have no key"),
            (Problem.KEY_MISMATCH, mismatched, "have a key that is not their item"),
            (Problem.MISROUTED, misrouted, "are not in the partition that murmur2 of their key selects"),
        ):
            if bad:
                newest = max(bad, key=lambda one: one.offset)
                findings.append(
                    problem_found(
                        problem,
                        f"{topic}: {len(bad)} of the last {len(of_topic)} records {what}, "
                        f"the newest in partition {newest.partition} at {newest.offset}",
                    )
                )
    if findings:
        return findings
    if not seen:
        return [skipped("producers", "the sources have no records")]
    unread = sum(one.mismatch is None for one in seen)
    more = f"; the item of {unread} others cannot be read, see dead-letters" if unread else ""
    return [
        ok("producers", f"the last {len(seen) - unread} records have the item as key, and are in its partition{more}")
    ]


@dataclass(frozen=True, slots=True)
class RecentDeadLetters:
    """Dead letters of the last 24 hours that are not acknowledged."""

    recent: Counter[tuple[str, str]]
    """Their number by source topic, or source of ingest, and reason."""
    foreign: int
    """Number of invalid records."""
    newest_ms: int | None
    """Time of the newest one, in milliseconds since the epoch."""
    more: bool
    """Whether there may be more than were read."""
    acknowledged: int = 0
    """Number of acknowledged records of the last 24 hours."""


async def read_dead_letters(target: Target) -> RecentDeadLetters:
    """Read the newest records of the topic of dead letters."""
    topic = target.topics.dead_letters
    records: list[ReadDeadLetter] = []
    ends = await scan(
        target.client, topic, lambda _, batch: records.extend(map(ReadDeadLetter.of, batch)), last=_MAX_DEAD_LETTERS
    )
    known = await read_acknowledgements(target.client, target.acknowledgement_group, topic, len(ends))
    since = int(time.time() * 1000) - RECENT_MS
    left = [record for record in unacknowledged(records, ends, known)[0] if record.timestamp >= since]
    recent: dict[object, tuple[str, str]] = {}
    times: list[int] = []
    foreign = 0
    for record in left:
        if isinstance(record.parsed, str):
            foreign += 1
            continue
        # A worker may publish a dead letter twice; count it once.
        identity = record.parsed.identity
        recent[identity, record.parsed.timestamp] = identity.origin, record.parsed.reason
        times.append(record.timestamp)
    return RecentDeadLetters(
        Counter(recent.values()),
        foreign,
        max(times, default=None),
        len(records) >= _MAX_DEAD_LETTERS,
        sum(record.timestamp >= since for record in records) - len(left),
    )


def judge_dead_letters(dead_letters: RecentDeadLetters, now_ms: int) -> list[Finding]:
    """Findings about recently rejected events."""
    findings = []
    if dead_letters.recent:
        listed = ", ".join(
            f"{count} {reason} from {topic}" for (topic, reason), count in dead_letters.recent.most_common()
        )
        ago = (now_ms - (dead_letters.newest_ms or now_ms)) / 1000
        least = "at least " if dead_letters.more else ""
        findings.append(problem_found(Problem.DEAD_LETTERS, f"{least}{listed}; the newest {max(0.0, ago):.0f} s ago"))
    if dead_letters.foreign:
        findings.append(
            problem_found(Problem.DEAD_LETTER_FOREIGN, f"{dead_letters.foreign} records are not dead letters")
        )
    acknowledged = f" but {dead_letters.acknowledged} acknowledged ones" if dead_letters.acknowledged else ""
    return findings or [ok("dead-letters", f"none in the last 24 hours{acknowledged}")]
