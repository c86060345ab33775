"""A real Prometheus: started with a configuration, queried through its API, and ended."""

import http.client
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlencode

import yaml

from eval_alignment.local.guarded_process import guard
from tests.support.ports import free_port
from tests.support.processes import LOOPBACK, Answer, get, wait_until

READY_SECONDS: Final = 30.0


class Server(ABC):
    """A server of the Prometheus project, started by `command` with `configuration` as YAML in `directory`. A context
    manager that waits until it is ready.
    """

    name: str

    def __init__(self, directory: Path, configuration: Mapping[str, Any]) -> None:
        self.http = f"{LOOPBACK}:{free_port()}"
        self.url = f"http://{self.http}"
        self.directory = directory
        self.configuration = configuration
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self, configuration: Path) -> list[str]:
        """The program and its options."""

    @property
    def log(self) -> Path:
        """Its log so far."""
        return self.directory / f"{self.name}.log"

    def __enter__(self) -> Self:
        self.directory.mkdir(parents=True, exist_ok=True)
        configuration = self.directory / f"{self.name}.yml"
        configuration.write_text(yaml.safe_dump(dict(self.configuration)))
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self.command(configuration),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._guard = guard(self._process.pid)
        try:
            wait_until(self._ready, READY_SECONDS, lambda: f"ready:\n{self.log.read_text()[-2000:]}")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(READY_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
            self._guard = None

    def _ready(self) -> bool:
        assert self._process is not None and self._process.poll() is None, self.log.read_text()[-2000:]
        try:
            return get(f"{self.url}/-/ready").status == 200
        except (OSError, http.client.HTTPException):
            return False


class Prometheus(Server):
    """Prometheus; `options` are appended to its command line."""

    name = "prometheus"

    def __init__(self, directory: Path, configuration: Mapping[str, Any], *, options: Sequence[str] = ()) -> None:
        super().__init__(directory, configuration)
        self._options = options

    def command(self, configuration: Path) -> list[str]:
        return [
            "prometheus",
            f"--config.file={configuration}",
            f"--storage.tsdb.path={self.directory / 'prometheus'}",
            f"--web.listen-address={self.http}",
            *self._options,
        ]

    def ask(self, path: str, **parameters: str) -> Answer:
        """The reply of its API, with any status; `path` is below /api/v1."""
        return get(f"{self.url}/api/v1/{path}?{urlencode(parameters)}")

    def data(self, path: str, **parameters: str) -> Any:
        """The data of a successful reply; fails with the reply otherwise."""
        answer = self.ask(path, **parameters)
        reply = answer.json()
        assert answer.status == 200 and reply["status"] == "success", f"{path} {parameters}: {answer.body[:1000]!r}"
        return reply["data"]

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of every series of an expression now; a scalar has no labels."""
        data = self.data("query", query=expression, time=f"{time.time():.3f}")
        if data["resultType"] == "scalar":
            return [({}, float(data["result"][1]))]
        return [(dict(sample["metric"]), float(sample["value"][1])) for sample in data["result"]]
