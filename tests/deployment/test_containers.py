"""The services of docker-compose.yml work together, as processes."""

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.deployment.containers import LEFT_OUT, Containers, in_order, services, stop
from tests.support import kafka as apache
from tests.support.processes import get, run, wait_until
from tests.support.requirements import Requirements

pytestmark = pytest.mark.slow

SECONDS = 90.0
EVENTS: tuple[Mapping[str, Any], ...] = (
    {"id": "a1", "at": "2026-11-23T10:15:00Z", "queue": "q", "item": "i", "criterion": "c", "annotator": "n"}
    | {"thumbs": "down"},
    {"id": "e1", "at": "2026-11-23T10:14:02Z", "item": "i", "metric": "m", "score": 0.81, "threshold": 0.5},
)


class Running:
    """All services except `LEFT_OUT`, each of them ready."""

    def __init__(self, containers: Containers, processes: Mapping[str, subprocess.Popen[bytes]]) -> None:
        self.containers = containers
        self.processes = processes

    def prometheus(self, query: str) -> list[Any]:
        """The result of an instant query."""
        answer = get(f"{self.containers.url('prometheus', 9090)}/api/v1/query?query={quote(query)}")
        result: list[Any] = answer.json()["data"]["result"]
        return result

    def await_instances(self, query: str, services: Mapping[str, int]) -> None:
        """Wait until a query returns a sample of each of these services (name to the port that is scraped)."""
        wanted = {self.containers.url(name, port).removeprefix("http://") for name, port in services.items()}

        def seen() -> set[str]:
            return {sample["metric"]["instance"] for sample in self.prometheus(query)}

        wait_until(lambda: wanted <= seen(), SECONDS, lambda: f"{query}: {wanted - seen()} is missing")


@pytest.fixture(scope="module")
def running(requirements: Requirements, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    requirements.provide("kafka", apache.missing())
    # Debian's packages of the two; amtool comes with Alertmanager.
    for name, program in (("prometheus", "prometheus"), ("amtool", "prometheus-alertmanager")):
        requirements.provide(name, None if shutil.which(program) else f"{program} is not on PATH")
    containers = Containers(tmp_path_factory.mktemp("containers") / "here")
    containers.prepare()
    logs = containers.directory / "logs"
    logs.mkdir()
    processes: dict[str, subprocess.Popen[bytes]] = {}
    with ExitStack() as closing:
        for names in in_order([name for name in services() if name not in LEFT_OUT]):
            for name in names:
                if name == "kafka":
                    closing.enter_context(containers.broker())
                    continue
                processes[name] = containers.start(name, logs / f"{name}.log")
                closing.callback(processes[name].wait)
                closing.callback(processes[name].kill)
            for name in names:
                log = logs / f"{name}.log"
                if services()[name]["restart"] == "no":
                    assert processes.pop(name).wait(SECONDS) == 0, log.read_text()
                else:
                    wait_until_healthy(containers, name, log)
        yield Running(containers, processes)
        # Each ends within its grace period.
        assert {name: stop(process, name) for name, process in reversed(processes.items())} == dict.fromkeys(
            processes, 0
        )


def wait_until_healthy(containers: Containers, name: str, log: Path) -> None:
    """Run the health check, a process each time, until it succeeds."""
    wait_until(
        lambda: containers.healthy(name),
        SECONDS,
        lambda: f"{name} is healthy; its log ends with\n{log.read_text()[-3000:] if log.exists() else ''}",
    )


def test_events_become_gauges_in_prometheus(running: Running, tmp_path: Path) -> None:
    # From the host, through the published port.
    broker = f"127.0.0.1:{running.containers.port('kafka', 9092)}"
    lines = b"".join(json.dumps(event).encode() + b"\n" for event in EVENTS)
    run("load", "--broker", broker, "-", home=tmp_path, stdin=lines)
    query = 'eval_alignment_comparisons{queue="q",criterion="c",metric="m",outcome="fp"}'
    (sample,) = wait_until(lambda: running.prometheus(query), SECONDS, "the comparison is in Prometheus")
    assert sample["value"][1] == "1"


def test_prometheus_can_scrape_every_target(running: Running) -> None:
    targets = {"worker-1": 8391, "worker-2": 8391, "view": 8390, "ingest": 8389, "alertmanager": 9093}
    running.await_instances("up == 1", targets)


def test_both_workers_export_their_lag(running: Running) -> None:
    running.await_instances("eval_alignment_lag_events", {"worker-1": 8391, "worker-2": 8391})


@pytest.mark.parametrize(("service", "port"), [("view", 8390), ("worker-1", 8391), ("ingest", 8389)])
def test_metrics_require_the_token_and_an_allowed_host(running: Running, service: str, port: int) -> None:
    url = running.containers.url(service, port)
    token = (running.containers.directory / "secrets" / "token").read_text().strip()
    allowed = {"Authorization": f"Bearer {token}", "Host": f"{service}:{port}"}
    assert get(f"{url}/metrics", allowed).status == 200
    assert get(f"{url}/metrics", {"Host": f"{service}:{port}"}).status == 401
    assert get(f"{url}/metrics", allowed | {"Host": "elsewhere:1"}).status == 400
