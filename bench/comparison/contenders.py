"""The contenders: how each is started, its expected rate, and where its counts are."""

import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.comparison import results
from bench.comparison.material import Cells, Load
from streams.kafka.topics import TABLE
from tests.support import kafka
from tests.support.ports import free_port
from tests.support.processes import LOOPBACK, get

_ROOT: Final = Path(__file__).resolve().parents[2]
_PEERS: Final = _ROOT / "bench" / "peers"
PEERS_PYTHON: Final = _ROOT / ".venv-bench" / "bin" / "python"
"""The interpreter for peers that need packages which the product does not have."""


@dataclass(frozen=True, slots=True)
class Place:
    """The place of one run: broker, load, consumer group (also the prefix of its topics), and directory."""

    bootstrap: str
    load: Load
    group: str
    directory: Path

    @property
    def cells(self) -> Path:
        """The file with the counts of a peer that keeps them in memory only."""
        return self.directory / f"{self.group}.cells"

    @property
    def state(self) -> Path:
        """The directory of what its processes keep on disk."""
        return self.directory / self.group

    @property
    def log(self) -> Path:
        """The file with the output of its processes."""
        return self.directory / f"{self.group}.log"

    def topic(self, role: str) -> str:
        """The topic for a role of the worker: one of the load, or one of this run."""
        shared = {"annotations": self.load.annotations, "evaluations": self.load.evaluations}
        return shared.get(role, f"{self.group}.{role.replace('_', '-')}")

    @property
    def settings(self) -> Mapping[str, str]:
        """The worker's settings as environment variables."""
        topics = {f"EVAL_ALIGNMENT_TOPIC_{spec.role.upper()}": self.topic(spec.role) for spec in TABLE}
        return {
            **topics,
            "EVAL_ALIGNMENT_GROUP": self.group,
            "EVAL_ALIGNMENT_BROKERS": self.bootstrap,
            "EVAL_ALIGNMENT_DATA_DIR": str(self.state),
        }


Arguments = Sequence[str]

_LEFT: Final = ("eval_alignment_waiting_rebuild_events{", "eval_alignment_waiting_owed_items ")
"""How lines of metrics begin that have what is left."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One row.

    `rate` are the events a second that size its load. `needs` are modules. `logs`: it writes the worker's topics, which
    are made before. `ends`: it ends by itself at the end of the topics. `jvm`: it needs javac. `changelogs`: tables
    whose changelog topics are made before. `busy` is whether a process has work left that no commit shows. `restores`:
    it can be started again after a kill.
    """

    name: str
    title: str
    rate: int
    processes: Callable[[Place], Sequence[Arguments]]
    cells: Callable[[Place], Awaitable[Cells]]
    needs: Sequence[str] = ()
    logs: bool = False
    ends: bool = False
    jvm: bool = False
    busy: Callable[[Arguments], bool] = lambda _: False
    changelogs: Sequence[str] = ()
    restores: bool = True

    def missing(self) -> str | None:
        """The reason why it cannot run here, or None."""
        if self.needs:
            known = f"import importlib.util as i, sys; sys.exit(not all(map(i.find_spec, {list(self.needs)})))"
            if not PEERS_PYTHON.exists() or subprocess.run([PEERS_PYTHON, "-c", known], check=False).returncode != 0:
                return f"not installed: {', '.join(self.needs)}; `make peers` installs it where wheels exist"
        return "javac is not on PATH" if self.jvm and shutil.which("javac") is None else None


def _peer(module: str, python: Path = Path(sys.executable)) -> Callable[[Place], Sequence[Arguments]]:
    def processes(place: Place) -> Sequence[Arguments]:
        return [
            [
                *(str(python), "-m", f"bench.peers.{module}"),
                *("--bootstrap", place.bootstrap, "--group", place.group, "--cells", str(place.cells)),
                *("--annotations", place.load.annotations, "--evaluations", place.load.evaluations),
            ]
        ]

    return processes


def _workers(count: int) -> Callable[[Place], Sequence[Arguments]]:
    def processes(place: Place) -> Sequence[Arguments]:
        del place
        return [
            [
                *(sys.executable, "-m", "eval_alignment", "worker", "--name", f"w{number}"),
                *("--http", f"{LOOPBACK}:{free_port()}"),
            ]
            for number in range(count)
        ]

    return processes


def _unmerged(worker: Arguments) -> bool:
    """Whether a worker has evaluations to read again, or to look up, that no commit shows: after a move or a kill, or
    when many items became known together.
    """
    text = get(f"http://{worker[-1]}/metrics").body.decode()
    samples = [line.split() for line in text.splitlines() if line.startswith(_LEFT)]
    return any(float(value) > 0 for *_, value in samples)


def _streams(guarantee: str, store: str, heap: str) -> Callable[[Place], Sequence[Arguments]]:
    def processes(place: Place) -> Sequence[Arguments]:
        sources = place.bootstrap, place.load.annotations, place.load.evaluations, place.group
        return [[*_java("kafka_streams", "Job", heap), *sources, guarantee, store, str(place.state)]]

    return processes


