"""Invalid events on a real Apache Kafka: each becomes one dead letter, a flood of them pauses the worker."""

import json
import signal
from typing import Any

import pytest

from aggregator.facts import Annotation, Evaluation, encode
from aggregator.tallies import MARKER_KEY
from streams.events.decoder import MAX_VALUE_BYTES
from streams.events.reasons import Reason
from streams.kafka.producer import home_partition
from tests.integration.streams.rig import Event, Rig, WorkerProcess, history

NOW = 1_780_000_000_000


def _annotation(**changed: Any) -> bytes:
    event = {"at": NOW, "id": "x", "queue": "q", "item": "bad", "stars": 4}
    return json.dumps({**event, **changed}).encode()


@pytest.mark.row(10)
async def test_every_reason_becomes_one_dead_letter_and_the_worker_goes_on(rig: Rig) -> None:
    topics = rig.topics
    annotations, evaluations = topics.annotations, topics.evaluations
    verdictless = {"at": NOW, "id": "x", "item": "bad", "metric": "m", "score": 0.5}
    bad: dict[Reason, Event] = {
        Reason.MALFORMED: (annotations, b"bad", b'{"at": \xff'),
        Reason.INVALID_FIELD: (annotations, b"bad", _annotation(stars=6)),
        Reason.MISSING_FIELD: (annotations, b"bad", b'{"at":1700000000000,"id":"x","item":"bad","stars":1}'),
        Reason.INVALID_NAME: (annotations, b"bad", _annotation(queue="a\nb")),
        Reason.OVERSIZED: (annotations, b"bad", _annotation(explanation="x" * MAX_VALUE_BYTES)),
        Reason.FUTURE_TIMESTAMP: (annotations, b"bad", _annotation(at=NOW * 2)),
        Reason.NO_VERDICT: (evaluations, b"bad", json.dumps(verdictless).encode()),
        Reason.NULL_VALUE: (annotations, b"bad", None),
        Reason.KEY_MISMATCH: (annotations, b"other", _annotation()),
    }
    facts = history(seed=13, events=500, items=20)
    await rig.produce(facts[:250])
    await rig.send(bad.values())
    structured = b'{"specversion":"0.3","id":"1","data":{}}'
    bad[Reason.UNSUPPORTED_VERSION] = (annotations, b"bad", structured)
    await rig.send([bad[Reason.UNSUPPORTED_VERSION]], headers=[("content-type", b"application/cloudevents+json")])
    away = (home_partition(b"bad", rig.partitions) + 1) % rig.partitions
    bad[Reason.MISROUTED] = (annotations, b"bad", _annotation())
    await rig.send([bad[Reason.MISROUTED]], partition=away)
    # Neither key nor value: a producer sends such a record in a batch only.
    await rig.send([(annotations, None, None)], partition=0)
    worker = rig.worker(log_level="WARNING")
    await rig.produce(facts[250:])
    await rig.settled()
    await rig.verify(facts)

    dead_letters = await rig.dead_letters()
    seen = {}
    for dead_letter in dead_letters:
        headers = dict(dead_letter.headers)
        event = (headers["alignment-topic"].decode(), dead_letter.key, dead_letter.value)
        seen[Reason(headers["alignment-reason"].decode()), event] = headers["alignment-detail"].decode()
    # Only `ingest` rejects for the last reason.
    reasons = {*Reason} - {Reason.UNKNOWN_SHAPE}
    assert len(seen) == len(dead_letters) == len(reasons) + 1
    for reason in reasons:
        assert (reason, bad[reason]) in seen
    assert (Reason.NULL_VALUE, (annotations, None, None)) in seen
    assert "partitioner=murmur2_random" in seen[Reason.MISROUTED, bad[Reason.MISROUTED]]
    (kept,) = [dead_letter for dead_letter in dead_letters if dead_letter.value == structured]
    assert kept.headers[0] == ("content-type", b"application/cloudevents+json")
    assert worker.process.poll() is None
    # Faust at WARNING would set the root logger to DEBUG.
    assert " DEBUG " not in worker.text()


def _flood(rig: Rig, count: int) -> list[Event]:
    return [(rig.topics.annotations, b"item", b"{")] * count


async def _opened(rig: Rig, worker: WorkerProcess, text: str = "circuit breaker open: 21 events in a row") -> None:
    async def logged() -> bool:
        return text in worker.text()

    await rig.until(text, logged)


async def _restored(worker: WorkerProcess) -> bool:
    return "partitions restored" in worker.text()


async def _all_seen(rig: Rig, owner: str) -> list[int]:
    """By partition, the annotations offset up to which `owner` looked, as the last checkpoint marker has it; else 0."""
    seen = [0] * rig.partitions
    for record in await rig.read(rig.topics.tallies):
        if record.key == MARKER_KEY:
            marker: dict[str, Any] = json.loads(record.value or b"")
            own = marker.get("seen_by", {}).get(f"{rig.prefix}{owner}", {})
            seen[record.partition] = own.get(rig.topics.annotations, 0)
    return seen


