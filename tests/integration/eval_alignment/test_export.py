"""`export`: writes the current row of each key as an event that `load` accepts."""

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from click.testing import CliRunner, Result

from aggregator.facts import Annotation, Evaluation, Fact, QueueItem, encode, key
from aggregator.policy import Policy
from aggregator.recount import winners
from aggregator.tallies import MARKER_KEY
from eval_alignment.commands.export import export
from streams.events.decoder import Decoder
from streams.events.encoder import encode_event
from streams.kafka.producer import home_partition
from streams.kafka.topics import Topics, apply
from streams.ledger.claim import CLAIM_KEY, Claim
from tests.support.kafka import Kafka

AT = 1_795_428_902_412
Row = tuple[bytes, bytes | None]


def home(item: str) -> int:
    """The partition of an item."""
    return home_partition(item.encode(), 2)


class Installation:
    """Topics with two partitions, written by the test."""

    def __init__(self, kafka: Kafka, prefix: str) -> None:
        self.kafka, self.prefix = kafka, prefix
        self.topics = Topics(**{role: f"{prefix}{getattr(Topics(), role)}" for role in Topics.__dataclass_fields__})
        asyncio.run(apply({"bootstrap_servers": kafka.bootstrap}, self.topics, 2, 1))

    def write(self, topic: str, partition: int, rows: Iterable[Row]) -> None:
        async def write() -> None:
            producer = AIOKafkaProducer(bootstrap_servers=self.kafka.bootstrap)
            await producer.start()
            try:
                for key, value in rows:
                    await producer.send(topic, value, key=key, partition=partition)
            finally:
                await producer.stop()

        asyncio.run(write())

    def ledger(self, partition: int, facts: Iterable[Fact]) -> None:
        claim = Claim("one", 2, Policy.EACH, 1, "w", AT, start=0)
        self.write(self.topics.facts, partition, [(CLAIM_KEY, claim.encode()), *((key(f), encode(f)) for f in facts)])

    def closed(self, partition: int, position: int, sources: dict[str, Any], ledger: str = "one", **more: Any) -> None:
        value = {"ledger": ledger, "position": position, "policy": "each", "at": AT, "sources": sources, **more}
        self.write(self.topics.tallies, partition, [(MARKER_KEY, orjson.dumps(value))])

    def delete(self, topic: str, partition: int, before: int) -> None:
        """Delete records, which takes a policy that allows it."""

        async def delete() -> None:
            admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka.bootstrap)
            await admin.start()
            try:
                policy = {"cleanup.policy": "compact,delete"}
                await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, policy)])
                await admin.delete_records({TopicPartition(topic, partition): RecordsToDelete(before)})
            finally:
                await admin.close()

        asyncio.run(delete())

    async def evaluate(self, events: Sequence[Evaluation], aborted: Sequence[Evaluation]) -> None:
        """Send evaluations, those of an aborted transaction, two that no worker accepts, and a record without key."""
        topic = self.topics.evaluations
        plain = AIOKafkaProducer(bootstrap_servers=self.kafka.bootstrap)
        transactional = AIOKafkaProducer(bootstrap_servers=self.kafka.bootstrap, transactional_id=f"{self.prefix}t")
        for producer in (plain, transactional):
            await producer.start()
        try:
            for event in events:
                await plain.send(topic, encode_event(event), key=event.item.encode(), partition=home(event.item))
            await transactional.begin_transaction()
            for event in aborted:
                await transactional.send(topic, encode_event(event), key=event.item.encode())
            await transactional.abort_transaction()
            await plain.send(topic, b"{}", key=b"x")
            await plain.send(topic, encode_event(waits("m", "19")), key=b"m", partition=1 - home("m"))
            await plain.send(topic, b"{}", partition=0)
        finally:
            await plain.stop()
            await transactional.stop()

    def export(self, *options: str) -> Result:
        environment = {"EVAL_ALIGNMENT_TOPIC_PREFIX": self.prefix}
        return CliRunner().invoke(export, ["--broker", self.kafka.bootstrap, *options], env=environment)


@pytest.fixture
def installation(kafka: Kafka, prefix: str) -> Installation:
    return Installation(kafka, prefix)


