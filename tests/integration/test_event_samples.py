"""The programs of docs/events.md on a real Apache Kafka: a valid event, in the partition of its item."""

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from bench.comparison.contenders import PEERS_PYTHON
from streams.events.decoder import Decoder, Kind, Rejection
from streams.kafka.producer import home_partition
from tests.support.kafka import Kafka, jar_directory
from tests.support.pages import blocks, page, section
from tests.support.requirements import Requirements
from tests.support.wire import Wire

BROKER = "127.0.0.1:9092"
"""The broker that the programs name."""
PARTITIONS = 64
"""A program with another partitioner has the right partition by chance once in 64 times."""
SAMPLES = {
    "Python, aiokafka": ("python", Kind.ANNOTATION, "alignment.annotations.v1"),
    "Python, confluent-kafka": ("python", Kind.EVALUATION, "alignment.evaluations.v1"),
    "Java": ("java", Kind.ANNOTATION, "alignment.annotations.v1"),
}
"""Language, kind of the event and topic by heading."""


def command(heading: str, program: str, directory: Path) -> Sequence[str]:
    """What runs the program."""
    if heading == "Java":
        source = directory / "SendAnnotation.java"
        source.write_text(program)
        return ["java", "-cp", f"{jar_directory()}/*", str(source)]
    return [str(PEERS_PYTHON) if "confluent" in heading else sys.executable, "-c", program]


async def create(bootstrap: str, topic: str) -> None:
    """Create a topic with `PARTITIONS` partitions."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, PARTITIONS, 1)])
    finally:
        await admin.close()


@pytest.mark.parametrize("heading", SAMPLES)
def test_the_sample_sends_a_valid_event_to_the_partition_of_its_item(
    heading: str, kafka: Kafka, prefix: str, tmp_path: Path, requirements: Requirements
) -> None:
    if "confluent" in heading:
        requirements.provide("peers", None if PEERS_PYTHON.exists() else "`make peers` installs confluent-kafka")
    language, kind, name = SAMPLES[heading]
    (program,) = blocks(section(page("events.md"), heading), language)
    topic = f"{prefix}{name}"
    asyncio.run(create(kafka.bootstrap, topic))
    program = program.replace(name, topic).replace(BROKER, kafka.bootstrap)
    subprocess.run(command(heading, program, tmp_path), check=True, cwd=tmp_path, timeout=60)

    with Wire(kafka.bootstrap) as wire:
        (record,) = wire.read(topic)
    assert record.key is not None
    assert record.partition == home_partition(record.key, PARTITIONS)
    fact = Decoder().decode(kind, record.value, record.key, record.headers, record.timestamp)
    assert not isinstance(fact, Rejection), fact
