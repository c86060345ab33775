"""The clients with a real ingest on the embedded broker, which is killed and restarted in the middle of a load."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from eval_alignment import AsyncClient, Client, DeliveryError, RejectedEvent
from eval_alignment.local.broker import EmbeddedBroker
from streams.kafka.client import KafkaClient
from streams.kafka.scan import Records, scan
from streams.kafka.topics import Topics, apply
from tests.support.ports import free_port
from tests.support.processes import Command

DEADLINE_S = 90.0


@dataclass(frozen=True)
class RunningIngest:
    """A process of ingest, and the topics that it writes to."""

    command: Command
    url: str
    kafka: KafkaClient

    def restart(self) -> None:
        """Kill it and start it again, without waiting until it is ready."""
        self.command.kill()
        self.command.start()

    async def ids(self, topic: str = Topics().queue_items) -> set[str]:
        """Ids of the events in a topic."""
        ids: set[str] = set()

        def read(_: int, records: Records) -> None:
            ids.update(json.loads(record.value or b"")["id"] for record in records)

        await scan(self.kafka, topic, read)
        return ids


@pytest.fixture
async def ingest(tmp_path: Path) -> AsyncIterator[RunningIngest]:
    """An ingest on an embedded broker of its own."""
    with EmbeddedBroker(free_port()) as broker:
        kafka = KafkaClient([broker.bootstrap])
        await apply(kafka.settings, Topics(), 4, 1)
        address = f"127.0.0.1:{free_port()}"
        command = Command("ingest", "--broker", broker.bootstrap, "--http", address, log=tmp_path / "ingest.log")
        with command:
            await asyncio.to_thread(command.wait_ready, f"http://{address}")
            yield RunningIngest(command, f"http://{address}", kafka)


@pytest.mark.slow
async def test_every_event_is_in_the_topic_although_ingest_is_killed_in_the_middle_of_batches(
    ingest: RunningIngest,
) -> None:
    def load() -> tuple[list[str], int]:
        with Client(ingest.url, batch_events=20, linger_s=0, max_events=200, block_s=DEADLINE_S) as client:
            ids = []
            for number in range(2_000):
                ids.append(client.queue_item(queue="q", item=f"i{number}"))
                if number % 500 == 499:
                    ingest.restart()
            client.flush(DEADLINE_S)
            return ids, client.accepted

    ids, accepted = await asyncio.to_thread(load)
    assert accepted == len(ids)
    assert await ingest.ids() == set(ids)


async def test_every_event_of_an_async_client_is_in_the_topic_although_ingest_is_killed(ingest: RunningIngest) -> None:
    async with AsyncClient(ingest.url, batch_events=20, linger_s=0, max_events=200, block_s=DEADLINE_S) as client:
        ids = [await client.queue_item(queue="q", item=f"i{number}") for number in range(400)]
        await asyncio.to_thread(ingest.restart)
        ids += [await client.queue_item(queue="q", item=f"i{number}") for number in range(400, 800)]
        await client.flush(DEADLINE_S)
    assert client.accepted == len(ids)
    assert await ingest.ids() == set(ids)


async def test_what_was_acknowledged_is_in_the_topic_and_the_rest_is_raised_when_ingest_stays_away(
    ingest: RunningIngest,
) -> None:
    def load() -> tuple[list[str], Client, DeliveryError]:
        client = Client(ingest.url, batch_events=20, linger_s=0, max_events=500)
        ids = [client.queue_item(queue="q", item=f"i{number}") for number in range(500)]
        ingest.command.kill()
        started = time.monotonic()
        with pytest.raises(DeliveryError, match="not sent") as raised:
            client.close(timeout_s=1)
        assert time.monotonic() - started < DEADLINE_S / 2
        return ids, client, raised.value

    ids, client, error = await asyncio.to_thread(load)
    unsent = [event.id for event in error.unsent]
    assert unsent == ids[client.accepted :]
    assert await ingest.ids() >= set(ids) - set(unsent)


async def test_a_rejection_of_ingest_names_the_event_and_the_others_are_in_the_topic(ingest: RunningIngest) -> None:
    def load() -> DeliveryError:
        client = Client(ingest.url)
        client.evaluate(item="i1", metric="m", passed=True, id="decided")
        # Only the server knows whether its settings have a threshold.
        client.evaluate(item="i2", metric="m", score=0.5, id="undecided")
        with pytest.raises(DeliveryError) as raised:
            client.close(DEADLINE_S)
        return raised.value

    error = await asyncio.to_thread(load)
    assert [(entry.index, entry.id, entry.reason) for entry in error.rejected] == [(1, "undecided", "no_verdict")]
    assert await ingest.ids(Topics().evaluations) == {"decided"}


async def test_a_batch_beyond_the_limits_of_ingest_arrives_in_halves(ingest: RunningIngest) -> None:
    def load() -> int:
        with Client(ingest.url, batch_events=10_000, batch_bytes=64 * 1024 * 1024, linger_s=60) as client:
            for number in range(1_200):
                client.annotate(queue="q", item=f"i{number}", stars=3, explanation="x" * 8_000)
            client.flush(DEADLINE_S)
            return client.accepted

    assert await asyncio.to_thread(load) == 1_200


async def test_an_event_that_is_rejected_because_of_its_time_was_never_sent(ingest: RunningIngest) -> None:
    ahead = datetime.now(UTC) + timedelta(hours=1)

    def load() -> list[str]:
        with Client(ingest.url, on_rejected=rejected.append) as client:
            client.queue_item(queue="q", item="i1", at=ahead)
            client.flush(DEADLINE_S)
            return [client.queue_item(queue="q", item="i1")]

    rejected: list[RejectedEvent] = []
    sent = await asyncio.to_thread(load)
    assert [event.reason for event in rejected] == ["future_timestamp"]
    assert await ingest.ids() == set(sent)
