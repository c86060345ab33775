"""A worker on the embedded broker: no idempotent producer, no exact ends, and still exact counts after a kill."""

from pathlib import Path

from eval_alignment.local.broker import EmbeddedBroker
from streams.kafka.client import EMBEDDED, KAFKA, KafkaClient
from tests.integration.streams.rig import Rig, history
from tests.support.kafka import Kafka
from tests.support.ports import free_port


async def test_probing_tells_the_brokers_apart(kafka: Kafka) -> None:
    assert await KafkaClient([kafka.bootstrap]).probe() == KAFKA
    with EmbeddedBroker(free_port()) as embedded:
        assert await KafkaClient([embedded.bootstrap]).probe() == EMBEDDED


async def test_a_killed_worker_restores_on_the_embedded_broker(prefix: str, tmp_path: Path) -> None:
    facts = history(seed=37, events=5_000, items=100)
    with EmbeddedBroker(free_port()) as broker:
        async with Rig(broker.bootstrap, prefix, tmp_path) as rig:
            await rig.produce(facts[:3000])
            first = rig.worker(kill_at=("rows appended", 3))
            await first.ended()
            await rig.produce(facts[3000:])
            second = rig.worker()
            await rig.restored(second)

            async def counted() -> bool:
                return len(await rig.tallies()) > 0 and await rig.matches(facts)

            await rig.until("counts of a recount", counted)
            await rig.verify(facts)
