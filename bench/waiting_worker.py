"""What a worker of one partition does with a load, by step (see `bench.worker`): evaluations of unknown items wait.

`python -m bench.waiting_worker wait LOAD` prints the costs as JSON; `again` reads the evaluations of the load again
instead, as after the loss of a disk.
"""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any, Final, cast

import orjson
from aiokafka import AIOKafkaProducer

from aggregator.shard import Shard
from bench.waiting import FLUSH_BYTES, new_store, start_waiting
from bench.worker import FOLD, TOPICS, Costs, Worker, offline_producer, read_load
from streams.events.decoder import Decoder
from streams.kafka.batches import Batch, Record
from streams.runtime.metrics import WorkerMetrics
from streams.waiting.rebuild import FOLD_RECORDS, Rebuild, _Gap

WAIT, AGAIN = "wait", "again"
FLUSH: Final = "flush"


class WaitingWorker(Worker):
    """A worker that lets evaluations of unknown items wait in a new directory."""

    def __init__(self, directory: Path, producer: AIOKafkaProducer) -> None:
        shard, decoder, metrics = Shard(0), Decoder(), WorkerMetrics("0", list)
        self.waiting, self.part = start_waiting(new_store(directory), shard, decoder, metrics)
        super().__init__(shard, decoder, metrics, producer, (self.part,), waiting=self.waiting)

    def fold(self, topic: str, records: list[Record]) -> None:
        """Apply records. They are covered then."""
        mark = self.waiting.mark
        super().fold(topic, records)
        self.waiting.processed(self.part, Batch(topic, 0, records[0].offset, records[-1].offset + 1, records), mark)

    async def flush(self, *, at_the_end: bool) -> None:
        """Make what waits durable, if enough does."""
        if at_the_end or self.waiting.store.unflushed_bytes >= FLUSH_BYTES:
            await self.waiting.flush()
            self.done(FLUSH)

    async def close(self) -> None:
        """Seal what is to be sealed, and give the store back."""
        began = time.process_time()
        await self.waiting.store.seal()
        self.costs.sealing = time.process_time() - began
        await self.waiting.close()


class ReadingAgain(WaitingWorker):
    """A worker whose rebuild reads all evaluations of a load."""

    def apply(self, topic: str, content: bytes) -> None:
        """Let the rebuild have what it fetched."""
        if topic != TOPICS.evaluations:
            return
        records = self.unpack(content)
        rebuild = Rebuild(self.waiting, cast("Any", None), lambda: [self.owned])
        gap = _Gap(self.owned, self.part, self.waiting.mark, records[0].offset, records[-1].offset + 1)
        for start in range(0, len(records), FOLD_RECORDS):
            assert rebuild._fold_piece(gap, records[start : start + FOLD_RECORDS])  # noqa: SLF001 -- without a broker
        self.done(FOLD)


async def wait(directory: Path, load: Path, how: str) -> Costs:
    """Apply a load, or read its evaluations again."""
    producer = offline_producer()
    worker = (WaitingWorker if how == WAIT else ReadingAgain)(directory, producer)
    await worker.run(read_load(load))
    await worker.close()
    await producer.stop()
    return worker.costs


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.waiting_worker", description=__doc__)
    parser.add_argument("how", choices=(WAIT, AGAIN))
    parser.add_argument("load", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        costs = asyncio.run(wait(Path(directory) / "store", options.load, options.how))
    print(orjson.dumps(costs).decode())


if __name__ == "__main__":
    main()
