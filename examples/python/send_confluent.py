# /// script
# requires-python = ">=3.11"
# dependencies = ["confluent-kafka==2.16.1"]
# ///
"""Send annotations and evaluations with confluent-kafka. BROKER is the address of Kafka."""

import json
import os
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime

from confluent_kafka import KafkaError, Message, Producer

BROKER = os.environ.get("BROKER", "127.0.0.1:9092")


def events() -> Iterator[tuple[str, dict[str, object]]]:
    """Topic and event, for 50 items that a person rated and a metric scored."""
    for number in range(50):
        item = f"confluent-zürich-{number}"
        yield (
            "alignment.annotations.v1",
            {
                # Where your tool has an id for the event, use it: then sending again is a repeat, which counts once.
                "id": str(uuid.uuid4()),
                # When the person rated: the latest rating counts, in any order of arrival.
                "at": datetime.now(UTC).isoformat(),
                "queue": "Example confluent-kafka",
                "item": item,
                "criterion": "helpfulness",
                "annotator": "ann",
                "thumbs": "up" if number % 5 else "down",
            },
        )
        yield (
            "alignment.evaluations.v1",
            {
                "id": str(uuid.uuid4()),
                "at": datetime.now(UTC).isoformat(),
                "item": item,
                "metric": "answer_relevancy",
                "judge": "gpt-4o/p3",
                "score": 0.9 if number % 4 else 0.4,
                "threshold": 0.7,
            },
        )


def main() -> None:
    """Send all events, and exit with 1 when any of them was not acknowledged."""
    acknowledged: list[Message] = []
    failures: list[str] = []

    def report(error: KafkaError | None, message: Message) -> None:
        if error is None:
            acknowledged.append(message)
        else:
            failures.append(f"{message.topic()}: {error}")

    producer = Producer(
        {
            "bootstrap.servers": BROKER,
            # librdkafka's default partitioner hashes by CRC32: its events would be rejected as `misrouted`.
            "partitioner": "murmur2_random",
            # Waits for all in-sync replicas; a retry inside the client appends a record once, and in order.
            "enable.idempotence": True,
            # An event that cannot be delivered is reported after 30 s. The default is 5 minutes.
            "delivery.timeout.ms": 30_000,
        }
    )
    for topic, event in events():
        key, value = str(event["item"]).encode(), json.dumps(event).encode()
        try:
            producer.produce(topic, key=key, value=value, on_delivery=report)
        except BufferError:
            # The local queue is full: wait for room in it.
            producer.flush()
            producer.produce(topic, key=key, value=value, on_delivery=report)
        # Reports on earlier events are called here and in `flush`.
        producer.poll(0)
    producer.flush()
    print(f"{len(acknowledged)} events acknowledged")
    if failures:
        sys.exit(f"{len(failures)} events not delivered, the first to {failures[0]}")


main()
