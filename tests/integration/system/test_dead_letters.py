"""Invalid events on Apache Kafka: a dead letter each, with its reason; a flood pauses the worker; a fix counts them."""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from streams.engine.circuit_breaker import CircuitBreakerPolicy
from streams.events.decoder import MAX_VALUE_BYTES
from streams.events.reasons import Reason
from streams.kafka.producer import home_partition
from streams.runtime.metric_specs import PREFIX
from tests.support.deployments import Cluster
from tests.support.exposition import Series, families, series, total
from tests.support.kafka import Kafka
from tests.support.pages import documented_metrics
from tests.support.processes import Command, get, get_json, wait_until
from tests.support.wire import Header, Place, Sent, Stored, Wire

PARTITIONS = 2
DEADLINE = 30.0
T0 = 1_780_000_000_000
HOUR_AHEAD = time.time_ns() // 1_000_000 + 3_600_000
HEADERS: list[Header] = [("trace-id", b"\x00\xff"), ("empty", None), ("alignment-reason", b"not ours"), ("twice", b"1")]
_OURS = "alignment-"


@dataclass(frozen=True)
class Bad:
    """An event that must be rejected."""

    reason: Reason
    role: str
    value: bytes | None
    key: bytes | None = b"item"
    headers: tuple[Header, ...] = ()
    astray: bool = False


def annotation(**fields: Any) -> bytes:
    """The value of an annotation of `item`; a field that is None is left out."""
    event = {"id": "a", "at": T0, "queue": "support", "item": "item", "thumbs": "up", **fields}
    return orjson.dumps({name: part for name, part in event.items() if part is not None})


def evaluation(**fields: Any) -> bytes:
    """The value of an evaluation of `item`."""
    event = {"id": "e", "at": T0, "item": "item", "metric": "relevance", "passed": True, **fields}
    return orjson.dumps({name: part for name, part in event.items() if part is not None})


def listing(**fields: Any) -> bytes:
    """The value of a queue item."""
    return orjson.dumps({"id": "q", "at": T0, "queue": "support", "item": "item", **fields})


CLOUD_EVENT = ("ce_specversion", b"1.0"), ("ce_id", b"c1"), ("ce_time", b"2026-05-28T20:26:40Z")
BAD = (
    Bad(Reason.MALFORMED, "annotations", b""),
    Bad(Reason.MALFORMED, "annotations", b"not json"),
    Bad(Reason.MALFORMED, "annotations", annotation()[:-1]),
    Bad(Reason.INVALID_NAME, "annotations", annotation().replace(b"support", b"supp\xffrt")),
    Bad(Reason.INVALID_NAME, "annotations", annotation().replace(b"support", b"supp\\ud800rt")),
    Bad(Reason.MALFORMED, "evaluations", b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}"),
    Bad(Reason.INVALID_FIELD, "evaluations", evaluation().replace(b"true", b"NaN")),
    Bad(Reason.MALFORMED, "queue-items", listing() + b" " + listing()),
    Bad(Reason.INVALID_FIELD, "annotations", annotation(stars=3)),
    Bad(Reason.INVALID_FIELD, "annotations", annotation(thumbs="sideways")),
    Bad(Reason.INVALID_FIELD, "evaluations", evaluation(score="high")),
    Bad(Reason.INVALID_FIELD, "evaluations", evaluation(score=1, threshold=0).replace(b'"score":1', b'"score":1e999')),
    Bad(Reason.INVALID_FIELD, "queue-items", b"null"),
    Bad(Reason.MISSING_FIELD, "annotations", annotation(thumbs=None)),
    Bad(Reason.MISSING_FIELD, "evaluations", evaluation(metric=None)),
    Bad(Reason.MISSING_FIELD, "queue-items", b"{}"),
    Bad(Reason.INVALID_NAME, "annotations", annotation(queue="a\nb")),
    Bad(Reason.INVALID_NAME, "evaluations", evaluation(metric="m" * 129)),
    Bad(Reason.OVERSIZED, "annotations", annotation(explanation="x" * MAX_VALUE_BYTES)),
    # Larger than the limit of a dead letter, and than one fetch.
    Bad(Reason.OVERSIZED, "annotations", annotation(explanation="x" * 2_000_000)),
    Bad(Reason.FUTURE_TIMESTAMP, "evaluations", evaluation(at=HOUR_AHEAD)),
    Bad(Reason.NO_VERDICT, "evaluations", evaluation(id="late", item="fixable", passed=None, score=0.7), b"fixable"),
    Bad(Reason.UNSUPPORTED_VERSION, "annotations", annotation(), headers=(("ce_specversion", b"0.3"),)),
    Bad(
        Reason.UNSUPPORTED_VERSION,
        "annotations",
        b'{"specversion":"2.0","id":"c","data":' + annotation() + b"}",
        headers=(("content-type", b"application/cloudevents+json"),),
    ),
    Bad(Reason.NULL_VALUE, "queue-items", None),
    Bad(Reason.NULL_VALUE, "annotations", None, key=None),
    Bad(Reason.KEY_MISMATCH, "annotations", annotation(), key=b"other"),
    Bad(Reason.KEY_MISMATCH, "annotations", annotation(), key=None),
    Bad(Reason.KEY_MISMATCH, "queue-items", listing(), key=b"\xffitem"),
    Bad(Reason.MISROUTED, "annotations", annotation(item="astray", queue="home"), b"astray", CLOUD_EVENT, astray=True),
    Bad(Reason.MISROUTED, "evaluations", evaluation(item="astray"), b"astray", astray=True),
)
GOOD_ROLES = {"annotations": annotation, "evaluations": evaluation, "queue-items": listing}


