"""`load --wait`: what was loaded is in the numbers of the view when the command returns."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support.deployments import Cluster, Installation
from tests.support.kafka import Kafka

AT = "2026-05-28T20:26:40Z"


def lines(queue: str, items: int) -> bytes:
    """Annotations and evaluations of this many items, which all agree, and one event that workers reject."""
    events: list[dict[str, Any]] = []
    for number in range(items):
        item = f"{queue}-{number}"
        events.append({"id": "a", "at": AT, "queue": queue, "item": item, "thumbs": "up"})
        events.append({"id": "e", "at": AT, "item": item, "metric": "m", "passed": True})
    events.append({"id": "a", "at": "2096-01-01T00:00:00Z", "queue": queue, "item": "late", "thumbs": "up"})
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


def load_and_gate(deployment: Installation | Cluster, queue: str) -> None:
    """Load, read and gate without a pause, several times: every item is counted."""
    for items in (1, 500, 1_000):
        deployment.run("load", "--broker", deployment.broker, "--wait", deployment.url, "-", stdin=lines(queue, items))
        assert deployment.document(queue)["cards"]["items_compared"] == items
        deployment.run("report", queue, "--url", deployment.url, "--fail-under", "0", "--min-items", str(items))


def test_a_gate_after_load_sees_everything_on_the_embedded_broker(embedded: Installation) -> None:
    load_and_gate(embedded, "load-wait")


@pytest.mark.slow
def test_a_gate_after_load_sees_everything_on_kafka(
    kafka: Kafka, prefix: str, tmp_path: Path, embedded: Installation
) -> None:
    with Cluster(kafka.bootstrap, prefix, tmp_path, workers=("w1", "w2")) as cluster:
        load_and_gate(cluster, "load-wait")
        command = ("load", "--wait", cluster.url, "--wait-timeout", "0.5", "-")
        other = embedded.run(*command, "--broker", embedded.broker, stdin=lines("other", 1), expect=64)
        assert f"shows the events of {cluster.topic('annotations')}" in other.stderr.decode()
        for worker in cluster.workers.values():
            worker.send(signal.SIGSTOP)
        late = cluster.run(*command, "--broker", cluster.broker, stdin=lines("late", 1), expect=90)
        for worker in cluster.workers.values():
            worker.send(signal.SIGCONT)
        assert f"{cluster.topic('annotations')}[" in late.stderr.decode()
        assert "acknowledged offset" in late.stderr.decode()


@pytest.mark.parametrize(("url", "code"), [("http://127.0.0.1:1", 3), ("ftp://x", 3)])
def test_a_view_that_is_not_available_is_an_error_before_anything_is_sent(
    embedded: Installation, url: str, code: int
) -> None:
    done = embedded.run("load", "--broker", embedded.broker, "--wait", url, "-", stdin=lines("no", 1), expect=code)
    assert done.stderr.decode().startswith(f"Error: {url}")
    assert done.stdout == b""
