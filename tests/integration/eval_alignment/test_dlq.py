"""`dlq`: dead letters are shown safely, and requeued byte for byte to the partition of their item."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from click.testing import CliRunner, Result

from eval_alignment.commands.dlq import dlq
from streams.events.decoder import Rejection
from streams.events.reasons import Reason
from streams.kafka.acknowledgements import Acknowledgement, write_acknowledgements
from streams.kafka.client import KafkaClient
from streams.kafka.dead_letters import DeadLetterPublisher, RejectedRecord
from streams.kafka.producer import home_partition
from streams.kafka.scan import Records, scan
from streams.kafka.topics import Topics, apply
from tests.support.kafka import Kafka

PARTITIONS = 4
VALUE = b'{"id":"a","at":1700000000000,"queue":"q","item":"i1","stars":5}'
Header = tuple[str, bytes | None]


@dataclass
class Event:
    """A record of a source topic."""

    offset: int = 7
    key: bytes | None = b"i1"
    value: bytes | None = VALUE
    headers: list[Header] = field(default_factory=list)
    timestamp: int = 1_795_428_902_412


class Installation:
    """Topics of a prefix, and dead letters written by the worker's own code."""

    def __init__(self, kafka: Kafka, prefix: str) -> None:
        self.prefix = prefix
        self.client = KafkaClient([kafka.bootstrap])
        self.topics = Topics(**{role: prefix + getattr(Topics(), role) for role in Topics.__dataclass_fields__})
        asyncio.run(apply(self.client.settings, self.topics, PARTITIONS, 1))

    def reject(
        self,
        event: Event,
        *,
        topic: str | None = None,
        partition: int = 2,
        reason: Reason = Reason.MALFORMED,
        detail: str = "no",
    ) -> str:
        """Write the dead letter of an event; returns the identity of the event."""
        topic = topic or self.topics.annotations
        dead_letter = RejectedRecord(topic, partition, event, Rejection(reason, detail))
        self.run_producer(
            lambda producer: DeadLetterPublisher(producer, self.topics.dead_letters, 1).publish([dead_letter])
        )
        return f"{topic}:{partition}:{event.offset}"

    def run_producer(self, job: Any) -> None:
        async def run() -> None:
            producer = AIOKafkaProducer(**self.client.settings, max_batch_size=1 << 20, max_request_size=1 << 20)
            await producer.start()
            try:
                await job(producer)
            finally:
                await producer.stop()

        asyncio.run(run())

    def call(self, *arguments: str) -> Result:
        command, *rest = arguments
        environment = {"EVAL_ALIGNMENT_TOPIC_PREFIX": self.prefix}
        return CliRunner().invoke(dlq, [command, "--broker", self.client.brokers[0], *rest], env=environment)

    def arrived(self, topic: str | None = None) -> list[tuple[int, bytes | None, bytes | None, Sequence[Header]]]:
        """Partition, key, value and headers of every record of a topic."""
        arrived: list[tuple[int, bytes | None, bytes | None, Sequence[Header]]] = []

        def fold(partition: int, records: Records) -> None:
            arrived.extend((partition, r.key, r.value, list(r.headers)) for r in records)

        asyncio.run(scan(self.client, topic or self.topics.annotations, fold))
        return arrived


@pytest.fixture
def installation(kafka: Kafka, prefix: str) -> Installation:
    return Installation(kafka, prefix)


def test_requeue_keeps_key_value_and_headers_byte_for_byte(installation: Installation) -> None:
    headers: list[Header] = [
        ("bytes", b"\xff\x00"),
        ("twice", b"1"),
        ("twice", b""),
        ("none", None),
        # The producer's own headers with names of the product.
        ("alignment-topic", b"elsewhere"),
        ("alignment-value-sha256", b"x"),
    ]
    key, value = "ï1".encode(), b" " + VALUE.replace(b"i1", b"\\u00ef1") + b"\n\n"
    wrong = (home_partition(key, PARTITIONS) + 1) % PARTITIONS
    installation.reject(Event(key=key, value=value, headers=headers), partition=wrong, reason=Reason.MISROUTED)
    result = installation.call("requeue", "--all")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{installation.topics.annotations}: 1 acknowledged\n1 sent again, 0 not sent\n"
    assert installation.arrived() == [(home_partition(key, PARTITIONS), key, value, headers)]


def test_copies_of_a_dead_letter_are_requeued_once(installation: Installation) -> None:
    for offset in (7, 8, 7, 7):
        installation.reject(Event(offset=offset))
    assert installation.call("ls").stdout.splitlines()[-1] == "2 dead letters: 2 malformed"
    assert "2 sent again" in installation.call("requeue", "--all").stdout
    assert len(installation.arrived()) == 2


