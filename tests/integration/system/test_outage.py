"""Logs while the broker is away: one line for the outage, one for its end, and nothing of Kafka's client."""

from pathlib import Path

import pytest

from tests.support.deployments import Cluster
from tests.support.kafka import Kafka
from tests.support.processes import Command, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

DEADLINE = 120.0
AWAY, BACK = "broker not reachable for ", "broker reachable again after "
NOISE = ("Connect call failed", "KafkaConnectionError", "NodeNotReadyError", "Unable to update metadata")


def count(process: Command, text: str) -> int:
    """Number of lines of its log with this text."""
    return sum(text in line for line in process.text().splitlines())


def test_an_outage_is_one_line_and_its_end_another(own_kafka: Kafka, prefix: str, tmp_path: Path) -> None:
    with Cluster(own_kafka.bootstrap, prefix, tmp_path, partitions=2) as cluster:
        worker, view = cluster.workers["w1"], cluster.view
        (restored,) = [line for line in worker.text().splitlines() if "partitions restored" in line]
        assert restored.endswith("2 partitions restored, 0 rows partitions=0-1")
        assert "GroupCoordinatorNotAvailable" not in worker.text()
        for process, names in (
            (worker, [f"worker=w1 group={cluster.group}", f"http={cluster.worker_urls['w1'].removeprefix('http://')}"]),
            (view, [f"http={cluster.http}", f"data_dir={cluster.data}"]),
        ):
            first = process.text().splitlines()[0]
            expected = [*names, f"brokers={own_kafka.bootstrap}", f"topic_prefix={prefix}", "release="]
            assert [field for field in expected if field not in first] == []
        own_kafka.stop()
        for process in (worker, view):
            wait_until(lambda process=process: count(process, AWAY), DEADLINE, "the outage is logged")  # type: ignore[misc]
        own_kafka.start()
        for process in (worker, view):
            wait_until(lambda process=process: count(process, BACK), DEADLINE, "its end is logged")  # type: ignore[misc]
            assert (count(process, AWAY), count(process, BACK)) == (1, 1)
            assert [text for text in NOISE if text in process.text()] == []