class Provoked:
    """A running cluster that received every invalid event, each followed by a valid one; some twice, some late."""

    def __init__(self, cluster: Cluster, wire: Wire) -> None:
        self.cluster = cluster
        self.wire = wire
        self.sources = [cluster.topic(role) for role in GOOD_ROLES]
        for topic in self.sources:
            wire.configure(topic, max_message_bytes=str(4 << 20))
        records: list[Sent] = []
        self.good = 0
        for number, bad in enumerate(BAD):
            home = home_partition(bad.key or b"", PARTITIONS)
            partition = 1 - home if bad.astray else home
            records.append(Sent(cluster.topic(bad.role), bad.key, bad.value, (*HEADERS, *bad.headers), partition))
            # Never many invalid events in a row, so that the circuit breaker stays closed.
            records.append(self._good(bad.role, partition, number))
        self.duplicates, self.superseded = 3, 2
        records += [records[1]] * self.duplicates
        records += [
            records[1]._replace(value=(records[1].value or b"").replace(b"1780000000000", b"1770000000000"))
        ] * 2
        places = wire.send(*records)
        self.places = dict(zip((id(bad) for bad in BAD), places[: 2 * len(BAD) : 2], strict=True))
        self.sent = len(records)

    def _good(self, role: str, partition: int, number: int) -> Sent:
        self.good += 1
        item = next(
            name
            for name in (f"good-{number}-{variant}" for variant in range(100))
            if home_partition(name.encode(), PARTITIONS) == partition
        )
        return Sent(self.cluster.topic(role), item.encode(), GOOD_ROLES[role](item=item), (), partition)

    def settle(self) -> None:
        """Wait until everything that was sent is committed."""
        settle(self.wire, self.cluster)

    def dead_letters(self) -> dict[Place, list[Stored]]:
        """Dead letters by the position of their event."""
        return dead_letters(self.wire, self.cluster)


def dead_letters(wire: Wire, cluster: Cluster) -> dict[Place, list[Stored]]:
    """Dead letters by the position of their event."""
    records: dict[Place, list[Stored]] = {}
    for record in wire.read(cluster.topic("dead-letters")):
        ours = added(record)
        place = Place(ours["topic"].decode(), int(ours["partition"]), int(ours["offset"]))
        records.setdefault(place, []).append(record)
    return records


def added(record: Stored) -> dict[str, bytes]:
    """The headers that the worker added, without their prefix: those from the last `alignment-topic` on."""
    names = [name for name, _ in record.headers]
    start = len(names) - 1 - names[::-1].index("alignment-topic")
    return {name.removeprefix(_OURS): text or b"" for name, text in record.headers[start:]}


