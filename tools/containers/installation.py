"""docker-compose.yml on an engine: started as it is, with secrets as docs/deployment.md creates them."""

import json
import re
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tools.containers import LEFT_OUT
from tools.containers.commands import await_that, note, require, run
from tools.containers.compose_file import COMPOSE, compose_file
from tools.containers.engine import ContainerEngine
from tools.records import ROOT

_PROJECT: Final = "eval-alignment-check"
_CURL: Final = ("curl", "--silent", "--show-error", "--max-time", "20")


class Installation:
    """The services of docker-compose.yml, except those that are left out.

    Args:
        engine: a running one, which has the images.
        directory: an empty one, for the file, what it mounts, and the secrets.
    """

    def __init__(self, engine: ContainerEngine, directory: Path) -> None:
        self.engine = engine
        self.directory = directory
        services = compose_file()["services"]
        self.services = [name for name in services if name not in LEFT_OUT]
        """The services that are started."""
        self.processes = [name for name in self.services if name != "topics"]
        """The services that run until they are stopped."""
        self.images = {name: str(services[name]["image"]) for name in self.services}
        self.token = secrets.token_hex(32)
        """The token of all HTTP servers."""
        (directory / "secrets").mkdir(mode=0o700)
        for name, text in (("token", self.token), ("grafana-admin-password", "unused")):
            (directory / "secrets" / name).write_text(f"{text}\n", encoding="utf-8")
            (directory / "secrets" / name).chmod(0o644)
        shutil.copy(ROOT / "docker-compose.yml", directory)
        shutil.copytree(ROOT / "monitoring", directory / "monitoring")
        self.overrides: list[Path] = []
        """Further files for Docker Compose."""

    def compose(self, *arguments: str) -> str:
        """The output of a command of Docker Compose."""
        files = [self.directory / "docker-compose.yml", *self.overrides]
        options = ["--progress=quiet", f"--project-name={_PROJECT}", f"--project-directory={self.directory}"]
        command = [str(COMPOSE), *options, *(f"--file={file}" for file in files), *arguments]
        return run(command, environment={"DOCKER_HOST": self.engine.host})

    def override(self, name: str, services: Mapping[str, Any]) -> Path:
        """Write a further file for Docker Compose, with changes of services. JSON is YAML."""
        path = self.directory / f"{name}.yml"
        path.write_text(json.dumps({"services": services}), encoding="utf-8")
        return path

    def up(self, *services: str) -> None:
        """Start services, else all, and wait until all processes are healthy."""
        alone = ["--no-deps"] if services else []
        self.compose("up", "--detach", "--no-build", *alone, *(services or self.services))
        self.await_healthy()

    def await_healthy(self) -> None:
        """Wait until all processes are healthy."""
        for name in self.processes:
            self.await_health(name, "healthy")

    def await_health(self, service: str, wanted: str) -> None:
        """Wait until the health of a service is `healthy`, `unhealthy` or `starting`."""
        await_that(lambda: f"{service} is {wanted}:\n{self.log(service)}", lambda: self.health(service) == wanted)

    def container(self, service: str) -> str:
        """The id of a service's container."""
        return self.compose("ps", "--all", "--quiet", service)

    def inspect(self, service: str) -> dict[str, Any]:
        """What Docker states of a service's container."""
        document: dict[str, Any] = json.loads(self.engine.docker("inspect", self.container(service)))[0]
        return document

    def health(self, service: str) -> str:
        """`healthy`, `unhealthy` or `starting`."""
        return str(self.inspect(service)["State"].get("Health", {}).get("Status"))

    def log(self, service: str) -> str:
        """The end of a service's log."""
        return self.compose("logs", "--no-color", "--no-log-prefix", "--tail=10", service)

    def first_process(self, service: str) -> int:
        """The id of process 1 of a service, as this machine sees it."""
        return int(self.inspect(service)["State"]["Pid"])

    def addresses(self, service: str) -> list[str]:
        """The addresses of a service's container, one for each network."""
        networks = self.inspect(service)["NetworkSettings"]["Networks"].values()
        return [str(network["IPAddress"]) for network in networks]

    def get(self, url: str, *options: str) -> tuple[int, str]:
        """Status and body of a request from next to the engine."""
        *body, status = self.engine.in_network(*_CURL, "--write-out", "\n%{http_code}", *options, url).split("\n")
        return int(status), "\n".join(body)

    @property
    def authorization(self) -> tuple[str, str]:
        """The options of a request with the token."""
        return "--header", f"Authorization: Bearer {self.token}"

    def query(self, expression: str, at: float | None = None) -> list[dict[str, Any]]:
        """The result of an instant query of Prometheus, now or at a time in seconds."""
        options = ["--get", "--data-urlencode", f"query={expression}"]
        options += [] if at is None else ["--data-urlencode", f"time={at}"]
        status, body = self.get("http://127.0.0.1:9090/api/v1/query", *options)
        require(status == 200, f"an answer of Prometheus to {expression}, not {status} {body}")
        result: list[dict[str, Any]] = json.loads(body)["data"]["result"]
        return result

    def load(self, events: str) -> None:
        """Send events to Kafka as a producer on this machine does: through the published port."""
        self.engine.docker(*self._loading(), stdin=events)

    def start_load(self, events: str) -> Any:
        """Start to send events; returns the process."""
        path = self.directory / "events.ndjson"
        path.write_text(events, encoding="utf-8")
        return self.engine.start_docker(*self._loading(), stdin=path)

    def _loading(self) -> list[str]:
        words = ["load", "--broker", "127.0.0.1:9092", "-"]
        return ["run", "--rm", "--interactive", "--network=host", self.images["view"], *words]

    def counted(self) -> int:
        """The comparisons that the view has counted."""
        _, body = self.get("http://127.0.0.1:8390/metrics", *self.authorization)
        found = re.findall(r'^eval_alignment_comparisons\{queue="check".* (\S+)$', body, re.MULTILINE)
        return int(sum(map(float, found)))

    def volumes(self) -> set[str]:
        """The names of the engine's volumes."""
        return set(self.engine.docker("volume", "ls", "--quiet").split())

    def down(self) -> None:
        """Remove containers, networks and volumes."""
        note("docker compose down")
        self.compose("down", "--volumes", "--remove-orphans")
