"""What the containers of docker-compose.yml would run, as plain processes: nothing of it is written down twice.

Commands, environments, ports, mounts, secrets, health checks and dependencies are read from the file. What a container
engine does is done by hand: a port becomes a free one on loopback, a service's name loopback, a path inside a container
one of this machine. Mounted files are copied with the same translation, and Prometheus is made to scrape every 2 s.
What a container alone can show (users, read-only roots, limits, images) is not seen here.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from eval_alignment.local.broker import HOST
from tests.support.kafka import Kafka, jar_directory
from tests.support.ports import free_port
from tests.support.processes import isolated
from tests.support.tree import ROOT

COMPOSE: Final = ROOT / "docker-compose.yml"
CONTAINER: Final = ROOT / "deploy" / "container"
LEFT_OUT: Final = frozenset({"grafana"})
"""Not to be had as a package of the machine."""

_PYTHON: Final = sys.executable
_PROGRAMS: Final[Mapping[str, Sequence[str]]] = {
    "eval-alignment": (_PYTHON, "-m", "eval_alignment"),
    "health": (_PYTHON, str(CONTAINER / "health.py")),
    "hold": (_PYTHON, str(CONTAINER / "hold.py")),
}
_IMAGES: Final = {"prom/prometheus": "prometheus", "prom/alertmanager": "prometheus-alertmanager"}
"""The program that an image starts, by Debian's name for it."""
_API_VERSIONS: Final = "/opt/kafka/bin/kafka-broker-api-versions.sh"


@cache
def compose() -> dict[str, Any]:
    """The file, with its merges and without its fragments."""
    document = yaml.safe_load(COMPOSE.read_text())
    return {name: value for name, value in document.items() if not name.startswith("x-")}


def services() -> dict[str, dict[str, Any]]:
    """Every service by name."""
    found: dict[str, dict[str, Any]] = compose()["services"]
    return found


def secrets(service: str) -> dict[str, str]:
    """The secrets of a service by name, and where they are in its container."""
    given = services()[service].get("secrets", [])
    plain = {name: f"/run/secrets/{name}" for name in given if isinstance(name, str)}
    return plain | {secret["source"]: secret["target"] for secret in given if isinstance(secret, dict)}


def in_order(names: Sequence[str]) -> Iterator[list[str]]:
    """These services in groups, each after those that it depends on."""
    done: list[str] = []
    while left := [name for name in names if name not in done]:
        free = [name for name in left if set(services()[name].get("depends_on", ())) <= set(done)]
        assert free, f"these depend on each other: {left}"
        done += free
        yield free