async def _published_seen(rig: Rig, owner: str) -> int:
    """The offset of the partition with `item`."""
    return (await _all_seen(rig, owner))[home_partition(b"item", rig.partitions)]


@pytest.mark.row(12)
async def test_a_flood_pauses_the_worker_and_nothing_of_its_batch_is_lost(rig: Rig) -> None:
    good = Annotation(NOW, "g", "q", "item", thumbs="up")
    before = Evaluation(NOW, "e", "item", "m", passed=True)
    await rig.produce([before])
    worker = rig.worker()
    await rig.settled()
    at_rest = await rig.committed()
    await rig.send([(rig.topics.annotations, b"item", encode(good)), *_flood(rig, 100)])
    await _opened(rig, worker)
    # Other partitions' events wait too, and the worker stays a member: it is alive and owns everything.
    later = Evaluation(NOW, "f", "item", "m2", passed=False)
    await rig.produce([later])
    partition = home_partition(b"item", rig.partitions)
    await _opened(rig, worker, f"{rig.topics.annotations}:{partition}:1 malformed: ")
    assert await rig.dead_letters() == []
    assert await rig.committed() == at_rest
    assert worker.process.poll() is None
    worker.signal(signal.SIGTERM)
    assert await worker.ended() == 0

    # The restart is the consent to reject what it saw.
    again = rig.worker()
    await rig.settled()
    await rig.verify([before, good, later])
    assert len(await rig.dead_letters()) == 100
    assert "circuit breaker is half open" in again.text()
    assert "circuit breaker open" not in again.text()


@pytest.mark.slow
@pytest.mark.row(34)
async def test_after_a_flood_only_the_paused_worker_is_half_open_and_only_for_what_it_saw(rig: Rig) -> None:
    await rig.send(_flood(rig, 100))
    worker = rig.worker()
    await _opened(rig, worker)

    async def seen_by(owner: str) -> bool:
        return await _published_seen(rig, owner) == 100

    await rig.until("the marker has what it saw", lambda: seen_by("w1"))
    worker.kill()

    # A worker of another name takes over, which is no consent.
    other = rig.worker("w2")
    await _opened(rig, other)
    assert await rig.dead_letters() == []
    assert "half open" not in other.text()
    await rig.until("its marker has what it saw", lambda: seen_by("w2"))
    other.kill()
    # More than it saw: this much is a new flood.
    await rig.send(_flood(rig, 50))
    again = rig.worker("w2")
    await _opened(rig, again)
    assert len(await rig.dead_letters()) == 100
    again.kill()


@pytest.mark.slow
@pytest.mark.row(34)
async def test_a_rebalance_while_it_is_open_rejects_nothing_and_keeps_the_worker_paused(rig: Rig) -> None:
    await rig.send(_flood(rig, 100))
    paused = rig.worker()
    await _opened(rig, paused)
    at_rest = await rig.committed()
    joined = rig.worker("w2")

    async def restored() -> bool:
        # Both have a part of the partitions; the one with the flood may be in either.
        return "partitions restored" in joined.text() and paused.text().count("partitions restored") >= 2

    await rig.until("both are in the new generation", restored)
    await rig.send(_flood(rig, 30))

    async def seen() -> bool:
        return 130 in [await _published_seen(rig, owner) for owner in ("w1", "w2")]

    await rig.until("its owner, paused too, has looked at all", seen)
    assert await rig.dead_letters() == []
    assert await rig.committed() == at_rest
    assert (paused.process.poll(), joined.process.poll()) == (None, None)


@pytest.mark.slow
@pytest.mark.row(34)
async def test_paused_workers_that_take_over_from_each_other_are_half_open_when_each_was_restarted(rig: Rig) -> None:
    """Each restart takes longer than the session, so the other one has all partitions in between."""
    workers = [rig.worker("w1"), rig.worker("w2")]
    await rig.until("both have partitions", lambda: _shared(workers))
    flood: list[Event] = [(rig.topics.annotations, f"item {number}".encode(), b"{") for number in range(400)]
    await rig.send(flood)
    for worker in workers:
        await _opened(rig, worker)
    first, second = workers
    first.kill()

    async def seen() -> bool:
        return sum(await _all_seen(rig, "w2")) == len(flood)

    await rig.until("the other one has looked at the events of all partitions", seen)
    again = rig.worker("w1")
    await rig.until("it has partitions", lambda: _restored(again))
    second.kill()
    # Those that only the other one had seen are new to it.
    await _opened(rig, again)
    last = rig.worker("w2")
    await rig.until("it has partitions", lambda: _restored(last))
    again.kill()
    good = Annotation(NOW, "g", "q", "item", thumbs="up")
    await rig.produce([good])
    await rig.settled()
    await rig.verify([good])
    assert len(await rig.dead_letters()) == len(flood)
    assert "circuit breaker open" not in last.text()


async def _shared(workers: list[WorkerProcess]) -> bool:
    return all("2 partitions restored" in worker.text() for worker in workers)
