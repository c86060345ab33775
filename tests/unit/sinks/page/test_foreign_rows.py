"""Rows that another program wrote into the ledger are counted, and every page reports them."""

import asyncio

import httpx
import orjson
from aiokafka import TopicPartition

from aggregator.tallies import MARKER_KEY
from sinks.api.services import Services
from sinks.app import create_app
from sinks.freshness import Freshness
from sinks.store.reader import Reader, ReaderConfig
from sinks.store.tail import Tail
from tests.support.logs import Logs, feed


async def test_pages_report_foreign_rows(services: Services, client: httpx.AsyncClient) -> None:
    for path in ("/", "/queues/support", "/queues/support/items"):
        assert "Foreign rows" not in (await client.get(path)).text
    services.foreign_rows = lambda: 2
    transport = httpx.ASGITransport(create_app(services))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as told:
        for path in ("/", "/queues/support", "/queues/support/items"):
            text = (await told.get(path)).text
            assert "2 counted rows of the ledger were written by another program" in text


def test_the_reader_takes_their_number_from_the_markers(services: Services) -> None:
    reader = Reader(ReaderConfig(client={}), services.store, lambda _: None, services.metrics, Freshness())
    logs = Logs()
    assert reader.foreign_rows == 0
    tail = reader._tails[0] = Tail(0, "first", 0, None)
    reader._goals[TopicPartition(reader._config.tallies_topic, 0)] = 0
    logs.close()
    key, value = logs.tallies[-1]
    logs.tallies[-1] = key, orjson.dumps({**orjson.loads(value), "foreign": 3})
    assert key == MARKER_KEY
    feed(tail, logs)
    asyncio.run(reader._apply())
    assert reader.foreign_rows == 3
