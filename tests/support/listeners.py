"""The listeners of view, worker and ingest as processes, for clients that attack them. They need no broker."""

import contextlib
import re
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aggregator.facts import Annotation, Evaluation, Fact
from sinks.store.store import Store
from sinks.view import STORE_NAME
from tests.support.ports import free_port
from tests.support.processes import LOOPBACK, wait_until
from tests.support.sample_view import NOW_MS, fill

CONNECTIONS: Final[Mapping[str, int]] = {"view": 300, "worker": 100, "ingest": 800}
"""Connections that each listener has for all clients."""
QUEUE: Final = "big"
_READY_SECONDS: Final = 60
_NO_BROKER: Final = "127.0.0.1:1"

_PROGRAMS: Final[Mapping[str, str]] = {
    "view": """
        from sinks.config import ViewConfig
        from sinks.view import run_view
        client = {"bootstrap_servers": broker}
        sys.exit(run_view(ViewConfig(client=client, data_dir=directory, port=port, **settings)).code)
    """,
    "worker": """
        import signal
        from prometheus_client import CollectorRegistry
        from eval_alignment.worker_http import Probes
        from streams.runtime.health import Health
        from streams.runtime.refusals import Refusals
        registry = CollectorRegistry()
        Probes("127.0.0.1", port, Health(), registry, Refusals(registry), **settings).start()
        signal.pause()
    """,
    "ingest": """
        from ingest.config import IngestConfig
        from ingest.process import run_ingest
        from streams.kafka.client import KafkaClient
        sys.exit(run_ingest(IngestConfig(kafka=KafkaClient([broker]), port=port, **settings)).code)
    """,
}
_START: Final = """
    import sys
    from pathlib import Path
    from eval_alignment.logs import configure
    configure("info", "text")
    port, broker, directory, settings = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), eval(sys.argv[4])
    exec(sys.argv[5])
"""


@dataclass(frozen=True, slots=True)
class Listening:
    """A process with a listener."""

    name: str
    port: int
    process: "subprocess.Popen[bytes]"
    log: Path

    def connect(self, source: str = LOOPBACK, received: int | None = None) -> socket.socket:
        """A connection from an address of this machine, with room for so many bytes that are not read."""
        client = socket.socket()
        client.settimeout(30)
        if received is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, received)
        try:
            client.bind((source, 0))
            client.connect((LOOPBACK, self.port))
        except OSError:
            client.close()
            raise
        return client

    def exchange(self, sent: bytes, source: str = LOOPBACK) -> bytes:
        """All that is answered to bytes, until the server ends the connection or is silent for a second."""
        with contextlib.closing(self.connect(source)) as client:
            received = b""
            with contextlib.suppress(ConnectionError, TimeoutError):
                client.sendall(sent)
                while chunk := client.recv(1 << 16):
                    received += chunk
                    client.settimeout(1)
            return received

    def status(self, target: str, source: str = LOOPBACK) -> int:
        """The status of a GET on a connection of its own; 0 without an answer."""
        head = f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        return next(iter(statuses(self.exchange(head.encode(), source))), 0)

    def memory(self, what: str = "VmRSS") -> int:
        """Resident memory in bytes; `VmHWM`: the most so far."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(status.partition(f"{what}:")[2].split()[0]) * 1024


def statuses(received: bytes) -> list[int]:
    """The status of each response in what a server sent."""
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3}) ", received)]


@contextlib.contextmanager
def listening(name: str, directory: Path, before: str = "", **settings: object) -> Iterator[Listening]:
    """Run a listener; `before` is Python that runs in its process first."""
    port, log = free_port(), directory / f"{name}.log"
    program = textwrap.dedent(_START) + textwrap.dedent(_PROGRAMS[name])
    arguments = [str(port), _NO_BROKER, str(directory), repr(settings), before]
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-c", program, *arguments], stderr=output)
    served = Listening(name, port, process, log)

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return served.status("/healthz") == 200
        except OSError:
            return False

    try:
        wait_until(answers, _READY_SECONDS, log.read_text)
        yield served
    finally:
        with process:
            process.kill()


def fill_store(directory: Path, items: int = 3, text: str = "x") -> None:
    """Write the store of a view, with one queue whose comparisons have a text of this length in each field."""
    facts: list[Fact] = []
    for number in range(items):
        at, item = NOW_MS - number - 1, f"i{number}"
        facts += [
            Annotation(at, f"a{number}", QUEUE, item, stars=1 + number % 5, explanation=text, expected=text),
            Evaluation(at, f"e{number}", item, "m", score=0.5, threshold=0.5, passed=number % 2 == 0, reason=text),
        ]
    with contextlib.closing(Store(directory / STORE_NAME)) as store:
        fill(store, facts)
