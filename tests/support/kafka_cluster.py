"""Three real Apache Kafka brokers on loopback with small heaps, every topic on all three: leaders can move."""

from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Final, Self

from eval_alignment.local.broker import HOST
from tests.support.kafka import Kafka
from tests.support.ports import free_port

BROKERS: Final = 3
_HEAP: Final = "256m"
_REPLICATED: Final = {
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "share.coordinator.state.topic.replication.factor": "3",
    "share.coordinator.state.topic.min.isr": "2",
    "replica.lag.time.max.ms": "5000",
    "controller.quorum.election.timeout.ms": "2000",
    "controller.quorum.fetch.timeout.ms": "3000",
    # All run on one slow machine: long enough that a pause of the JVM does not move every leader.
    "broker.session.timeout.ms": "6000",
    "broker.heartbeat.interval.ms": "1000",
}


class KafkaCluster:
    """Brokers that are each other's replicas. A context manager that starts all; `brokers` are killed and started one
    by one. The methods block.
    """

    def __init__(self) -> None:
        numbers = range(1, BROKERS + 1)
        controllers = {number: free_port() for number in numbers}
        voters = ",".join(f"{number}@{HOST}:{port}" for number, port in controllers.items())
        self.brokers = [
            Kafka(
                heap=_HEAP,
                controller=controllers[number],
                properties={**_REPLICATED, "node.id": str(number), "controller.quorum.voters": voters},
            )
            for number in numbers
        ]

    @property
    def bootstrap(self) -> str:
        """All brokers, separated by commas."""
        return ",".join(broker.bootstrap for broker in self.brokers)

    def __enter__(self) -> Self:
        try:
            # No broker is ready before most of them run.
            with ThreadPoolExecutor(BROKERS) as threads:
                list(threads.map(Kafka.start, self.brokers))
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for broker in self.brokers:
            broker.kill()
            broker.close()
