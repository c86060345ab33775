"""The verdict on a history with evaluations that wait: against the events themselves, and the ledger.

Rows of annotations and queue items are the winners of all accepted ones. A row of an evaluation is one of an item that
is known, is an accepted evaluation, and not older than the newest one that must be compared: one that came at most the
wait before the first annotation or queue item of its item, or later. What a setting decided is decided once.
"""

from collections.abc import Iterable

from aggregator.facts import Evaluation, Fact, key, parse, version
from aggregator.recount import Recount, winners
from streams.ledger.claim import CLAIM_KEY
from tests.simulation.broker import Partition
from tests.simulation.inputs import Delivery
from tests.simulation.process import TOPICS
from tests.simulation.verdict import verify_dead_letters, verify_freshness, verify_readers
from tests.simulation.viewer import Wrong
from tests.simulation.waiting_world import WAIT_SECONDS, WaitingWorld

_Version = tuple[int, str, str]
"""Time, id and version of a fact; without the last where a setting decides."""


def verify_waiting(world: WaitingWorld) -> None:
    """Raises Wrong unless the promise was kept. Everything is processed, and nothing is being rebuilt."""
    verify_dead_letters(world)
    world.viewer.look()
    verify_freshness(world)
    for compacted in (False, True):
        for partition in range(world.partitions):
            where = f"partition {partition}{' after compaction' if compacted else ''}"
            ledger = world.broker.partitions[TOPICS.facts, partition]
            rows = _last(ledger)
            verify_rows(rows, [d for d in world.deliveries if d.event.partition == partition], where)
            _verify_winners(rows, ledger, where)
            verify_readers(world, partition, Recount(rows.values(), world.policy), where)
            if not compacted:
                _verify_decided_once(ledger, where)
        for topic in (TOPICS.facts, TOPICS.tallies):
            for partition in range(world.partitions):
                world.broker.partitions[topic, partition].compact(1 << 62)


def _last(ledger: Partition) -> dict[bytes, Fact]:
    last: dict[bytes, Fact] = {}
    for record in ledger.records:
        assert record.key is not None and record.value is not None
        if record.key != CLAIM_KEY:
            last[record.key] = parse(record.key, record.value)
    return last


def verify_rows(rows: dict[bytes, Fact], deliveries: list[Delivery], where: str) -> None:
    """Raises Wrong unless these are the rows that the events of a partition must and may lead to."""
    people = [d.event.fact for d in deliveries if d.event.fact is not None and d.event.topic != TOPICS.evaluations]
    mine = {name: fact for name, fact in rows.items() if type(fact) is not Evaluation}
    if mine != winners(people):
        raise Wrong(f"annotations or queue items are not the winners in {where}: {_differences(mine, winners(people))}")
    known = {fact.item for fact in people}
    must, may = _evaluations(deliveries)
    for name, fact in rows.items():
        if type(fact) is not Evaluation:
            continue
        if fact.item not in known:
            raise Wrong(f"a row of an item that nobody knows in {where}: {fact}")
        if not may.get(name, set()) & {_version(fact, False), _version(fact, True)}:
            raise Wrong(f"a row that nobody sent, or that was aborted, in {where}: {fact}")
        if _version(fact, True) in may[name] and fact.passed is not (_score(fact) >= (fact.threshold or 0.0)):
            raise Wrong(f"a row with a verdict that no setting has, in {where}: {fact}")
    for name, (oldest, at) in must.items():
        if name not in rows:
            raise Wrong(f"missing in {where}: {oldest} of {at}")
        if _version(rows[name], False) < oldest:
            raise Wrong(f"older than must be in {where}: {rows[name]}, must be {oldest} of {at}")


def _evaluations(
    deliveries: Iterable[Delivery],
) -> tuple[dict[bytes, tuple[_Version, int]], dict[bytes, set[_Version]]]:
    """By key of the row, the newest evaluation that must be compared with its broker time, and all accepted ones."""
    first: dict[str, int] = {}
    evaluations: list[tuple[Delivery, Evaluation]] = []
    for delivery in deliveries:
        fact = delivery.event.fact
        if type(fact) is Evaluation:
            evaluations.append((delivery, fact))
        elif fact is not None:
            first[fact.item] = min(delivery.timestamp, first.get(fact.item, delivery.timestamp))
    must: dict[bytes, tuple[_Version, int]] = {}
    may: dict[bytes, set[_Version]] = {}
    for delivery, fact in evaluations:
        name, of = key(fact), _version(fact, delivery.event.undecided)
        may.setdefault(name, set()).add(of)
        since = first.get(fact.item)
        if since is not None and delivery.timestamp >= since - WAIT_SECONDS * 1000:
            must[name] = max((of, delivery.timestamp), must.get(name, (of, delivery.timestamp)))
    return must, may


def _version(fact: Fact, undecided: bool) -> _Version:
    return fact.at, fact.id, "" if undecided else version(fact)


def _score(fact: Evaluation) -> float:
    return -1.0 if fact.score is None else fact.score


def _verify_winners(rows: dict[bytes, Fact], ledger: Partition, where: str) -> None:
    """Of each row the last record of the ledger is the winner of all its records."""
    history = [r for r in ledger.history if r.key and r.value and r.key != CLAIM_KEY]
    best = winners(parse(record.key or b"", record.value or b"") for record in history)
    if rows != best:
        raise Wrong(f"the ledger's last records are not the winners in {where}: {_differences(rows, best)}")


def _verify_decided_once(ledger: Partition, where: str) -> None:
    """Nobody decides by a setting what it has read, or written, as decided: a verdict of its time and id is final."""
    decided: dict[tuple[bytes, int, str], list[tuple[int, str, Fact]]] = {}
    claims: dict[str, int] = {}
    for record in ledger.history:
        if record.key == CLAIM_KEY:
            claims[record.writer] = record.offset
            continue
        fact = parse(record.key or b"", record.value or b"")
        if type(fact) is not Evaluation or not fact.id.startswith("s"):
            continue
        before = decided.setdefault((key(fact), fact.at, fact.id), [])
        if all(fact != other for _, _, other in before):
            for offset, writer, other in before:
                if writer == record.writer or offset < claims.get(record.writer, 0):
                    raise Wrong(f"decided twice in {where}: {other}, then {fact} at {record.offset}")
        before.append((record.offset, record.writer, fact))


def _differences(mine: dict[bytes, Fact], expected: dict[bytes, Fact]) -> str:
    keys = sorted(name for name in mine.keys() | expected.keys() if mine.get(name) != expected.get(name))
    return "; ".join(f"{mine.get(name)} instead of {expected.get(name)}" for name in keys[:3])
