"""A real Apache Kafka on loopback: one KRaft node, started, stopped, killed and restarted by tests.

The jars come from Maven by `kafka/pom.xml` next to this file, once, into a cache outside the repository
(`EVAL_ALIGNMENT_CACHE`, else the user's cache directory). As a command it runs until Ctrl-C:

    python -m tests.support.kafka --port 9092 [--data-dir DIR]
"""

import argparse
import hashlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from eval_alignment.local.broker import HOST, BrokerError, refuse_taken_port, wait_until_ready
from eval_alignment.local.guarded_process import GuardedProcess
from tests.support.ports import free_port

MINIMUM_JAVA = 17
READY_SECONDS = 60.0
STOP_SECONDS = 30.0
_HERE = Path(__file__).with_name("kafka")

# The quick compiler and the small collector only.
_BRIEF = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
_PROPERTIES: dict[str, str] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",
    # One broker holds every replica.
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # Small and without delay: tests start many groups, and wait for each.
    "offsets.topic.num.partitions": "4",
    # Small segments, so that compaction happens: a coordinator that starts loads every commit that is left.
    "offsets.topic.segment.bytes": str(1 << 20),
    "transaction.state.log.num.partitions": "4",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    # A killed broker may register again when its old session is over: 9 s by default.
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "500",
    "log.cleaner.dedupe.buffer.size": str(16 << 20),
    "log.cleaner.backoff.ms": "500",
}


