"""aiokafka, orjson and dicts: the plain loop on asyncio. No durability: counts die with the process.

Options: `getmany`, 10,000 records at most; a fetch waits 50 ms at most; offsets are committed every second, by the
client itself. Static membership, so a restart does not wait for the session of its predecessor.
"""

import asyncio
import gc

import orjson
from aiokafka import AIOKafkaConsumer

from bench.peers.job import Ending, Join, Told, arguments


async def consume(told: Told, join: Join, ending: Ending) -> None:
    """Consume until SIGTERM."""
    take, loads = join.take, orjson.loads
    async with AIOKafkaConsumer(
        told.annotations,
        told.evaluations,
        bootstrap_servers=told.bootstrap,
        group_id=told.group,
        group_instance_id="peer",
        auto_offset_reset="earliest",
        auto_commit_interval_ms=1000,
        fetch_max_wait_ms=50,
    ) as consumer:
        while not ending.come:
            for records in (await consumer.getmany(timeout_ms=100, max_records=10_000)).values():
                for record in records:
                    take(loads(record.value))
            # Heartbeats and the commit timer live on this loop.
            await asyncio.sleep(0)


def main() -> None:
    """Consume until SIGTERM."""
    told, join = arguments(), Join()
    # What is kept grows for ever and has no cycles; without this the collector takes a third of the time.
    gc.disable()
    asyncio.run(consume(told, join, Ending()))
    join.counts.write(told.cells)


if __name__ == "__main__":
    main()
