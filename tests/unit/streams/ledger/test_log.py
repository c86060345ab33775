"""The producer of the owned logs, and how they are read."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from streams.kafka.batches import Batch, Record
from streams.kafka.client import EMBEDDED, KAFKA
from streams.ledger.log import Log, new_producer, read_to_end
from streams.runtime.chunks import CHUNK_SECONDS, Chunks
from streams.worker import Worker, WorkerConfig
from tests.unit.streams.runtime.test_chunks import Clock


async def test_the_producer_has_our_settings() -> None:
    client = Worker(WorkerConfig(("127.0.0.1:1",), "w"))._client
    for capabilities in (KAFKA, EMBEDDED):
        producer = new_producer(client, capabilities)
        producer._closed = True
        assert producer._compression_type == "zstd"
        assert producer._sender._acks == -1
        assert (producer._txn_manager is not None) == capabilities.idempotence
        assert producer._request_timeout_ms == 30_000


async def test_slow_rows_are_read_in_small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A restore and an audit read like this, and heartbeats go on between chunks."""
    clock = Clock()
    chunks: list[int] = []
    rows: Any = [SimpleNamespace(offset=offset) for offset in range(500)]

    async def fetched(*_: Any) -> list[Batch]:
        return [Batch("facts", 0, 0, 500, rows)]

    def on_records(log: Log, records: Sequence[Record]) -> None:
        assert records[0].offset == log.next
        clock.now += CHUNK_SECONDS * len(records)
        chunks.append(len(records))

    monkeypatch.setattr("streams.ledger.log.fetch", fetched)
    monkeypatch.setattr("streams.ledger.log.Chunks", lambda: Chunks(clock))
    log = Log(SimpleNamespace(), "facts", 0)  # type: ignore[arg-type]
    reader: Any = SimpleNamespace(assign=lambda _: None, seek=lambda *_: None)
    assert await read_to_end(reader, [log], on_records, until={log.tp: 500}, abandoned=lambda: False)
    assert sum(chunks) == len(rows)
    assert set(chunks[1:]) == {1}
