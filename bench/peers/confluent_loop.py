"""confluent-kafka, orjson and dicts: the plain loop on librdkafka. No durability: counts die with the process.

Options: batches by `consume` as its docs advise for throughput, lists of 10,000; a fetch waits 50 ms at most;
librdkafka checks no CRCs and prefetches 64 MB by default, and looks again after 5 ms, not a second, whether there is
room for more. Offsets of what `consume` gave are committed every second.
Static membership, so a restart does not wait for the session of its predecessor.
"""

import gc

import orjson
from confluent_kafka import Consumer

from bench.peers.job import Ending, Join, arguments


def main() -> None:
    """Consume until SIGTERM."""
    told, join, ending = arguments(), Join(), Ending()
    # What is kept grows for ever and has no cycles; without this the collector takes a third of the time.
    gc.disable()
    consumer = Consumer(
        {
            "bootstrap.servers": told.bootstrap,
            "group.id": told.group,
            "group.instance.id": "peer",
            "auto.offset.reset": "earliest",
            "auto.commit.interval.ms": 1000,
            "fetch.wait.max.ms": 50,
            "fetch.queue.backoff.ms": 5,
        }
    )
    consumer.subscribe([told.annotations, told.evaluations])
    take, loads = join.take, orjson.loads
    while not ending.come:
        for message in consumer.consume(10_000, 0.1):
            if (error := message.error()) is not None:
                raise RuntimeError(error)
            take(loads(message.value()))
    consumer.close()
    join.counts.write(told.cells)


if __name__ == "__main__":
    main()
