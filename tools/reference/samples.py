"""Producers in several languages, as docs/events.md shows them. Tests run them."""

from typing import Final

BROKER: Final = "127.0.0.1:9092"
"""The address in every sample."""

AIOKAFKA: Final = f"""
import asyncio
import json

from aiokafka import AIOKafkaProducer

event = {{
    "id": "a-1",
    "at": "2026-11-23T10:15:02Z",
    "queue": "Support replies",
    "item": "trace-7f3a",
    "annotator": "ann",
    "thumbs": "up",
}}


async def main() -> None:
    async with AIOKafkaProducer(bootstrap_servers="{BROKER}", acks="all") as producer:
        await producer.send_and_wait(
            "alignment.annotations.v1", key=event["item"].encode(), value=json.dumps(event).encode()
        )


asyncio.run(main())
"""

CONFLUENT: Final = f"""
import json

from confluent_kafka import Producer

event = {{
    "id": "e-1",
    "at": "2026-11-23T10:15:09Z",
    "item": "trace-7f3a",
    "metric": "answer_relevancy",
    "judge": "gpt-4o/p3",
    "score": 0.81,
    "threshold": 0.7,
}}


def delivered(error, message):
    if error is not None:
        raise RuntimeError(f"not delivered: {{error}}")


producer = Producer(
    {{
        "bootstrap.servers": "{BROKER}",
        "partitioner": "murmur2_random",  # the default of librdkafka is another one
    }}
)
producer.produce(
    "alignment.evaluations.v1", key=event["item"].encode(), value=json.dumps(event).encode(), on_delivery=delivered
)
producer.flush()
"""

JAVA: Final = f"""
import java.util.Properties;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

public class SendAnnotation {{
    public static void main(String[] args) throws Exception {{
        String item = "trace-7f3a";
        String event = \"\"\"
            {{"id": "a-2", "at": "2026-11-23T10:15:02Z", "queue": "Support replies",
             "item": "trace-7f3a", "annotator": "ben", "stars": 4}}
            \"\"\";
        Properties settings = new Properties();
        settings.put("bootstrap.servers", "{BROKER}");
        settings.put("acks", "all");
        try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {{
            producer.send(new ProducerRecord<>("alignment.annotations.v1", item, event)).get();
        }}
    }}
}}
"""

LOAD: Final = f"""
eval-alignment load --broker {BROKER} events.ndjson more.ndjson.gz
"""