@dataclass
class Containers:
    """All services as processes below `directory`; start them in their order."""

    directory: Path
    ports: dict[tuple[str, int], int] = field(default_factory=dict)
    kafka: Kafka | None = None

    def port(self, service: str, port: int) -> int:
        """The port here for a port of a service's container."""
        return self.ports.setdefault((service, port), free_port())

    def url(self, service: str, port: int) -> str:
        """Where a service is reached here."""
        return f"http://{HOST}:{self.port(service, port)}"

    def environment(self, service: str) -> dict[str, str]:
        """The environment of a service's process."""
        given = services()[service].get("environment", {})
        return {name: self.here(value, service) for name, value in given.items()}

    def command(self, service: str) -> list[str]:
        """What a service's container runs."""
        entry = services()[service].get("entrypoint")
        if entry is None:
            image = services()[service]["image"].partition(":")[0]
            entry = [_IMAGES[image]]
        return self._words([*entry, *services()[service].get("command", [])], service)

    def start(self, service: str, log: Path) -> subprocess.Popen[bytes]:
        """Start a service that is a process of its own."""
        with log.open("ab") as output:
            return subprocess.Popen(
                self.command(service),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=log.parent,
                env=isolated(log.parent, self.environment(service)),
                start_new_session=True,
            )

    def broker(self) -> Kafka:
        """The broker, with the settings that the image makes of the environment."""
        properties = {
            name.removeprefix("KAFKA_").replace("_", ".").lower(): value
            for name, value in self.environment("kafka").items()
            if name.startswith("KAFKA_") and not name.endswith("_OPTS")
        }
        return Kafka(
            port=self.port("kafka", 9092),
            controller=self.port("kafka", 9093),
            directory=self.directory / "kafka",
            properties=properties,
        )

    def healthy(self, service: str) -> bool:
        """Whether a service's health check succeeds now."""
        kind, *words = services()[service]["healthcheck"]["test"]
        assert kind == "CMD"
        environment = {**os.environ, **self.environment(service)}
        done = subprocess.run(
            self._words(words, service), env=environment, capture_output=True, timeout=60, check=False
        )
        return done.returncode == 0

    def here(self, text: str, service: str) -> str:
        """A text from a service's container, with addresses and paths of this machine."""
        names = "|".join(map(re.escape, services()))
        text = re.sub(
            rf"(?<![\w.-])({names}):(\d+)", lambda found: f"{HOST}:{self.port(found[1], int(found[2]))}", text
        )
        # "://:9092" is every address of a container.
        own = r"(?<![\w.-])(?:0\.0\.0\.0|127\.0\.0\.1|localhost):(\d+)|(?<=://):(\d+)"
        text = re.sub(own, lambda found: f"{HOST}:{self._own(service, int(found[1] or found[2]))}", text)
        for inside, outside in self._mounts(service).items():
            text = re.sub(rf"(?<![\w/]){re.escape(inside)}(?![\w-])", str(outside), text)
        return text

    def _own(self, service: str, port: int) -> int:
        # What was translated already stands there with the port of this machine.
        return port if port in self.ports.values() else self.port(service, port)

    def _words(self, words: Sequence[str], service: str) -> list[str]:
        if words[:2] == ["tini", "--"]:
            words = words[2:]
        if words[0] == _API_VERSIONS:
            tool = "org.apache.kafka.tools.BrokerApiVersionsCommand"
            words = ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{jar_directory()}/*", tool, *words[1:]]
        if words[0] == "health":
            words = ["health", *(str(self.port(service, int(port))) for port in words[1:])]
        found: list[str] = []
        for word in words:
            found += _PROGRAMS.get(word, (self.here(word, service),))
        return found

    def _mounts(self, service: str) -> dict[str, Path]:
        """Paths in a service's container, and where they are here."""
        mounts = {}
        for name, inside in secrets(service).items():
            mounts[inside] = self.directory / "secrets" / name
        for volume in services()[service].get("volumes", []):
            source, inside = volume.split(":")[:2]
            mounts[inside] = self._bound(source) if source.startswith(".") else self.directory / source / "data"
        return mounts

    def _bound(self, source: str) -> Path:
        return self.directory / "mounts" / source.removeprefix("./")

    def prepare(self) -> None:
        """Make secrets, volumes and translated copies of what is mounted."""
        (self.directory / "secrets").mkdir(parents=True)
        for name in compose()["secrets"]:
            (self.directory / "secrets" / name).write_text(f"{name}-{'0' * 40}\n")
        for name in compose()["volumes"]:
            (self.directory / name / "data").mkdir(parents=True)
        for service in services():
            if service in LEFT_OUT:
                continue
            for volume in services()[service].get("volumes", []):
                source = volume.split(":")[0]
                if source.startswith("."):
                    self._copy(ROOT / source, self._bound(source), service)
            # A path in a mounted file is seen from that file.
            for name, inside in secrets(service).items():
                for outside in (out for into, out in self._mounts(service).items() if into.endswith(".yml")):
                    if Path(inside).parent == Path(self._inside(service, outside)).parent:
                        shutil.copy(self.directory / "secrets" / name, outside.parent / Path(inside).name)

    def _inside(self, service: str, outside: Path) -> str:
        return next(into for into, out in self._mounts(service).items() if out == outside)

    def _copy(self, source: Path, target: Path, service: str) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy(source, target)
        for path in [target, *target.rglob("*.yml")]:
            if path.is_file():
                text = self.here(path.read_text(), service)
                path.write_text(re.sub(r"(scrape|evaluation)_(interval|timeout): \w+", r"\1_\2: 2s", text))


def stop(process: subprocess.Popen[bytes], service: str) -> int:
    """SIGTERM, and the exit code; kills what outlasts the grace that the file gives."""
    process.send_signal(signal.SIGTERM)
    try:
        return process.wait(grace_seconds(service))
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


def grace_seconds(service: str) -> float:
    """Seconds between SIGTERM and SIGKILL."""
    return float(str(services()[service].get("stop_grace_period", "10s")).removesuffix("s"))