def test_requeue_sends_only_the_selected_events(installation: Installation) -> None:
    first = installation.reject(Event(offset=1, value=VALUE + b" "))
    installation.reject(Event(offset=2, value=VALUE + b"  "), reason=Reason.NO_VERDICT)
    installation.reject(Event(offset=3), topic=installation.topics.evaluations)
    assert installation.call("requeue", first).exit_code == 0
    assert [value for _, _, value, _ in installation.arrived()] == [VALUE + b" "]
    assert installation.call("requeue", "--reason", "no_verdict").exit_code == 0
    assert sorted(value or b"" for _, _, value, _ in installation.arrived()) == [VALUE + b" ", VALUE + b"  "]
    assert installation.arrived(installation.topics.evaluations) == []


def test_requeue_reports_events_that_cannot_be_sent_and_sends_the_others(installation: Installation) -> None:
    large = installation.reject(Event(offset=1, value=b"x" * 720_000), reason=Reason.OVERSIZED)
    empty = installation.reject(Event(offset=2, key=None, value=None), reason=Reason.NULL_VALUE)
    foreign = installation.reject(Event(offset=3), topic=installation.topics.facts)
    scored = b'{"id":"e","at":1700000000000,"item":"i1","metric":"m","score":1}'
    installation.reject(
        Event(offset=4, value=scored), topic=installation.topics.evaluations, partition=3, reason=Reason.NO_VERDICT
    )
    installation.reject(Event(offset=5))
    wrong = installation.reject(Event(offset=6, value=VALUE.replace(b"5", b"6")), reason=Reason.INVALID_FIELD)
    result = installation.call("requeue", "--all")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1] == "2 sent again, 4 not sent"
    nothing = 'the record has no value; to delete a row, send an event of it with `"deleted": true`'
    range_ = "stars is out of range, expected an integer from 1 to 5 - at `$.stars`"
    assert sorted(result.stderr.splitlines()) == [
        f"{large}: the dead letter lacks the value, too large to carry: send the original again",
        f"{empty}: its value is rejected again (null_value: {nothing}): correct it at its producer",
        f"{wrong}: its value is rejected again (invalid_field: {range_}): correct it at its producer",
        f"{foreign}: {installation.topics.facts} is not a source topic of this installation",
    ]
    assert [value for _, _, value, _ in installation.arrived()] == [VALUE]
    assert [value for _, _, value, _ in installation.arrived(installation.topics.evaluations)] == [scored]
    assert installation.arrived(installation.topics.facts) == []


@pytest.mark.parametrize("key", [None, b'"i1"', b"I1"])
def test_an_event_with_a_wrong_key_is_requeued_only_with_the_item_as_its_key(
    installation: Installation, key: bytes | None
) -> None:
    name = installation.reject(Event(key=key, headers=[("h", b"1")]), reason=Reason.KEY_MISMATCH)
    refused = installation.call("requeue", "--reason", "key_mismatch")
    assert (refused.exit_code, refused.stdout) == (1, "0 sent again, 1 not sent\n")
    assert refused.stderr.startswith(f"{name}: its key is rejected again (")
    assert refused.stderr.endswith("): requeue it with --rekey\n")
    assert installation.arrived() == []
    assert installation.call("requeue", "--reason", "key_mismatch", "--rekey").exit_code == 0
    assert installation.arrived() == [(home_partition(b"i1", PARTITIONS), b"i1", VALUE, [("h", b"1")])]


def test_requeue_reports_an_unknown_identity(installation: Installation) -> None:
    known = installation.reject(Event())
    result = installation.call("requeue", "nowhere:0:1", known)
    assert (result.exit_code, result.stderr) == (1, "nowhere:0:1: dead letter not found\n")
    assert len(installation.arrived()) == 1


def test_ls_prints_the_newest_last_and_respects_the_limit(installation: Installation) -> None:
    for number in range(4):
        reason = Reason.NO_VERDICT if number % 2 else Reason.MALFORMED
        installation.reject(Event(offset=number, timestamp=1_000 * (10 - number)), reason=reason)
    listed = json.loads(installation.call("ls", "--json", "--limit", "3").stdout)
    assert [dead_letter["offset"] for dead_letter in listed] == [2, 1, 0]
    assert listed[0] == {
        "event": f"{installation.topics.annotations}:2:2",
        "topic": installation.topics.annotations,
        "partition": 2,
        "offset": 2,
        "time": "1970-01-01T00:00:08.000Z",
        "stage": "decode",
        "reason": "malformed",
        "detail": "no",
        "key": "i1",
        "value_bytes": len(VALUE),
        "left_out": [],
    }
    text = installation.call("ls", "--reason", "no_verdict", "--limit", "1").stdout
    assert text.splitlines()[-1] == "2 dead letters: 2 no_verdict; showing the newest 1"
    assert "malformed" not in text


def test_ls_prints_one_line_per_dead_letter_where_it_is_not_a_terminal(installation: Installation) -> None:
    detail = "x" * 200
    name = installation.reject(Event(), detail=detail)
    (line,) = [line for line in installation.call("ls").stdout.splitlines() if line.startswith(name)]
    assert line.split() == [name, "2026-11-23T10:15:02.412Z", "malformed", detail]