OLD = Annotation(AT, "1", "support", "i1", thumbs="up", explanation="fine")
NEW = Annotation(AT + 1, "2", "support", "i1", thumbs="down", explanation="a\nb \u202e")
LEDGER: tuple[list[Fact], list[Fact]] = (
    [
        NEW,
        OLD,
        Evaluation(AT, "3", "i1", "relevance", passed=True),
        Evaluation(AT, "4", "i9", "relevance", deleted=True),
    ],
    [
        Annotation(AT, "5", "support", "i2", deleted=True),
        Evaluation(AT, "6", "i2", "relevance", status="error"),
        QueueItem(AT, "7", "support", "i3", deleted=True),
        Evaluation(AT, "8", "i3", "relevance", score=0.5, threshold=0.5, passed=True),
        Annotation(AT, "9", "other", "i9", stars=3),
    ],
)


def decoded(output: bytes) -> list[Fact]:
    outcomes = [Decoder().decode_line(line) for line in output.splitlines()]
    facts = [outcome[1] for outcome in outcomes if isinstance(outcome, tuple)]
    assert len(facts) == len(outcomes)
    return facts


def test_an_export_has_the_winners_of_all_partitions_and_the_deletions(installation: Installation) -> None:
    for partition, facts in enumerate(LEDGER):
        installation.ledger(partition, facts)
    result = installation.export()
    assert (result.exit_code, result.stderr) == (0, "8 events written, 8 rows in the ledger\n")
    assert winners(decoded(result.stdout_bytes)) == winners([*LEDGER[0], *LEDGER[1]])
    assert installation.export().stdout_bytes == result.stdout_bytes


def test_an_export_of_a_queue_has_the_evaluations_of_its_items(installation: Installation) -> None:
    for partition, facts in enumerate(LEDGER):
        installation.ledger(partition, facts)
    facts = decoded(installation.export("--queue", "support").stdout_bytes)
    assert sorted(fact.id for fact in facts) == ["2", "3", "5", "6", "7", "8"]


def test_an_output_file_appears_whole_or_not_at_all(installation: Installation, tmp_path: Path) -> None:
    target = tmp_path / "backup.ndjson"
    installation.write(installation.topics.facts, 1, [(b'["z"]', b"{}")])
    failed = installation.export("--output", str(target))
    assert (failed.exit_code, list(tmp_path.iterdir())) == (1, [])
    assert f"{installation.topics.facts}[1] at 0" in failed.stderr


def test_an_empty_installation_exports_an_empty_file(installation: Installation, tmp_path: Path) -> None:
    target = tmp_path / "backup.ndjson"
    assert installation.export("--output", str(target)).exit_code == 0
    assert target.read_bytes() == b""


def test_an_export_of_a_ledger_that_lost_its_end_fails(installation: Installation) -> None:
    installation.ledger(0, LEDGER[0])
    installation.closed(0, 5, {})
    installation.closed(1, 3, {})
    result = installation.export()
    assert result.exit_code == 1
    assert "partitions 1" in result.stderr
    installation.ledger(1, LEDGER[1])
    assert installation.export().exit_code == 0


def test_an_incomplete_export_replaces_no_backup(installation: Installation, tmp_path: Path) -> None:
    """A ledger whose topic deletes has fewer rows, day by day."""
    target = tmp_path / "backup.ndjson"
    installation.ledger(0, LEDGER[0])
    assert installation.export("--output", str(target)).exit_code == 0
    backup = target.read_bytes()
    installation.delete(installation.topics.facts, 0, before=2)
    installation.ledger(0, [])
    result = installation.export("--output", str(target))
    assert (result.exit_code, target.read_bytes()) == (1, backup)
    assert "it lost its beginning in partitions 0" in result.stderr
    result = installation.export("--output", str(target), "--skip-unreadable")
    assert (result.exit_code, winners(decoded(target.read_bytes()))) == (1, winners(LEDGER[0][1:]))
    # Accepted by a worker.
    installation.write(
        installation.topics.facts, 0, [(CLAIM_KEY, Claim("one", 2, "each", 1, "w", AT, start=2).encode())]
    )
    assert installation.export("--output", str(target)).exit_code == 0


def test_an_export_ignores_the_tallies_of_a_former_ledger(installation: Installation) -> None:
    installation.ledger(0, LEDGER[0])
    installation.closed(0, 1_000, {}, ledger="former")
    assert installation.export().exit_code == 0


