"""The tail of the dead-letter topic on a real Apache Kafka: bounded at its start, and patient where it cannot read."""

import asyncio
import time

import pytest

from streams.kafka import dead_letter_tail
from streams.kafka.dead_letter_tail import DeadLetterHeaders, DeadLetterTail
from tests.integration.streams.rig import Rig

HOUR_MS = 3_600_000


async def test_it_waits_for_its_topic_and_reads_recent_dead_letters_once(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(dead_letter_tail, "_RETRY_SECONDS", 0.2)
    monkeypatch.setattr(dead_letter_tail, "MOST_RECORDS", 3)
    client = {"bootstrap_servers": rig.bootstrap}
    missing = f"{rig.prefix}missing"
    seen: list[DeadLetterHeaders] = []
    heard = asyncio.Event()

    def hear(event: DeadLetterHeaders) -> None:
        seen.append(event)
        heard.set()

    def tail(topic: str) -> asyncio.Task[None]:
        now = time.time_ns() // 1_000_000
        return asyncio.create_task(DeadLetterTail(client, topic, hear, lambda: now - HOUR_MS, "no numbers").run())

    async def count(number: int) -> None:
        async with asyncio.timeout(20):
            while len(seen) < number:
                heard.clear()
                await heard.wait()

    waiting = tail(missing)

    async def logged() -> bool:
        return "cannot read dead letters: no numbers" in caplog.text

    await rig.until("the refusal is logged", logged)
    assert not waiting.done()
    waiting.cancel()

    topic = rig.topics.dead_letters
    headers = [("alignment-topic", b"t"), ("alignment-partition", b"0"), ("alignment-reason", b"misrouted")]
    await rig.send([(topic, b"i", b"x")] * 5, partition=0, headers=[*headers, ("alignment-offset", b"1")])
    await rig.send([(topic, b"i", b"x")], partition=0)  # Not a dead letter.
    reading = tail(topic)
    await count(2)
    await rig.send([(topic, b"i", b"x")], partition=0, headers=[*headers, ("alignment-offset", b"2")])
    await count(3)
    reading.cancel()
    assert [event.place for event in seen] == ["t:0:1", "t:0:1", "t:0:2"]
    assert {event.reason for event in seen} == {"misrouted"}
