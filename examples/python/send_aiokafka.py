# /// script
# requires-python = ">=3.11"
# dependencies = ["aiokafka==0.14.0"]
# ///
"""Send annotations and evaluations with aiokafka. BROKER is the address of Kafka."""

import asyncio
import json
import os
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime

from aiokafka import AIOKafkaProducer

BROKER = os.environ.get("BROKER", "127.0.0.1:9092")


def events() -> Iterator[tuple[str, dict[str, object]]]:
    """Topic and event, for 50 items that a person rated and a metric scored."""
    for number in range(50):
        item = f"aiokafka-zürich-{number}"
        yield (
            "alignment.annotations.v1",
            {
                # Where your tool has an id for the event, use it: then sending again is a repeat, which counts once.
                "id": str(uuid.uuid4()),
                # When the person rated: the latest rating counts, in any order of arrival.
                "at": datetime.now(UTC).isoformat(),
                "queue": "Example aiokafka",
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


async def main() -> None:
    """Send all events, and raise the first error of any."""
    # Idempotence: a retry inside the client appends a record once, and in order.
    async with AIOKafkaProducer(bootstrap_servers=BROKER, acks="all", enable_idempotence=True) as producer:
        # `send` returns when the record is in a batch. Its result is a future, which ends with the acknowledgement.
        deliveries = [
            # The key chooses the partition: the default partitioner hashes the item's bytes by murmur2.
            await producer.send(topic, key=str(event["item"]).encode(), value=json.dumps(event).encode())
            for topic, event in events()
        ]
        await asyncio.gather(*deliveries)
    print(f"{len(deliveries)} events acknowledged")


asyncio.run(main())