def original(record: Stored) -> list[Header]:
    """The headers before those."""
    return list(record.headers[: len(record.headers) - len(added(record))])


def settle(wire: Wire, cluster: Cluster) -> None:
    """Wait until every source offset is committed."""
    sources = [cluster.topic(role) for role in GOOD_ROLES]
    ends = wire.ends(sources)
    wait_until(lambda: wire.committed(cluster.group, sources) == ends, DEADLINE, "committed == end")


def scraped(cluster: Cluster) -> Series:
    """The worker's metrics."""
    return series(get(f"{cluster.worker_urls['w1']}/metrics").body.decode())


@pytest.fixture(scope="module")
def wire(kafka: Kafka) -> Iterator[Wire]:
    with Wire(kafka.bootstrap) as opened:
        yield opened


@pytest.fixture(scope="module")
def provoked(kafka: Kafka, wire: Wire, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provoked]:
    directory = tmp_path_factory.mktemp("dead-letters")
    with Cluster(kafka.bootstrap, "dead-letters.", directory, partitions=PARTITIONS) as running:
        provoked = Provoked(running, wire)
        provoked.settle()
        yield provoked


def test_every_reason_is_provoked() -> None:
    # Only `ingest` rejects for the last reason.
    assert {bad.reason for bad in BAD} == {*Reason} - {Reason.UNKNOWN_SHAPE}


@pytest.mark.row(10)
def test_each_bad_event_is_one_dead_letter_with_its_reason(provoked: Provoked) -> None:
    records = provoked.dead_letters()
    assert records.keys() == set(provoked.places.values())
    for bad in BAD:
        (record,) = records[provoked.places[id(bad)]]
        ours = added(record)
        assert ours["reason"].decode() == bad.reason.value, (bad, ours)
        assert ours["detail"]
        assert ours.keys() >= {"topic", "partition", "offset", "timestamp", "stage", "reason", "detail", "version"}
        assert record.key == bad.key
        assert original(record) == [*HEADERS, *bad.headers]
        if bad.value is None or len(bad.value) < 700_000:
            assert record.value == bad.value
        else:
            assert record.value is None
            assert ours["value-sha256"].decode() == hashlib.sha256(bad.value).hexdigest()
            assert int(ours["value-bytes"]) == len(bad.value)


@pytest.mark.row(10)
def test_the_worker_lives_and_accounts_for_every_event(provoked: Provoked) -> None:
    url = provoked.cluster.worker_urls["w1"]
    assert (get(f"{url}/healthz").status, get(f"{url}/readyz").status) == (200, 200)
    assert provoked.cluster.workers["w1"].running
    seen = scraped(provoked.cluster)
    reasons = Counter(bad.reason for bad in BAD)
    for reason in Reason:
        assert total(seen, "eval_alignment_events_rejected_total", reason=reason.value) == reasons[reason], reason
    consumed, superseded, duplicate, rejected, applied, waiting = (
        total(seen, f"eval_alignment_{name}_total")
        for name in (
            "events",
            "events_superseded",
            "events_duplicate",
            "events_rejected",
            "facts_written",
            "waiting_stored",
        )
    )
    assert (superseded, duplicate, rejected) == (provoked.superseded, provoked.duplicates, len(BAD))
    # Every accepted event has an identity of its own, so each is one row of the ledger, or waits for its item.
    assert applied + waiting == provoked.good
    assert consumed == provoked.sent == applied + waiting + superseded + duplicate + rejected
    assert total(seen, "eval_alignment_events_misrouted_total") == reasons[Reason.MISROUTED]
    assert total(seen, "eval_alignment_lag_events") == 0


