"""The pods of both overlays work together, as plain processes on a real Apache Kafka.

Each process has the arguments, the environment, the settings file and the secret files of its pod. As every pod does,
it has an address of its own, and the ports of the manifests. What differs from a pod: its paths are below a directory
of the test, it listens at its address instead of at all, and the brokers are those of the test. It cannot show what
needs a cluster: users, read-only root file systems, limits, network policies, volumes.
"""

import contextlib
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from ingest.openapi import EVENTS_PATH
from tests.deployment.pods import Pod, pods, settings_file
from tests.support import kafka as apache
from tests.support.processes import Command, get, wait_until
from tests.support.requirements import Requirements
from tests.support.secured import SecuredKafka

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SECONDS = 240.0
TOKEN: Final = "0123456789abcdef" * 2
USERS: Final = ("operator", "worker", "view", "producer", "sources")
EVENTS = (
    {"id": "a1", "at": "2026-11-23T10:15:00Z", "queue": "q", "item": "i", "criterion": "c", "annotator": "n"}
    | {"thumbs": "down"},
    {"id": "e1", "at": "2026-11-23T10:14:02Z", "item": "i", "metric": "m", "score": 0.81, "threshold": 0.5},
)

Secrets = Mapping[str, Mapping[str, str]]
"""The content of each key of each Secret."""


@dataclass(frozen=True)
class RunningPod:
    """A pod as a process, which is ready."""

    pod: Pod
    address: str
    process: Command

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://{self.address}:{self.pod.port}"


class Node:
    """Runs pods of an overlay below a directory, with these brokers and secrets."""

    def __init__(self, directory: Path, brokers: str, secrets: Secrets) -> None:
        self._directory = directory
        self._brokers = brokers
        self._secrets = {"eval-alignment": {"token": TOKEN}, **secrets}
        # A network of this test: others on this machine may use the same ports.
        self._network = f"127.{random.randint(16, 250)}.{random.randint(0, 250)}"
        self._used = 0

    def pod(self, pod: Pod) -> RunningPod:
        """The process of a pod, not started."""
        self._used += 1
        address = f"{self._network}.{self._used}"
        root = self._directory / pod.name
        places = {path: self._mount(root, path, volume, pod) for path, volume in pod.mounts().items()}

        def here(value: str) -> str:
            for path, place in places.items():
                if value == path or value.startswith(f"{path}/"):
                    return f"{place}{value.removeprefix(path)}"
            return value.replace("0.0.0.0:", f"{address}:")

        environment = {name: here(value) for name, value in pod.environment(address).items()}
        return RunningPod(pod, address, Command(*pod.container["args"], log=root / "log", environment=environment))

    def _mount(self, root: Path, path: str, volume: Mapping[str, Any], pod: Pod) -> Path:
        place = root / path.removeprefix("/")
        place.mkdir(parents=True)
        for source in _secrets_of(volume):
            keys = self._secrets.get(source["name"])
            if keys is None:
                assert source.get("optional"), f"no Secret {source['name']}"
                continue
            for key, text in keys.items():
                chosen = {item["key"]: item["path"] for item in source.get("items", [{"key": key, "path": key}])}
                if key in chosen:
                    file = place / chosen[key]
                    file.write_text(text)
                    file.chmod(0o440)
        if "configMap" in volume:
            text = settings_file(pod.overlay)
            before = [line for line in text.splitlines() if line.startswith("brokers = ")]
            text = text.replace(before[0], f'brokers = "{self._brokers}"')
            (place / "settings.toml").write_text(text.replace('"/run/secrets/', f'"{root}/run/secrets/'))
        return place


