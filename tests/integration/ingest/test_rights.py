"""Rights of a running publisher that are taken away and given back, on a secured Kafka."""

import asyncio
import ssl
from pathlib import Path

import pytest
from aiokafka.errors import TopicAuthorizationFailedError

from ingest.config import IngestConfig
from ingest.publish import NotAcknowledgedError, Publisher
from streams.kafka.client import KafkaClient
from streams.kafka.producer import Outgoing
from streams.kafka.topics import Topics, apply
from tests.support.secured import SecuredKafka
from tests.support.waiting import eventually

USER, PASSWORD = "producer", "p" * 12


@pytest.mark.slow
async def test_a_right_that_is_taken_away_is_waited_for_and_one_never_given_ends_it(tmp_path: Path) -> None:
    with SecuredKafka(tmp_path / "kafka", {USER: PASSWORD}) as kafka:
        security = {
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_plain_username": USER,
            "sasl_plain_password": PASSWORD,
            "ssl_context": ssl.create_default_context(cafile=str(kafka.ca)),
        }
        topics = Topics()
        sources = list(topics.sources)
        config = IngestConfig(kafka=KafkaClient([kafka.bootstrap], security), topics=topics)
        await apply({"bootstrap_servers": kafka.plain}, topics, 1, 1)
        event = Outgoing(topics.annotations, b"{}", b"i1")

        async def change(operation: str, *names: str, remove: bool) -> None:
            await asyncio.to_thread(kafka.allow, USER, operation, *names, remove=remove)

        async def refused() -> bool:
            try:
                await publisher.publish([event])
            except NotAcknowledgedError as error:
                return topics.annotations in str(error)
            return False

        await change("Describe", *sources, remove=False)
        await change("Write", *sources[1:], remove=False)
        assert topics.annotations == sources[0]
        with pytest.raises(TopicAuthorizationFailedError, match=topics.annotations):
            await Publisher(config).run()
        await change("Write", topics.annotations, remove=False)
        publisher = Publisher(config)
        running = asyncio.create_task(publisher.run())
        await eventually(lambda: publisher.away is None or running.done())
        # The second time it may write to no topic, and see none: a broker states that in other words.
        for names in ([topics.annotations], sources):
            await publisher.publish([event])
            await change("Write", *names, remove=True)
            if names is sources:
                await change("Describe", *names, remove=True)
            while not await refused():  # noqa: ASYNC110 -- each attempt sends
                await asyncio.sleep(0.1)
            assert topics.annotations in (publisher.away or ""), "it is not ready, and shows why"
            await asyncio.sleep(1)
            assert topics.annotations in (publisher.away or ""), "also after attempts to connect"
            if names is sources:
                await change("Describe", *names, remove=False)
            await change("Write", *names, remove=False)
            await eventually(lambda: publisher.away is None or running.done())
        await publisher.publish([event])
        assert not running.done()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