def test_docs_list_the_metrics_that_worker_and_view_serve(provoked: Provoked) -> None:
    def served(url: str) -> dict[str, tuple[str, tuple[str, ...]]]:
        scrape = families(get(f"{url}/metrics").body.decode())
        return {name: family for name, family in scrape.items() if name.startswith(PREFIX)}

    of_worker = served(provoked.cluster.worker_urls["w1"])
    # It has no series before a worker has looked for what its disk lacks.
    rebuild = "eval_alignment_waiting_rebuild_events"
    assert {rebuild: ("gauge", ("partition",)), **of_worker} == documented_metrics("A worker")
    documented = documented_metrics("Agreement, from the view") | documented_metrics("The view itself")
    # With few comparisons, some gauges are undefined.
    of_view = served(provoked.cluster.url)
    assert of_view.keys() >= documented_metrics("The view itself").keys()
    assert of_view.items() <= documented.items()


def test_dlq_lists_and_shows_dead_letters(provoked: Provoked) -> None:
    cluster = provoked.cluster
    listed = json.loads(cluster.run("dlq", "ls", "--broker", cluster.broker, "--limit", "1000", "--json").stdout)
    places = {Place(entry["topic"], entry["partition"], entry["offset"]): entry["reason"] for entry in listed}
    assert places == {provoked.places[id(bad)]: bad.reason.value for bad in BAD}
    text = cluster.run("dlq", "ls", "--broker", cluster.broker, "--reason", "misrouted").stdout.decode()
    assert "2 dead letters: 2 misrouted" in text
    (fixable,) = (bad for bad in BAD if bad.reason is Reason.NO_VERDICT)
    place = provoked.places[id(fixable)]
    shown = cluster.run("dlq", "show", "--broker", cluster.broker, str_of(place)).stdout.decode()
    assert "no_verdict" in shown
    assert "`$.threshold`" in shown
    assert (fixable.value or b"").decode() in shown


@pytest.mark.slow
def test_requeued_events_count_after_a_fix(provoked: Provoked) -> None:
    """The last test with `provoked`: it changes the state that the others examine."""
    cluster = provoked.cluster
    before = provoked.dead_letters().keys()
    provoked.wire.event(cluster.topic("annotations"), orjson.loads(annotation(item="fixable", queue="fix")))
    # Without the fix a requeued event is rejected again, as another event.
    cluster.run("dlq", "requeue", "--broker", cluster.broker, "--reason", "no_verdict")
    provoked.settle()
    (again,) = provoked.dead_letters().keys() - before
    worker = cluster.workers["w1"]
    assert worker.terminate() == 0
    worker.environment["EVAL_ALIGNMENT_METRICS"] = '{"relevance":{"threshold":0.5}}'
    worker.start().wait_ready(cluster.worker_urls["w1"])
    done = cluster.run("dlq", "requeue", "--broker", cluster.broker, "--reason", "no_verdict").stdout.decode()
    assert "2 sent again, 0 not sent" in done
    cards = wait_until(lambda: compared(cluster, "fix"), DEADLINE, "the requeued evaluation counts")
    assert (cards["comparisons"], cards["misaligned"]) == (1, 0)

    cluster.run("dlq", "requeue", "--broker", cluster.broker, "--reason", "misrouted")
    cards = wait_until(lambda: compared(cluster, "home"), DEADLINE, "the misrouted events count")
    assert (cards["comparisons"], cards["misaligned"]) == (1, 0)

    # Requeue all of them again, by name, including some that cannot be sent: nothing counts twice, nothing is lost.
    done = cluster.run("dlq", "requeue", "--broker", cluster.broker, str_of(again)).stdout.decode()
    assert "1 sent again, 0 not sent" in done
    provoked.settle()
    assert total(scraped(cluster), "eval_alignment_events_duplicate_total") == 2
    assert provoked.dead_letters().keys() == before | {again}
    cluster.run("dlq", "requeue", "--broker", cluster.broker, "--reason", "oversized", expect=1)


def str_of(place: Place) -> str:
    """A position in the form that `dlq` takes."""
    return f"{place.topic}:{place.partition}:{place.offset}"


def compared(cluster: Cluster, queue: str) -> Any:
    """The cards of a queue once it has comparisons."""
    document = cluster.document(queue)
    return document["cards"] if document is not None and document["cards"]["comparisons"] else None