def test_an_export_reports_unprocessed_source_events(installation: Installation) -> None:
    installation.ledger(0, LEDGER[0])
    installation.closed(0, 5, {"a": {"position": 7, "end": 9}, "b": {"position": 3, "end": 3}})
    result = installation.export()
    assert (result.exit_code, "2 source events are not processed yet" in result.stderr) == (0, True)


def test_an_export_names_missing_topics_and_brokers(kafka: Kafka, prefix: str) -> None:
    def run(broker: str) -> Result:
        environment = {"EVAL_ALIGNMENT_TOPIC_PREFIX": prefix}
        return CliRunner().invoke(export, ["--broker", broker], env=environment)

    result = run(kafka.bootstrap)
    assert (result.exit_code, "topics apply" in result.stderr) == (1, True)
    result = run("127.0.0.1:1")
    assert (result.exit_code, "127.0.0.1:1" in result.stderr) == (1, True)


def test_an_export_passes_over_a_deleted_record(installation: Installation) -> None:
    installation.ledger(0, LEDGER[0])
    installation.write(installation.topics.facts, 0, [(key(OLD), None), (CLAIM_KEY, None)])
    result = installation.export()
    assert (result.exit_code, winners(decoded(result.stdout_bytes))) == (0, winners(LEDGER[0]))


def test_an_export_that_skips_what_is_unreadable_has_every_other_row_and_fails(installation: Installation) -> None:
    installation.ledger(0, LEDGER[0])
    installation.ledger(1, LEDGER[1])
    deep = b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    damage: list[Row] = [(key(OLD), b"\xff"), (b"garbage", b"{}"), (key(NEW), deep), (CLAIM_KEY, b"{}")]
    installation.write(installation.topics.facts, 1, damage)
    installation.write(installation.topics.tallies, 1, [(MARKER_KEY, b"[")])
    refused = installation.export()
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "--skip-unreadable" in refused.stderr
    result = installation.export("--skip-unreadable")
    assert result.exit_code == 1
    assert winners(decoded(result.stdout_bytes)) == winners([*LEDGER[0], *LEDGER[1]])
    assert f"{installation.topics.facts}[1]: 4 records (offset 6 with key" in result.stderr
    assert f"{installation.topics.tallies}[1]: 1 record (offset 0 with key" in result.stderr


def waits(item: str, id: str, at: int = AT, **fields: Any) -> Evaluation:
    return Evaluation(at, id, item, "relevance", **{"passed": True, **fields})


def test_an_export_has_what_waits_where_it_is_asked_for(installation: Installation) -> None:
    installation.ledger(0, LEDGER[0])
    installation.ledger(1, [*LEDGER[1], waits("old", "10")])
    failure = Evaluation(AT, "14", "new", "relevance", status="error")
    newest = [waits("new", "12", AT + 1), waits("old", "15", AT + 2, judge="v2"), failure]
    events = [waits("new", "11"), *newest, waits("i2", "16", AT + 9), waits("i1", "17", AT + 9)]
    asyncio.run(installation.evaluate(events, [waits("aborted", "18")]))
    plain = installation.export()
    assert winners(decoded(plain.stdout_bytes)) == winners([*LEDGER[0], *LEDGER[1], waits("old", "10")])
    result = installation.export("--waiting")
    assert result.exit_code == 0, result.stderr
    assert "9 rows in the ledger" in result.stderr
    # One that another replaces is written too: so none of many millions is kept in memory.
    assert "4 evaluations wait" in result.stderr
    assert winners(decoded(result.stdout_bytes)) == winners(
        [*LEDGER[0], *LEDGER[1], waits("old", "10"), *newest, waits("new", "11")]
    )
    # Of a queue: its own rows, and the periods of the judge versions, which decide which one is in use.
    of_queue = decoded(installation.export("--queue", "other", "--waiting").stdout_bytes)
    assert {"12", "15"} <= {fact.id for fact in of_queue}


def test_an_export_of_what_waits_warns_while_evaluations_are_read_again(installation: Installation) -> None:
    installation.ledger(0, LEDGER[0])
    waiting = {"rebuilding": 5, "missing": 0, "evaluations": 0, "since": 0, "sample": [], "judges": []}
    installation.closed(0, 5, {}, waiting=waiting)
    result = installation.export("--waiting")
    assert (result.exit_code, "Workers read 5 offsets" in result.stderr) == (0, True)
