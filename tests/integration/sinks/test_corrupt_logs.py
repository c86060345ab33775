"""A reader of logs with a wrong checksum."""

import asyncio

from eval_alignment.local.broker import EmbeddedBroker
from sinks.store.store import Store
from tests.fuzz.batches import RawBatch, RawRecord
from tests.integration.sinks.test_reader import Topics, comparison, running
from tests.support.logs import Logs
from tests.support.ports import free_port
from tests.support.raw_batches import RawSender
from tests.support.waiting import eventually


async def test_a_log_with_a_wrong_checksum_holds_its_partition_and_the_others_go_on(store: Store, prefix: str) -> None:
    # The embedded broker takes what Apache Kafka would only have after a fault of its disk.
    with EmbeddedBroker(free_port()) as broker:
        topics = Topics(broker.bootstrap, prefix)
        await topics.make(2)
        logs = [Logs(0, 2), Logs(1, 2)]
        facts = comparison(1), comparison(2, stars=1)
        for log, some in zip(logs, facts, strict=True):
            log.write(some)
        await topics.copy(*logs)
        async with running(topics, store) as view, asyncio.timeout(60):
            await view.reaches(*logs)
            async with RawSender(broker.bootstrap) as sender:
                await sender.send(topics.facts, 0, RawBatch([RawRecord()], broken_checksum=True))
            await eventually(lambda: f"{topics.facts}[0]: wrong checksum" in view.held(0))
            assert not view.held(1)
            logs[1].write(more := comparison(3))
            await topics.copy(logs[1])
            await view.reaches(*logs)
            view.shows([*facts[0], *facts[1], *more])
        async with running(topics, store) as view, asyncio.timeout(60):
            await view.becomes_ready()
            await eventually(lambda: "wrong checksum" in view.held(0))