def _flink(place: Place) -> Sequence[Arguments]:
    sources = place.bootstrap, place.load.annotations, place.load.evaluations, place.group
    # As Flink's own configuration opens them.
    opened = [f"--add-opens=java.base/java.{name}=ALL-UNNAMED" for name in ("lang", "util", "time", "util.concurrent")]
    return [[*_java("flink", "FlinkJob", "6g", *opened), *sources, _changelog_topic(place), str(place.state)]]


def _java(peer: str, main: str, heap: str, *options: str) -> Sequence[str]:
    """The command of a peer in Java: compiled when a source is newer than its classes. Raises CalledProcessError."""
    jars = kafka.jar_directory(_PEERS / peer / "pom.xml")
    sources = [source for directory in (peer, "java_events") for source in sorted((_PEERS / directory).glob("*.java"))]
    classes = jars / "classes"
    done = classes / f"{main}.class"
    if not done.is_file() or done.stat().st_mtime < max(source.stat().st_mtime for source in sources):
        shutil.rmtree(classes, ignore_errors=True)
        checks = "-Xlint:all,-classfile,-path,-processing"
        subprocess.run(["javac", checks, "-cp", f"{jars}/*", "-d", classes, *sources], check=True)
    machine = (f"-Xms{heap}", f"-Xmx{heap}", "-XX:+UseParallelGC", *options)
    return ["java", *machine, "-cp", f"{classes}:{jars}/*", main]


def java_version(peer: str) -> str:
    """The version of the library of a peer in Java: that of the first dependency of its pom.xml."""
    dependencies = (_PEERS / peer / "pom.xml").read_text().partition("<dependency>")[2]
    return dependencies.partition("<version>")[2].partition("<")[0]


async def _file(place: Place) -> Cells:
    return results.from_file(place.cells)


async def _tallies(place: Place) -> Cells:
    return await results.from_tallies(place.bootstrap, place.topic("tallies"))


async def _faust(place: Place) -> Cells:
    return await results.from_faust(place.bootstrap, f"{place.group}-cells-changelog")


async def _changelog(place: Place) -> Cells:
    return await results.from_packed(place.bootstrap, _changelog_topic(place))


def _changelog_topic(place: Place) -> str:
    return f"{place.group}-tallies-changelog"


_AUDITED: Final = 240_000
"""Twice what is expected: a minute after its start a worker audits, and each of those that audit runs longer."""

CONTENDERS: Final = (
    Contender("worker", "one worker", _AUDITED, _workers(1), _tallies, logs=True, busy=_unmerged),
    Contender(
        "own_loop",
        "the same steps without Faust",
        _AUDITED,
        _peer("own_loop"),
        _tallies,
        logs=True,
        restores=False,
    ),
    Contender("workers", "two workers", 160_000, _workers(2), _tallies, logs=True, busy=_unmerged),
    Contender(
        "streams_alos",
        "Kafka Streams in memory, at least once",
        160_000,
        _streams("at_least_once", "memory", "6g"),
        _changelog,
        jvm=True,
    ),
    Contender(
        "streams_eos",
        "Kafka Streams in memory, exactly_once_v2",
        160_000,
        _streams("exactly_once_v2", "memory", "6g"),
        _changelog,
        jvm=True,
    ),
    Contender(
        "streams_alos_rocksdb",
        "Kafka Streams on RocksDB, at least once",
        160_000,
        _streams("at_least_once", "rocksdb", "1g"),
        _changelog,
        jvm=True,
    ),
    Contender(
        "streams_eos_rocksdb",
        "Kafka Streams on RocksDB, exactly_once_v2",
        160_000,
        _streams("exactly_once_v2", "rocksdb", "1g"),
        _changelog,
        jvm=True,
    ),
    Contender(
        "flink",
        "Flink DataStream, state on the heap",
        160_000,
        _flink,
        _changelog,
        jvm=True,
        changelogs=["tallies"],
    ),
    Contender(
        "confluent",
        "confluent-kafka, orjson, dicts",
        160_000,
        _peer("confluent_loop", PEERS_PYTHON),
        _file,
        needs=["confluent_kafka"],
    ),
    Contender("aiokafka", "aiokafka, orjson, dicts", 160_000, _peer("aiokafka_loop"), _file),
    Contender(
        "bytewax",
        "Bytewax",
        30_000,
        _peer("bytewax_flow", PEERS_PYTHON),
        _file,
        needs=["bytewax", "confluent_kafka"],
        ends=True,
    ),
    Contender("quix", "Quix Streams", 13_000, _peer("quix_dataframe", PEERS_PYTHON), _file, needs=["quixstreams"]),
    Contender(
        "faust", "stock Faust, agent and Table", 1_500, _peer("faust_table"), _faust, changelogs=["items", "cells"]
    ),
)
