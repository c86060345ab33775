"""Runs the services of docker-compose.yml as plain processes.

Commands, environments, ports, mounts, secrets, health checks and dependencies come from the file. This module does the
work of a container engine: it maps each port to a free one on loopback, each service name to loopback, and each path in
a container to a path of this machine. It copies mounted files with the same translation, and makes Prometheus scrape
every 2 s. It cannot show what needs a real container: users, read-only root file systems, limits, images.
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
"""Debian has no package of it."""

_PYTHON: Final = sys.executable
_PROGRAMS: Final[Mapping[str, Sequence[str]]] = {
    "eval-alignment": (_PYTHON, "-m", "eval_alignment"),
    "health": (_PYTHON, str(CONTAINER / "health.py")),
    "run-or-park": (_PYTHON, str(CONTAINER / "run_or_park.py")),
}
_IMAGES: Final = {"prom/prometheus": "prometheus", "prom/alertmanager": "prometheus-alertmanager"}
"""The program that an image starts, by Debian's name for it."""
_API_VERSIONS: Final = "/opt/kafka/bin/kafka-broker-api-versions.sh"


@cache
def compose() -> dict[str, Any]:
    """The parsed file: merges applied, `x-` fragments removed."""
    document = yaml.safe_load(COMPOSE.read_text())
    return {name: value for name, value in document.items() if not name.startswith("x-")}


def services() -> dict[str, dict[str, Any]]:
    """Every service by name."""
    by_name: dict[str, dict[str, Any]] = compose()["services"]
    return by_name


def secrets(service: str) -> dict[str, str]:
    """The secrets of a service: name to path in its container."""
    given = services()[service].get("secrets", [])
    plain = {name: f"/run/secrets/{name}" for name in given if isinstance(name, str)}
    return plain | {secret["source"]: secret["target"] for secret in given if isinstance(secret, dict)}


def in_order(names: Sequence[str]) -> Iterator[list[str]]:
    """These services in groups; each group after all groups that it depends on."""
    done: list[str] = []
    while left := [name for name in names if name not in done]:
        free = [name for name in left if set(services()[name].get("depends_on", ())) <= set(done)]
        assert free, f"these depend on each other: {left}"
        done += free
        yield free


@dataclass
class Containers:
    """All services as processes; their files are below `directory`. Start them in the order of `in_order`."""

    directory: Path
    ports: dict[tuple[str, int], int] = field(default_factory=dict)
    kafka: Kafka | None = None

    def port(self, service: str, port: int) -> int:
        """The port of this machine for a port of a service's container."""
        return self.ports.setdefault((service, port), free_port())

    def url(self, service: str, port: int) -> str:
        """Address of a service on this machine."""
        return f"http://{HOST}:{self.port(service, port)}"

    def environment(self, service: str) -> dict[str, str]:
        """The environment of a service's process."""
        given = services()[service].get("environment", {})
        return {name: self.here(value, service) for name, value in given.items()}

    def command(self, service: str) -> list[str]:
        """Command line of a service's container."""
        entry = services()[service].get("entrypoint")
        if entry is None:
            image = services()[service]["image"].partition(":")[0]
            entry = [_IMAGES[image]]
        return self._words([*entry, *services()[service].get("command", [])], service)

    def start(self, service: str, log: Path) -> subprocess.Popen[bytes]:
        """Start the process of a service, any but `kafka`."""
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
        """The broker, with the properties that the image derives from the environment."""
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
        """Translate addresses and paths of a service's container into those of this machine."""
        names = "|".join(map(re.escape, services()))
        text = re.sub(
            rf"(?<![\w.-])({names}):(\d+)", lambda match: f"{HOST}:{self.port(match[1], int(match[2]))}", text
        )
        # "://:9092" means all addresses of a container.
        own = r"(?<![\w.-])(?:0\.0\.0\.0|127\.0\.0\.1|localhost):(\d+)|(?<=://):(\d+)"
        text = re.sub(own, lambda match: f"{HOST}:{self._own(service, int(match[1] or match[2]))}", text)
        for inside, outside in self._mounts(service).items():
            text = re.sub(rf"(?<![\w/]){re.escape(inside)}(?![\w-])", str(outside), text)
        return text

    def _own(self, service: str, port: int) -> int:
        # A port of this machine is the result of an earlier translation.
        return port if port in self.ports.values() else self.port(service, port)

    def _words(self, words: Sequence[str], service: str) -> list[str]:
        if words[:2] == ["tini", "--"]:
            words = words[2:]
        if words[0] == _API_VERSIONS:
            tool = "org.apache.kafka.tools.BrokerApiVersionsCommand"
            words = ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{jar_directory()}/*", tool, *words[1:]]
        if words[0] == "health":
            words = ["health", *(str(self.port(service, int(port))) for port in words[1:])]
        translated: list[str] = []
        for word in words:
            translated += _PROGRAMS.get(word, (self.here(word, service),))
        return translated

    def _mounts(self, service: str) -> dict[str, Path]:
        """Mounts of a service: path in its container to path on this machine."""
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
        """Create secrets, volumes, and translated copies of mounted files."""
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
            # A mounted file may name a secret relative to itself: put the secret next to it.
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
    """Send SIGTERM and return the exit code. Kills the process after its grace period."""
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
