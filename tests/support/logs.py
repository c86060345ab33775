"""The facts and tallies of one partition as a worker writes them, record by record, without a broker."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

import orjson

from aggregator.facts import Fact
from aggregator.parts import RECORD_BYTES
from aggregator.policy import Policy
from aggregator.shard import Shard
from aggregator.tallies import MARKER_KEY, SourcePosition, WaitingState, parse_stamp
from sinks.store.tail import Step, Tail
from streams.ledger.claim import CLAIM_KEY, SCHEMA, Claim

Record = tuple[bytes, bytes]


@dataclass
class Logs:
    """Both logs of one partition, and the worker that owns them. A record's offset is its index."""

    partition: int = 0
    partitions: int = 1
    ledger: str = "first"
    policy: Policy = Policy.EACH
    facts: list[Record] = field(default_factory=list)
    tallies: list[Record] = field(default_factory=list)
    at: int = 1_000
    sources: dict[str, SourcePosition] = field(default_factory=dict)
    record_bytes: int = RECORD_BYTES
    """Most bytes of the judges in one record."""
    waiting: WaitingState | None = None
    """What markers report of waiting evaluations."""

    def __post_init__(self) -> None:
        self.shard = Shard(self.partition, self.policy, self.record_bytes)
        self.take_over()

    def take_over(self) -> None:
        """Append a claim, as a worker that takes the partition over does first."""
        claim = Claim(self.ledger, self.partitions, self.policy, SCHEMA, "test", self.at)
        self.facts.append((CLAIM_KEY, claim.encode()))

    def write(self, facts: Iterable[Fact], *, close: bool = True, tallies: int | None = None) -> None:
        """One checkpoint; `tallies` cuts it off after that many; without `close` it has no checkpoint marker."""
        for fact in facts:
            self.shard.apply(fact)
        delta = self.shard.drain()
        self.facts += delta.rows.items()
        for key, payload in list(delta.tallies.items())[:tallies]:
            self.tallies.append((key, orjson.dumps({**payload, **self.stamp()})))
        if close and tallies is None:
            self.close()

    def stamp(self, position: int | None = None) -> dict[str, object]:
        """The fields that every tally carries."""
        at = len(self.facts) if position is None else position
        return {"ledger": self.ledger, "position": at, "policy": self.policy}

    def close(self, position: int | None = None) -> None:
        """Append a checkpoint marker."""
        self.at += 1
        marker = {**self.stamp(position), "at": self.at, "sources": self.sources, "offset": len(self.tallies)}
        if self.waiting is not None:
            marker["waiting"] = self.waiting
        self.tallies.append((MARKER_KEY, orjson.dumps(marker)))

    def successor(self, ledger: str | None = None) -> "Logs":
        """The next owner of the same logs: it replays the ledger, claims, and publishes what differs.

        Records that no worker writes are passed over, and an invalid tally is published again.
        """
        logs = Logs.__new__(Logs)
        logs.__dict__.update(self.__dict__)
        logs.ledger = ledger or self.ledger
        logs.shard = Shard(self.partition, self.policy, self.record_bytes)
        for key, value in self.facts:
            if key not in (CLAIM_KEY, None) and value is not None:
                with suppress(ValueError):
                    logs.shard.replay(key, value)
        logs.take_over()
        published: dict[bytes, object] = {}
        highest = 0
        for key, value in self.tallies:
            try:
                parse_stamp(value or b"")
            except ValueError:
                published[key] = "invalid"
                continue
            tally = orjson.loads(value)
            if tally["ledger"] == logs.ledger:
                # Readers ignored a tally that came late, but compaction keeps it: it is always overwritten.
                late = tally["position"] < highest
                highest = max(highest, tally["position"])
                if key != MARKER_KEY:
                    published[key] = "late" if late else {n: part for n, part in tally.items() if n not in self.stamp()}
        logs.shard.drain()
        folded = dict(logs.shard.tallies())
        for key in folded.keys() | published.keys():
            if folded.get(key) != published.get(key):
                with suppress(ValueError, TypeError):
                    logs.shard.touch(key)
        return logs


def feed(tail: Tail, logs: Logs, facts_from: int = 0, tallies_from: int = 0) -> None:
    """Feed a tail the records of the logs from these offsets on."""
    for offset, (key, value) in list(enumerate(logs.facts))[facts_from:]:
        tail.fact(offset, key, value)
    for offset, (key, value) in list(enumerate(logs.tallies))[tallies_from:]:
        tail.tally(offset, key, value)


def steps_of(*partitions: Logs) -> list[Step]:
    """One step a partition, from its whole logs."""
    steps = []
    for logs in partitions:
        tail = Tail(logs.partition)
        feed(tail, logs)
        step = tail.step()
        assert step is not None, "the logs hold a closed checkpoint"
        steps.append(step)
    return steps
