"""Dead letters of the embedded broker over a stop and a start, byte for byte."""

import asyncio
from pathlib import Path
from typing import Any

from eval_alignment.local.broker import EmbeddedBroker
from eval_alignment.local.saved_dead_letters import SavedDeadLetters
from streams.kafka.acknowledgements import Acknowledgement, read_acknowledgements, write_acknowledgements
from streams.kafka.client import EMBEDDED, KafkaClient
from streams.kafka.dead_letters import DeadLetterRecord, write_records
from streams.kafka.scan import scan
from streams.kafka.topics import DEAD_LETTER_RETENTION_MS, Topics, apply
from streams.ledger.log import new_producer
from tests.support.ports import free_port

TOPIC = Topics().dead_letters
NOW_MS = 1_795_000_000_000
RECORDS = [
    DeadLetterRecord(b"old", b"expires", [], NOW_MS - DEAD_LETTER_RETENTION_MS),
    DeadLetterRecord(None, None, [], NOW_MS - 5),
    DeadLetterRecord(b"\xff\x00", b"", [("h", b"\xfe"), ("h", None), ("ö", b"")], NOW_MS - 9),
    DeadLetterRecord(b"large", b"x" * 700_000, [("n", b"1")], NOW_MS - 3),
    DeadLetterRecord(b"last", b"y" * 700_000, [], NOW_MS - 4),
]


async def test_all_but_expired_records_return_with_their_acknowledgement(tmp_path: Path) -> None:
    path = tmp_path / "dead-letters.ndjson"

    async def on(broker: EmbeddedBroker, step: str) -> Any:
        client = KafkaClient([broker.bootstrap])
        await apply(client.settings, Topics(), 1)
        letters = SavedDeadLetters(path, client, TOPIC, "group")
        if step == "save":
            async with new_producer(client, EMBEDDED) as producer:
                await write_records(producer, TOPIC, 0, RECORDS)
            await write_acknowledgements(client, "group", TOPIC, {0: Acknowledgement(3, None)})
            return await letters.save(NOW_MS)
        count = await letters.put_back()
        listed: list[DeadLetterRecord] = []
        await scan(
            client,
            TOPIC,
            lambda _, batch: listed.extend(
                DeadLetterRecord(r.key, r.value, list(r.headers), r.timestamp) for r in batch
            ),
        )
        return count, listed, await read_acknowledgements(client, "group", TOPIC, 1)

    for step, expected in (("save", 0), ("put back", (4, RECORDS[1:], {0: Acknowledgement(2, None)}))):
        with EmbeddedBroker(free_port()) as broker:
            assert await asyncio.wait_for(on(broker, step), 60) == expected
