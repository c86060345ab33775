"""The producer of the owned logs."""

from streams.kafka.client import EMBEDDED, KAFKA
from streams.ledger.log import new_producer
from streams.worker import Worker, WorkerConfig


async def test_the_producer_has_our_settings() -> None:
    client = Worker(WorkerConfig(("127.0.0.1:1",), "w"))._client
    for capabilities in (KAFKA, EMBEDDED):
        producer = new_producer(client, capabilities)
        producer._closed = True
        assert producer._compression_type == "zstd"
        assert producer._sender._acks == -1
        assert (producer._txn_manager is not None) == capabilities.idempotence
        assert producer._request_timeout_ms == 30_000
