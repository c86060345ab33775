"""Invalid events on a real Apache Kafka: each becomes one dead letter, a flood of them pauses the worker."""

import json
from typing import Any

import pytest

from aggregator.facts import Annotation, Evaluation, encode
from streams.events.decoder import MAX_VALUE_BYTES
from streams.events.reasons import Reason
from streams.kafka.producer import home_partition
from tests.integration.streams.rig import Event, Rig, history

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


@pytest.mark.row(12)
async def test_a_flood_pauses_the_worker_and_nothing_of_its_batch_is_lost(rig: Rig) -> None:
    good = Annotation(NOW, "g", "q", "item", thumbs="up")
    before = Evaluation(NOW, "e", "item", "m", passed=True)
    await rig.produce([before])
    worker = rig.worker()
    await rig.settled()
    at_rest = await rig.committed()
    flood: list[Event] = [(rig.topics.annotations, b"item", b"{")] * 100
    await rig.send([(rig.topics.annotations, b"item", encode(good)), *flood])

    async def open_reason() -> bool:
        return "circuit breaker open: 21 events in a row" in worker.text()

    await rig.until("open", open_reason)
    # Other partitions' events wait too, and the worker stays a member: it is alive and owns everything.
    later = Evaluation(NOW, "f", "item", "m2", passed=False)
    await rig.produce([later])
    assert await rig.dead_letters() == []
    assert await rig.committed() == at_rest
    assert worker.process.poll() is None
    worker.kill()

    again = rig.worker()

    async def open_again() -> bool:
        return "circuit breaker open" in again.text()

    await rig.until("open again", open_again)
    assert await rig.dead_letters() == []
    again.kill()

    rig.worker(circuit_breaker=False)
    await rig.settled()
    await rig.verify([before, good, later])
    assert len(await rig.dead_letters()) == 100
