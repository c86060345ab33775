"""A reader like the view's: the real `sinks.store.tail.Tail`, and positions that are stored with the data.

After every step its state is compared with a recount of the ledger up to its position: every served state must be a
state that existed.
"""

from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from aggregator.facts import parse, version
from aggregator.policy import Policy
from aggregator.recount import Recount
from aggregator.tallies import MARKER_KEY, TallyGroup, TallyKey, join, parse_marker
from sinks.store.tail import Step, Tail
from streams.kafka.topics import Topics
from streams.ledger.claim import CLAIM_KEY
from tests.simulation.broker import Broker, Partition

_TOPICS: Final = Topics()


class Wrong(AssertionError):
    """The system under test broke its promise."""


class NeedlessEnd(Wrong):
    """A worker ended, or has a partition in quarantine, needlessly: an operator is called, but no count is wrong."""


def counts_something(payload: Any) -> bool:
    """Whether a payload is not that of an empty group."""
    if isinstance(payload, dict):
        return any(map(counts_something, payload.values()))
    return any(payload) if isinstance(payload, list) else payload != 0


@dataclass(slots=True)
class Kept:
    """The stored state of one partition."""

    ledger: str | None = None
    policy: str = ""
    position: int = 0
    facts_next: int = 0
    tallies_next: int = 0
    tallies: dict[TallyKey, Any] = field(default_factory=dict)
    rows: dict[bytes, tuple[str, bytes]] = field(default_factory=dict)
    complete: int = 0

    def counted(self) -> dict[TallyGroup, Any]:
        """The tallies, each from its parts."""
        return dict(join(self.tallies.items()))

    def apply(self, step: Step) -> None:
        """One transaction of the store."""
        marker = step.marker
        if step.replaces_rows:
            self.rows.clear()
        if self.ledger != marker["ledger"]:
            self.tallies.clear()
        for row in step.facts:
            read = version(parse(row.key, row.value))
            if row.key not in self.rows or read > self.rows[row.key][0]:
                self.rows[row.key] = read, row.value
        for key, tally in step.tallies.items():
            payload = orjson.loads(tally.payload)
            if counts_something(payload):
                self.tallies[key] = payload
            else:
                self.tallies.pop(key, None)
        self.ledger, self.policy, self.position = marker["ledger"], marker["policy"], marker["position"]
        self.facts_next, self.tallies_next = marker["position"], step.tallies_next
        self.complete = step.complete


@dataclass(slots=True)
class _Source:
    """The position of one partition's reader. `goals`: the offsets at which it has caught up."""

    tail: Tail
    tallies_next: int
    goals: tuple[int, int]
    ready: bool = False


class Viewer:
    """Reads all partitions; `look` reads a little, `restart` drops what is only in memory."""

    def __init__(self, broker: Broker, partitions: int) -> None:
        self._broker = broker
        self.kept = {partition: Kept() for partition in range(partitions)}
        self._sources: dict[int, _Source] = {}
        self._recounts: dict[tuple[int, int, str], Recount] = {}
        self.restart()

    def restart(self) -> None:
        """A new process on the same store."""
        for partition, kept in self.kept.items():
            self._open(partition, kept, resume=kept.ledger is not None)

    def _logs(self, partition: int) -> tuple[Partition, Partition]:
        logs = self._broker.partitions
        return logs[_TOPICS.facts, partition], logs[_TOPICS.tallies, partition]

    def _open(self, partition: int, kept: Kept, *, resume: bool, unclaimed: frozenset[str] = frozenset()) -> None:
        facts, tallies = self._logs(partition)
        tail = Tail(partition, kept.ledger, kept.position, kept.facts_next if resume else None, unclaimed)
        self._sources[partition] = _Source(tail, kept.tallies_next if resume else 0, (facts.end, tallies.end))

    def look(self, limit: int = 0) -> None:
        """Read up to `limit` records of each log, or all of them. Raises Wrong."""
        for partition, kept in self.kept.items():
            source = self._sources[partition]
            facts, tallies = self._logs(partition)
            most = limit or 1_000_000
            following, records = facts.read(source.tail.facts_next, most)
            for record in records:
                source.tail.fact(record.offset, record.key, record.value)
            source.tail.skip_to(following)
            source.tallies_next, records = tallies.read(source.tallies_next, most)
            for record in records:
                source.tail.timestamp = record.timestamp
                source.tail.tally(record.offset, record.key, record.value)
            step = source.tail.step()
            if source.tail.restart:
                self._open(partition, kept, resume=False, unclaimed=source.tail.unclaimed)
                continue
            if step is not None:
                kept.apply(step)
            source.ready = source.ready or (source.tail.facts_next, source.tallies_next) >= source.goals
            # A reader that has not caught up serves nothing: compaction may have left a partial checkpoint.
            if step is not None and source.ready:
                self._check(partition, kept)

    def _check(self, partition: int, kept: Kept) -> None:
        recount = self._recount(partition, kept)
        where = f"partition {partition} at ledger position {kept.position}"
        if kept.counted() != recount.tallies():
            raise Wrong(f"the reader shows counts that never were, {where}: {_difference(kept.counted(), recount)}")
        rows = {key: parse(key, value) for key, (_, value) in kept.rows.items()}
        if rows != recount.rows:
            raise Wrong(f"the reader shows rows that never were, {where}")
        for topic, reached in self._reached(partition, kept).items():
            for event in self._broker.partitions[topic, partition].history:
                if event.offset >= reached and event.timestamp < kept.complete:
                    raise Wrong(f"the reader calls {where} complete up to {kept.complete}, {topic} {event} waits")

    def _reached(self, partition: int, kept: Kept) -> dict[str, int]:
        """By source topic, up to where events are in the rows: a successor may start below its predecessor's marker."""
        reached: dict[str, int] = {}
        for record in self._logs(partition)[1].history:
            if record.key == MARKER_KEY:
                marker = parse_marker(record.value or b"")
                # It need not be in place: its writer had the acknowledgements of its rows.
                if marker["position"] <= kept.position:
                    for topic, source in marker["sources"].items():
                        reached[topic] = max(source["position"], reached.get(topic, 0))
        return reached

    def _recount(self, partition: int, kept: Kept) -> Recount:
        known = self._recounts.get((partition, kept.position, kept.policy))
        if known is None:
            facts, _ = self._logs(partition)
            below = facts.history[: kept.position]
            rows = [parse(row.key, row.value) for row in below if row.key and row.value and row.key != CLAIM_KEY]
            known = Recount(rows, Policy(kept.policy))
            self._recounts[partition, kept.position, kept.policy] = known
        return known


def _difference(shown: dict[TallyGroup, Any], recount: Recount) -> str:
    expected = recount.tallies()
    groups = sorted(g for g in shown.keys() | expected.keys() if shown.get(g) != expected.get(g))
    return "; ".join(f"{group}: {shown.get(group)} instead of {expected.get(group)}" for group in groups[:3])