class Kafka:
    """One broker with a data directory and two fixed ports; `start` after `stop` or `kill` restarts on both.

    `directory` keeps data and `broker.log`; without it a temporary one is used and removed by `close` (and at
    the end of the context). `properties` are further lines of server.properties,
    `controller` is the port of its controller. `heap` is the JVM's -Xmx, `java` are further arguments of the JVM,
    `format` of the tool that formats the storage. A `brief` broker needs half the CPU to start and to warm up, and more
    for each record afterwards: benches and soaks want the other one.
    The methods block: a running event loop calls them by `asyncio.to_thread`.
    """

    def __init__(
        self,
        *,
        port: int | None = None,
        controller: int | None = None,
        directory: Path | None = None,
        properties: Mapping[str, str] | None = None,
        heap: str = "512m",
        brief: bool = True,
        java: Sequence[str] = (),
        format: Sequence[str] = (),  # noqa: A002 -- Kafka's word for it
    ) -> None:
        self.port = port or free_port()
        self.bootstrap = f"{HOST}:{self.port}"
        self.directory = directory or Path(tempfile.mkdtemp(prefix="kafka-"))
        self.log = self.directory / "broker.log"
        self._remove = directory is None
        self._properties = dict(properties or {})
        self._controller = controller or free_port()
        self._heap = heap
        self._java = [*(_BRIEF if brief else ()), *java]
        self._format = format
        self._process: GuardedProcess | None = None

    @property
    def pid(self) -> int | None:
        """Process id while the broker runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> None:
        """Start the broker and return when a client sees it; BrokerError has the end of its log."""
        if self.pid is not None:
            return
        self.kill()
        jars = jar_directory()
        refuse_taken_port(self.port)
        self.directory.mkdir(parents=True, exist_ok=True)
        settings = self._write_settings()
        java = [
            "java",
            f"-Xmx{self._heap}",
            "-cp",
            f"{jars}/*",
            f"-Dlog4j2.configurationFile={_HERE}/log4j2.properties",
            *self._java,
        ]
        with self.log.open("ab") as output:
            if not (self.directory / "data" / "meta.properties").exists():
                cluster = ["--config", str(settings), "--cluster-id", "ZXZhbC1hbGlnbm1lbnQxMg"]
                done = subprocess.run(
                    [*java, "kafka.tools.StorageTool", "format", *cluster, *self._format],
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    check=False,
                )
                if done.returncode != 0:
                    raise BrokerError(f"Apache Kafka cannot format its storage:\n{self._end_of_log()}")
            # Ctrl-C in a terminal stops the tests, which then stop the broker.
            self._process = GuardedProcess([*java, "kafka.Kafka", str(settings)], output)
        try:
            wait_until_ready(self.bootstrap, self._process.poll, READY_SECONDS)
        except BaseException as error:
            self.kill()
            if not isinstance(error, BrokerError):
                raise
            raise BrokerError(f"Apache Kafka: {error}\n{self._end_of_log()}") from error

    def stop(self) -> None:
        """SIGTERM: a clean shutdown. Returns when the process is gone; killed after 30 seconds."""
        if self._process is not None:
            self._process.stop(STOP_SECONDS)
            self._process = None

    def kill(self) -> None:
        """SIGKILL. Returns when the process is gone; its data directory stays for a restart."""
        if self._process is not None:
            self._process.destroy()
            self._process = None

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing answers, as on a machine that hangs."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT after `pause`."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """Stop, and remove a temporary directory."""
        self.stop()
        if self._remove:
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            raise BrokerError("Apache Kafka is not running")
        self._process.send_signal(number)

    def _end_of_log(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]

    def _write_settings(self) -> Path:
        own = {
            "listeners": f"PLAINTEXT://{self.bootstrap},CONTROLLER://{HOST}:{self._controller}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
            "controller.quorum.voters": f"1@{HOST}:{self._controller}",
            "log.dirs": str(self.directory / "data"),
        }
        lines = [f"{name}={value}\n" for name, value in (_PROPERTIES | own | self._properties).items()]
        path = self.directory / "server.properties"
        path.write_text("".join(lines))
        return path


def version() -> str:
    """The version of the broker."""
    text = (_HERE / "pom.xml").read_text(encoding="utf-8")
    return str(re.findall(r"<artifactId>kafka_[^<]*</artifactId>\s*<version>([^<]*)<", text)[0])


def missing() -> str | None:
    """Why a broker cannot be started here, or None: java (17 or newer) and mvn are needed."""
    absent = [program for program in ("java", "mvn") if shutil.which(program) is None]
    if absent:
        return f"not found on PATH: {', '.join(absent)}"
    output = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', output)
    if version is None or int(version[1]) < MINIMUM_JAVA:
        return f"java {MINIMUM_JAVA} or newer is needed; java -version prints: {output.strip() or 'nothing'}"
    return None


def jar_directory(pom: Path = _HERE / "pom.xml") -> Path:
    """The directory of the jars of a pom.xml, the broker's by default; the first call for it fills it with Maven."""
    content = hashlib.sha256(pom.read_bytes()).hexdigest()[:16]
    target = cache_directory() / f"kafka-{content}"
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        filling = Path(tempfile.mkdtemp(prefix=f"{target.name}-", dir=target.parent))
        command = ["mvn", "-B", "-q", "-C", "-f", str(pom), "dependency:copy-dependencies"]
        done = subprocess.run(
            [*command, f"-DoutputDirectory={filling}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            shutil.rmtree(filling)
            raise BrokerError(f"Maven could not bring the jars of {pom}:\n{done.stdout[-3000:]}")
        try:
            filling.rename(target)
        except OSError:
            # Another process was first.
            shutil.rmtree(filling)
    return target


def cache_directory() -> Path:
    """Where tests and tools keep what they download: `EVAL_ALIGNMENT_CACHE`, else in the user's cache directory."""
    if own := os.environ.get("EVAL_ALIGNMENT_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "eval-alignment"


def main() -> None:
    """Run one broker until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.kafka", description="a real Apache Kafka on loopback"
    )
    parser.add_argument("--port", type=int, default=9092)
    parser.add_argument("--data-dir", type=Path, help="keep topics here; without it they end with the command")
    options = parser.parse_args()
    if reason := missing():
        raise SystemExit(f"Apache Kafka cannot run here: {reason}")
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    directory = options.data_dir.resolve() if options.data_dir else None
    with Kafka(port=options.port, directory=directory, brief=False) as kafka:
        print(f"Apache Kafka at {kafka.bootstrap}, log {kafka.log}; Ctrl-C ends it", flush=True)
        ended.wait()


if __name__ == "__main__":
    main()
