"""Small requests are served among large ones: those have their turn one at a time, and a budget for their answers."""

import asyncio
import json
from typing import Any

import pytest
from starlette.types import Message

from aggregator.facts import Evaluation, Fact
from ingest.app import create_app
from ingest.config import IngestConfig, Limits
from ingest.limits import TURN, TURN_BYTES
from ingest.metrics import IngestMetrics
from ingest.openapi import EVENTS_PATH
from ingest.sources import KafkaDelivery
from sources.intake.intake import Delivery
from streams.events.decoder import Decoder
from streams.events.encoder import encode_event
from streams.kafka.client import KafkaClient
from streams.kafka.topics import Topics
from tests.support.ingest import Door, FakePublisher, annotation, open_door

TURNS = 10
"""Of the event loop, which a small request needs until it is answered."""
LARGE = json.dumps([1] * 10_000)


class Others:
    """Another task of the event loop, and what is done between two of its turns."""

    def __init__(self) -> None:
        self.work = [0]
        """Of each time between two turns; whoever works adds to the last one."""

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()

    async def _run(self) -> None:
        while True:
            self.work.append(0)
            await asyncio.sleep(0)


async def test_a_small_request_does_not_wait_for_a_part_of_each_large_one(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    decided, decode, started = 0, Decoder.decode_line, asyncio.Event()

    def counted(*arguments: Any) -> Any:
        nonlocal decided
        decided += 1
        if decided == 1_000:
            started.set()
        return decode(*arguments)

    monkeypatch.setattr(Decoder, "decode_line", counted)
    large = [asyncio.create_task(door.send(LARGE)) for _ in range(20)]
    await started.wait()
    before = decided
    for _ in range(TURNS):
        await asyncio.sleep(0)
    assert decided - before < 10_000, "every large request had its turn in between"
    assert {(await request).status_code for request in large} == {422}


async def test_answers_that_nobody_reads_have_a_budget_of_their_own() -> None:
    config = IngestConfig(kafka=KafkaClient(["127.0.0.1:1"]), limits=Limits(in_flight_bytes=2 << 20))
    app, read, waits = create_app(config, FakePublisher(), IngestMetrics("1")), asyncio.Event(), asyncio.Event()

    async def status(body: str, *, reads: bool) -> int:
        statuses = []

        async def receive() -> Message:
            return {"type": "http.request", "body": body.encode()}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])
            elif not message.get("more_body") and not reads:
                waits.set()
                await read.wait()

        headers = [(b"host", b"localhost")]
        scope = {"type": "http", "method": "POST", "path": EVENTS_PATH, "headers": headers, "query_string": b""}
        await app(scope, receive, send)
        return int(statuses[0])

    unread = asyncio.create_task(status(LARGE, reads=False))
    await waits.wait()
    assert await status(LARGE, reads=True) == 429
    assert await status(json.dumps(annotation()), reads=True) == 200
    read.set()
    assert await unread == 422
    assert await status(LARGE, reads=True) == 422


@pytest.mark.parametrize(("limit", "large"), [(8_000_000, 7), (1_000_000, 1)])
async def test_large_bodies_leave_a_part_of_the_bytes_in_flight_to_small_ones(limit: int, large: int) -> None:
    body = json.dumps([annotation(explanation="x" * 4_000)] * 200).ljust(1_000_000)
    async with open_door(body_bytes=1_000_000, in_flight_bytes=limit) as door:
        door.publisher.gate = asyncio.Event()
        sent = [asyncio.create_task(door.send(body)) for _ in range(8)]
        waiting = set(sent)
        while len(waiting) > large:
            _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        small = asyncio.create_task(door.send(json.dumps(annotation())))
        await asyncio.sleep(0)
        door.publisher.gate.set()
        assert (await small).status_code == (200 if limit > 1_000_000 else 429)
        assert sorted([(await request).status_code for request in sent]) == [200] * large + [429] * (8 - large)


async def test_others_have_their_turn_after_some_bytes_of_large_events(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide, others = Decoder.decode_line, Others()

    def sized(decoder: Decoder, line: bytes, *arguments: Any) -> Any:
        others.work[-1] += len(line)
        return decide(decoder, line, *arguments)

    monkeypatch.setattr(Decoder, "decode_line", sized)
    async with others:
        await door.send(json.dumps([annotation(explanation="x" * 100_000)] * 50))
    assert sum(others.work) > 50 * 100_000
    assert max(others.work) < 2 * TURN_BYTES, "all events of a request were decided in one turn"


async def test_others_have_their_turn_while_the_events_of_a_large_export_are_encoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    others, publisher = Others(), FakePublisher()

    def encode(fact: Fact) -> bytes:
        others.work[-1] += 1
        return encode_event(fact)

    monkeypatch.setattr("ingest.sources.encode_event", encode)
    facts = [Evaluation(at=1, id="e", item=f"i{number}", metric="m", passed=True) for number in range(4 * TURN)]
    async with others:
        await KafkaDelivery("otel", publisher, Topics())(Delivery(facts, ()))
    assert sum(others.work) == 4 * TURN
    assert max(others.work) <= TURN