def test_control_characters_of_a_dead_letter_are_escaped(installation: Installation) -> None:
    evil = "\x1b[2J\u202e"
    installation.reject(
        Event(key=evil.encode(), value=f"a\n{evil}\xe9".encode() + b"\xff", headers=[(evil, evil.encode())]),
        detail=evil,
    )
    shown = installation.call("show", f"{installation.topics.annotations}:2:7").stdout
    listed = installation.call("ls").stdout
    for text in (shown, listed):
        assert "\x1b" not in text
        assert "\u202e" not in text
    assert shown.splitlines()[-2:] == ["value    a", r"\x1b[2J\u202e" + "\xe9" + r"\xff"]


def test_show_prints_the_reason_and_what_was_left_out(installation: Installation) -> None:
    installation.reject(Event(value=b"x" * 720_000), reason=Reason.OVERSIZED, detail="720000 bytes")
    lines = installation.call("show", f"{installation.topics.annotations}:2:7").stdout.splitlines()
    assert "reason   oversized" in lines
    assert "detail   720000 bytes" in lines
    assert "left out value: too large" in lines
    assert "value    (none)" in lines
    missing = installation.call("show", f"{installation.topics.annotations}:2:8")
    assert (missing.exit_code, "no dead letter of" in missing.stderr) == (1, True)


def test_ls_reports_and_skips_an_invalid_record(installation: Installation) -> None:
    topic = installation.topics.dead_letters

    async def write(producer: AIOKafkaProducer) -> None:
        await producer.send_and_wait(topic, b"x", headers=[])
        await producer.send_and_wait(topic, b"x", headers=[("alignment-topic", b"t"), ("alignment-partition", b"a")])

    installation.run_producer(write)
    installation.reject(Event())
    result = installation.call("ls")
    assert result.exit_code == 0
    assert [line.partition(" is no")[0] for line in result.stderr.splitlines()] == [
        f"{topic}[0] at 0",
        f"{topic}[0] at 1",
    ]
    assert result.stdout.splitlines()[-1].startswith("1 dead letter: ")


def test_without_dead_letters_every_command_succeeds(installation: Installation) -> None:
    assert installation.call("ls").stdout == "0 dead letters\n"
    assert installation.call("ls", "--json").stdout == "[]\n"
    assert installation.call("requeue", "--all").stdout == "0 sent again, 0 not sent\n"


def test_the_name_that_ls_prints_is_accepted_by_show_and_requeue(installation: Installation) -> None:
    installation.reject(Event(), reason=Reason.NO_VERDICT)
    name = installation.call("ls").stdout.splitlines()[1].split()[0]
    (listed,) = json.loads(installation.call("ls", "--json").stdout)
    assert listed["event"] == name
    assert installation.call("show", name).stdout.splitlines()[0] == f"event    {name}"
    assert installation.call("requeue", name).stdout.splitlines()[-1] == "1 sent again, 0 not sent"


def test_ack_leaves_only_later_dead_letters_and_ls_all_shows_the_others(installation: Installation) -> None:
    for offset in (1, 2):
        installation.reject(Event(offset=offset), reason=Reason.NO_VERDICT)
    assert installation.call("ack").stdout == "2 dead letters acknowledged\n"
    assert installation.call("ls").stdout == "0 dead letters; 2 acknowledged (--all shows them)\n"
    assert installation.call("ls", "--all").stdout.splitlines()[-1] == "2 dead letters: 2 no_verdict"
    assert installation.call("requeue", "--all").stdout == "0 sent again, 0 not sent\n"

    later = installation.reject(Event(offset=3))
    assert [line["event"] for line in json.loads(installation.call("ls", "--json").stdout)] == [later]
    acknowledged = f"{installation.topics.annotations}:2:1"
    assert installation.call("show", acknowledged).exit_code == 0
    assert installation.call("requeue", acknowledged).stdout.splitlines()[-1] == "1 sent again, 0 not sent"
    assert installation.call("ack").stdout == "1 dead letter acknowledged\n"
    assert installation.call("ls").stdout == "0 dead letters; 3 acknowledged (--all shows them)\n"


@pytest.mark.parametrize("acknowledged", [Acknowledgement(3, 2**62), Acknowledgement(2, 1)])
def test_nothing_in_a_topic_that_was_created_again_is_acknowledged(
    installation: Installation, acknowledged: Acknowledgement
) -> None:
    """The acknowledgement is beyond the end, or older than the records that it covers."""
    group = f"{installation.prefix}eval-alignment-dead-letters"
    for offset in range(2):
        installation.reject(Event(offset=offset))
    # Apache Kafka deletes the commits of a topic with it; other brokers may not.
    asyncio.run(write_acknowledgements(installation.client, group, installation.topics.dead_letters, {0: acknowledged}))
    listed = installation.call("ls")
    assert listed.stdout.splitlines()[-1] == "2 dead letters: 2 malformed"
    assert "was created again after `dlq ack`: nothing in it is acknowledged" in listed.stderr
    assert installation.call("ack").stdout == "2 dead letters acknowledged\n"
    assert installation.call("ls").stderr == ""
