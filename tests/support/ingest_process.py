"""`ingest` as a real process on the broker of a deployment."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from tests.support.deployments import Cluster, Installation
from tests.support.ports import free_port
from tests.support.processes import LOOPBACK, READY_SECONDS, Command, get

EVENTS_PATH = "/api/v1/events"


class IngestProcess(Command):
    """A process of `ingest`. `settings` are its own, without the prefix `ingest_`; `sources` are those of tools.

    As a context manager it waits until it is ready.
    """

    def __init__(
        self,
        deployment: Cluster | Installation,
        directory: Path,
        *,
        sources: Mapping[str, Any] | None = None,
        **settings: object,
    ) -> None:
        self.port = free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        own = {f"EVAL_ALIGNMENT_INGEST_{name.upper()}": str(value) for name, value in settings.items()}
        own["EVAL_ALIGNMENT_SOURCES"] = json.dumps(sources or {})
        super().__init__(
            *("ingest", "--broker", deployment.broker, "--http", f"{LOOPBACK}:{self.port}"),
            log=directory / f"ingest-{self.port}.log",
            environment={**deployment.environment, **own},
        )

    def start_ready(self, deadline: float = READY_SECONDS) -> Self:
        """Start or restart it; returns when it is ready."""
        return self.start().wait_ready(self.url, deadline)

    def __enter__(self) -> Self:
        return self.start_ready()

    def metric(self, name: str) -> float:
        """A metric without labels, by its name without `eval_alignment_ingest_`."""
        lines = get(f"{self.url}/metrics").body.decode().splitlines()
        (value,) = (line.split()[1] for line in lines if line.startswith(f"eval_alignment_ingest_{name} "))
        return float(value)

    def peak_bytes(self) -> int:
        """Most resident memory so far, or since `forget_peak`."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024

    def forget_peak(self) -> None:
        """Start to measure `peak_bytes` again."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")