def _secrets_of(volume: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The Secrets of a volume, each as an entry of `projected` has it."""
    match volume:
        case {"secret": dict(secret)}:
            yield {"name": secret["secretName"], "optional": secret.get("optional", False)}
        case {"projected": dict(projected)}:
            yield from (source["secret"] for source in projected["sources"])


@pytest.fixture(scope="module", params=["small", "production"])
def running(
    request: pytest.FixtureRequest, requirements: Requirements, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sequence[RunningPod]]:
    """All pods of an overlay; its jobs are done, its servers ready. At the end each stops in order, in its time."""
    requirements.provide("kafka", apache.missing())
    directory = tmp_path_factory.mktemp(request.param)
    with contextlib.ExitStack() as closing:
        if request.param == "small":
            node = Node(directory, closing.enter_context(apache.Kafka()).bootstrap, {})
        else:
            node = _secured_node(closing, directory)
        everything = [node.pod(pod) for pod in pods(request.param)]
        jobs = [each for each in everything if each.pod.port is None]
        servers = [each for each in everything if each.pod.port is not None]
        for each in jobs:
            assert closing.enter_context(each.process).wait(SECONDS) == 0, each.process.text()
        for each in servers:
            closing.enter_context(each.process)
        for each in servers:
            each.process.wait_ready(each.url, SECONDS)
        yield servers
        ends = {each.pod.name: each.process.terminate(_seconds_to_end(each.pod)) for each in servers}
        assert ends == dict.fromkeys(ends, 0)


def _secured_node(closing: contextlib.ExitStack, directory: Path) -> Node:
    """A node whose pods reach Kafka by TLS, each as the user that it names."""
    passwords = {user: f"pass-of-the-{user}" for user in USERS}
    secured = closing.enter_context(SecuredKafka(directory / "kafka", passwords))
    # Which rights they need is the subject of another test.
    everything = "--allow-principal User:* --operation All --topic '*' --group '*' --cluster"
    secured.run_with_tools(f"kafka-acls.sh --bootstrap-server {secured.plain} --add {everything}", {})
    secrets = {f"eval-alignment-kafka-{user}": {"password": password} for user, password in passwords.items()}
    authority = {"eval-alignment-kafka-ca": {"ca.crt": secured.ca.read_text()}}
    return Node(directory, secured.bootstrap, {**secrets, **authority})


def _seconds_to_end(pod: Pod) -> float:
    sleep = pod.container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    return float(pod.spec["terminationGracePeriodSeconds"] - sleep)


def test_probes_work_by_the_address_of_the_pod_and_metrics_need_the_token(running: Sequence[RunningPod]) -> None:
    for each in running:
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
            # `get` sends the address and the port as Host, as kubelet does.
            assert get(f"{each.url}{each.pod.container[kind]['httpGet']['path']}").status == 200, each.pod.name
        assert get(f"{each.url}/metrics", bearer).status == 200, each.pod.name
        assert get(f"{each.url}/metrics").status == 401, each.pod.name
        assert get(f"{each.url}/metrics", bearer | {"Host": "elsewhere:80"}).status == 400, each.pod.name


def test_events_that_ingest_takes_are_counted_and_shown(running: Sequence[RunningPod]) -> None:
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    senders = [each for each in running if each.pod.container["args"][0] == "ingest"]
    (view,) = (each for each in running if each.pod.component == "view")
    for number, sender in enumerate(senders):
        events = [{**event, "id": f"{event['id']}-{number}", "item": f"i-{number}"} for event in EVENTS]
        headers = {**bearer, "Host": "eval-alignment-ingest.eval-alignment.svc:8389"}
        sent = httpx.post(f"{sender.url}{EVENTS_PATH}", json=events, headers=headers, timeout=SECONDS)
        assert sent.status_code == 200, sent.text

    def compared() -> int:
        answer = get(f"{view.url}/api/v1/queues/q?window=all", {**bearer, "Host": "eval-alignment-view:8390"})
        metrics = [m for c in json.loads(answer.body)["criteria"] for m in c["metrics"]] if answer.status == 200 else []
        return sum(metric["comparisons"] for metric in metrics)

    wait_until(lambda: compared() == len(senders), SECONDS, "the events of every ingest are compared")


def test_workers_keep_what_waits_on_their_volumes(running: Sequence[RunningPod]) -> None:
    for worker in (each for each in running if each.pod.component == "worker"):
        stores = worker.process.log.parent / "data" / "waiting" / worker.pod.name
        wait_until(stores.is_dir, SECONDS, f"{stores} exists")