@pytest.mark.row(12)
def test_a_poison_flood_pauses_the_worker_until_it_is_restarted(
    kafka: Kafka, wire: Wire, prefix: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    flood = 1200
    with Cluster(kafka.bootstrap, prefix, tmp_path_factory.mktemp("flood"), partitions=PARTITIONS) as cluster:
        topic, url = cluster.topic("evaluations"), cluster.worker_urls["w1"]
        good = [Sent(topic, f"i{n}".encode(), evaluation(item=f"i{n}")) for n in range(50)]
        wire.send(*good)
        settle(wire, cluster)
        bad = [Sent(topic, f"i{n}".encode(), evaluation(item=f"i{n}", passed=None)) for n in range(flood)]
        wire.send(*bad)
        worker = cluster.workers["w1"]
        pid = worker.pid

        wait_until(
            lambda: total(scraped(cluster), "eval_alignment_circuit_breaker_open") == 1,
            DEADLINE,
            "circuit_breaker_open 1",
        )
        assert total(scraped(cluster), "eval_alignment_lag_events", topic=topic) > 0
        answer = get(f"{url}/readyz")
        assert answer.status == 503
        assert "in a row" in str(answer.json()["reasons"])
        assert topic in str(answer.json()["reasons"])
        # Paused, not broken: the worker still polls the broker, and does not process an event of another topic.
        annotations = cluster.topic("annotations")
        assert total(scraped(cluster), "eval_alignment_lag_events", topic=annotations) == 0
        wire.event(annotations, orjson.loads(annotation(item="i1")))
        wait_until(
            lambda: total(scraped(cluster), "eval_alignment_lag_events", topic=annotations) == 1,
            DEADLINE,
            "the worker sees one more annotation that waits",
        )
        assert get_json(f"{url}/healthz")["live"] is True
        assert worker.pid == pid
        # Earlier batches may have had invalid events too, but not more than the breaker tolerates.
        passed = len(dead_letters(wire, cluster))
        assert passed <= CircuitBreakerPolicy().in_a_row
        sources = [cluster.topic(role) for role in GOOD_ROLES]
        wait_until(
            lambda: sum(wire.committed(cluster.group, sources).values()) == len(good) + passed,
            DEADLINE,
            "the offsets of all events before the flood are committed",
        )
        assert worker.text().count("circuit breaker open") == 1, worker.text()

        assert "Stop the producer, then restart this worker" in str(get(f"{url}/readyz").json()["reasons"])
        # What senders wrote is served to nobody without a token.
        assert "passed" not in str(answer.json()["reasons"])

        peeked = orjson.loads(cluster.run("dlq", "peek", "--broker", cluster.broker, "--limit", "2", "--json").stdout)
        assert peeked["rejected"] == [{"topic": topic, "reason": "no_verdict", "events": flood - passed}]
        assert peeked["waiting"] == flood - passed + 1
        assert [one["reason"] for one in peeked["events"]] == ["no_verdict"] * 2
        first, *_ = peeked["events"]
        assert first["event"].startswith(f"{topic}:")
        (opened,) = [line for line in worker.text().splitlines() if "circuit breaker open" in line]
        assert opened.count(" no_verdict: ") == 3
        assert opened.count('; value {"') == 3
        examined = cluster.run("doctor", "--broker", cluster.broker, "--worker-url", url, "--json", expect=2).stdout
        (found,) = [one for one in orjson.loads(examined) if one["check"] == "circuit_breaker"]
        assert first["event"] in found["observed"]
        assert "no_verdict" in found["observed"]
        assert first["value"] in found["observed"]

        # A stop is clean, and the restart is the consent to reject what it saw.
        assert worker.terminate() == 0
        assert sum(wire.committed(cluster.group, sources).values()) == len(good) + passed
        with Command(*worker.arguments, log=worker.log, environment=cluster.environment) as again:
            again.wait_ready(url)
            settle(wire, cluster)
            records = dead_letters(wire, cluster)
            assert len(records) == flood
            assert {added(one[0])["reason"] for one in records.values()} == {b"no_verdict"}
            assert get(f"{url}/readyz").status == 200
            assert total(scraped(cluster), "eval_alignment_circuit_breaker_open") == 0
